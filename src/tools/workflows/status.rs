//! How work stands.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        money::Usd,
        ops::BackendView,
        raw::{Any, Lenient},
        tasks::view::TaskRow,
    },
    figures::EventRow,
};
use crate::{
    clock::Instant,
    domain::{
        agents,
        tasks::waiting::Waits,
        workflows::view::{Overview, QueueView, WorkflowView},
    },
    error::Error,
    services::{
        board::{Answer, Glance},
        workflows::{Status, request::StatusRequest},
    },
};

/// Arguments of get_orchestration_status.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetStatus {
    /// One workflow (default: everything).
    workflow_id: Option<String>,
    /// One task, or a workflow by this older name.
    task_id: Option<String>,
    /// Some of tasks, events, results.
    include: Option<Lenient<Vec<Part>>>,
    /// Answer once the version is newer than this.
    since_version: Option<i64>,
    /// How long to wait for that, or for its end.
    #[schemars(range(min = 0, max = 20_000))]
    wait_ms: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline, extend("x-aliases" = ["task", "event", "history", "result", "input"]))]
enum Part {
    #[serde(alias = "task")]
    Tasks,
    #[serde(alias = "event", alias = "history")]
    Events,
    #[serde(alias = "result", alias = "input")]
    Results,
}

/// Answer of get_orchestration_status: of one workflow or task, or everything at a glance.
#[derive(Serialize, JsonSchema)]
pub struct StatusAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<WorkflowRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflows: Option<BTreeMap<&'static str, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<TasksPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queues: Option<Vec<QueueRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<BTreeMap<&'static str, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_capabilities: Option<Vec<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_attention: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<BTreeMap<&'static str, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backends: Option<Vec<BackendView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_streams: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<SystemView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_as_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<EventRow>>,
}

/// A workflow's tasks, or how many tasks there are in each state.
#[derive(Serialize)]
#[serde(untagged)]
pub enum TasksPart {
    /// Of one workflow.
    Rows(Vec<TaskRow>),
    /// Of all.
    Counts(BTreeMap<&'static str, u64>),
}

impl JsonSchema for TasksPart {
    fn schema_name() -> Cow<'static, str> {
        "TasksPart".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["array", "object"],
            "items": generator.subschema_for::<TaskRow>(),
            "properties": {},
            "additionalProperties": { "type": "integer" },
        })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[derive(Serialize, JsonSchema)]
struct QueueRow {
    queue: String,
    ready: u64,
    oldest_ready_ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct SystemView {
    cpu_percent: f64,
    memory_mb: f64,
}

/// How to see what does not fit.
const REST: &str = "manage_tasks with action `list` and filter {workflow_id} pages through tasks; task_id shows one with all its data; get_events pages through events";

/// A workflow. `task_id` is its id under an older name.
#[derive(Serialize, JsonSchema)]
pub struct WorkflowRow {
    workflow_id: String,
    task_id: String,
    name: String,
    r#type: String,
    state: &'static str,
    version: i64,
    progress: f64,
    created_at: String,
    started_at: Option<String>,
    completed_at: Option<String>,
    cost_usd: Usd,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_usd: Option<Usd>,
    stalled: bool,
    needs_attention: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    waiting_for: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_at: Option<String>,
    on_task_failure: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forked_from: Option<String>,
    task_counts: BTreeMap<&'static str, i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_cost: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Any>,
}

impl GetStatus {
    /// None: everything at a glance.
    pub fn request(self) -> Result<Option<StatusRequest>, Error> {
        let Self { workflow_id, task_id, include, since_version, wait_ms } = self;
        let (id, argument) = match (workflow_id, task_id) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("task_id", "pass `workflow_id` or `task_id`, not both"));
            }
            (Some(id), None) => (id, "workflow_id"),
            (None, Some(id)) => (id, "task_id"),
            (None, None) if since_version.is_some() => {
                return Err(Error::invalid("since_version", "`since_version` only goes with `workflow_id`"));
            }
            (None, None) => return Ok(None),
        };
        let parts = include.map(|parts| parts.0).unwrap_or_default();
        Ok(Some(StatusRequest {
            id,
            argument,
            tasks: parts.contains(&Part::Tasks),
            results: parts.contains(&Part::Results),
            events: parts.contains(&Part::Events),
            since_version,
            wait_ms,
        }))
    }
}

impl From<Answer> for StatusAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::One(status) => (*status).into(),
            Answer::All(glance) => (*glance).into(),
        }
    }
}

impl StatusAnswer {
    const NOTHING: Self = Self {
        workflow: None,
        task: None,
        unchanged: None,
        truncated: None,
        hint: None,
        workflows: None,
        tasks: None,
        queues: None,
        waiting_for: None,
        missing_capabilities: None,
        needs_attention: None,
        agents: None,
        backends: None,
        durability: None,
        active_streams: None,
        system: None,
        stale_as_of: None,
        source: None,
        events: None,
    };
}

