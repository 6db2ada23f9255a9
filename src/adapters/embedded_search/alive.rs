//! Whether the caller still waits: work off the async thread asks it between steps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::error::{Code, Error};

/// Shared by a call and its work.
#[derive(Debug, Clone)]
pub(super) struct Alive {
    dropped: Arc<AtomicBool>,
    deadline: Instant,
}

/// Held by the call: when it is dropped, the work stops.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicBool>);

impl Alive {
    /// For a call that waits at most `time`.
    pub(super) fn new(time: Duration) -> (Self, Waiting) {
        let dropped = Arc::new(AtomicBool::new(false));
        (Self { dropped: Arc::clone(&dropped), deadline: Instant::now() + time }, Waiting(dropped))
    }

    /// Whether to go on.
    pub(super) fn is(&self) -> bool {
        !self.dropped.load(Ordering::Relaxed) && Instant::now() < self.deadline
    }

    /// Whether to go on, as an error.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.dropped.load(Ordering::Relaxed) {
            return Err(Error::new(Code::Cancelled, "the call was cancelled"));
        }
        if Instant::now() >= self.deadline {
            return Err(Error::new(Code::Timeout, "the search exceeded its time limit")
                .hint("narrow the query, or ask again: the work done so far is kept"));
        }
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
