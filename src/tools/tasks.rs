//! Tools for workers: tasks, their leases, and dead letters.

pub mod arguments;
pub mod view;

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    arguments::{CostArgument, FailureArgument, TaskArgument},
    view::{ClaimedView, SignalView, TaskRow, UnclaimedView},
};
use super::{
    Json, Keyed, Parameters, ToolError, Tools,
    money::Level,
    raw::{Any, Lenient},
};
use crate::{
    domain::{
        names::nearest,
        tasks::{
            Outcome, State,
            answers::{Change, Finished, Managed, TaskFilter, Updated},
        },
        workflows::view::EnqueuedTask,
    },
    error::Error,
    services::tasks::request::{ClaimRequest, EnqueueRequest, FinishRequest, ManageRequest, UpdateRequest},
};

/// Arguments of enqueue_tasks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnqueueTasks {
    /// 1 to 100; depends_on may also name tasks of the workflow.
    tasks: Lenient<Vec<TaskArgument>>,
    /// The workflow they join (default: none).
    #[serde(alias = "task_id")]
    #[schemars(extend("x-aliases" = ["task_id"]))]
    workflow_id: Option<String>,
}

/// Answer of enqueue_tasks.
#[derive(Serialize, JsonSchema)]
pub struct EnqueueAnswer {
    tasks: Vec<EnqueuedRow>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct EnqueuedRow {
    key: Option<String>,
    task_id: String,
    state: &'static str,
}

/// Arguments of claim_tasks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimTasks {
    /// Who you are; the same in all calls.
    agent_id: String,
    /// Only from these (default: any).
    queues: Option<Lenient<Vec<String>>>,
    /// Tasks at the most (default 1).
    #[schemars(range(min = 1, max = 100))]
    max: Option<u64>,
    /// How long to wait for one.
    #[schemars(range(min = 0, max = 20_000))]
    wait_ms: Option<u64>,
}

/// Answer of claim_tasks.
#[derive(Serialize, JsonSchema)]
pub struct ClaimAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<UnclaimedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    tasks: Vec<ClaimedView>,
}

/// Arguments of update_task.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTask {
    lease_token: String,
    /// 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    progress: Option<f64>,
    message: Option<String>,
    /// What a later attempt can continue from (any JSON).
    checkpoint: Option<Any>,
    /// Spent since the last report.
    cost: Option<Lenient<CostArgument>>,
    /// A question: parks the task until it is answered (manage_tasks), and ends your lease.
    #[schemars(with = "Option<String>")]
    need_input: Option<Any>,
}

/// Answer of update_task.
#[derive(Serialize, JsonSchema)]
pub struct UpdateAnswer {
    state: &'static str,
    lease_until: Option<String>,
    cancel_requested: bool,
    signals: Vec<SignalView>,
}

/// Arguments of finish_task.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishTask {
    lease_token: String,
    outcome: OutcomeArgument,
    /// The result (any JSON); given to tasks that depend on it.
    result: Option<Any>,
    /// With failed; a text is taken as its message.
    error: Option<FailureArgument>,
    /// Wait this long before the next attempt.
    #[schemars(range(min = 0, max = 86_400_000))]
    retry_after_ms: Option<u64>,
    /// Spent since the last report.
    cost: Option<Lenient<CostArgument>>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum OutcomeArgument {
    Completed,
    Failed,
    Released,
}

/// Answer of finish_task.
#[derive(Serialize, JsonSchema)]
pub struct FinishAnswer {
    task_id: String,
    state: &'static str,
    next_run_at: Option<String>,
    unblocked: Vec<String>,
    workflow_state: Option<&'static str>,
}

/// Arguments of manage_tasks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManageTasks {
    action: ManageAction,
    /// Dead letters have state dead.
    filter: Option<Lenient<FilterArgument>>,
    /// Task ids instead: all change, or none.
    ids: Option<Lenient<Vec<String>>>,
    /// Only count.
    dry_run: Option<bool>,
    /// With action reprioritize.
    priority: Option<Level>,
    /// With action answer: text, or any JSON.
    #[schemars(with = "Option<String>", extend("x-keeps" = "containers"))]
    answer: Option<Any>,
    #[schemars(range(min = 1, max = 10_000))]
    limit: Option<u64>,
    cursor: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum ManageAction {
    List,
    Retry,
    Cancel,
    Reprioritize,
    Answer,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct FilterArgument {
    #[schemars(extend("enum" = State::ALL.map(State::as_str)))]
    state: Option<String>,
    queue: Option<String>,
    workflow_id: Option<String>,
    agent_id: Option<String>,
}

/// Answer of manage_tasks: rows, or how many were changed.
#[derive(Serialize, JsonSchema)]
pub struct ManageAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    affected: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-keeps" = "null"))]
    next: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<TaskRow>>,
}

