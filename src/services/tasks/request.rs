//! Tasks and changes of them as they are asked for, and what is accepted of them.

use std::{collections::HashSet, slice, time::Duration};

use super::{refusal, wait};
use crate::{
    clock::Instant,
    config::Limits,
    domain::{
        json::Json,
        names::nearest,
        tasks::{
            Cost, Links, NewTask, OnDependencyFailure, Outcome, Priority,
            answers::{Change, TaskFilter},
            graph::{self, Fault},
            retry::ATTEMPTS_DEFAULT,
        },
        text,
    },
    error::{Code, Error},
    ids,
};

/// Tasks of one enqueue_tasks at the most.
pub const ENQUEUED_MAX: usize = 100;
/// Tasks of one claim at the most.
const CLAIMED_MAX: u64 = 100;
/// Capabilities, queues, dependencies of one thing at the most.
const LIST_MAX: usize = 100;
/// The latest time a task may be put off to: ten years.
const DELAY_MS_MAX: u64 = 315_360_000_000;
/// Names that an answer repeats at the most.
const LISTED_MAX: usize = 10;
/// The queue when nothing is said.
const QUEUE_DEFAULT: &str = "default";

/// A task as asked for.
#[derive(Debug, Default)]
pub struct TaskRequest {
    /// Its name within its workflow.
    pub key: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// What is to be done.
    pub description: Option<String>,
    /// Where it is claimed from.
    pub queue: Option<String>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// Keys of those it waits for.
    pub depends_on: Vec<String>,
    /// What its worker must be able to do.
    pub capabilities: Vec<String>,
    /// What its worker is given.
    pub input: Option<Json>,
    /// Not before so many milliseconds from now.
    pub delay_ms: Option<u64>,
    /// Not before this time.
    pub run_at: Option<String>,
    /// Attempts at the most.
    pub attempts_max: Option<u64>,
    /// The longest one attempt may take, in milliseconds.
    pub runtime_ms_max: Option<u64>,
    /// What happens when one that it waits for dies.
    pub on_dependency_failure: Option<OnDependencyFailure>,
}

/// Tasks to add.
#[derive(Debug)]
pub struct EnqueueRequest {
    /// To which workflow.
    pub workflow_id: Option<String>,
    /// What.
    pub tasks: Vec<TaskRequest>,
}

/// Where new tasks belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To a workflow that is made with them.
    NewWorkflow,
    /// To a workflow that is there.
    Workflow,
    /// To none.
    Alone,
}

impl Place {
    /// Of enqueue_tasks.
    pub fn of(has_workflow: bool) -> Self {
        if has_workflow { Self::Workflow } else { Self::Alone }
    }
}

/// Checks tasks and puts them in order: what each waits for is known.
///
/// # Errors
/// `invalid` naming the task's place and what is accepted, `limit` for too many.
pub fn resolve(requests: Vec<TaskRequest>, place: Place, limits: &Limits, now: Instant) -> Result<Vec<NewTask>, Error> {
    match place {
        Place::NewWorkflow if requests.len() > limits.workflow_tasks_max => {
            return Err(refusal::too_many_tasks(requests.len(), limits));
        }
        Place::Workflow | Place::Alone if requests.is_empty() || requests.len() > ENQUEUED_MAX => {
            let message = format!("`tasks` holds {} tasks; it takes 1 to {ENQUEUED_MAX}", requests.len());
            return Err(Error::invalid("tasks", message));
        }
        _ => {}
    }
    let waits_for = links(&requests, place, limits)?;
    requests
        .into_iter()
        .zip(waits_for)
        .enumerate()
        .map(|(at, (task, links))| one(at, task, links, limits, now))
        .collect()
}

fn links(requests: &[TaskRequest], place: Place, limits: &Limits) -> Result<Vec<Links>, Error> {
    let keys: HashSet<&str> = requests.iter().filter_map(|task| task.key.as_deref()).collect();
    let mut existing = Vec::with_capacity(requests.len());
    let mut here = Vec::with_capacity(requests.len());
    for (at, task) in requests.iter().enumerate() {
        if task.depends_on.len() > limits.workflow_tasks_max {
            return Err(Error::invalid(
                format!("tasks[{at}].depends_on"),
                "`depends_on` names more tasks than a workflow can have",
            ));
        }
        let (own, others): (Vec<String>, Vec<String>) = task
            .depends_on
            .iter()
            .cloned()
            .partition(|name| keys.contains(name.as_str()) || place == Place::NewWorkflow);
        if place == Place::Alone && !others.is_empty() {
            return Err(Error::invalid(
                format!("tasks[{at}].depends_on"),
                format!("`depends_on` names {}, which is not a task of this call", listed(&others)),
            )
            .did_you_mean(near(&others, task, &keys))
            .hint("tasks without a workflow can only depend on tasks of the same call; pass workflow_id for others"));
        }
        here.push(own);
        existing.push(others);
    }
    let named: Vec<(Option<&str>, &[String])> =
        requests.iter().zip(&here).map(|(task, here)| (task.key.as_deref(), here.as_slice())).collect();
    let resolved = graph::resolve(&named, limits.dependency_depth_max).map_err(|fault| match fault {
        Fault::UnknownKey { task, key } => {
            let near = requests.get(task).map_or_else(Vec::new, |request| near(slice::from_ref(&key), request, &keys));
            words(Fault::UnknownKey { task, key }, limits).did_you_mean(near)
        }
        fault => words(fault, limits),
    })?;
    Ok(resolved.into_iter().zip(existing).map(|(here, existing)| Links { here, existing }).collect())
}

