//! Workflows: what one is, what may happen to it, and the rules that decide.
//!
//! A workflow is pending until its first task is claimed, then runs until all its tasks are over. What has ended stays as it is; `fork`
//! makes a new one.

pub mod answers;
pub mod figures;
pub mod view;

use serde::{Deserialize, Serialize};

use super::{json::Json, money::Micros, tasks::NewTask};
use crate::clock::Instant;

/// Where a workflow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has begun.
    Pending,
    /// It is worked on.
    Running,
    /// Nothing new is claimed.
    Paused,
    /// Every task that could go on waits for an answer.
    Waiting,
    /// It is cancelled, and workers still hold tasks.
    Cancelling,
    /// All is done.
    Completed,
    /// It failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Its deadline passed.
    TimedOut,
}

impl State {
    /// All, in the order of lists.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Running,
        Self::Paused,
        Self::Waiting,
        Self::Cancelling,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
    ];

    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether something can still happen to it.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut)
    }

    /// Whether its tasks may be claimed.
    pub fn lets_claim(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Waiting)
    }
}

/// What a dead task does to its workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTaskFailure {
    /// It fails, and what is left of it is cancelled.
    Fail,
    /// It is paused until somebody looks.
    Pause,
    /// The rest goes on.
    Continue,
}

impl OnTaskFailure {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Pause => "pause",
            Self::Continue => "continue",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Fail, Self::Pause, Self::Continue].into_iter().find(|choice| choice.as_str() == word)
    }
}

/// A workflow's tasks, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub all: i64,
    /// Not over.
    pub open: i64,
    /// Done.
    pub completed: i64,
    /// Failed for good.
    pub dead: i64,
    /// Not to be done any more.
    pub cancelled: i64,
}

/// Whether a workflow that pauses for its dead tasks has no others left: going on, it would be completed with them undone.
pub fn has_only_dead_ends(policy: OnTaskFailure, counts: Counts) -> bool {
    policy == OnTaskFailure::Pause && counts.open == 0 && counts.dead > 0
}

/// What else decides what becomes of a workflow after a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// A task died in this change.
    pub died: bool,
    /// Its cost has reached its budget in this change.
    pub budget_reached: bool,
    /// Tasks that workers hold. Asked for only where it decides.
    pub leased: Option<i64>,
    /// Tasks that could go on or be claimed, now or later, without an answer: all open ones that are neither parked nor blocked. Asked for
    /// only where it decides.
    pub live: Option<i64>,
}

/// What becomes of a workflow by itself after a change of its tasks. None: it stays as it is.
pub fn follow(
    state: State,
    policy: OnTaskFailure,
    counts: Counts,
    signs: Signs,
) -> Option<(State, Option<&'static str>)> {
    match state {
        State::Cancelling => (signs.leased == Some(0)).then_some((State::Cancelled, None)),
        State::Pending | State::Running | State::Waiting => {
            if counts.dead > 0 && policy == OnTaskFailure::Fail {
                return Some((State::Failed, Some("a task is dead")));
            }
            if signs.died && policy == OnTaskFailure::Pause {
                return Some((State::Paused, Some("a task is dead")));
            }
            if counts.all > 0 && counts.open == 0 {
                let nothing_done = counts.completed == 0 && counts.dead == 0;
                return Some((if nothing_done { State::Cancelled } else { State::Completed }, None));
            }
            if signs.budget_reached {
                return Some((State::Paused, Some("budget")));
            }
            match signs.live {
                Some(0) if state == State::Running => Some((State::Waiting, None)),
                Some(1..) if state == State::Waiting => Some((State::Running, None)),
                _ => None,
            }
        }
        // It stays paused, and whoever makes it go on knows of what came to it.
        State::Paused if signs.died && policy == OnTaskFailure::Pause => Some((State::Paused, Some("a task is dead"))),
        State::Paused if signs.budget_reached => Some((State::Paused, Some("budget"))),
        State::Paused | State::Completed | State::Failed | State::Cancelled | State::TimedOut => None,
    }
}

/// What becomes of a workflow that its orchestrator says is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ends so.
    Ends,
    /// It was completed by its last task; what came of it can be told once.
    TakesResult,
    /// Nothing, in its state.
    Misfits,
    /// Nothing: it is not completed while tasks are open.
    HasOpenTasks,
}

/// What `outcome` (completed, failed or cancelled) does to a workflow. What has ended stays so, and what is being cancelled is only cancelled.
pub fn ending(state: State, counts: Counts, outcome: State) -> Ending {
    match (state, outcome) {
        (State::Completed, State::Completed) => Ending::TakesResult,
        (state, _) if !state.is_open() => Ending::Misfits,
        (State::Cancelling, outcome) if outcome != State::Cancelled => Ending::Misfits,
        (_, State::Completed) if counts.open > 0 => Ending::HasOpenTasks,
        _ => Ending::Ends,
    }
}

/// What somebody does to a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is worked on, before its first claim.
    Start,
    /// Nothing new is to be claimed.
    Pause,
    /// It goes on.
    Resume,
    /// It is given up.
    Cancel,
    /// Its workers are told something.
    Signal,
    /// A new one goes on from its completed tasks.
    Fork,
}

