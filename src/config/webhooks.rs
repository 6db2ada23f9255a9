//! How ends of workflows are told.

use secrecy::SecretString;

use super::{
    setting::{Kind, Section, Setting, setting},
    values::Values,
};
use crate::{
    domain::webhooks::Hosts,
    error::{Code, Error},
    redaction::redact,
};

/// Its settings.
pub const SETTINGS: &[Setting] = &[
    setting(
        "CALLBOARD_WEBHOOK_HOSTS",
        Kind::List,
        Section::Access,
        "",
        "Hosts that webhooks may call although they are not public or not https: names or addresses, with or without a port, `*` for any characters (`localhost:*`, `*.example.com`, `10.0.*`, `[::1]:8080`).",
    ),
    setting(
        "CALLBOARD_WEBHOOK_SECRET",
        Kind::Text,
        Section::Access,
        "one for each webhook",
        "The key that signs all webhooks (HMAC-SHA256).",
    )
    .secret(),
];

/// How ends of workflows are told.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    /// Hosts that may be called although they are not public or not https (`CALLBOARD_WEBHOOK_HOSTS`).
    pub hosts: Hosts,
    /// The key of all signatures (`CALLBOARD_WEBHOOK_SECRET`). None: each webhook's own.
    pub secret: Option<SecretString>,
}

impl Webhooks {
    pub(super) fn read(values: &Values<'_>) -> Result<Self, Error> {
        let name = "CALLBOARD_WEBHOOK_HOSTS";
        let secret = values.text("CALLBOARD_WEBHOOK_SECRET").map(|text| text.trim().to_owned().into());
        let hosts = Hosts::parse(&values.list(name)).map_err(|wrong| {
            let shown = redact(&wrong.entry).into_owned();
            Error::new(Code::Invalid, format!("`{shown}` in `{name}` {}", wrong.why))
                .argument(name)
                .did_you_mean(wrong.meant.into_iter().collect::<Vec<_>>())
                .hint("it takes host names and addresses separated by commas, with or without a port, `*` for any characters: `localhost:*`, `*.example.com`, `10.0.*`, `[::1]:8080`")
        })?;
        Ok(Self { hosts, secret })
    }
}