/// Keys of other tasks that the first of these names may stand for.
fn near(names: &[String], task: &TaskRequest, keys: &HashSet<&str>) -> Vec<String> {
    let others = keys.iter().copied().filter(|key| task.key.as_deref() != Some(*key));
    names.first().map_or_else(Vec::new, |name| nearest(name, others))
}

/// Names in an answer.
fn listed(names: &[String]) -> String {
    names.iter().take(LISTED_MAX).map(|name| format!("`{}`", text::shown(name))).collect::<Vec<_>>().join(", ")
}

fn words(fault: Fault, limits: &Limits) -> Error {
    match fault {
        Fault::SameKey { task, key } => {
            Error::invalid(format!("tasks[{task}].key"), format!("two tasks have the key `{}`", text::shown(&key)))
        }
        Fault::UnknownKey { task, key } => Error::invalid(
            format!("tasks[{task}].depends_on"),
            format!("`depends_on` names `{}`, which is not the key of a task", text::shown(&key)),
        ),
        Fault::Cycle { keys } => {
            let shown = keys.iter().take(LISTED_MAX).map(|key| format!("`{}`", text::shown(key)));
            let more = if keys.len() > LISTED_MAX { " → …" } else { "" };
            let circle = shown.collect::<Vec<_>>().join(" → ");
            Error::invalid("tasks", format!("tasks depend on each other in a cycle: {circle}{more}"))
        }
        Fault::TooDeep { depth } => Error::new(
            Code::Limit,
            format!(
                "the longest chain of dependencies has {depth} tasks; a workflow takes up to {}",
                limits.dependency_depth_max
            ),
        )
        .argument("tasks")
        .hint("CALLBOARD_MAX_DEPENDENCY_DEPTH sets the bound"),
    }
}

fn one(at: usize, task: TaskRequest, waits_for: Links, limits: &Limits, now: Instant) -> Result<NewTask, Error> {
    let argument = |name: &str| format!("tasks[{at}].{name}");
    let optional = |name: &str, given: Option<String>, most: usize| {
        given.map(|given| text::bounded(&argument(name), &given, most)).transpose()
    };
    if let Some(input) = &task.input {
        limits.payload(&argument("input"), input.get())?;
    }
    let attempts_max = match task.attempts_max {
        None => ATTEMPTS_DEFAULT,
        Some(asked @ 1..=100) => asked as i64,
        Some(asked) => {
            let message = format!("`max_attempts` is {asked}; it takes 1 to 100");
            return Err(Error::invalid(argument("max_attempts"), message));
        }
    };
    let runtime_ms_max = match task.runtime_ms_max {
        None => None,
        Some(asked @ 1..=DELAY_MS_MAX) => Some(asked as i64),
        Some(asked) => {
            let message = format!("`max_runtime_ms` is {asked}; it takes 1 to {DELAY_MS_MAX}");
            return Err(Error::invalid(argument("max_runtime_ms"), message));
        }
    };
    Ok(NewTask {
        id: ids::new(ids::Kind::Task),
        key: task.key.map(|key| text::name(&argument("key"), &key)).transpose()?,
        title: optional("title", task.title, text::SENTENCE_MAX)?,
        description: optional("description", task.description, text::PARAGRAPH_MAX)?,
        queue: match task.queue {
            Some(queue) => text::name(&argument("queue"), &queue)?,
            None => QUEUE_DEFAULT.to_owned(),
        },
        priority: task.priority.unwrap_or(Priority::NORMAL),
        capabilities: text::names(&argument("required_capabilities"), &task.capabilities, LIST_MAX)?,
        run_at: run_at(&argument, task.delay_ms, task.run_at.as_deref(), now)?,
        on_dependency_failure: task.on_dependency_failure.unwrap_or(OnDependencyFailure::Cancel),
        input: task.input,
        attempts_max,
        runtime_ms_max,
        waits_for,
    })
}

