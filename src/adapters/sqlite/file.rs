//! A database file that several processes share: opened so that none of them ever sees it locked.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, TryLockError},
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::{call::Call, collations, failure, still::Still};
use crate::{
    adapters::disk,
    error::{Code, Error},
};

/// Virtual machine steps between two checks of the clock.
const STEPS_BETWEEN_CHECKS: i32 = 1_000;
/// Waiting for another process: SQLite's own back-off starves one of them for seconds.
const BUSY_STEP: Duration = Duration::from_micros(400);

/// The file of a database, and the connections to it that are not in use.
pub(super) struct File {
    path: PathBuf,
    /// Makes a new file what it shall be; run once, in the first writing connection.
    prepare: fn(&mut Connection) -> Result<(), Error>,
    /// Makes a reading connection one that can only read; it gets the name by which the connection knows the file.
    restrict: fn(&mut Connection, &Path) -> rusqlite::Result<()>,
    /// Held open from the first use to the end: as long as it is, other processes that come and go leave the log in place.
    writer: Mutex<Option<Connection>>,
    readers: Mutex<Vec<Connection>>,
}

/// Idle reading connections to keep.
const READERS_KEPT: usize = 8;

impl File {
    pub(super) fn new(
        path: PathBuf,
        prepare: fn(&mut Connection) -> Result<(), Error>,
        restrict: fn(&mut Connection, &Path) -> rusqlite::Result<()>,
    ) -> Self {
        Self { path, prepare, restrict, writer: Mutex::new(None), readers: Mutex::new(Vec::new()) }
    }

    /// The path, for answers to the operator.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` with the writing connection, which only one call of this process has at a time. A panic in `work` costs the connection,
    /// not the file.
    pub(super) fn write<T>(
        &self,
        call: &Arc<Call>,
        work: impl FnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        call.is_on(&self.path);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if call.is_over() {
            return Err(failure::over(call));
        }
        let mut connection = match writer.take() {
            Some(connection) => connection,
            None => self.open_writer(call)?,
        };
        watch(&mut connection, call).map_err(|error| failure::of(error, call))?;
        let done = work(&mut connection);
        if connection.is_autocommit() {
            *writer = Some(connection);
        }
        done
    }

    /// Runs `look` with the writing connection, when it is open and not in use.
    pub(super) fn with_idle_writer(&self, look: impl FnOnce(&Connection)) {
        if let Ok(writer) = self.writer.try_lock()
            && let Some(connection) = writer.as_ref()
        {
            look(connection);
        }
    }

    /// Writes what is there already, so that a disk that takes no writes is noticed. Somebody who is writing proves the same.
    pub(super) fn try_writing(&self, call: &Arc<Call>) -> Result<(), Error> {
        call.is_on(&self.path);
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        let mut connection = match writer.take() {
            Some(connection) => connection,
            None => self.open_writer(call)?,
        };
        let tried = watch(&mut connection, call).and_then(|()| rewrite(&mut connection));
        if connection.is_autocommit() {
            *writer = Some(connection);
        }
        match tried {
            Err(error) if !failure::is_busy(&error) => Err(failure::of(error, call)),
            _ => Ok(()),
        }
    }

    /// Runs `work` with a reading connection of its own. What cannot be written can be read.
    pub(super) fn read<T>(
        &self,
        call: &Arc<Call>,
        work: impl FnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        call.is_on(&self.path);
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (mut connection, still) = match kept {
            Some(connection) => (connection, None),
            None => self.open_reader(call)?,
        };
        watch(&mut connection, call).map_err(|error| failure::of(error, call))?;
        let done = work(&mut connection);
        if let Some(still) = still {
            return still.checked(done);
        }
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_autocommit() && readers.len() < READERS_KEPT {
            readers.push(connection);
        }
        done
    }

    fn open_writer(&self, call: &Arc<Call>) -> Result<Connection, Error> {
        let mut connection = open_to_write(&self.path, call, |error| failure::of(error, call))?;
        (self.prepare)(&mut connection)?;
        Ok(connection)
    }

