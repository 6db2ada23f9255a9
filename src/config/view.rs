//! How settings are shown: with their source, without their secrets.

use std::path::Path;

use serde::Serialize;

use super::{
    DatabaseConfig, Limits,
    sources::{Found, Sources},
    table::{self, Kind, Section},
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

/// Every bound for get_server_info, named as its setting.
pub fn limits_json(limits: &Limits) -> Json {
    #[derive(Serialize)]
    struct Named {
        default_rows: usize,
        max_rows: usize,
        default_bytes: usize,
        max_bytes: usize,
        call_timeout_ms: u128,
        statement_timeout_ms: u128,
        lease_ms: u128,
        max_documents: usize,
        max_load_rows: usize,
        max_load_bytes: usize,
        max_active_workflows: usize,
        max_workflow_tasks: usize,
        max_dependency_depth: usize,
        max_payload_bytes: usize,
        max_calls: usize,
        max_waiting_calls: usize,
    }
    json::of(&Named {
        default_rows: limits.rows_default.min(limits.rows_max),
        max_rows: limits.rows_max,
        default_bytes: limits.bytes_default.min(limits.bytes_max),
        max_bytes: limits.bytes_max,
        call_timeout_ms: limits.call_time.as_millis(),
        statement_timeout_ms: limits.statement_time.as_millis(),
        lease_ms: limits.lease_time.as_millis(),
        max_documents: limits.documents_max,
        max_load_rows: limits.load_rows_max,
        max_load_bytes: limits.load_bytes_max,
        max_active_workflows: limits.active_workflows_max,
        max_workflow_tasks: limits.workflow_tasks_max,
        max_dependency_depth: limits.dependency_depth_max,
        max_payload_bytes: limits.payload_bytes_max,
        max_calls: limits.calls_in_flight_max,
        max_waiting_calls: limits.calls_waiting_max,
    })
}

/// What is set, and the data directory in any case.
pub fn shown(sources: &Sources, databases: &[DatabaseConfig], data_dir: &Path) -> Vec<Shown> {
    let mut all = Vec::new();
    for setting in table::SETTINGS {
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
    for found in sources.beginning(table::MORE_DATABASES).values() {
        all.push(one(found, true, Kind::Url));
    }
    if databases.len() > 1 {
        all.extend(sources.beginning(table::DATABASE_DESCRIPTIONS).values().map(|found| one(found, false, Kind::Text)));
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
