//! Tools about this server.

use std::collections::BTreeMap;

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Json, Parameters, ToolError, Tools, raw::Any};
use crate::{domain::ops::BackendStatus, redaction::redact, services::ops::ServerInfo};

/// Arguments of get_server_info: none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetServerInfo {}

/// Answer of get_server_info.
#[derive(Serialize, JsonSchema)]
pub struct ServerInfoAnswer {
    version: &'static str,
    protocol_versions: Vec<&'static str>,
    uptime_ms: u64,
    read_only: bool,
    data_dir: String,
    toolsets: Vec<&'static str>,
    backends: Vec<BackendView>,
    #[schemars(with = "BTreeMap<String, u64>")]
    limits: Any,
    #[schemars(with = "Vec<SettingView>")]
    settings: Any,
}

/// A setting that is set.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct SettingView {
    name: String,
    value: String,
    source: String,
    #[schemars(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A backend, in get_server_info and in `callboard doctor --json`.
#[derive(Serialize, JsonSchema)]
pub struct BackendView {
    name: String,
    kind: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ProblemView {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_code: Option<String>,
}

#[tool_router(router = ops_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Show this server: version, each backend with state, latency and what is wrong, limits, settings. Use it when a tool is `unavailable`.
    #[tool]
    async fn get_server_info(
        &self,
        Parameters(_): Parameters<GetServerInfo>,
    ) -> Result<Json<ServerInfoAnswer>, ToolError> {
        Ok(Json(self.app.ops.info().await.into()))
    }
}

impl From<ServerInfo> for ServerInfoAnswer {
    fn from(info: ServerInfo) -> Self {
        Self {
            version: info.version,
            protocol_versions: vec!["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"],
            uptime_ms: info.uptime_ms,
            read_only: info.read_only,
            data_dir: info.data_dir,
            toolsets: info.toolsets,
            backends: info.backends.into_iter().map(BackendView::from).collect(),
            limits: Any(info.limits),
            settings: Any(info.settings),
        }
    }
}

impl From<BackendStatus> for BackendView {
    fn from(status: BackendStatus) -> Self {
        let problem = status.problem.map(|error| ProblemView {
            code: error.code.as_str(),
            message: redact(&error.message).into_owned(),
            hint: error.hint.as_deref().map(str::to_owned),
            backend_code: error.place.backend_code.clone(),
        });
        Self {
            name: status.name,
            kind: status.kind,
            state: status.state.as_str(),
            version: status.version,
            latency_ms: (status.latency_ms * 1_000.0).round() / 1_000.0,
            problem,
            notes: status.notes,
            remedy: status.remedy,
        }
    }
}
