//! Time limits that count only the time which this process could use: what takes long because this machine has too much to do says
//! nothing of who is waited for.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Time is counted in pieces of this length.
const PIECE: Duration = Duration::from_millis(100);
/// A piece that took longer by so much was not this process's own.
const LATE: Duration = Duration::from_millis(50);
/// Pieces that are not counted, for each one that is: even a process that hardly runs comes to an end.
const UNCOUNTED_MAX: u128 = 10;

/// What `future` gives within `limit`, in which only time counts that this process could use: on an overloaded machine the answer may
/// have come long ago and nobody has looked yet.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(future);
    let mut left = limit;
    let mut uncounted = (limit.as_millis() / PIECE.as_millis() + 1).saturating_mul(UNCOUNTED_MAX);
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
