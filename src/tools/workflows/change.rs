//! Workflows that are made and changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{
    money::Usd,
    raw::{Any, Lenient},
    tasks::{EnqueuedRow, arguments::TaskArgument},
};
use crate::{
    domain::workflows::{
        Action, OnTaskFailure, State,
        answers::{Changed, Signal},
        view::Created,
    },
    services::workflows::request::{CompleteRequest, ControlRequest, CreateRequest},
};

/// Arguments of create_workflow.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkflow {
    /// What it is about.
    #[serde(alias = "task")]
    #[schemars(extend("x-aliases" = ["task"]))]
    name: String,
    /// Kind of work, for figures.
    #[serde(alias = "orchestrator_type")]
    #[schemars(extend("x-aliases" = ["orchestrator_type"]))]
    r#type: Option<String>,
    /// Agents claim them as they become ready.
    tasks: Option<Lenient<Vec<TaskArgument>>>,
    #[serde(alias = "config")]
    #[schemars(extend("x-aliases" = ["config"]))]
    input: Option<Any>,
    /// Times out after this.
    #[schemars(range(min = 1))]
    deadline_ms: Option<u64>,
    /// Pauses when its cost reaches this.
    budget_usd: Option<Usd>,
    /// When a task is dead (default fail).
    on_task_failure: Option<FailurePolicy>,
    parent_id: Option<String>,
    /// Told of its end by a signed POST.
    webhook_url: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum FailurePolicy {
    Fail,
    Pause,
    Continue,
}

/// Answer of create_workflow.
#[derive(Serialize, JsonSchema)]
pub struct CreateAnswer {
    workflow_id: String,
    state: &'static str,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
    tasks: Vec<EnqueuedRow>,
}

/// Arguments of complete_workflow.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteWorkflow {
    #[serde(alias = "task_id")]
    #[schemars(extend("x-aliases" = ["task_id"]))]
    workflow_id: String,
    outcome: Outcome,
    result: Option<Any>,
    /// Why it failed.
    error: Option<String>,
    /// Refused when the version has changed.
    expected_version: Option<i64>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Outcome {
    Completed,
    Failed,
    Cancelled,
}

/// Arguments of control_workflow.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlWorkflow {
    #[serde(alias = "task_id")]
    #[schemars(extend("x-aliases" = ["task_id"]))]
    workflow_id: String,
    action: ActionArgument,
    /// With action signal: its name; workers get it from update_task.
    signal: Option<String>,
    /// With action signal.
    payload: Option<Any>,
    reason: Option<String>,
    expected_version: Option<i64>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum ActionArgument {
    Start,
    Pause,
    Resume,
    Cancel,
    Signal,
    Fork,
}

/// Answer of complete_workflow and control_workflow.
#[derive(Serialize, JsonSchema)]
pub struct ChangeAnswer {
    workflow_id: String,
    state: &'static str,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<CreateAnswer>,
}

impl From<CreateWorkflow> for CreateRequest {
    fn from(arguments: CreateWorkflow) -> Self {
        let tasks = arguments.tasks.map(|tasks| tasks.0).unwrap_or_default();
        Self {
            name: arguments.name,
            kind: arguments.r#type,
            tasks: tasks.into_iter().map(Into::into).collect(),
            input: arguments.input.map(|input| input.0),
            deadline_ms: arguments.deadline_ms,
            budget: arguments.budget_usd.map(|budget| budget.0),
            on_task_failure: arguments.on_task_failure.map(|policy| match policy {
                FailurePolicy::Fail => OnTaskFailure::Fail,
                FailurePolicy::Pause => OnTaskFailure::Pause,
                FailurePolicy::Continue => OnTaskFailure::Continue,
            }),
            parent_id: arguments.parent_id,
            webhook_url: arguments.webhook_url,
        }
    }
}

impl From<Created> for CreateAnswer {
    fn from(created: Created) -> Self {
        Self {
            workflow_id: created.workflow_id,
            state: created.state.as_str(),
            version: created.version,
            webhook_secret: created.webhook_secret,
            tasks: created.tasks.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<CompleteWorkflow> for CompleteRequest {
    fn from(arguments: CompleteWorkflow) -> Self {
        Self {
            workflow_id: arguments.workflow_id,
            outcome: match arguments.outcome {
                Outcome::Completed => State::Completed,
                Outcome::Failed => State::Failed,
                Outcome::Cancelled => State::Cancelled,
            },
            result: arguments.result.map(|result| result.0),
            error: arguments.error,
            expected_version: arguments.expected_version,
        }
    }
}

impl From<ControlWorkflow> for ControlRequest {
    fn from(arguments: ControlWorkflow) -> Self {
        let payload = arguments.payload.map(|payload| payload.0);
        Self {
            workflow_id: arguments.workflow_id,
            action: match arguments.action {
                ActionArgument::Start => Action::Start,
                ActionArgument::Pause => Action::Pause,
                ActionArgument::Resume => Action::Resume,
                ActionArgument::Cancel => Action::Cancel,
                ActionArgument::Signal => Action::Signal,
                ActionArgument::Fork => Action::Fork,
            },
            signal: arguments.signal.map(|name| Signal { name, payload }),
            reason: arguments.reason,
            expected_version: arguments.expected_version,
        }
    }
}

impl From<Changed> for ChangeAnswer {
    fn from(changed: Changed) -> Self {
        Self {
            workflow_id: changed.workflow_id,
            state: changed.state.as_str(),
            version: changed.version,
            fork: changed.fork.map(Into::into),
        }
    }
}
