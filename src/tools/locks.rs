//! Tools about locks.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Json, Keyed, Parameters, ToolError, Tools};
use crate::{
    clock::Instant,
    domain::locks::Token,
    services::locks::{Action, LockAnswer, LockRequest},
};

/// Arguments of manage_lock.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManageLock {
    action: LockAction,
    /// e.g. db/migrate.
    resource: String,
    /// Who holds it (default: the only agent here).
    agent_id: Option<String>,
    /// Default 30000.
    #[schemars(range(min = 1_000, max = 3_600_000))]
    ttl_ms: Option<u64>,
    /// How long to wait while another holds it (default 0).
    #[schemars(range(min = 0, max = 20_000))]
    wait_ms: Option<u64>,
    /// For renew and release.
    token: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum LockAction {
    Acquire,
    Renew,
    Release,
    Inspect,
}

/// Answer of manage_lock.
#[derive(Serialize, JsonSchema, Default)]
pub struct ManageLockAnswer {
    acquired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fence: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acquired_at: Option<String>,
}

#[tool_router(router = lock_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Lock a resource so that one agent at a time uses it: acquire, renew, release, inspect. It ends after ttl_ms or with its server process.
    #[tool]
    async fn manage_lock(
        &self,
        Parameters(arguments): Parameters<ManageLock>,
        Keyed(key): Keyed,
    ) -> Result<Json<ManageLockAnswer>, ToolError> {
        let request = LockRequest {
            action: arguments.action.into(),
            resource: arguments.resource,
            agent_id: arguments.agent_id,
            ttl_ms: arguments.ttl_ms,
            wait_ms: arguments.wait_ms,
            token: arguments.token,
            key,
        };
        Ok(Json(self.app.locks.manage(request).await?.into()))
    }
}

impl From<LockAction> for Action {
    fn from(action: LockAction) -> Self {
        match action {
            LockAction::Acquire => Self::Acquire,
            LockAction::Renew => Self::Renew,
            LockAction::Release => Self::Release,
            LockAction::Inspect => Self::Inspect,
        }
    }
}

impl From<LockAnswer> for ManageLockAnswer {
    fn from(answer: LockAnswer) -> Self {
        match answer {
            LockAnswer::Acquired(lock) => Self {
                acquired: true,
                token: Some(Token { fence: lock.fence, secret: lock.secret }.to_string()),
                fence: Some(lock.fence),
                expires_at: Some(Instant(lock.expires_at_us).rfc3339()),
                holder: Some(lock.owner),
                ..Self::default()
            },
            LockAnswer::Held(view) => {
                Self { holder: Some(view.holder), expires_at: Some(view.expires_at.rfc3339()), ..Self::default() }
            }
            LockAnswer::Released(fence) => Self { released: Some(true), fence: Some(fence), ..Self::default() },
            LockAnswer::Free => Self { held: Some(false), ..Self::default() },
            LockAnswer::Seen(view) => Self {
                held: Some(true),
                holder: Some(view.holder),
                fence: Some(view.fence),
                expires_at: Some(view.expires_at.rfc3339()),
                acquired_at: Some(view.acquired_at.rfc3339()),
                ..Self::default()
            },
        }
    }
}
