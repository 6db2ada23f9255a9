//! How long silence means that nobody is there: less than a second for an engine that is quick, longer for one that has been slow lately, and
//! never the time in which this process itself could not run.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The least time that a sign of life is waited for.
const LEAST: Duration = Duration::from_millis(800);
/// And the most, however slow the engine was.
const MOST: Duration = Duration::from_secs(5);
/// So many times what the slowest sign of late took, a silence must last.
const TIMES_SLOWEST: u32 = 4;
/// Time is counted in pieces of this length.
const PIECE: Duration = Duration::from_millis(100);
/// A piece that took longer by so much was not this process's own.
const LATE: Duration = Duration::from_millis(50);
/// Pieces that are not counted, for each one that is: even a process that hardly runs comes to an end.
const UNCOUNTED_MAX: u32 = 10;

/// How slow an engine's signs of life have been of late.
#[derive(Default)]
pub(super) struct Pace {
    slowest: Mutex<Duration>,
}

impl Pace {
    /// How long to wait for a sign of life before the engine counts as gone.
    pub(super) fn patience(&self) -> Duration {
        (*self.slowest() * TIMES_SLOWEST).clamp(LEAST, MOST)
    }

    /// Something that a living engine answers at once was answered after `took`. What was slower before fades.
    pub(super) fn note(&self, took: Duration) {
        let mut slowest = self.slowest();
        *slowest = took.max(*slowest / 8 * 7);
    }

    fn slowest(&self) -> MutexGuard<'_, Duration> {
        self.slowest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `future` gives within `limit`, in which only time counts that this process could use: on an overloaded machine the answer may
/// have come long ago and nobody has looked yet.
pub(super) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(future);
    let mut left = limit;
    let mut uncounted = (limit.div_duration_f64(PIECE).ceil() as u32).saturating_mul(UNCOUNTED_MAX);
    while !left.is_zero() {
        let piece = left.min(PIECE);
        let begun = Instant::now();
        if let Ok(done) = tokio::time::timeout(piece, &mut future).await {
            return Some(done);
        }
        if begun.elapsed() < piece + LATE || uncounted == 0 {
            left -= piece;
        } else {
            uncounted -= 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_engine_is_gone_within_a_second_and_a_slow_one_gets_more_time_until_it_is_quick_again() {
        let pace = Pace::default();
        pace.note(Duration::from_millis(5));
        assert_eq!(pace.patience(), LEAST);
        pace.note(Duration::from_millis(500));
        assert_eq!(pace.patience(), Duration::from_secs(2));
        pace.note(Duration::from_secs(60));
        assert_eq!(pace.patience(), MOST);
        for _ in 0..50 {
            pace.note(Duration::from_millis(5));
        }
        assert_eq!(pace.patience(), LEAST);
    }

    #[tokio::test]
    async fn time_in_which_nothing_here_runs_is_not_counted() {
        let (give, given) = tokio::sync::oneshot::channel();
        let starved = async {
            std::thread::sleep(Duration::from_millis(600));
            // The timers are looked at, and only then the answer comes.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            give.send(()).ok();
        };
        let (answer, ()) = tokio::join!(within(Duration::from_millis(300), given), starved);
        assert!(answer.is_some());
    }

    #[tokio::test]
    async fn silence_ends_the_wait() {
        let started = Instant::now();
        assert_eq!(within(Duration::from_millis(250), std::future::pending::<()>()).await, None);
        assert!(started.elapsed() >= Duration::from_millis(250));
    }
}
