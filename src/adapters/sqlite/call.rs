//! A call whose work blocks a thread: it ends with its time, and soon after its caller has gone.

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
pub(in crate::adapters) struct Call {
    cancelled: AtomicBool,
    deadline: Instant,
    /// The time it was given.
    pub allowed: Duration,
    /// The file it works on, once it does.
    path: OnceLock<PathBuf>,
}

impl Call {
    /// A call that starts now.
    pub(in crate::adapters) fn new(allowed: Duration) -> Arc<Self> {
        Arc::new(Self {
            cancelled: AtomicBool::new(false),
            deadline: Instant::now() + allowed,
            allowed,
            path: OnceLock::new(),
        })
    }

    /// Says which file it works on, for its failures.
    pub(in crate::adapters) fn is_on(&self, path: &Path) {
        self.path.get_or_init(|| path.to_owned());
    }

    /// The file it works on.
    pub(in crate::adapters) fn path(&self) -> &Path {
        self.path.get().map_or(Path::new("the embedded database"), PathBuf::as_path)
    }

    /// Whether to stop.
    pub(in crate::adapters) fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    /// Whether the caller has gone.
    pub(in crate::adapters) fn is_cancelled(&self) -> bool {
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

/// Runs `work` on a thread that may block. Dropping the future stops the work. `backend`: whose failure a panic is.
pub(in crate::adapters) async fn spawn_blocking_cancellable<T, F>(
    backend: &str,
    call: Arc<Call>,
    work: F,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(&Arc<Call>) -> Result<T, Error> + Send + 'static,
{
    let _stop = StopOnDrop(Arc::clone(&call));
    let done = tokio::task::spawn_blocking(move || work(&call)).await;
    done.unwrap_or_else(|panic| Err(Error::new(Code::Internal, format!("{backend} failed unexpectedly")).cause(panic)))
}
