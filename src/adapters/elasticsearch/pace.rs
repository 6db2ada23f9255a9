//! How long silence means that nobody is there: less than a second, but longer for an engine that has been slow lately.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The least time that a sign of life is waited for.
const LEAST: Duration = Duration::from_millis(800);
/// And the most, however slow the engine was.
const MOST: Duration = Duration::from_secs(5);
/// So many times what the slowest sign of late took, a silence must last.
const TIMES_SLOWEST: u32 = 8;

/// How slow an engine's signs of life have been of late.
#[derive(Default)]
pub(super) struct Pace {
    slowest: Mutex<Option<Duration>>,
}

impl Pace {
    /// How long to wait for a sign of life before the engine counts as gone.
    pub(super) fn patience(&self) -> Duration {
        (self.slowest().unwrap_or_default() * TIMES_SLOWEST).clamp(LEAST, MOST)
    }

    /// Something that a living engine answers at once was answered after `took`. What was slower before fades.
    pub(super) fn note(&self, took: Duration) {
        let mut slowest = self.slowest();
        *slowest = Some(took.max(slowest.unwrap_or_default() / 16 * 15));
    }

    fn slowest(&self) -> MutexGuard<'_, Option<Duration>> {
        self.slowest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_engine_is_gone_within_a_second_and_a_slow_one_gets_more_time_until_it_is_quick_again() {
        let pace = Pace::default();
        assert_eq!(pace.patience(), LEAST);
        pace.note(Duration::from_millis(5));
        assert_eq!(pace.patience(), LEAST);
        pace.note(Duration::from_millis(500));
        assert_eq!(pace.patience(), Duration::from_secs(4));
        pace.note(Duration::from_secs(60));
        assert_eq!(pace.patience(), MOST);
        for _ in 0..200 {
            pace.note(Duration::from_millis(5));
        }
        assert_eq!(pace.patience(), LEAST);
    }
}