impl From<Status> for StatusAnswer {
    fn from(status: Status) -> Self {
        let Status { found, events, unchanged, truncated } = status;
        let tasks = found.tasks;
        let took = found.workflow.as_ref().and_then(seconds);
        let mut workflow = found.workflow.map(WorkflowRow::from);
        if let Some(row) = &mut workflow {
            row.input = found.carried.input.map(Any);
            row.result = found.carried.result.map(Any);
            row.error = found.carried.error;
            row.agent_count = found.carried.agents;
            row.total_cost = found.carried.agents.map(|_| row.cost_usd);
            row.execution_time = found.carried.agents.and(took);
        }
        Self {
            workflow,
            task: found.task.map(Into::into),
            unchanged: unchanged.then_some(true),
            truncated: truncated.then_some(true),
            hint: truncated.then_some(REST),
            tasks: found.with_tasks.then(|| TasksPart::Rows(tasks.into_iter().map(Into::into).collect())),
            source: Some("store"),
            events: events.map(|events| events.into_iter().map(Into::into).collect()),
            ..Self::NOTHING
        }
    }
}

impl From<Glance> for StatusAnswer {
    fn from(glance: Glance) -> Self {
        let counted = glance.overview.map_or(Self::NOTHING, Self::from);
        Self {
            backends: Some(glance.backends.into_iter().map(BackendView::from).collect()),
            durability: Some(glance.durability),
            active_streams: Some(0),
            system: Some(SystemView {
                cpu_percent: (glance.load.cpu_percent * 10.0).round() / 10.0,
                memory_mb: (glance.load.memory_mb * 10.0).round() / 10.0,
            }),
            stale_as_of: glance.stale_as_of.map(Instant::rfc3339),
            ..counted
        }
    }
}

impl From<Overview> for StatusAnswer {
    fn from(overview: Overview) -> Self {
        let mut counts: BTreeMap<&'static str, u64> =
            overview.agents.into_iter().map(|(status, count)| (status.as_str(), count)).collect();
        let total = counts.values().sum();
        for status in [agents::Status::Idle, agents::Status::Busy, agents::Status::Lost] {
            counts.entry(status.as_str()).or_default();
        }
        counts.insert("total", total);
        let queue = |queue: QueueView| QueueRow {
            queue: queue.queue,
            ready: queue.ready,
            oldest_ready_ms: queue.oldest_ready_ms,
        };
        Self {
            workflows: Some(overview.workflows.into_iter().map(|(state, count)| (state.as_str(), count)).collect()),
            tasks: Some(TasksPart::Counts(
                overview.tasks.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
            )),
            queues: Some(overview.queues.into_iter().map(queue).collect()),
            waiting_for: Some(words(&overview.waits)),
            missing_capabilities: Some(overview.missing).filter(|missing| !missing.is_empty()),
            needs_attention: Some(overview.needs_attention),
            agents: Some(counts),
            ..Self::NOTHING
        }
    }
}

/// Tasks by what they wait for.
fn words(waits: &Waits) -> BTreeMap<&'static str, u64> {
    waits.iter().map(|(waiting_for, count)| (waiting_for.as_str(), *count)).collect()
}

/// How long one that has ended took from its start, in seconds.
fn seconds(workflow: &WorkflowView) -> Option<f64> {
    let ended = workflow.completed_at?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a workflow")]
    let seconds = ended.ms_since(workflow.started_at.unwrap_or(ended)) as f64 / 1_000.0;
    Some(seconds)
}

impl From<WorkflowView> for WorkflowRow {
    fn from(workflow: WorkflowView) -> Self {
        let counts = workflow.counts;
        #[expect(clippy::cast_precision_loss, reason = "a part of a thousand tasks")]
        let progress = if counts.all > 0 {
            (counts.completed as f64 / counts.all as f64 * 1_000.0).round() / 1_000.0
        } else {
            f64::from(u8::from(workflow.state == crate::domain::workflows::State::Completed))
        };
        let task_counts = BTreeMap::from([
            ("total", counts.all),
            ("open", counts.open),
            ("completed", counts.completed),
            ("dead", counts.dead),
            ("cancelled", counts.cancelled),
        ]);
        Self {
            task_id: workflow.id.clone(),
            workflow_id: workflow.id,
            name: workflow.name,
            r#type: workflow.kind,
            state: workflow.state.as_str(),
            version: workflow.version,
            progress,
            created_at: workflow.created_at.rfc3339(),
            started_at: workflow.started_at.map(Instant::rfc3339),
            completed_at: workflow.completed_at.map(Instant::rfc3339),
            cost_usd: Usd(workflow.cost),
            budget_usd: workflow.budget.map(Usd),
            stalled: workflow.stalled,
            needs_attention: workflow.needs_attention,
            waiting_for: words(&workflow.waits),
            reason: workflow.reason,
            deadline_at: workflow.deadline_at.map(Instant::rfc3339),
            on_task_failure: workflow.on_task_failure.as_str(),
            parent_id: workflow.parent_id,
            forked_from: workflow.forked_from,
            task_counts,
            execution_time: None,
            total_cost: None,
            agent_count: None,
            error: None,
            input: None,
            result: None,
        }
    }
}
