//! Workflows and tasks as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{OnTaskFailure, State};
use crate::{
    clock::Instant,
    domain::{
        agents,
        json::Json,
        money::Micros,
        tasks::{
            self,
            waiting::{WaitingFor, Waits},
        },
    },
};

/// A workflow.
#[derive(Debug, Clone)]
pub struct WorkflowView {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub name: String,
    /// What kind of work it is.
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// Raised with each change of it or of a task's state.
    pub version: i64,
    /// When it was made.
    pub created_at: Instant,
    /// When the first task was claimed.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub completed_at: Option<Instant>,
    /// When it ends by itself.
    pub deadline_at: Option<Instant>,
    /// What a dead task does to it.
    pub on_task_failure: OnTaskFailure,
    /// The workflow it is part of.
    pub parent_id: Option<String>,
    /// The workflow it goes on from.
    pub forked_from: Option<String>,
    /// Why it is paused, cancelled or failed.
    pub reason: Option<String>,
    /// Somebody has to look: it has stopped, a question waits, or nobody who is there can do one of its tasks.
    pub needs_attention: bool,
    /// What its tasks wait for.
    pub waits: Waits,
    /// What it may cost.
    pub budget: Option<Micros>,
    /// What it has cost.
    pub cost: Micros,
    /// Its tasks, counted.
    pub counts: super::Counts,
    /// A worker has not been heard of for half of the time it may be silent.
    pub stalled: bool,
}

/// What a workflow carries.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// What it was given.
    pub input: Option<Json>,
    /// What came of it.
    pub result: Option<Json>,
    /// Why it failed.
    pub error: Option<String>,
    /// Agents that worked on its tasks.
    pub agents: Option<u64>,
}

/// A task.
#[derive(Debug, Clone)]
pub struct TaskView {
    /// Its id.
    pub id: String,
    /// The workflow it is part of.
    pub workflow_id: Option<String>,
    /// Its name within its workflow.
    pub key: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// Where it is claimed from.
    pub queue: String,
    /// Where it stands.
    pub state: tasks::State,
    /// How urgent it is.
    pub priority: i64,
    /// Claims so far.
    pub attempts: i64,
    /// Claims at the most.
    pub attempts_max: i64,
    /// Raised with each claim.
    pub fence: i64,
    /// Who works on it, or did last.
    pub agent_id: Option<String>,
    /// Until when it is theirs.
    pub lease_until: Option<Instant>,
    /// Not before this.
    pub run_at: Option<Instant>,
    /// How far it is, 0 to 1.
    pub progress: Option<f64>,
    /// Its worker's own words.
    pub message: Option<String>,
    /// What it waits for, when it is parked.
    pub question: Option<Json>,
    /// What it must be done with.
    pub capabilities: Vec<String>,
    /// Why nobody works on it; none when somebody does, or it is over.
    pub waiting_for: Option<WaitingFor>,
    /// What it has failed of, when it is dead or waits for another attempt.
    pub error: Option<tasks::Failure>,
    /// What an earlier attempt failed of, when it went on since.
    pub last_error: Option<tasks::Failure>,
    /// What it has cost.
    pub cost: Micros,
    /// When it was enqueued.
    pub created_at: Instant,
    /// When it was over.
    pub completed_at: Option<Instant>,
    /// What came of it, when asked for.
    pub result: Option<Json>,
    /// What it was given, when asked for.
    pub input: Option<Json>,
    /// What of these was too large beside the others: question, result, input.
    pub left_out: Vec<&'static str>,
}

impl TaskView {
    /// About so many bytes in an answer.
    pub fn bytes(&self) -> usize {
        let carried = [&self.question, &self.result, &self.input].into_iter().flatten();
        let texts = [&self.key, &self.title, &self.message, &self.agent_id, &self.workflow_id].into_iter().flatten();
        ROW_BYTES
            + self.queue.len()
            + texts.map(String::len).sum::<usize>()
            + carried.map(|carried| carried.get().len()).sum::<usize>()
            + self.capabilities.iter().map(|name| name.len() + 3).sum::<usize>()
            + self.error.iter().chain(&self.last_error).map(|error| error.message.len()).sum::<usize>()
    }
}

impl WorkflowView {
    /// About so many bytes in an answer.
    pub fn bytes(&self) -> usize {
        // A workflow has about twice as many fields as a task.
        2 * ROW_BYTES + self.name.len() + self.kind.len() + self.reason.as_ref().map_or(0, String::len)
    }
}

impl EventView {
    /// About so many bytes in an answer.
    pub fn bytes(&self) -> usize {
        let texts = [&self.workflow_id, &self.actor].into_iter().flatten();
        let data = self.data.as_ref().map_or(0, |data| data.get().len());
        ROW_BYTES / 2 + self.entity_id.len() + texts.map(String::len).sum::<usize>() + data
    }
}

impl Carried {
    /// About so many bytes in an answer.
    pub fn bytes(&self) -> usize {
        let carried = [&self.input, &self.result].into_iter().flatten();
        carried.map(|carried| carried.get().len()).sum::<usize>() + self.error.as_ref().map_or(0, String::len)
    }
}

/// What names, numbers and times of a row take.
const ROW_BYTES: usize = 300;

/// An event of the history.
#[derive(Debug, Clone)]
pub struct EventView {
    /// Its place in the history.
    pub seq: i64,
    /// When.
    pub at: Instant,
    /// What happened.
    pub kind: String,
    /// workflow, task, agent, session, lock, webhook.
    pub entity: String,
    /// Which.
    pub entity_id: String,
    /// The workflow it belongs to.
    pub workflow_id: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// What else is known.
    pub data: Option<Json>,
}

/// Everything at a glance.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// Workflows by state.
    pub workflows: BTreeMap<State, u64>,
    /// Tasks by state.
    pub tasks: BTreeMap<tasks::State, u64>,
    /// What can be claimed, by queue.
    pub queues: Vec<QueueView>,
    /// Agents by status.
    pub agents: agents::Counts,
    /// What tasks wait for.
    pub waits: Waits,
    /// Capabilities that tasks wait for, each as one task asks for them, up to a few.
    pub missing: Vec<Vec<String>>,
    /// Workflows, and tasks of none, at which somebody has to look.
    pub needs_attention: u64,
}

/// A queue that holds tasks to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// Its name.
    pub queue: String,
    /// Tasks that can be claimed.
    pub ready: u64,
    /// How long the oldest of them waits, in milliseconds.
    pub oldest_ready_ms: u64,
}

/// A new workflow and its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The workflow.
    pub workflow_id: String,
    /// Where it stands.
    pub state: State,
    /// Its version.
    pub version: i64,
    /// Its tasks in the order of the call.
    pub tasks: Vec<EnqueuedTask>,
    /// What news to its webhook are signed with, where it has one and the server has no secret of its own.
    pub webhook_secret: Option<String>,
}

/// A task that was enqueued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnqueuedTask {
    /// Its name within its workflow.
    pub key: Option<String>,
    /// Its id.
    pub task_id: String,
    /// Where it stands.
    pub state: tasks::State,
}