#[tool_router(router = task_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Add tasks to a queue, alone or to a workflow that runs. Agents claim them with claim_tasks.
    #[tool]
    async fn enqueue_tasks(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<EnqueueTasks>,
    ) -> Result<Json<EnqueueAnswer>, ToolError> {
        let tasks = arguments.tasks.0.into_iter().map(Into::into).collect();
        let request = EnqueueRequest { workflow_id: arguments.workflow_id, tasks };
        let enqueued = self.app.tasks.enqueue(request, key).await?;
        Ok(Json(EnqueueAnswer { tasks: enqueued.into_iter().map(Into::into).collect() }))
    }

    /// Claim the next tasks you can do, most urgent first; each is yours alone while its lease runs. Your calls renew it. End each with finish_task. When there is none, `waiting` says why.
    #[tool]
    async fn claim_tasks(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<ClaimTasks>,
    ) -> Result<Json<ClaimAnswer>, ToolError> {
        let ClaimTasks { agent_id, queues, max, wait_ms, .. } = arguments;
        let request = ClaimRequest { agent_id, queues: queues.map(|queues| queues.0), max, wait_ms };
        let (tasks, unclaimed) = self.app.tasks.claim(request, key).await?;
        Ok(Json(ClaimAnswer {
            hint: unclaimed.as_ref().map(UnclaimedView::hint),
            waiting: unclaimed.map(Into::into),
            tasks: tasks.into_iter().map(Into::into).collect(),
        }))
    }

    /// Report on a task you have claimed: progress, checkpoint, cost, or a question. Renews the lease and reports signals and cancellation.
    #[tool]
    async fn update_task(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<UpdateTask>,
    ) -> Result<Json<UpdateAnswer>, ToolError> {
        Ok(Json(self.app.tasks.update(arguments.try_into()?, key).await?.into()))
    }

    /// Finish a task you have claimed, once: completed with its result, failed (tried again later by anyone), or released for another to do.
    #[tool]
    async fn finish_task(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<FinishTask>,
    ) -> Result<Json<FinishAnswer>, ToolError> {
        Ok(Json(self.app.tasks.finish(arguments.try_into()?, key).await?.into()))
    }

    /// List tasks by state, or change them: retry dead letters, cancel, reprioritize, answer parked questions.
    #[tool]
    async fn manage_tasks(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<ManageTasks>,
    ) -> Result<Json<ManageAnswer>, ToolError> {
        let filter = arguments.filter()?;
        let ids = arguments.ids.as_ref().map(|ids| ids.0.clone()).unwrap_or_default();
        let Some(change) = arguments.change()? else {
            let (tasks, next) = self.app.tasks.list(filter, ids, arguments.limit, arguments.cursor).await?;
            return Ok(Json(ManageAnswer::listed(tasks.into_iter().map(Into::into).collect(), next)));
        };
        let dry_run = arguments.dry_run.unwrap_or_default();
        let request = ManageRequest { change, ids, filter, dry_run, limit: arguments.limit };
        Ok(Json(ManageAnswer::changed(self.app.tasks.manage(request, key).await?, dry_run)))
    }
}

impl From<EnqueuedTask> for EnqueuedRow {
    fn from(task: EnqueuedTask) -> Self {
        Self { key: task.key, task_id: task.task_id, state: task.state.as_str() }
    }
}

impl TryFrom<UpdateTask> for UpdateRequest {
    type Error = Error;

    fn try_from(arguments: UpdateTask) -> Result<Self, Error> {
        let given = |value: Option<Any>| value.map(|value| value.0).filter(|value| value.get() != "null");
        Ok(Self {
            lease_token: arguments.lease_token,
            progress: arguments.progress,
            message: arguments.message,
            checkpoint: given(arguments.checkpoint),
            cost: arguments.cost.map(|cost| cost.0.try_into()).transpose()?,
            question: given(arguments.need_input),
        })
    }
}

