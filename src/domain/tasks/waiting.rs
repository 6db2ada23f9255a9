//! Why nobody works on a task.

use std::collections::BTreeMap;

use super::State;
use crate::clock::Instant;

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitingFor {
    /// An answer.
    Question,
    /// An agent with its capabilities: none that is there has all of them.
    Capability,
    /// Other tasks.
    Dependency,
    /// Its time.
    RunAt,
    /// Its workflow, which is paused.
    Paused,
    /// Only for somebody to claim it.
    Nothing,
}

/// Tasks, counted by what they wait for.
pub type Waits = BTreeMap<WaitingFor, u64>;

impl WaitingFor {
    /// All, in the order of lists.
    pub const ALL: [Self; 6] =
        [Self::Question, Self::Capability, Self::Dependency, Self::RunAt, Self::Paused, Self::Nothing];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Capability => "capability",
            Self::Dependency => "dependency",
            Self::RunAt => "run_at",
            Self::Paused => "paused",
            Self::Nothing => "nothing",
        }
    }

    /// Of a task whose workflow is paused (`held`), and that somebody is able to do. None: it is worked on, or over.
    pub fn of(state: State, held: bool, able: bool) -> Option<Self> {
        match state {
            State::Parked => Some(Self::Question),
            State::Blocked => Some(Self::Dependency),
            State::Scheduled | State::RetryWait => Some(Self::RunAt),
            State::Ready if held => Some(Self::Paused),
            State::Ready if !able => Some(Self::Capability),
            State::Ready => Some(Self::Nothing),
            State::Leased | State::Completed | State::Dead | State::Cancelled => None,
        }
    }

    /// Whether it stays so until somebody looks.
    pub fn needs_attention(self) -> bool {
        matches!(self, Self::Question | Self::Capability)
    }
}

/// What queues hold that an agent could not claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unclaimed {
    /// Counted by what they wait for; [`WaitingFor::Capability`] is one that this agent lacks.
    pub waits: Waits,
    /// Capabilities that the agent lacks for some of them.
    pub lacking: Vec<String>,
    /// When the next one's time comes.
    pub next_run_at: Option<Instant>,
    /// Others work on so many.
    pub leased: u64,
    /// There are more than were counted.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::{State, WaitingFor};

    #[test]
    fn a_task_waits_for_what_keeps_it_from_being_claimed() {
        for (state, held, able, expected) in [
            (State::Parked, true, false, Some("question")),
            (State::Blocked, true, false, Some("dependency")),
            (State::Scheduled, true, false, Some("run_at")),
            (State::RetryWait, false, true, Some("run_at")),
            (State::Ready, true, false, Some("paused")),
            (State::Ready, false, false, Some("capability")),
            (State::Ready, false, true, Some("nothing")),
            (State::Leased, false, true, None),
            (State::Dead, true, false, None),
        ] {
            assert_eq!(WaitingFor::of(state, held, able).map(WaitingFor::as_str), expected, "{state:?} {held} {able}");
        }
    }
}
