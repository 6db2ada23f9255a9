//! A call and its work on a thread that may block: it ends at the deadline, or when its caller goes.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::error::{Code, Error};

/// One call: when it must end, and whether its caller has gone.
#[derive(Debug)]
pub(super) struct Call {
    cancelled: AtomicBool,
    deadline: Instant,
    /// The time it was given.
    pub allowed: Duration,
    /// The file it works on, once it does.
    path: OnceLock<PathBuf>,
}

impl Call {
    /// A call that starts now.
    pub(super) fn new(allowed: Duration) -> Arc<Self> {
        Arc::new(Self {
            cancelled: AtomicBool::new(false),
            deadline: Instant::now() + allowed,
            allowed,
            path: OnceLock::new(),
        })
    }

    /// Says which file it works on, for its failures.
    pub(super) fn is_on(&self, path: &Path) {
        self.path.get_or_init(|| path.to_owned());
    }

    /// The file it works on.
    pub(super) fn path(&self) -> &Path {
        self.path.get().map_or(Path::new("the embedded database"), PathBuf::as_path)
    }

    /// Whether to stop.
    pub(super) fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    /// Whether the caller has gone.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Tells the work to stop when the future that waits for it is dropped.
struct StopOnDrop(Arc<Call>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread that may block. Dropping the future stops the work.
pub(super) async fn spawn_blocking_cancellable<T, F>(call: Arc<Call>, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(&Arc<Call>) -> Result<T, Error> + Send + 'static,
{
    let _stop = StopOnDrop(Arc::clone(&call));
    let done = tokio::task::spawn_blocking(move || work(&call)).await;
    done.unwrap_or_else(|panic| {
        Err(Error::new(Code::Internal, "the embedded database failed unexpectedly").cause(panic))
    })
}
