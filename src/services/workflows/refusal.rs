//! Why something was not done to a workflow, in words.

use serde_json::json;

use crate::{
    domain::{
        json, text,
        workflows::{Action, State},
    },
    error::{Code, Error},
    ports::workflows::{ChangeRefused, CreateRefused},
    services::idempotency::repeat,
};

pub(super) fn of_create(refused: CreateRefused, parent_id: Option<&str>) -> Error {
    match refused {
        CreateRefused::TooMany { active_max } => too_many(active_max),
        CreateRefused::NoParent => no_workflow(parent_id.unwrap_or_default(), "parent_id"),
        CreateRefused::Repeat(why) => repeat(why),
    }
}

fn too_many(active_max: u64) -> Error {
    Error::new(Code::Limit, format!("{active_max} workflows are open, which is the limit"))
        .hint("complete or cancel some (list_workflows shows them); CALLBOARD_MAX_ACTIVE_WORKFLOWS sets the bound")
}

pub(super) fn no_workflow(id: &str, argument: &'static str) -> Error {
    let (what, hint) = match argument {
        "agent_id" => ("agent", "list_agents shows agents"),
        _ if id.starts_with("tk_") => {
            ("task", "manage_tasks with action `list` shows tasks; ended ones are kept for 90 days")
        }
        _ => ("workflow", "list_workflows shows workflows; ended ones are kept for 90 days"),
    };
    Error::new(Code::NotFound, format!("no {what} `{}`", text::shown(id))).argument(argument).hint(hint)
}

pub(super) fn of_change(refused: ChangeRefused, id: &str, action: Option<Action>) -> Error {
    let current = |state: State, version: i64| json::of(&json!({"state": state.as_str(), "version": version}));
    match refused {
        ChangeRefused::NoSuchWorkflow => no_workflow(id, "workflow_id"),
        ChangeRefused::State { state, version } => {
            let what = action.map_or("complete", Action::as_str);
            let error = Error::new(
                Code::Conflict,
                format!("the workflow `{id}` is {}; {what} has no effect on it", state.as_str()),
            )
            .argument(if action.is_some() { "action" } else { "workflow_id" })
            .current(current(state, version));
            if state.is_open() {
                error
            } else {
                error.hint("an ended workflow stays ended; action `fork` creates a new one that continues from it")
            }
        }
        ChangeRefused::Version { state, version } => {
            Error::new(Code::Conflict, format!("the workflow `{id}` is at version {version} now"))
                .argument("expected_version")
                .hint("read it again with get_orchestration_status, then decide")
                .current(current(state, version))
        }
        ChangeRefused::OpenTasks { open, state, version } => Error::new(
            Code::Conflict,
            format!("{open} tasks of the workflow `{id}` have not ended"),
        )
        .argument("outcome")
        .hint("finish them, or cancel them with manage_tasks; the outcomes `failed` and `cancelled` cancel them too")
        .current(current(state, version)),
        ChangeRefused::TooMany { active_max } => too_many(active_max),
        ChangeRefused::Repeat(why) => repeat(why),
    }
}
