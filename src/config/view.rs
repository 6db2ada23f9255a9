//! How settings are shown: with their source, without their secrets.

use std::path::Path;

use serde::Serialize;

use super::{
    database::{DATABASE_DESCRIPTIONS, DatabaseConfig, MORE_DATABASES},
    setting::{Kind, Section},
    sources::{Found, Sources},
    table,
};
use crate::{
    domain::json::{self, Json},
    redaction::{HIDDEN, redact},
};

/// One setting as operators and agents see it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The name it was set under, or its own.
    pub name: String,
    /// Its value, redacted.
    pub value: String,
    /// flag, environment, a file, or default.
    pub source: String,
    /// Something an operator should know: not used by this version yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Settings for get_server_info.
pub fn settings_json(shown: &[Shown]) -> Json {
    json::of(shown)
}

/// What is set, and the data directory in any case.
pub fn shown(sources: &Sources, databases: &[DatabaseConfig], data_dir: &Path) -> Vec<Shown> {
    let mut all = Vec::new();
    for setting in table::settings() {
        match sources.get(setting) {
            Some(found) if setting.name == "CALLBOARD_DATA_DIR" => {
                all.push(Shown { value: data_dir.display().to_string(), ..one(found, setting.secret, setting.kind) });
            }
            Some(found) => {
                let note = (setting.section == Section::Later).then_some("not used by this version yet");
                all.push(Shown { note, ..one(found, setting.secret, setting.kind) });
            }
            None if setting.name == "CALLBOARD_DATA_DIR" => all.push(Shown {
                name: setting.name.to_owned(),
                value: data_dir.display().to_string(),
                source: "default".to_owned(),
                note: None,
            }),
            None => {}
        }
    }
    for found in sources.with_prefix(MORE_DATABASES).values() {
        all.push(one(found, true, Kind::Url));
    }
    if databases.len() > 1 {
        all.extend(sources.with_prefix(DATABASE_DESCRIPTIONS).values().map(|found| one(found, false, Kind::Text)));
    }
    all
}

fn one(found: &Found, secret: bool, kind: Kind) -> Shown {
    let value = match (secret, kind) {
        (false, _) => redact(found.text.trim()).into_owned(),
        (true, Kind::Url) if found.text.contains("://") => redact(found.text.trim()).into_owned(),
        (true, _) => HIDDEN.to_owned(),
    };
    Shown { name: found.name.clone(), value, source: found.source.to_string(), note: None }
}
