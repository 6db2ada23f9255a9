//! The record store's tables, version by version. Forward only; a released file is never edited.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::{
    adapters::{disk, sqlite::failure},
    error::{Code, Error},
};

/// Every version in order; the first is 1.
const MIGRATIONS: [&str; 4] = [
    include_str!("../../../../migrations/sqlite/0001_idempotency.sql"),
    include_str!("../../../../migrations/sqlite/0002_workflows.sql"),
    include_str!("../../../../migrations/sqlite/0003_events_of_agents.sql"),
    include_str!("../../../../migrations/sqlite/0004_attempts.sql"),
];

/// The newest version.
pub(super) const NEWEST: usize = MIGRATIONS.len();

/// Brings a file up to date, under the write lock, so that of several processes one does it.
///
/// # Errors
/// When the file is another program's, or a newer server has written it.
pub(super) fn apply(connection: &mut Connection) -> Result<(), Error> {
    match found(connection) {
        Ok(NEWEST) => return Ok(()),
        Ok(0) if is_filled(connection).is_ok_and(|filled| filled) => return Err(foreign(&path_of(connection))),
        _ => {}
    }
    match migrate(connection) {
        Ok(version) if version <= NEWEST => Ok(()),
        Ok(version) => Err(disk::newer(&path_of(connection), version, NEWEST)),
        Err(error) => Err(failed(error, &path_of(connection))),
    }
}

/// Holds a file to the newest version; only a new one is filled.
///
/// # Errors
/// `unavailable` when the file is of another version.
pub(super) fn hold(connection: &mut Connection) -> Result<(), Error> {
    match found(connection).map_err(|error| failed(error, &path_of(connection)))? {
        0 => apply(connection),
        version if version < NEWEST => Err(Error::new(
            Code::Unavailable,
            format!("the record store has version {version}, and this server needs {NEWEST}"),
        )
        .hint("CALLBOARD_MIGRATE=never keeps it from being changed: run `callboard migrate`")),
        NEWEST => Ok(()),
        version => Err(disk::newer(&path_of(connection), version, NEWEST)),
    }
}

/// A failure while the file is looked at or brought up to date.
pub(super) fn failed(error: rusqlite::Error, path: &Path) -> Error {
    let meaning = match failure::of_file(&error, path) {
        Some(fault) => fault,
        // The tables are there, and not as ours are.
        None if error.sqlite_error_code() == Some(ErrorCode::Unknown) => foreign(path),
        None => {
            let path = path.display();
            Error::new(Code::Unavailable, format!("`{path}` cannot be brought up to date: {}", failure::words(&error)))
        }
    };
    meaning.cause(error)
}

fn foreign(path: &Path) -> Error {
    disk::damaged(path, "it holds the tables of another program")
}

fn path_of(connection: &Connection) -> PathBuf {
    connection.path().map(PathBuf::from).unwrap_or_default()
}

fn is_filled(connection: &Connection) -> rusqlite::Result<bool> {
    let statement = "-- schema_is_filled\nSELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name <> 'schema_version')";
    connection.query_row(statement, [], |row| row.get(0))
}

/// The version a file has; 0 for a new one.
pub(super) fn found(connection: &Connection) -> rusqlite::Result<usize> {
    let is_new: bool = connection.query_row(
        "-- schema_version_exists\nSELECT NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'schema_version')",
        [],
        |row| row.get(0),
    )?;
    if is_new {
        return Ok(0);
    }
    let newest = "-- schema_version\nSELECT coalesce(max(version), 0) FROM schema_version";
    let found: i64 = connection.query_row(newest, [], |row| row.get(0))?;
    Ok(usize::try_from(found).unwrap_or(usize::MAX))
}

/// The version the file has afterwards.
fn migrate(connection: &mut Connection) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "-- schema_version_create\nCREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY NOT NULL) STRICT",
    )?;
    let found = found(&transaction)?;
    for (place, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        transaction.execute_batch(migration)?;
        transaction
            .execute("-- schema_version_add\nINSERT INTO schema_version (version) VALUES (?1)", [place as i64 + 1])?;
    }
    transaction.commit()?;
    Ok(found.max(NEWEST))
}
