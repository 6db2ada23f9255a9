//! Why something was not done to a workflow, in words.

use serde_json::json;

use crate::{
    domain::{
        json, text,
        workflows::{Action, State},
    },
    error::{Code, Error},
    services::idempotency::repeat,
    store::workflows::{ChangeRefused, CreateRefused},
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
        "task_id" if !id.starts_with("wf_") => (
            "task or workflow",
            "manage_tasks with action `list` shows tasks, list_workflows workflows; ended ones are kept for 90 days",
        ),
        _ => ("workflow", "list_workflows shows workflows; ended ones are kept for 90 days"),
    };
    Error::new(Code::NotFound, format!("no {what} `{}`", text::shown(id))).argument(argument).hint(hint)
}

/// What somebody can do who wanted this (none: to complete it) of a workflow in a state that does not take it.
fn what_helps(state: State, action: Option<Action>) -> &'static str {
    match (state, action) {
        (State::Completed, _) => "it has ended with all its work done; create_workflow creates a new one",
        (State::Failed | State::Cancelled | State::TimedOut, _) => {
            "an ended workflow stays ended; action `fork` creates a new one that continues from its completed tasks"
        }
        (State::Cancelling, _) => {
            "it ends once its workers have let go of their tasks, after a minute at the latest; action `fork` continues from it then"
        }
        (_, Some(Action::Fork)) => "action `fork` takes a workflow that has ended; this one is still open",
        (State::Paused, _) => "action `resume` makes it go on",
        (State::Waiting, _) => {
            "its tasks wait for answers: manage_tasks with action `list` shows the questions, action `answer` answers them"
        }
        (State::Pending | State::Running, _) => {
            "it goes on by itself; get_orchestration_status shows what its tasks wait for"
        }
    }
}

pub(super) fn of_change(refused: ChangeRefused, id: &str, action: Option<Action>) -> Error {
    let current = |state: State, version: i64| json::of(&json!({"state": state.as_str(), "version": version}));
    match refused {
        ChangeRefused::NoSuchWorkflow => no_workflow(id, "workflow_id"),
        ChangeRefused::State { state, version } => {
            let what = action.map_or("complete", Action::as_str);
            Error::new(Code::Conflict, format!("the workflow `{id}` is {}; {what} has no effect on it", state.as_str()))
                .argument(if action.is_some() { "action" } else { "workflow_id" })
                .hint(what_helps(state, action))
                .current(current(state, version))
        }
        ChangeRefused::Version { state, version } => {
            Error::new(Code::Conflict, format!("the workflow `{id}` is at version {version} now"))
                .argument("expected_version")
                .hint("read it again with get_orchestration_status, then decide")
                .current(current(state, version))
        }
        ChangeRefused::OpenTasks { open, state, version } => Error::new(
            Code::Conflict,
            match open {
                1 => format!("1 task of the workflow `{id}` has not ended"),
                _ => format!("{open} tasks of the workflow `{id}` have not ended"),
            },
        )
        .argument("outcome")
        .hint("finish them, or cancel them with manage_tasks; the outcomes `failed` and `cancelled` cancel them too")
        .current(current(state, version)),
        ChangeRefused::Dead { dead, version } => {
            let tasks = if dead == 1 { "1 task is dead".to_owned() } else { format!("{dead} tasks are dead") };
            Error::new(Code::Conflict, format!("nothing is left to do in the workflow `{id}`, and {tasks}"))
                .argument("action")
                .hint(
                    "manage_tasks retries dead letters, but not what was cancelled with them; complete_workflow with outcome `failed` and \
                     then action `fork` does again all that was not completed",
                )
                .current(current(State::Paused, version))
        }
        ChangeRefused::TooMany { active_max } => too_many(active_max),
        ChangeRefused::Repeat(why) => repeat(why),
    }
}
