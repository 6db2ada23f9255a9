//! What attempts have written: a row beside each effect, in the same transaction, in a table that no tool shows.

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    adapters::sqlite::{call::Call, failure},
    domain::json,
    error::Error,
    ports::attempts::{Settled, taken_over},
};

/// The table's name.
pub(super) const TABLE: &str = "callboard_attempt";

/// `answer` is NULL for an attempt that may have no effect any more. `made_at` in seconds since 1970 UTC.
const MAKE: &str = "-- attempt_table
CREATE TABLE IF NOT EXISTS main.callboard_attempt (id TEXT PRIMARY KEY NOT NULL, answer TEXT, made_at INTEGER NOT NULL) WITHOUT ROWID";
/// Longer than any key is remembered.
const FORGET: &str = "-- attempt_forget\nDELETE FROM main.callboard_attempt WHERE made_at < unixepoch() - 172800";
const KEEP: &str = "-- attempt_keep\nINSERT INTO main.callboard_attempt VALUES (?1, ?2, unixepoch())";
const FIND: &str = "-- attempt_find\nSELECT answer FROM main.callboard_attempt WHERE id = ?1";

/// Keeps what will be answered, in the transaction of the effect.
///
/// # Errors
/// When another attempt has the call now.
pub(super) fn keep<T: Serialize>(
    transaction: &Connection,
    attempt: Option<&str>,
    answer: &T,
    call: &Call,
) -> Result<(), Error> {
    let Some(attempt) = attempt else { return Ok(()) };
    let answer = json::of(answer);
    match write(transaction, attempt, Some(answer.get())) {
        Ok(()) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Err(taken_over()),
        Err(error) => Err(failure::of(error, call)),
    }
}

/// What became of an attempt. Under the write lock nobody is at work; one that left nothing is kept from writing later.
pub(super) fn settle(connection: &mut Connection, attempt: &str, call: &Call) -> Result<Settled, Error> {
    let mut settled = || -> rusqlite::Result<Settled> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(MAKE)?;
        let kept: Option<Option<String>> = transaction.query_row(FIND, [attempt], |row| row.get(0)).optional()?;
        Ok(match kept {
            Some(Some(answer)) => Settled::Stands(RawValue::from_string(answer).ok()),
            Some(None) => Settled::Never,
            None => {
                write(&transaction, attempt, None)?;
                transaction.commit()?;
                Settled::Never
            }
        })
    };
    settled().map_err(|error| failure::of(error, call))
}

fn write(transaction: &Connection, attempt: &str, answer: Option<&str>) -> rusqlite::Result<()> {
    transaction.execute_batch(MAKE)?;
    transaction.execute(FORGET, [])?;
    transaction.execute(KEEP, params![attempt, answer]).map(drop)
}