impl From<Updated> for UpdateAnswer {
    fn from(updated: Updated) -> Self {
        Self {
            state: updated.state.as_str(),
            lease_until: updated.lease_until.map(|until| until.rfc3339()),
            cancel_requested: updated.cancel_requested,
            signals: updated.signals.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<FinishTask> for FinishRequest {
    type Error = Error;

    fn try_from(arguments: FinishTask) -> Result<Self, Error> {
        let FinishTask { lease_token, outcome, result, error, retry_after_ms, cost, .. } = arguments;
        let wrong = |argument: &'static str, with: &str| {
            Error::invalid(argument, format!("`{argument}` only goes with outcome `{with}`"))
        };
        let outcome = match outcome {
            OutcomeArgument::Completed if error.is_some() => return Err(wrong("error", "failed")),
            OutcomeArgument::Failed if result.as_ref().is_some_and(|result| !result.is_hollow()) => {
                return Err(wrong("result", "completed"));
            }
            OutcomeArgument::Completed => Outcome::Completed { result: result.map(|result| result.0) },
            OutcomeArgument::Released => Outcome::Released,
            OutcomeArgument::Failed => {
                let missing = || Error::invalid("error", "`error` is missing: what went wrong");
                Outcome::Failed(error.ok_or_else(missing)?.read(retry_after_ms)?)
            }
        };
        Ok(Self { lease_token, outcome, cost: cost.map(|cost| cost.0.try_into()).transpose()? })
    }
}

impl From<Finished> for FinishAnswer {
    fn from(finished: Finished) -> Self {
        Self {
            task_id: finished.task_id,
            state: finished.state.as_str(),
            next_run_at: finished.next_run_at.map(|at| at.rfc3339()),
            unblocked: finished.unblocked,
            workflow_state: finished.workflow_state.map(|state| state.as_str()),
        }
    }
}

impl ManageTasks {
    fn filter(&self) -> Result<TaskFilter, Error> {
        let Some(Lenient(filter)) = &self.filter else { return Ok(TaskFilter::default()) };
        let state = filter.state.as_deref().map(|word| {
            State::parse(word).ok_or_else(|| {
                let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
                Error::invalid("filter.state", format!("`{word}` is not a state of a task"))
                    .did_you_mean(nearest(word, words.iter().copied()))
                    .hint(format!("it takes {}", words.join(", ")))
            })
        });
        Ok(TaskFilter {
            state: state.transpose()?,
            queue: filter.queue.clone(),
            workflow_id: filter.workflow_id.clone(),
            agent_id: filter.agent_id.clone(),
        })
    }

    /// None: only to be listed.
    fn change(&self) -> Result<Option<Change>, Error> {
        let missing = |argument: &'static str, action: &str| {
            Error::invalid(argument, format!("`{argument}` is missing; action `{action}` needs it"))
        };
        Ok(match self.action {
            ManageAction::List => None,
            ManageAction::Retry => Some(Change::Retry),
            ManageAction::Cancel => Some(Change::Cancel),
            ManageAction::Reprioritize => {
                Some(Change::Reprioritize(self.priority.ok_or_else(|| missing("priority", "reprioritize"))?.0))
            }
            ManageAction::Answer => {
                Some(Change::Answer(Some(self.answer.clone().ok_or_else(|| missing("answer", "answer"))?.0)))
            }
        })
    }
}

/// How to see what does not fit beside other tasks.
const CUT: &str = "get_orchestration_status with a task_id shows one task with all its data";

impl ManageAnswer {
    fn listed(tasks: Vec<TaskRow>, next: Option<String>) -> Self {
        let left_out = tasks.iter().any(TaskRow::is_cut).then(|| CUT.to_owned());
        Self {
            affected: None,
            dry_run: None,
            more: None,
            ids: None,
            next: Some(next),
            hint: left_out,
            tasks: Some(tasks),
        }
    }

    fn changed(managed: Managed, dry_run: bool) -> Self {
        let passed_over = (managed.passed_over > 0).then(|| {
            format!(
                "tasks passed over because their workflow has ended: {}; control_workflow with action `fork` continues one \
                 from its completed tasks",
                managed.passed_over
            )
        });
        Self {
            affected: Some(managed.affected),
            dry_run: Some(dry_run),
            more: managed.more.then_some(true),
            ids: Some(managed.ids),
            next: None,
            hint: passed_over,
            tasks: None,
        }
    }
}
