//! Why something was not done to a task, in words.

use serde_json::json;

use crate::{
    config::Limits,
    domain::{
        json,
        names::nearest,
        tasks::{Lease, answers::Change},
        text,
    },
    error::{Code, Error},
    services::idempotency::repeat,
    store::tasks::{EnqueueRefused, LeaseRefused, ManageRefused},
};

pub(super) fn of_lease(refused: LeaseRefused, lease: &Lease) -> Error {
    let task_id = &lease.task_id;
    match refused {
        LeaseRefused::NoSuchTask => Error::new(Code::NotFound, format!("no task `{task_id}`")).argument("lease_token"),
        LeaseRefused::Lost { state, fence, agent_id } => {
            let state = state.as_str();
            Error::new(Code::LeaseLost, format!("the lease on `{task_id}` has ended; the task is {state}"))
                .argument("lease_token")
                .hint("stop this work: it is done, or another agent has it; claim_tasks gives the next task")
                .current(json::of(&json!({"state": state, "fence": fence, "agent_id": agent_id})))
        }
        LeaseRefused::Repeat(why) => repeat(why),
    }
}

pub(super) fn of_enqueue(refused: EnqueueRefused, workflow_id: Option<&str>, limits: &Limits) -> Error {
    let workflow = text::shown(workflow_id.unwrap_or_default());
    match refused {
        EnqueueRefused::NoSuchWorkflow => Error::new(Code::NotFound, format!("no workflow `{workflow}`"))
            .argument("workflow_id")
            .hint("list_workflows shows workflows; without `workflow_id` tasks belong to none"),
        EnqueueRefused::State { state, version } => {
            let state = state.as_str();
            Error::new(Code::Conflict, format!("the workflow `{workflow}` is {state}; it takes no more tasks"))
                .argument("workflow_id")
                .hint("create_workflow creates a new one; control_workflow with action `fork` continues from its completed tasks")
                .current(json::of(&json!({"state": state, "version": version})))
        }
        EnqueueRefused::TooMany { tasks } => too_many_tasks(usize::try_from(tasks).unwrap_or_default(), limits),
        EnqueueRefused::SameKey { key } => {
            Error::new(Code::Conflict, format!("the workflow already has a task with the key `{key}`"))
                .argument("tasks")
        }
        EnqueueRefused::NoSuchTask { name, known } => Error::new(
            Code::Invalid,
            format!("`depends_on` names `{}`, which is not a task of the workflow", text::shown(&name)),
        )
        .argument("tasks")
        .did_you_mean(nearest(&name, known.iter().map(String::as_str)))
        .hint("name tasks of this call or of the workflow by key, or by task id"),
        EnqueueRefused::Repeat(why) => repeat(why),
    }
}

/// A workflow with more tasks than allowed.
pub(super) fn too_many_tasks(tasks: usize, limits: &Limits) -> Error {
    Error::new(
        Code::Limit,
        format!("a workflow takes up to {} tasks; with these it would have {tasks}", limits.workflow_tasks_max),
    )
    .argument("tasks")
    .hint("split the work over several workflows; CALLBOARD_MAX_WORKFLOW_TASKS sets the bound")
}

pub(super) fn of_manage(refused: ManageRefused, change: &Change) -> Error {
    match refused {
        ManageRefused::NoSuchTask { ids } => {
            Error::new(Code::NotFound, format!("no task {}; nothing was changed", quoted(&ids)))
                .argument("ids")
                .hint("manage_tasks with action `list` shows tasks; ended ones are kept for 90 days")
        }
        ManageRefused::State { tasks } => {
            let fits: Vec<&str> = change.states().into_iter().map(|state| state.as_str()).collect();
            let wrong: Vec<String> =
                tasks.iter().take(10).map(|(id, state)| format!("`{id}` is {}", state.as_str())).collect();
            let current: serde_json::Map<_, _> =
                tasks.iter().take(100).map(|(id, state)| (id.clone(), json!(state.as_str()))).collect();
            Error::new(Code::Conflict, format!("{}; nothing was changed", wrong.join(", ")))
                .argument("ids")
                .hint(format!("this action takes tasks that are {}", fits.join(", ")))
                .current(json::of(&current))
        }
        ManageRefused::WorkflowEnded { workflow_id, state } => {
            let state = state.as_str();
            Error::new(
                Code::Conflict,
                format!("the workflow `{workflow_id}` is {state}; its tasks can no longer be changed"),
            )
            .argument("ids")
            .hint("control_workflow with action `fork` continues from its completed tasks")
            .current(json::of(&json!({"workflow_id": workflow_id, "state": state})))
        }
        ManageRefused::Repeat(why) => repeat(why),
    }
}

fn quoted(ids: &[String]) -> String {
    ids.iter().take(10).map(|id| format!("`{}`", text::shown(id))).collect::<Vec<_>>().join(", ")
}