    fn open_reader(&self, call: &Arc<Call>) -> Result<(Connection, Option<Still>), Error> {
        // The writing connection comes first: it makes the file and keeps it readable.
        if let Err(unwritable) = self.keep_writer(call) {
            return self.open_still(call, unwritable);
        }
        let connection = until_free(call, || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(&self.path, flags)?;
            self.make_reader(&mut connection, &self.path, call)?;
            Ok(connection)
        })
        .map_err(|error| failure::of(error, call))?;
        Ok((connection, None))
    }

    fn keep_writer(&self, call: &Arc<Call>) -> Result<(), Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() {
            *writer = Some(self.open_writer(call)?);
        }
        Ok(())
    }

    /// A reading connection where there can be no writing one.
    fn open_still(&self, call: &Arc<Call>, unwritable: Error) -> Result<(Connection, Option<Still>), Error> {
        let Some((mut connection, still)) = disk::only_reads(&self.path).then(|| Still::open(&self.path)).flatten()
        else {
            return Err(unwritable);
        };
        (self.prepare)(&mut connection)?;
        self.make_reader(&mut connection, still.name(), call).map_err(|error| failure::of(error, call))?;
        Ok((connection, Some(still)))
    }

    fn make_reader(&self, connection: &mut Connection, name: &Path, call: &Arc<Call>) -> rusqlite::Result<()> {
        watch(connection, call)?;
        collations::register(connection)?;
        (self.restrict)(connection, name)
    }
}

/// Opens a file that other processes share to write to it, and makes it when there is none. Its statements end with the call.
pub(in crate::adapters) fn open_to_write(
    path: &Path,
    call: &Arc<Call>,
    failed: impl Fn(rusqlite::Error) -> Error,
) -> Result<Connection, Error> {
    call.is_on(path);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| disk::failed(folder, "made", error))?;
        refuse_network(folder)?;
    }
    disk::make_database_private(path);
    until_free(call, || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        watch(&mut connection, call)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        collations::register(&connection)?;
        // Reading the schema makes the log's index file, without which no reading connection can be opened.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA journal_size_limit = 67108864; SELECT count(*) FROM sqlite_schema;",
        )?;
        Ok(connection)
    })
    .map_err(failed)
}

/// Shared memory, which the write-ahead log needs, does not reach across machines.
#[cfg(target_os = "linux")]
fn refuse_network(folder: &Path) -> Result<(), Error> {
    const NETWORK: [(u32, &str); 5] =
        [(0x6969, "NFS"), (0x517b, "SMB"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB 2"), (0x5346_414f, "AFS")];
    let Ok(found) = rustix::fs::statfs(folder) else { return Ok(()) };
    match NETWORK.iter().find(|(number, _)| i128::from(found.f_type) & 0xffff_ffff == i128::from(*number)) {
        None => Ok(()),
        Some((_, kind)) => Err(Error::new(
            Code::Unavailable,
            format!("the embedded database cannot be on a network file system, and this folder is on {kind}"),
        )
        .hint("set CALLBOARD_DATA_DIR to a folder on a local disk, or use PostgreSQL")),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_folder: &Path) -> Result<(), Error> {
    Ok(())
}

/// Commits a page that says what it said.
pub(in crate::adapters) fn rewrite(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

/// Makes the connection's statements and its waiting for others end with the call.
pub(in crate::adapters) fn watch(connection: &mut Connection, call: &Arc<Call>) -> rusqlite::Result<()> {
    let watched = Arc::clone(call);
    connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || watched.is_over()))?;
    let watched = Arc::clone(call);
    connection.busy_handler(Some(move |times: i32| {
        pause(times);
        !watched.is_over()
    }))
}

/// Some steps of opening answer "busy" without asking the busy handler.
fn until_free<T>(call: &Arc<Call>, mut open: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let mut times = 0;
    loop {
        match open() {
            Err(error) if failure::is_busy(&error) && !call.is_over() => {
                pause(times);
                times += 1;
            }
            other => return other,
        }
    }
}

/// Short, with jitter, so that waiting processes do not wake together.
fn pause(times: i32) {
    let jitter = u32::try_from(times).unwrap_or_default().wrapping_mul(2_654_435_761) ^ std::process::id();
    thread::sleep(BUSY_STEP + Duration::from_micros(u64::from(jitter % 401)));
}
