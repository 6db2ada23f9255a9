//! The record store's tasks, as transitions. Every adapter passes `tests/it/contract/tasks.rs`.

use crate::{
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json::Json,
        tasks::{
            Cost, Lease, NewTask, Outcome, State,
            answers::{Change, Claimed, Finished, Managed, TaskFilter, Updated},
            waiting::Unclaimed,
        },
        workflows::{
            self,
            view::{EnqueuedTask, TaskView},
        },
    },
    error::Error,
};

/// Tasks. Every change is one transaction that also writes its event and, with a key, its answer.
#[async_trait::async_trait]
pub trait TaskStore: Send + Sync {
    /// Adds tasks, to a workflow or to none.
    async fn enqueue(&self, enqueue: Enqueue) -> Result<Result<Vec<EnqueuedTask>, EnqueueRefused>, Error>;

    /// Leases tasks to an agent: those it can do, in the order of their sort keys, each with a fence of its own.
    async fn claim(&self, claim: Claim) -> Result<Result<Claimed, Repeat>, Error>;

    /// What queues hold that an agent could not claim.
    async fn unclaimed(&self, look: LookForWaiting) -> Result<Unclaimed, Error>;

    /// Renews a lease and notes what its worker says, or parks the task with a question.
    async fn update(&self, update: Update) -> Result<Result<Updated, LeaseRefused>, Error>;

    /// Ends a worker's turn. Of one lease at most one end is ever accepted.
    async fn finish(&self, finish: Finish) -> Result<Result<Finished, LeaseRefused>, Error>;

    /// Tasks by what they are.
    async fn list(&self, list: ListTasks) -> Result<Vec<TaskView>, Error>;

    /// Changes tasks by id, all or none, or all that fit a filter.
    async fn manage(&self, manage: Manage) -> Result<Result<Managed, ManageRefused>, Error>;

    /// Puts tasks back whose lease has run out, up to so many. How many.
    async fn expire_leases(&self, now: Instant) -> Result<u64, Error>;

    /// Makes tasks ready whose time has come, up to so many. How many.
    async fn promote_due(&self, now: Instant) -> Result<u64, Error>;

    /// When the next task of these queues (none: any) becomes ready by itself.
    async fn next_due(&self, queues: Option<Vec<String>>) -> Result<Option<Instant>, Error>;
}

/// Tasks to add.
#[derive(Debug, Clone)]
pub struct Enqueue {
    /// To which workflow.
    pub workflow_id: Option<String>,
    /// What.
    pub tasks: Vec<NewTask>,
    /// Tasks of one workflow at the most.
    pub tasks_max: u64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why tasks were not added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnqueueRefused {
    /// There is no such workflow.
    NoSuchWorkflow,
    /// It takes no more tasks in this state.
    State {
        /// Where it stands.
        state: workflows::State,
        /// Its version.
        version: i64,
    },
    /// It would have more tasks than allowed.
    TooMany {
        /// It has so many.
        tasks: i64,
    },
    /// Another task of the workflow has this key.
    SameKey {
        /// The key.
        key: String,
    },
    /// A task waits for one that is neither here nor there.
    NoSuchTask {
        /// By key or id.
        name: String,
        /// Keys that exist.
        known: Vec<String>,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// A claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who.
    pub agent_id: String,
    /// The server process behind it.
    pub session_id: String,
    /// From which queues; none for any.
    pub queues: Option<Vec<String>>,
    /// A secret for each task that may be leased; as many at the most.
    pub secrets: Vec<String>,
    /// How long a lease runs, in milliseconds.
    pub lease_ms: i64,
    /// A token for the agent, should it not be registered.
    pub agent_token: String,
    /// Of the call. A claim that finds nothing is not remembered.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Queues to look at, for who has claimed nothing.
#[derive(Debug, Clone)]
pub struct LookForWaiting {
    /// Who.
    pub agent_id: String,
    /// Which queues; none for all.
    pub queues: Option<Vec<String>>,
}

/// What a worker says.
#[derive(Debug, Clone)]
pub struct Update {
    /// Its right.
    pub lease: Lease,
    /// How far it is, 0 to 1.
    pub progress: Option<f64>,
    /// In its own words.
    pub message: Option<String>,
    /// What a later worker can go on from.
    pub checkpoint: Option<Json>,
    /// What was spent since the last time.
    pub cost: Option<Cost>,
    /// What it needs to know before it can go on: parks the task.
    pub question: Option<Json>,
    /// How long the lease runs from now, in milliseconds.
    pub lease_ms: i64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// The end of a worker's turn.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Its right.
    pub lease: Lease,
    /// How it ends.
    pub outcome: Outcome,
    /// What was spent since the last time.
    pub cost: Option<Cost>,
    /// Where in a wait the next attempt begins, 0 to 1: spreads attempts that failed together.
    pub jitter: f64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why a lease gave no right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseRefused {
    /// There is no such task.
    NoSuchTask,
    /// It has ended.
    Lost {
        /// Where the task stands.
        state: State,
        /// Its count of claims.
        fence: i64,
        /// Who holds it now.
        agent_id: Option<String>,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// Tasks to list.
#[derive(Debug, Clone)]
pub struct ListTasks {
    /// By what they are.
    pub filter: TaskFilter,
    /// By id.
    pub ids: Vec<String>,
    /// After this id.
    pub after: Option<String>,
    /// Up to so many.
    pub most: u64,
    /// With what they were given and what came of them.
    pub carried: bool,
    /// Bytes of that, and of questions, at the most; what does not fit is left out and named.
    pub carried_bytes_max: usize,
}

/// A change of tasks.
#[derive(Debug, Clone)]
pub struct Manage {
    /// What.
    pub change: Change,
    /// These, all or none.
    pub ids: Vec<String>,
    /// Or those that fit.
    pub filter: TaskFilter,
    /// Only count.
    pub dry_run: bool,
    /// Tasks to change at the most.
    pub most: u64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManageRefused {
    /// There are no such tasks.
    NoSuchTask {
        /// These.
        ids: Vec<String>,
    },
    /// Some are not in a state for it.
    State {
        /// Each with its state.
        tasks: Vec<(String, State)>,
    },
    /// A workflow that has ended takes nothing back.
    WorkflowEnded {
        /// Which.
        workflow_id: String,
        /// Where it stands.
        state: workflows::State,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for EnqueueRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl From<Repeat> for LeaseRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl From<Repeat> for ManageRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}
