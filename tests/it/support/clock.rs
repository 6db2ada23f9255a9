//! A clock that tests move.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use callboard::clock::{Clock, Instant};

/// Stands still until it is moved.
pub struct TestClock(AtomicI64);

impl Default for TestClock {
    /// Some moment in 2026.
    fn default() -> Self {
        Self(AtomicI64::new(1_780_000_000_000_000))
    }
}

impl TestClock {
    /// Moves it on.
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::SeqCst))
    }
}
