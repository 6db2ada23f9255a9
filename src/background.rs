//! The only place that starts tasks: they are counted, told to stop by one token, and awaited at the end.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts tasks and ends them. Cloning shares.
#[derive(Clone, Default)]
pub struct Background {
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Background {
    /// Runs `task` beside the calls. It is awaited at the end of the process, so it must end soon after [`Background::stopping`].
    #[expect(clippy::disallowed_methods, reason = "this is the file that owns spawning")]
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.tasks.track_future(task));
    }

    /// Resolves when the process is asked to stop.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Asks every task to stop and waits for them, at most `patience`.
    pub async fn stop(&self, patience: Duration) {
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "some background tasks did not end in time");
        }
    }
}