fn run_at(
    argument: &dyn Fn(&str) -> String,
    delay_ms: Option<u64>,
    run_at: Option<&str>,
    now: Instant,
) -> Result<Option<Instant>, Error> {
    match (delay_ms, run_at) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::invalid(argument("run_at"), "pass `delay_ms` or `run_at`, not both")),
        (Some(delay), None) if delay <= DELAY_MS_MAX => Ok(Some(now.plus_ms(delay as i64))),
        (Some(delay), None) => {
            let message = format!("`delay_ms` is {delay}; it takes 0 to {DELAY_MS_MAX}");
            Err(Error::invalid(argument("delay_ms"), message))
        }
        (None, Some(given)) => {
            let hint = "pass `delay_ms` to count from now";
            let refuse = |why: &str| {
                let message = format!("`run_at` is `{}`; {why}", text::shown(given));
                Error::invalid(argument("run_at"), message).hint(hint)
            };
            let at = Instant::parse(given).ok_or_else(|| refuse(&format!("it takes {}", Instant::WRITTEN)))?;
            if at > now.plus_ms(DELAY_MS_MAX as i64) {
                return Err(refuse("it takes up to ten years from now"));
            }
            // What should have run already runs at once.
            Ok(Some(at.max(now)))
        }
    }
}

/// A claim as asked for.
#[derive(Debug)]
pub struct ClaimRequest {
    /// Who.
    pub agent_id: String,
    /// From which queues; none for any.
    pub queues: Option<Vec<String>>,
    /// Tasks at the most.
    pub max: Option<u64>,
    /// How long to wait for one, in milliseconds.
    pub wait_ms: Option<u64>,
}

/// A claim that can be made.
pub(super) struct Wanted {
    pub(super) agent_id: String,
    pub(super) queues: Option<Vec<String>>,
    pub(super) max: u64,
    pub(super) wait: Duration,
}

impl ClaimRequest {
    pub(super) fn checked(self) -> Result<Wanted, Error> {
        let queues = match self.queues {
            Some(queues) if queues.is_empty() => None,
            Some(queues) => Some(text::names("queues", &queues, LIST_MAX)?),
            None => None,
        };
        let max = match self.max {
            None => 1,
            Some(max @ 1..=CLAIMED_MAX) => max,
            Some(max) => return Err(Error::invalid("max", format!("`max` is {max}; it takes 1 to {CLAIMED_MAX}"))),
        };
        Ok(Wanted { agent_id: text::name("agent_id", &self.agent_id)?, queues, max, wait: wait(self.wait_ms)? })
    }
}

/// What a worker says, as it says it.
#[derive(Debug)]
pub struct UpdateRequest {
    /// Its right.
    pub lease_token: String,
    /// How far it is.
    pub progress: Option<f64>,
    /// In its own words.
    pub message: Option<String>,
    /// What a later worker can go on from.
    pub checkpoint: Option<Json>,
    /// What was spent since the last time.
    pub cost: Option<Cost>,
    /// What it needs to know before it can go on.
    pub question: Option<Json>,
}

impl UpdateRequest {
    pub(super) fn checked(self, limits: &Limits) -> Result<Self, Error> {
        if let Some(progress) = self.progress
            && !(0.0..=1.0).contains(&progress)
        {
            return Err(Error::invalid("progress", format!("`progress` is {progress}; it takes 0 to 1")));
        }
        if let Some(message) = &self.message {
            text::bounded("message", message, text::SENTENCE_MAX)?;
        }
        if let Some(checkpoint) = &self.checkpoint {
            limits.payload("checkpoint", checkpoint.get())?;
        }
        if let Some(question) = &self.question {
            limits.payload("need_input", question.get())?;
        }
        Ok(self)
    }
}

/// The end of a worker's turn, as asked for.
#[derive(Debug)]
pub struct FinishRequest {
    /// Its right.
    pub lease_token: String,
    /// How it ends.
    pub outcome: Outcome,
    /// What was spent since the last time.
    pub cost: Option<Cost>,
}

/// A change of tasks as asked for.
#[derive(Debug)]
pub struct ManageRequest {
    /// What.
    pub change: Change,
    /// These, all or none.
    pub ids: Vec<String>,
    /// Or those that fit.
    pub filter: TaskFilter,
    /// Only count.
    pub dry_run: bool,
    /// Tasks at the most.
    pub limit: Option<u64>,
}

impl ManageRequest {
    pub(super) fn checked(mut self, limits: &Limits) -> Result<Self, Error> {
        if let Change::Answer(Some(answer)) = &self.change {
            limits.payload("answer", answer.get())?;
        }
        let filtered = self.filter != TaskFilter::default();
        if self.ids.is_empty() && !filtered {
            return Err(Error::invalid("ids", "neither `ids` nor `filter` says which tasks")
                .hint("pass task ids, or a filter of state, queue, workflow_id, agent_id"));
        }
        if !self.ids.is_empty() && filtered {
            return Err(Error::invalid("filter", "pass `ids` or `filter`, not both"));
        }
        if self.ids.len() > limits.workflow_tasks_max {
            let message = format!("`ids` holds {} tasks; it takes up to {}", self.ids.len(), limits.workflow_tasks_max);
            return Err(Error::invalid("ids", message));
        }
        for id in &self.ids {
            text::id("ids", id)?;
        }
        let TaskFilter { queue, workflow_id, agent_id, .. } = &self.filter;
        for id in [queue, workflow_id, agent_id].into_iter().flatten() {
            text::id("filter", id)?;
        }
        self.ids.sort();
        self.ids.dedup();
        Ok(self)
    }
}
