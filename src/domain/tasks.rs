//! Tasks: what one is, what may happen to it, and the rules that decide.
//!
//! A task is `blocked`, `scheduled` or `ready`; a claim leases it, under a fence that only ever grows; its worker finishes, releases or
//! parks it. Of one lease at most one end is ever accepted.

pub mod answers;
pub mod graph;
pub mod lease;
pub mod new;
pub mod retry;
pub mod waiting;

use serde::{Deserialize, Serialize};

pub use self::{
    lease::Lease,
    new::{Links, NewTask},
};
use super::{json::Json, money::Micros};
use crate::clock::Instant;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for other tasks.
    Blocked,
    /// It waits for its time.
    Scheduled,
    /// It can be claimed.
    Ready,
    /// An agent works on it.
    Leased,
    /// It waits for an answer.
    Parked,
    /// It failed and waits for its next attempt.
    RetryWait,
    /// It is done.
    Completed,
    /// It failed for good: a dead letter.
    Dead,
    /// Nobody is to do it any more.
    Cancelled,
}

impl State {
    /// All, in the order of lists.
    pub const ALL: [Self; 9] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Ready,
        Self::Leased,
        Self::Parked,
        Self::RetryWait,
        Self::Completed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Parked => "parked",
            Self::RetryWait => "retry_wait",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether something can still happen to it by itself.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Completed | Self::Dead | Self::Cancelled)
    }
}

/// How urgent a task is: 0 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(u8);

/// A level of priority is worth so much waiting: one minute, in milliseconds.
const LEVEL_MS: i64 = 60_000;

impl Priority {
    /// When nothing is said.
    pub const NORMAL: Self = Self(5);

    /// From a number.
    pub fn new(level: i64) -> Option<Self> {
        u8::try_from(level).ok().filter(|level| *level <= 9).map(Self)
    }

    /// From a word: low, normal, high, critical.
    pub fn word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "low" => Some(Self(2)),
            "normal" | "medium" => Some(Self(5)),
            "high" => Some(Self(7)),
            "critical" | "urgent" => Some(Self(9)),
            // A sign or a leading zero is no level.
            other => other.parse().ok().filter(|_| other.len() == 1).and_then(Self::new),
        }
    }

    /// As a number.
    pub fn level(self) -> i64 {
        i64::from(self.0)
    }

    /// Where a task stands among those that can be claimed; the smallest goes first. A task gains a level with each minute it waits, so
    /// none starves, and an index alone gives the order.
    pub fn sort_key(self, run_at: Instant) -> i64 {
        (run_at.0 / 1_000).saturating_sub(self.level() * LEVEL_MS)
    }

    /// How a sort key changes when a task had another priority before.
    pub fn moves_from(self, before: Self) -> i64 {
        (before.level() - self.level()) * LEVEL_MS
    }
}

/// What becomes of a task when one that it waits for dies or is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDependencyFailure {
    /// It is cancelled too.
    Cancel,
    /// It goes on as if that one were done.
    Continue,
    /// It waits for somebody to decide.
    Park,
}

impl OnDependencyFailure {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Park => "park",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Cancel, Self::Continue, Self::Park].into_iter().find(|choice| choice.as_str() == word)
    }

    /// The state of a waiting task after its dependency ended so; `open` others are still waited for. None: it goes on waiting.
    pub fn after(self, ended: State, open: i64) -> Option<State> {
        let free = (open <= 0).then_some(State::Ready);
        match (ended, self) {
            (State::Completed, _) | (State::Dead | State::Cancelled, Self::Continue) => free,
            (State::Dead | State::Cancelled, Self::Cancel) => Some(State::Cancelled),
            (State::Dead | State::Cancelled, Self::Park) => Some(State::Parked),
            (
                State::Blocked | State::Scheduled | State::Ready | State::Leased | State::Parked | State::RetryWait,
                _,
            ) => None,
        }
    }
}

/// How a worker ends its turn.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is done.
    Completed {
        /// What came of it.
        result: Option<Json>,
    },
    /// It failed.
    Failed(Failure),
    /// Somebody else shall do it.
    Released,
}

/// What went wrong with a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One of this server's codes, or the worker's own; some are never tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In words.
    pub message: String,
    /// False: no further attempt mends it. Otherwise the code and the attempts left decide.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retryable: Option<bool>,
    /// Wait so long before the next attempt, in milliseconds.
    #[serde(skip)]
    pub retry_after_ms: Option<u64>,
}

/// What a claimed task is on the way to, once its worker ends its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Complete,
    /// Another attempt, after so many milliseconds.
    Retry {
        /// Shortest and longest wait; the caller picks within.
        wait_ms: (u64, u64),
    },
    /// No further attempt.
    Die,
    /// Back in the queue at its old place, as if never claimed.
    Release,
    /// Its workflow is being cancelled.
    Cancel,
}

/// A task's queue row, as far as rules ask for it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Where it stands.
    pub state: State,
    /// Raised with each claim and whenever a lease is taken back.
    pub fence: i64,
    /// Proves the lease, besides the fence.
    pub secret: Option<String>,
    /// Claims so far that were not given back.
    pub attempt: i64,
    /// Claims at the most.
    pub attempts_max: i64,
    /// Its workflow is being cancelled.
    pub cancelling: bool,
}

impl Run {
    /// What a worker's end of its turn leads to. None: its lease has ended.
    ///
    /// A completed task whose lease has run out is accepted as long as nobody has claimed it since: the work is paid for.
    pub fn finish(&self, lease: &Lease, outcome: &Outcome) -> Option<Verdict> {
        let proven = self.fence == lease.fence && self.secret.as_deref() == Some(lease.secret.as_str());
        if !proven {
            return None;
        }
        match (self.state, outcome) {
            (State::Leased | State::Ready, Outcome::Completed { .. }) => Some(Verdict::Complete),
            (State::Leased, Outcome::Failed(_) | Outcome::Released) if self.cancelling => Some(Verdict::Cancel),
            (State::Leased, Outcome::Released) => Some(Verdict::Release),
            (State::Leased, Outcome::Failed(failure)) => Some(retry::verdict(self, failure)),
            _ => None,
        }
    }

    /// Whether the lease is the current one.
    pub fn is_leased_under(&self, lease: &Lease) -> bool {
        self.state == State::Leased
            && self.fence == lease.fence
            && self.secret.as_deref() == Some(lease.secret.as_str())
    }
}

/// Lost leases after which a task is taken to break its workers.
pub const INFRA_FAILURES_MAX: i64 = 5;

/// What a worker has spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Money.
    pub amount: Micros,
    /// The model it went to.
    pub model: Option<String>,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
}
