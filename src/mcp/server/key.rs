//! The idempotency key of a call.

use rmcp::{RoleServer, model::CallToolRequestParams, service::RequestContext};
use serde::Deserialize;

use crate::{domain::idempotency::Key, error::Error, services::idempotency::keyed, tools::arguments::RawArguments};

/// Where Claude Code says which of its tool uses a call belongs to. A repeat of the same use is the same call.
const TOOL_USE: &str = "claudecode/toolUseId";
/// Longer ones are not what Claude Code sends.
const TOOL_USE_LENGTH_MAX: usize = 128;

/// The caller's own, else the one of its host.
///
/// # Errors
/// `invalid` when it cannot be one.
pub(super) fn of(request: &CallToolRequestParams, context: &RequestContext<RoleServer>) -> Result<Option<Key>, Error> {
    #[derive(Deserialize)]
    struct Keyed {
        idempotency_key: Option<String>,
    }
    let arguments = RawArguments::of(request, &context.extensions).0;
    let given = serde_json::from_str::<Keyed>(&arguments).ok().and_then(|keyed| keyed.idempotency_key);
    let key = given.or_else(|| {
        let tool_use = context.meta.0.0.get(TOOL_USE)?.as_str()?;
        (1..=TOOL_USE_LENGTH_MAX).contains(&tool_use.len()).then(|| format!("claudecode:{tool_use}"))
    });
    key.map(|key| keyed(&key, &request.name, &arguments)).transpose()
}
