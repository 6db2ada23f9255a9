//! The idempotency key of a call.

use std::borrow::Cow;

use rmcp::{RoleServer, service::RequestContext};

use crate::{
    domain::idempotency::Key,
    error::Error,
    services::idempotency::keyed,
    tools::arguments::{RawArguments, split_key},
};

/// Where Claude Code says which of its tool uses a call belongs to. A repeat of the same use is the same call.
const TOOL_USE: &str = "claudecode/toolUseId";
/// Longer ones are not what Claude Code sends.
const TOOL_USE_LENGTH_MAX: usize = 128;

/// The key, which is the caller's own or else that of its host, and the arguments without it.
///
/// # Errors
/// `invalid` when it cannot be one.
pub(super) fn split(
    tool: &str,
    arguments: RawArguments,
    context: &RequestContext<RoleServer>,
) -> Result<(Option<Key>, RawArguments), Error> {
    let (given, rest) = split_key(&arguments.0)?;
    let key = given.or_else(|| {
        let tool_use = context.meta.0.0.get(TOOL_USE)?.as_str()?;
        (1..=TOOL_USE_LENGTH_MAX).contains(&tool_use.len()).then(|| format!("claudecode:{tool_use}"))
    });
    // A key stands for all arguments, itself among them: keys that are kept were told apart so.
    let key = key.map(|key| keyed(&key, tool, &arguments.0)).transpose()?;
    let rest = match rest {
        Cow::Borrowed(_) => None,
        Cow::Owned(rest) => Some(RawArguments(rest.into())),
    };
    Ok((key, rest.unwrap_or(arguments)))
}