impl Action {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Signal => "signal",
            Self::Fork => "fork",
        }
    }

    /// Whether it can be done to a workflow in `state`.
    pub fn fits(self, state: State) -> bool {
        match self {
            Self::Start => state == State::Pending,
            Self::Pause => matches!(state, State::Pending | State::Running | State::Waiting),
            Self::Resume => state == State::Paused,
            Self::Cancel => state.is_open() && state != State::Cancelling,
            Self::Signal => matches!(state, State::Pending | State::Running | State::Paused | State::Waiting),
            Self::Fork => !state.is_open(),
        }
    }
}

/// How long workers of a cancelled workflow may hold their tasks, in milliseconds.
pub const CANCEL_GRACE_MS: i64 = 60_000;

/// Workflows and tasks that ended so long ago are forgotten, in milliseconds: 90 days.
pub const KEPT_MS: i64 = 90 * 24 * 3_600_000;

/// A workflow to create, with all its arguments in order.
#[derive(Debug, Clone)]
pub struct NewWorkflow {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub name: String,
    /// What kind of work it is.
    pub kind: String,
    /// What it is given.
    pub input: Option<Json>,
    /// It ends by itself then.
    pub deadline_at: Option<Instant>,
    /// It is paused when its cost reaches this.
    pub budget: Option<Micros>,
    /// What a dead task does to it.
    pub on_task_failure: OnTaskFailure,
    /// The workflow it is part of.
    pub parent_id: Option<String>,
    /// Who is told of its end.
    pub webhook: Option<NewWebhook>,
    /// Its tasks.
    pub tasks: Vec<NewTask>,
}

/// Who is told of a workflow's end.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its id.
    pub id: String,
    /// Where the news is posted.
    pub url: String,
    /// What the news is signed with.
    pub secret: String,
}

#[cfg(test)]
mod tests {
    use super::{Action, Counts, Ending, OnTaskFailure, Signs, State, ending, follow};

    fn counts(completed: i64, dead: i64, cancelled: i64, open: i64) -> Counts {
        Counts { all: completed + dead + cancelled + open, open, completed, dead, cancelled }
    }

    #[test]
    fn a_workflow_follows_its_tasks() {
        use OnTaskFailure::{Continue, Fail, Pause};
        let none = Signs::default();
        let died = Signs { died: true, ..none };
        for (state, policy, counts, signs, becomes) in [
            (State::Running, Fail, counts(1, 0, 0, 1), none, None),
            (State::Running, Fail, counts(2, 0, 0, 0), none, Some(State::Completed)),
            (State::Running, Fail, counts(1, 1, 0, 3), died, Some(State::Failed)),
            (State::Running, Pause, counts(1, 1, 0, 3), died, Some(State::Paused)),
            (State::Running, Continue, counts(1, 1, 0, 3), died, None),
            (State::Running, Continue, counts(1, 1, 0, 0), none, Some(State::Completed)),
            (State::Pending, Fail, counts(0, 0, 2, 0), none, Some(State::Cancelled)),
            (State::Pending, Fail, counts(0, 0, 0, 0), none, None),
            (State::Running, Fail, counts(1, 0, 0, 1), Signs { budget_reached: true, ..none }, Some(State::Paused)),
            (State::Running, Fail, counts(1, 0, 0, 1), Signs { live: Some(0), ..none }, Some(State::Waiting)),
            (State::Waiting, Fail, counts(1, 0, 0, 1), Signs { live: Some(1), ..none }, Some(State::Running)),
            (State::Cancelling, Fail, counts(1, 0, 1, 1), Signs { leased: Some(1), ..none }, None),
            (State::Cancelling, Fail, counts(1, 0, 1, 0), Signs { leased: Some(0), ..none }, Some(State::Cancelled)),
            (State::Paused, Fail, counts(2, 0, 0, 0), none, None),
            (State::Paused, Fail, counts(1, 1, 0, 1), died, None),
            (State::Paused, Pause, counts(1, 1, 0, 1), died, Some(State::Paused)),
            (State::Paused, Fail, counts(1, 0, 0, 1), Signs { budget_reached: true, ..none }, Some(State::Paused)),
        ] {
            assert_eq!(
                follow(state, policy, counts, signs).map(|(state, _)| state),
                becomes,
                "{state:?} {policy:?} {counts:?}"
            );
        }
    }

    #[test]
    fn a_word_ends_what_is_open_and_done() {
        use State::{Cancelled, Cancelling, Completed, Failed, Paused, Running};
        let (open, done) = (counts(1, 0, 0, 1), counts(2, 0, 0, 0));
        for (state, counts, outcome, becomes) in [
            (Running, done, Completed, Ending::Ends),
            (Running, open, Completed, Ending::HasOpenTasks),
            (Paused, open, Failed, Ending::Ends),
            (Running, open, Cancelled, Ending::Ends),
            (Cancelling, done, Completed, Ending::Misfits),
            (Cancelling, open, Failed, Ending::Misfits),
            (Cancelling, open, Cancelled, Ending::Ends),
            (Completed, done, Completed, Ending::TakesResult),
            (Completed, done, Failed, Ending::Misfits),
            (Failed, done, Completed, Ending::Misfits),
            (Cancelled, done, Cancelled, Ending::Misfits),
        ] {
            assert_eq!(ending(state, counts, outcome), becomes, "{state:?} {outcome:?}");
        }
    }

    #[test]
    fn what_has_ended_is_only_forked() {
        for state in State::ALL.into_iter().filter(|state| !state.is_open()) {
            for action in [Action::Start, Action::Pause, Action::Resume, Action::Cancel, Action::Signal] {
                assert!(!action.fits(state), "{action:?} {state:?}");
            }
            assert!(Action::Fork.fits(state));
        }
    }
}
