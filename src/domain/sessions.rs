//! Server processes, and when one is taken to be gone.

use std::time::Duration;

use crate::clock::Instant;

/// How often a process says that it is there.
pub const BEAT: Duration = Duration::from_secs(10);
/// A process that was silent for so long is gone.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long the tasks of an orderly ended process stay with its agents, who may go on through another process.
pub const GRACE: Duration = Duration::from_secs(60);
/// How long a process that has ended is remembered.
pub const REMEMBERED: Duration = Duration::from_hours(7 * 24);
/// Who was not looking for longer than this knows nothing of the silence of others: the store was away, or the machine slept.
const LOOKS_APART_MAX: Duration = Duration::from_secs(30);

/// A process, told apart from every other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Where its number means something.
    pub place: Place,
    /// Its number.
    pub pid: i64,
    /// When it was started, in the machine's own count: numbers are used again.
    pub start: i64,
}

/// Where a process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The machine; empty when it has no name of its own.
    pub machine: String,
    /// The machine since it was started.
    pub boot: String,
    /// The space of process numbers: a container has its own.
    pub space: String,
}

impl Place {
    /// As one word, for the store.
    pub fn word(&self) -> String {
        format!("{}/{}/{}", self.machine, self.boot, self.space)
    }

    /// Reads [`Place::word`].
    pub fn parse(word: &str) -> Self {
        let mut parts = word.splitn(3, '/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Self { machine: next(), boot: next(), space: next() }
    }

    fn is_known(&self) -> bool {
        !self.boot.is_empty()
    }
}

/// What this machine says of a process number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// A process that was started then has it.
    Started(i64),
    /// No process has it.
    Nobody,
    /// It cannot be seen.
    Hidden,
}

/// Whether `other` is gone for certain. `here` is where this process runs, `sight` what is seen there of the other's number, `silent` for
/// how long the other said nothing.
pub fn is_gone(here: &Place, other: &Process, sight: Sight, silent: Duration) -> bool {
    if !here.is_known() || !other.place.is_known() {
        return false;
    }
    if *here == other.place {
        return match sight {
            Sight::Started(start) => start != other.start,
            Sight::Nobody => true,
            Sight::Hidden => false,
        };
    }
    // The machine was started again since. Copies of a machine may have one name, so it has to be silent too.
    !here.machine.is_empty()
        && here.machine == other.place.machine
        && here.boot != other.place.boot
        && silent >= LOOKS_APART_MAX
}

/// Since when this process has been looking without a break: only then silence says something of who is silent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attention {
    span: Option<(Instant, Instant)>,
}

impl Attention {
    /// It looks now. Whether it has looked for as long as others may be silent.
    pub fn look(&mut self, now: Instant) -> bool {
        let since = match self.span {
            Some((since, last)) if between(last, now) <= LOOKS_APART_MAX => since,
            _ => now,
        };
        self.span = Some((since, now));
        between(since, now) >= SILENCE_MAX
    }
}

/// The time from one moment to another, which is not before it.
pub fn between(earlier: Instant, later: Instant) -> Duration {
    Duration::from_micros(u64::try_from(later.0.saturating_sub(earlier.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Attention, Place, Process, Sight, is_gone};
    use crate::clock::Instant;

    fn place(machine: &str, boot: &str, space: &str) -> Place {
        Place { machine: machine.into(), boot: boot.into(), space: space.into() }
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for place in [place("m", "b", "pid:[1]"), place("", "b", ""), Place::default()] {
            assert_eq!(Place::parse(&place.word()), place);
        }
    }

    #[test]
    fn only_who_is_gone_for_certain_is_taken_to_be_gone() {
        let here = place("m", "b", "s");
        let of = |place: Place| Process { place, pid: 7, start: 100 };
        let (soon, late) = (Duration::from_secs(1), Duration::from_secs(31));
        assert!(is_gone(&here, &of(here.clone()), Sight::Nobody, soon));
        assert!(is_gone(&here, &of(here.clone()), Sight::Started(101), soon), "the number was used again");
        assert!(!is_gone(&here, &of(here.clone()), Sight::Started(100), late));
        assert!(!is_gone(&here, &of(here.clone()), Sight::Hidden, late));
        // A container on the same machine, another machine, and one that says nothing of itself.
        for other in [place("m", "b", "t"), place("n", "c", "s"), place("", "c", "s"), Place::default()] {
            assert!(!is_gone(&here, &of(other.clone()), Sight::Nobody, late), "{other:?}");
        }
        assert!(is_gone(&here, &of(place("m", "a", "s")), Sight::Nobody, late), "started again since");
        assert!(!is_gone(&here, &of(place("m", "a", "s")), Sight::Nobody, soon));
        assert!(!is_gone(&Place::default(), &of(Place::default()), Sight::Nobody, late));
    }

    #[test]
    fn silence_counts_only_for_who_has_listened() {
        let at = |seconds: i64| Instant(seconds * 1_000_000);
        let mut attention = Attention::default();
        let looks: Vec<bool> = [0, 10, 20, 30, 40, 50].map(|second| attention.look(at(second))).into();
        assert_eq!(looks, [false, false, false, false, false, true]);
        assert!(!attention.look(at(100)), "it was away itself");
        assert!(!attention.look(at(130)) && attention.look(at(145)));
    }
}
