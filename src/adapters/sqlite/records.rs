//! The embedded record store: `callboard.db`.

mod idempotency;
mod migrations;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::Semaphore;

use super::{
    failure,
    file::{Call, File, beside},
};
use crate::{
    config::Migrate,
    domain::ops::Migration,
    error::{Code, Error},
};

/// What a transition may take, waiting for other processes included.
const TIME: Duration = Duration::from_secs(10);

/// The record store, one file. Opened, and brought up to date, when first used.
pub struct RecordStore {
    file: Arc<File>,
    writing: Semaphore,
}

impl RecordStore {
    /// Opened when first used.
    pub fn new(path: PathBuf, migrate: Migrate) -> Self {
        let prepare = match migrate {
            Migrate::Auto => migrations::apply,
            Migrate::Never => migrations::hold,
        };
        let only_reads =
            |connection: &mut Connection, _: &std::path::Path| connection.execute_batch("PRAGMA query_only = ON");
        Self { file: Arc::new(File::new(path, prepare, only_reads)), writing: Semaphore::new(1) }
    }

    /// The version the file has and the one it gets; changes nothing when `dry_run`.
    ///
    /// # Errors
    /// When the file cannot be opened, or a newer server has written it.
    pub fn migrate(path: &Path, dry_run: bool) -> Result<Migration, Error> {
        let unusable = |error| Error::new(Code::Unavailable, "the record store cannot be opened").cause(error);
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
        Ok(Migration { path: path.to_owned(), version_found, version_newest: migrations::NEWEST })
    }

    /// Runs one transition: its changes are on disk when this returns, or nothing is changed.
    async fn transact<T: Send + 'static>(
        &self,
        transition: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let stopping = |_| Error::new(Code::Unavailable, "the server is stopping");
        let _turn = self.writing.acquire().await.map_err(stopping)?;
        let file = Arc::clone(&self.file);
        beside(Call::new(TIME), move |call| {
            file.write(call, |connection| {
                let run = |connection: &mut Connection| {
                    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    let done = transition(&transaction)?;
                    transaction.commit()?;
                    Ok(done)
                };
                run(connection).map_err(|error| failure::of(error, call))
            })
        })
        .await
    }
}
