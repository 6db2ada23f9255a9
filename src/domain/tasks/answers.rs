//! What transitions of tasks answer, and what can be asked of many tasks at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Lease, Priority, State};
use crate::{
    clock::Instant,
    domain::{
        json::Json,
        workflows::{self, answers::Signal},
    },
};

/// What a claim gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claimed {
    /// The tasks, in their order.
    pub tasks: Vec<ClaimedTask>,
}

/// A leased task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClaimedTask {
    /// Its id.
    pub task_id: String,
    /// The workflow it is part of.
    pub workflow_id: Option<String>,
    /// Its name within its workflow.
    pub key: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// What is to be done.
    pub description: Option<String>,
    /// Where it was claimed from.
    pub queue: String,
    /// The right to it.
    pub lease: Lease,
    /// Until when.
    pub lease_until: Instant,
    /// Which attempt this is.
    pub attempt: i64,
    /// Attempts at the most.
    pub attempts_max: i64,
    /// How urgent it is.
    pub priority: i64,
    /// What its worker is given.
    pub input: Option<Json>,
    /// What the worker before left.
    pub checkpoint: Option<Json>,
    /// What it asked, when it was parked.
    pub question: Option<Json>,
    /// What it was answered.
    pub answer: Option<Json>,
    /// What came of the tasks it waited for, by key or id.
    pub dependency_results: BTreeMap<String, Json>,
}

/// What a worker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Updated {
    /// Where the task stands: leased, parked, or cancelled with its workflow.
    pub state: State,
    /// Until when it is the worker's; none once it is not.
    pub lease_until: Option<Instant>,
    /// It shall stop.
    pub cancel_requested: bool,
    /// What it was not told yet.
    pub signals: Vec<Signal>,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finished {
    /// The task.
    pub task_id: String,
    /// Where it stands.
    pub state: State,
    /// When it is tried again.
    pub next_run_at: Option<Instant>,
    /// Tasks that can be claimed now.
    pub unblocked: Vec<String>,
    /// Where its workflow stands.
    pub workflow_state: Option<workflows::State>,
}

/// Tasks to list or change by what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFilter {
    /// In this state.
    pub state: Option<State>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this workflow.
    pub workflow_id: Option<String>,
    /// Worked on by this agent, now or last.
    pub agent_id: Option<String>,
}

/// What is done to tasks.
#[derive(Debug, Clone)]
pub enum Change {
    /// Dead ones are tried again.
    Retry,
    /// Open ones are given up.
    Cancel,
    /// Open ones become more or less urgent.
    Reprioritize(Priority),
    /// Parked ones go on.
    Answer(Option<Json>),
}

impl Change {
    /// Whether it can be done to a task in `state`.
    pub fn fits(&self, state: State) -> bool {
        match self {
            Self::Retry => state == State::Dead,
            Self::Cancel | Self::Reprioritize(_) => state.is_open(),
            Self::Answer(_) => state == State::Parked,
        }
    }

    /// The states it can be done to.
    pub fn states(&self) -> Vec<State> {
        State::ALL.into_iter().filter(|state| self.fits(*state)).collect()
    }
}

/// What was changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Managed {
    /// So many tasks.
    pub affected: u64,
    /// Which, up to 100.
    pub ids: Vec<String>,
    /// More fit than one call changes.
    pub more: bool,
    /// So many fit but for their workflow, which has ended.
    #[serde(default)]
    pub passed_over: u64,
}
