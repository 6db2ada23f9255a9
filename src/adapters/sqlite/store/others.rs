//! What other processes do to the file: SQLite counts it, and whoever waits here is woken when the count changes.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::{runtime::Handle, sync::watch};

use crate::{adapters::sqlite::file::File, changes::Changes};

/// Between two probes while somebody waits. One takes two microseconds; whoever waits is to be woken within ten milliseconds of a commit.
const PAUSE: Duration = Duration::from_millis(8);

/// Notices other processes' commits.
pub(super) struct Others {
    changes: Arc<Changes>,
    /// What the writing connection said last: it counts what other connections commit, and not what it commits itself.
    seen: AtomicI64,
}

impl Others {
    pub(super) fn new(changes: Arc<Changes>) -> Self {
        Self { changes, seen: AtomicI64::new(-1) }
    }

    pub(super) fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// Wakes everybody when another process has committed something since the last probe.
    pub(super) fn probe(&self, writing: &Connection) {
        let found =
            writing.prepare_cached("PRAGMA data_version").and_then(|mut asked| asked.query_row([], |row| row.get(0)));
        if let Ok(version) = found
            && self.seen.swap(version, Ordering::Relaxed) != version
        {
            self.changes.tell_all();
        }
    }

    /// Probes from now on whenever somebody waits, on a thread of its own that ends with this.
    pub(super) fn watch(self: &Arc<Self>, file: &Arc<File>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (count, others, file) = (self.changes.count(), Arc::downgrade(self), Arc::downgrade(file));
        let started = thread::Builder::new().name("records-watch".to_owned()).spawn(move || {
            watch(&runtime, count, &others, &file);
        });
        if let Err(error) = started {
            tracing::error!("other processes' changes are noticed late: no thread can be started: {error}");
        }
    }
}

fn watch(runtime: &Handle, mut count: watch::Receiver<usize>, others: &Weak<Others>, file: &Weak<File>) {
    while runtime.block_on(count.wait_for(|count| *count > 0)).is_ok() {
        let (Some(others), Some(file)) = (others.upgrade(), file.upgrade()) else { return };
        // While it is in use, whoever uses it looks.
        file.with_idle_writer(|writing| others.probe(writing));
        drop((others, file));
        thread::sleep(PAUSE);
    }
}
