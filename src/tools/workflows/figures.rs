//! History and figures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{money::Usd, raw::Any};
use crate::{
    clock::Instant,
    domain::{
        json,
        money::Micros,
        workflows::{
            figures::{Figure, GroupBy, Metric, Question},
            view::EventView,
        },
    },
    error::Error,
    services::workflows::{
        Figures,
        request::{AnalyticsRequest, EventsRequest},
    },
};

/// Arguments of get_events.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetEvents {
    workflow_id: Option<String>,
    /// One task's instead.
    task_id: Option<String>,
    /// What one agent did instead.
    agent_id: Option<String>,
    /// Only events after this seq.
    after: Option<i64>,
    #[schemars(range(min = 1, max = 10_000))]
    limit: Option<u64>,
    cursor: Option<i64>,
    /// How long to wait for one.
    #[schemars(range(min = 0, max = 20_000))]
    wait_ms: Option<u64>,
}

/// Answer of get_events.
#[derive(Serialize, JsonSchema)]
pub struct EventsAnswer {
    next: Option<i64>,
    events: Vec<EventRow>,
}

/// An event.
#[derive(Serialize, JsonSchema)]
pub struct EventRow {
    seq: i64,
    timestamp: String,
    event_type: String,
    entity: String,
    entity_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    event_data: Any,
}

/// Arguments of get_analytics.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetAnalytics {
    metric: MetricArgument,
    /// 90m, 24h, 7d (default 30d; success_rate 7d).
    window: Option<String>,
    /// Default type (throughput: day). agent and model only with cost.
    group_by: Option<GroupArgument>,
    #[schemars(range(min = 1, max = 10_000))]
    limit: Option<u64>,
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum MetricArgument {
    SuccessRate,
    Duration,
    Cost,
    Throughput,
    Failures,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum GroupArgument {
    Type,
    Day,
    DayAndType,
    Workflow,
    State,
    Agent,
    Model,
    Nothing,
}

/// Answer of get_analytics.
#[derive(Serialize, JsonSchema)]
pub struct AnalyticsAnswer {
    metric: &'static str,
    since: String,
    next: Option<String>,
    rows: Vec<FigureRow>,
}

/// A row of figures; what does not apply is left out.
#[derive(Serialize, JsonSchema)]
pub struct FigureRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_id: Option<String>,
    /// Of a task of no workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_duration_ms: Option<i64>,
    cost_usd: Usd,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_attempts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
}

impl GetEvents {
    /// What is asked for.
    pub fn request(self) -> Result<EventsRequest, Error> {
        let Self { workflow_id, task_id, agent_id, after, limit, cursor, wait_ms } = self;
        if [&workflow_id, &task_id, &agent_id].into_iter().flatten().count() > 1 {
            return Err(Error::invalid("workflow_id", "pass one of `workflow_id`, `task_id`, `agent_id`"));
        }
        // A workflow's id may come as task_id.
        let (workflow_id, entity_id, argument) = match (workflow_id, task_id, agent_id) {
            (_, Some(id), _) if id.starts_with("wf_") => (Some(id), None, "task_id"),
            (_, Some(id), _) => (None, Some(id), "task_id"),
            (_, _, Some(id)) => (None, Some(id), "agent_id"),
            (workflow_id, None, None) => (workflow_id, None, "workflow_id"),
        };
        Ok(EventsRequest { workflow_id, entity_id, argument, after: cursor.or(after), limit, wait_ms })
    }
}

impl EventsAnswer {
    /// Events and where they go on.
    pub fn new(events: Vec<EventView>, next: Option<i64>) -> Self {
        Self { next, events: events.into_iter().map(Into::into).collect() }
    }
}

impl From<EventView> for EventRow {
    fn from(event: EventView) -> Self {
        Self {
            seq: event.seq,
            timestamp: event.at.rfc3339(),
            event_type: event.kind,
            entity: event.entity,
            entity_id: event.entity_id,
            workflow_id: event.workflow_id,
            actor: event.actor,
            event_data: Any(event.data.unwrap_or_else(json::null)),
        }
    }
}

