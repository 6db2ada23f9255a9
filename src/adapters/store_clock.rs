//! The time of the record store, by which leases end: the same in all processes that share it.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Clock, Instant, SystemClock};

/// The record store's time: the machine's, and what the store's own differs from it. Never goes back.
#[derive(Debug, Default)]
pub struct StoreClock {
    differs_by: AtomicI64,
    newest: AtomicI64,
}

impl StoreClock {
    /// The store's clock is ahead of the machine's by so many microseconds.
    pub fn differs_by(&self, micros: i64) {
        self.differs_by.store(micros, Ordering::Relaxed);
    }

    /// The newest time it said, or `time`.
    fn forward(&self, time: i64) -> Instant {
        Instant(self.newest.fetch_max(time, Ordering::Relaxed).max(time))
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Instant {
        self.forward(SystemClock.now().0.saturating_add(self.differs_by.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Instant, StoreClock, SystemClock};

    #[test]
    fn the_stores_time_never_goes_back() {
        let clock = StoreClock::default();
        clock.differs_by(10_000_000_000);
        let ahead = clock.now();
        assert!(ahead.0 - SystemClock.now().0 > 9_000_000_000);
        clock.differs_by(0);
        assert_eq!(clock.now(), ahead);
        assert_eq!(clock.forward(ahead.0 + 1), Instant(ahead.0 + 1));
    }
}
