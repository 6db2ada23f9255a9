//! The record store's workflows, as transitions. Every adapter passes `tests/it/contract/workflows.rs`.

use crate::{
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json::Json,
        workflows::{
            Action, NewWorkflow, State,
            answers::{Changed, Found, Signal},
            figures::{Figure, Question},
            view::{Created, EventView, Overview, WorkflowView},
        },
    },
    error::Error,
};

/// Workflows. Every change is one transaction that also writes its event and, with a key, its answer.
#[async_trait::async_trait]
pub trait WorkflowStore: Send + Sync {
    /// Makes a workflow with its tasks.
    async fn create(&self, create: Create) -> Result<Result<Created, CreateRefused>, Error>;

    /// Ends a workflow.
    async fn complete(&self, complete: Complete) -> Result<Result<Changed, ChangeRefused>, Error>;

    /// Does something to a workflow.
    async fn control(&self, control: Control) -> Result<Result<Changed, ChangeRefused>, Error>;

    /// One workflow.
    async fn find(&self, find: Find) -> Result<Option<Found>, Error>;

    /// Workflows, newest first.
    async fn list(&self, list: List) -> Result<Vec<WorkflowView>, Error>;

    /// A part of the history, oldest first.
    async fn events(&self, history: History) -> Result<Vec<EventView>, Error>;

    /// Everything at a glance.
    async fn overview(&self, now: Instant) -> Result<Overview, Error>;

    /// Figures over many workflows.
    async fn analytics(&self, question: Question) -> Result<Vec<Figure>, Error>;

    /// Ends workflows whose deadline has passed, and those that were cancelled and whose workers had their time. How many.
    async fn end_overdue(&self, now: Instant) -> Result<u64, Error>;

    /// Removes up to `most` workflows that ended before `before`, with all they carried, the oldest first. How many.
    async fn forget(&self, before: Instant, most: u64) -> Result<u64, Error>;
}

/// A workflow to make.
#[derive(Debug, Clone)]
pub struct Create {
    /// What it shall be.
    pub workflow: NewWorkflow,
    /// Workflows that may be open at once.
    pub active_max: u64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why a workflow was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateRefused {
    /// So many are open already.
    TooMany {
        /// The bound.
        active_max: u64,
    },
    /// There is no workflow that it could be part of.
    NoParent,
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// A workflow to end.
#[derive(Debug, Clone)]
pub struct Complete {
    /// Which.
    pub workflow_id: String,
    /// How: completed, failed or cancelled.
    pub outcome: State,
    /// What came of it.
    pub result: Option<Json>,
    /// Why it failed.
    pub error: Option<String>,
    /// Only if it is still this.
    pub expected_version: Option<i64>,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Something to do to a workflow.
#[derive(Debug, Clone)]
pub struct Control {
    /// Which.
    pub workflow_id: String,
    /// What.
    pub action: Action,
    /// What its workers are told.
    pub signal: Option<Signal>,
    /// Why.
    pub reason: Option<String>,
    /// Only if it is still this.
    pub expected_version: Option<i64>,
    /// The id of the new workflow, for a fork.
    pub fork_id: String,
    /// Workflows that may be open at once, for a fork.
    pub active_max: u64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why a workflow was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeRefused {
    /// There is none.
    NoSuchWorkflow,
    /// That cannot be done to a workflow in this state.
    State {
        /// Where it stands.
        state: State,
        /// Its version.
        version: i64,
    },
    /// Somebody else changed it.
    Version {
        /// Where it stands.
        state: State,
        /// Its version.
        version: i64,
    },
    /// Tasks are not over.
    OpenTasks {
        /// So many.
        open: i64,
        /// Where it stands.
        state: State,
        /// Its version.
        version: i64,
    },
    /// It would go on to nothing: all its tasks are over, and so many are dead.
    Dead {
        /// So many.
        dead: i64,
        /// Its version.
        version: i64,
    },
    /// So many workflows are open already.
    TooMany {
        /// The bound.
        active_max: u64,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// A workflow to show.
#[derive(Debug, Clone)]
pub struct Find {
    /// By its id, or the id of one of its tasks.
    pub id: String,
    /// With input and result.
    pub carried: bool,
    /// With tasks.
    pub tasks: Option<TaskPage>,
    /// Until when a lease must run for its worker not to count as stalled.
    pub stalled_before: Instant,
}

/// Tasks to show.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// Up to so many.
    pub most: u64,
    /// With what they were given and what came of them.
    pub carried: bool,
    /// Bytes of that, and of questions, at the most, less what the workflow itself carries; what does not fit is left out and named.
    pub carried_bytes_max: usize,
}

/// Workflows to list.
#[derive(Debug, Clone)]
pub struct List {
    /// In one of these states; none for all.
    pub states: Vec<State>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Made after this.
    pub created_after: Option<Instant>,
    /// With these words in name, id or reason.
    pub text: Option<String>,
    /// Older than this one, in the order of the list.
    pub before: Option<(Instant, String)>,
    /// Up to so many.
    pub most: u64,
    /// Until when a lease must run for its worker not to count as stalled.
    pub stalled_before: Instant,
}

/// Events to show.
#[derive(Debug, Clone)]
pub struct History {
    /// Which.
    pub part: Part,
    /// Up to so many.
    pub most: u64,
}

/// A part of the history.
#[derive(Debug, Clone)]
pub enum Part {
    /// Of a workflow and its tasks, the first after a number.
    Workflow {
        /// Which workflow.
        id: String,
        /// The number.
        after: i64,
    },
    /// Of a workflow and its tasks, the last.
    EndOfWorkflow {
        /// Which workflow.
        id: String,
    },
    /// Of one task or anything else, the first after a number.
    Entity {
        /// Which.
        id: String,
        /// The number.
        after: i64,
    },
    /// Of one agent and what it did, the first after a number.
    Agent {
        /// Which.
        id: String,
        /// The number.
        after: i64,
    },
    /// Of everything, the first after a number.
    All {
        /// The number.
        after: i64,
    },
}

impl From<Repeat> for CreateRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl From<Repeat> for ChangeRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}
