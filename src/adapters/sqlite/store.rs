//! The embedded record store: `callboard.db`, which several processes share.

mod failure;
mod migrations;
mod others;
mod session;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};

use self::{others::Others, writer::Writer};
use super::{
    call::{Call, spawn_blocking_cancellable},
    file::File,
};
use crate::{
    adapters::disk,
    changes::Changes,
    config::Migrate,
    domain::ops::{BackendStatus, Migration, State},
    error::Error,
    store::{Backend, Step},
};

/// Statements that a connection keeps prepared: more than there are in all transitions.
const STATEMENTS_KEPT: usize = 512;
/// What a read may take, waiting for other processes included.
const TIME: Duration = Duration::from_secs(10);

/// The embedded record store, one file. Opened, and brought up to date, when first used.
pub struct RecordFile {
    file: Arc<File>,
    writer: Writer,
    others: Arc<Others>,
    watches: AtomicBool,
}

impl RecordFile {
    /// Opened when first used.
    pub fn new(path: PathBuf, migrate: Migrate) -> Self {
        Self::telling(path, migrate, Arc::default())
    }

    /// The same, telling `changes` what changes there.
    pub fn telling(path: PathBuf, migrate: Migrate, changes: Arc<Changes>) -> Self {
        let prepare: fn(&mut Connection) -> Result<(), Error> = match migrate {
            Migrate::Auto => |connection| migrations::apply(keeping(connection)),
            Migrate::Never => |connection| migrations::hold(keeping(connection)),
        };
        let only_reads =
            |connection: &mut Connection, _: &Path| keeping(connection).execute_batch("PRAGMA query_only = ON");
        let file = Arc::new(File::new(path, prepare, only_reads));
        let others = Arc::new(Others::new(changes));
        let writer = Writer::new(Arc::clone(&file), Arc::clone(&others));
        Self { file, writer, others, watches: AtomicBool::new(false) }
    }

    /// Whoever waits is woken from the first use on.
    fn watch(&self) {
        if !self.watches.swap(true, Ordering::Relaxed) {
            self.others.watch(&self.file);
        }
    }

    /// The version the file has and the one it gets; changes nothing when `dry_run`.
    ///
    /// # Errors
    /// When the file cannot be opened, or a newer server has written it.
    pub fn migrate(path: &Path, dry_run: bool) -> Result<Migration, Error> {
        let unusable = |error| migrations::failed(error, path);
        let version_found = if path.exists() {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(unusable)?;
            connection.busy_timeout(TIME).and_then(|()| migrations::found(&connection)).map_err(unusable)?
        } else {
            0
        };
        if !dry_run {
            let store = Self::new(path.to_owned(), Migrate::Auto);
            store.file.write(&Call::new(TIME), |_| Ok(()))?;
        }
        Ok(Migration { place: path.display().to_string(), version_found, version_newest: migrations::NEWEST })
    }
}

impl RecordFile {
    /// Why the file cannot be used.
    async fn problem(&self) -> Option<Error> {
        let file = Arc::clone(&self.file);
        let found = spawn_blocking_cancellable("the embedded database", Call::new(TIME), move |call| {
            file.read(call, |connection| migrations::found(connection).map_err(|error| failure::of(error, call)))
        });
        if let Err(error) = found.await {
            return Some(failure::reworded(error));
        }
        let file = Arc::clone(&self.file);
        spawn_blocking_cancellable("the embedded database", Call::new(TIME), move |call| file.try_writing(call))
            .await
            .err()
            .map(failure::reworded)
    }
}

/// Transitions take turns with dozens of statements: of the sixteen that are kept by default hardly one would be found again.
fn keeping(connection: &mut Connection) -> &mut Connection {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection
}

#[async_trait::async_trait]
impl Backend for RecordFile {
    async fn submit(&self, step: Box<dyn Step>) -> Result<(), Error> {
        self.watch();
        self.writer.submit(step)
    }

    async fn read(&self, step: Box<dyn Step>) -> Result<(), Error> {
        self.watch();
        let file = Arc::clone(&self.file);
        let looked = spawn_blocking_cancellable("the embedded database", Call::new(TIME), move |call| {
            file.read(call, |connection| session::read(connection, call, step))
        });
        looked.await.map_err(failure::reworded)
    }

    fn changes(&self) -> &Arc<Changes> {
        self.others.changes()
    }

    async fn status(&self) -> BackendStatus {
        let begun = Instant::now();
        let problem =
            if self.file.path().exists() { self.problem().await } else { disk::cannot_be_made(self.file.path()) };
        BackendStatus {
            name: "store".to_owned(),
            kind: "sqlite",
            state: if problem.is_none() { State::Up } else { State::Down },
            version: Some(rusqlite::version().to_owned()),
            latency_ms: begun.elapsed().as_secs_f64() * 1_000.0,
            problem,
            notes: Vec::new(),
            remedy: None,
        }
    }
}