impl From<GetAnalytics> for AnalyticsRequest {
    fn from(arguments: GetAnalytics) -> Self {
        Self {
            metric: match arguments.metric {
                MetricArgument::SuccessRate => Metric::SuccessRate,
                MetricArgument::Duration => Metric::Duration,
                MetricArgument::Cost => Metric::Cost,
                MetricArgument::Throughput => Metric::Throughput,
                MetricArgument::Failures => Metric::Failures,
            },
            window: arguments.window,
            group_by: arguments.group_by.map(|group| match group {
                GroupArgument::Type => GroupBy::Type,
                GroupArgument::Day => GroupBy::Day,
                GroupArgument::DayAndType => GroupBy::DayAndType,
                GroupArgument::Workflow => GroupBy::Workflow,
                GroupArgument::State => GroupBy::State,
                GroupArgument::Agent => GroupBy::Agent,
                GroupArgument::Model => GroupBy::Model,
                GroupArgument::Nothing => GroupBy::Nothing,
            }),
            limit: arguments.limit,
            cursor: arguments.cursor,
        }
    }
}

impl AnalyticsAnswer {
    /// Figures of a question.
    pub fn new(found: Figures) -> Self {
        let Figures { question, figures, next } = found;
        let metric = match question.metric {
            Metric::SuccessRate => "success_rate",
            Metric::Duration => "duration",
            Metric::Cost => "cost",
            Metric::Throughput => "throughput",
            Metric::Failures => "failures",
        };
        let rows = figures.into_iter().map(|figure| FigureRow::new(&question, figure)).collect();
        Self { metric, since: question.since.rfc3339(), next, rows }
    }
}

impl FigureRow {
    fn new(question: &Question, figure: Figure) -> Self {
        let failures = question.metric == Metric::Failures;
        let group =
            |wanted: GroupBy| (!failures && question.group_by == wanted).then(|| figure.group.clone()).flatten();
        let by_day = !failures && matches!(question.group_by, GroupBy::Day | GroupBy::DayAndType);
        let spent = figure.input_tokens > 0 || figure.output_tokens > 0;
        let ended = figure.completed + figure.failed + figure.cancelled;
        // Of what somebody cancelled nobody knows how it would have ended.
        let judged = figure.completed + figure.failed;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let success_rate = (judged > 0 && !failures).then(|| figure.completed as f64 / judged as f64);
        let failed = if failures { figure.group.clone() } else { None };
        let (task_id, workflow_id) = match failed {
            Some(id) if id.starts_with("tk_") => (Some(id), None),
            failed => (None, failed.or_else(|| group(GroupBy::Workflow))),
        };
        Self {
            r#type: group(GroupBy::Type).or_else(|| figure.subgroup.clone()),
            date: if by_day { figure.group.clone() } else { None },
            state: group(GroupBy::State).or(figure.state),
            agent_id: group(GroupBy::Agent),
            model: group(GroupBy::Model),
            workflow_id,
            task_id,
            name: figure.name,
            count: figure.count,
            completed: (ended > 0 && !failures).then_some(figure.completed),
            failed: (ended > 0 && !failures).then_some(figure.failed),
            cancelled: (ended > 0 && !failures).then_some(figure.cancelled),
            success_rate,
            mean_duration_ms: figure.duration_ms_mean.map(|mean| mean.round()),
            max_duration_ms: figure.duration_ms_max,
            cost_usd: Usd(Micros(figure.cost_micros)),
            input_tokens: spent.then_some(figure.input_tokens),
            output_tokens: spent.then_some(figure.output_tokens),
            failed_attempts: figure.attempts_failed,
            error: figure.error,
            completed_at: figure.completed_at.map(Instant::rfc3339),
        }
    }
}
