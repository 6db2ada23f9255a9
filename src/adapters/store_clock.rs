//! The time of the record store, by which leases end: the same in all processes that share it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::clock::{Clock, Instant, SystemClock};

/// By how many parts in a million two clocks may go apart.
const DRIFT_PPM: i64 = 100;

/// The record store's time: the machine's, and what the store's own differs from it. Never goes back.
#[derive(Debug, Default)]
pub struct StoreClock {
    differs_by: AtomicI64,
    newest: AtomicI64,
    trusted: Mutex<Option<Trusted>>,
}

/// One question to the store for its time.
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    /// The store's clock is ahead of the machine's by so many microseconds, at the middle of the question.
    pub differs_by: i64,
    /// How long the answer took. The store read its clock somewhere within: the error is up to half of it.
    pub round_trip: Duration,
}

/// The measurement that counts.
#[derive(Debug, Clone, Copy)]
struct Trusted {
    measurement: Measurement,
    at: std::time::Instant,
}

impl Measurement {
    fn error(&self) -> i64 {
        micros(self.round_trip) / 2
    }
}

impl Trusted {
    /// What it may be wrong by now.
    fn error(&self) -> i64 {
        self.measurement.error() + micros(self.at.elapsed()) / 1_000_000 * DRIFT_PPM
    }

    /// Whether it says more than `newer` does. When both cannot be true, a clock was set since.
    fn is_better_than(&self, newer: &Measurement) -> bool {
        let apart = (self.measurement.differs_by - newer.differs_by).abs();
        self.error() < newer.error() && apart <= self.error() + newer.error()
    }
}

impl StoreClock {
    /// Goes by a measurement, unless an earlier one is still better: an answer that was late tells little.
    pub fn measured(&self, measurement: Measurement) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        if trusted.is_some_and(|trusted| trusted.is_better_than(&measurement)) {
            return;
        }
        *trusted = Some(Trusted { measurement, at: std::time::Instant::now() });
        self.differs_by.store(measurement.differs_by, Ordering::Relaxed);
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

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Clock, Duration, Instant, Measurement, Ordering, StoreClock, SystemClock};

    fn measure(clock: &StoreClock, differs_by: i64, round_trip_ms: u64) -> i64 {
        clock.measured(Measurement { differs_by, round_trip: Duration::from_millis(round_trip_ms) });
        clock.differs_by.load(Ordering::Relaxed)
    }

    #[test]
    fn the_stores_time_never_goes_back() {
        let clock = StoreClock::default();
        measure(&clock, 10_000_000_000, 1);
        let ahead = clock.now();
        assert!(ahead.0 - SystemClock.now().0 > 9_000_000_000);
        measure(&clock, 0, 1);
        assert_eq!(clock.now(), ahead);
        assert_eq!(clock.forward(ahead.0 + 1), Instant(ahead.0 + 1));
    }

    #[test]
    fn an_answer_that_was_late_is_not_believed() {
        let clock = StoreClock::default();
        assert_eq!(measure(&clock, 900_000, 2_600), 900_000, "nothing better is known");
        assert_eq!(measure(&clock, 5_000, 4), 5_000);
        // A message of 2.6 s puts the middle 1.3 s away from when the store was asked.
        assert_eq!(measure(&clock, 1_300_000, 2_602), 5_000);
        assert_eq!(measure(&clock, -1_300_000, 2_610), 5_000);
        assert_eq!(measure(&clock, 4_000, 2), 4_000, "a better one");
        assert_eq!(measure(&clock, 3_600_000_000, 2_600), 3_600_000_000, "a clock was set");
    }
}
