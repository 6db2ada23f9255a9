//! Tasks as answers show them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::{money::Usd, raw::Any};
use crate::{
    clock::Instant,
    domain::{
        json,
        tasks::{
            Failure,
            answers::ClaimedTask,
            waiting::{Unclaimed, WaitingFor},
        },
        workflows::{answers::Signal, view::TaskView},
    },
};

/// A claimed task.
#[derive(Serialize, JsonSchema)]
pub struct ClaimedView {
    task_id: String,
    workflow_id: Option<String>,
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    queue: String,
    lease_token: String,
    lease_until: String,
    attempt: i64,
    max_attempts: i64,
    priority: i64,
    input: Any,
    checkpoint: Any,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Any>,
    dependency_results: BTreeMap<String, Any>,
}

impl From<ClaimedTask> for ClaimedView {
    fn from(task: ClaimedTask) -> Self {
        let or_null = |value: Option<json::Json>| Any(value.unwrap_or_else(json::null));
        Self {
            lease_token: task.lease.to_string(),
            lease_until: task.lease_until.rfc3339(),
            task_id: task.task_id,
            workflow_id: task.workflow_id,
            key: task.key,
            title: task.title,
            description: task.description,
            queue: task.queue,
            attempt: task.attempt,
            max_attempts: task.attempts_max,
            priority: task.priority,
            input: or_null(task.input),
            checkpoint: or_null(task.checkpoint),
            question: task.question.map(Any),
            answer: task.answer.map(Any),
            dependency_results: task.dependency_results.into_iter().map(|(key, result)| (key, Any(result))).collect(),
        }
    }
}

/// What queues hold that could not be claimed; what does not apply is left out.
#[derive(Serialize, JsonSchema)]
pub struct UnclaimedView {
    #[serde(skip_serializing_if = "Option::is_none")]
    capability: Option<LackingView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dependency: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leased: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
}

/// Tasks that the agent is not able to do.
#[derive(Serialize, JsonSchema)]
struct LackingView {
    tasks: u64,
    missing: Vec<String>,
}

impl UnclaimedView {
    /// What to do about it.
    pub fn hint(unclaimed: &Unclaimed) -> &'static str {
        let holds = |waiting_for| unclaimed.waits.contains_key(&waiting_for);
        if holds(WaitingFor::Capability) {
            "tasks here need capabilities that you have not registered: if you can do them, call register_agent with them"
        } else if holds(WaitingFor::Question) {
            "tasks here wait for an answer: manage_tasks with action `list` shows the questions, action `answer` answers them"
        } else if holds(WaitingFor::Paused) {
            "workflows here are paused: control_workflow with action `resume` lets them go on"
        } else if holds(WaitingFor::RunAt) {
            "tasks here wait for their time; claim again then"
        } else if unclaimed.leased > 0 || !unclaimed.waits.is_empty() {
            "others work on what is here; claim again later, or pass `wait_ms`"
        } else {
            "there is no open task here; get_orchestration_status shows which queues hold some"
        }
    }
}

impl From<Unclaimed> for UnclaimedView {
    fn from(unclaimed: Unclaimed) -> Self {
        let count = |waiting_for| unclaimed.waits.get(&waiting_for).copied();
        Self {
            capability: count(WaitingFor::Capability)
                .map(|tasks| LackingView { tasks, missing: unclaimed.lacking.clone() }),
            question: count(WaitingFor::Question),
            dependency: count(WaitingFor::Dependency),
            run_at: count(WaitingFor::RunAt),
            next_run_at: unclaimed.next_run_at.map(Instant::rfc3339),
            paused: count(WaitingFor::Paused),
            leased: Some(unclaimed.leased).filter(|leased| *leased > 0),
            more: unclaimed.more.then_some(true),
        }
    }
}

/// What a worker is told.
#[derive(Serialize, JsonSchema)]
pub struct SignalView {
    signal: String,
    payload: Any,
}

impl From<Signal> for SignalView {
    fn from(signal: Signal) -> Self {
        Self { signal: signal.name, payload: Any(signal.payload.unwrap_or_else(json::null)) }
    }
}

/// A task in a list. What does not apply is left out.
#[derive(Serialize, JsonSchema)]
pub struct TaskRow {
    task_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_id: Option<String>,
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    state: &'static str,
    queue: String,
    priority: i64,
    attempts: i64,
    max_attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_capabilities: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<FailureView>,
    cost_usd: Usd,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Any>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<&'static str>,
}

/// What went wrong.
#[derive(Serialize, JsonSchema)]
struct FailureView {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
}

impl From<Failure> for FailureView {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code, message: failure.message, retryable: failure.retryable }
    }
}

impl TaskRow {
    /// Something of it did not fit.
    pub fn is_cut(&self) -> bool {
        !self.left_out.is_empty()
    }
}

impl From<TaskView> for TaskRow {
    fn from(task: TaskView) -> Self {
        Self {
            task_id: task.id,
            workflow_id: task.workflow_id,
            key: task.key,
            title: task.title,
            state: task.state.as_str(),
            queue: task.queue,
            priority: task.priority,
            attempts: task.attempts,
            max_attempts: task.attempts_max,
            agent_id: task.agent_id,
            lease_until: task.lease_until.map(Instant::rfc3339),
            run_at: task.run_at.map(Instant::rfc3339),
            progress: task.progress,
            message: task.message,
            question: task.question.map(Any),
            waiting_for: task.waiting_for.map(WaitingFor::as_str),
            required_capabilities: task.capabilities,
            error: task.error.map(Into::into),
            last_error: task.last_error.map(Into::into),
            cost_usd: Usd(task.cost),
            created_at: task.created_at.rfc3339(),
            completed_at: task.completed_at.map(Instant::rfc3339),
            input: task.input.map(Any),
            result: task.result.map(Any),
            left_out: task.left_out,
        }
    }
}
