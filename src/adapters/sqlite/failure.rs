//! The one place where SQLite's errors get their meaning.

use std::path::Path;

use rusqlite::ErrorCode;

use super::call::Call;
use crate::{
    adapters::disk,
    error::{Code, Error, Place},
};

/// What a failure means for the call in which it came up.
pub(super) fn of(error: rusqlite::Error, call: &Call) -> Error {
    if let Some(fault) = of_file(&error, call.path()) {
        return fault.cause(without_statement(error));
    }
    let text = words(&error);
    let meaning = match code_of(&error) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted) => over(call),
        Some(ErrorCode::AuthorizationForStatementDenied) => denied(&text),
        Some(ErrorCode::TooBig) => Error::new(Code::Limit, "a value or the statement is too big").argument("query"),
        Some(ErrorCode::OutOfMemory) => Error::new(Code::Limit, "the statement needs too much memory"),
        Some(ErrorCode::Unknown) => statement(&error, &text),
        Some(ErrorCode::TypeMismatch | ErrorCode::ConstraintViolation) => Error::new(Code::Invalid, text.clone()),
        _ => match &error {
            rusqlite::Error::MultipleStatement => denied("it holds more than one statement"),
            _ => Error::new(Code::Internal, "the embedded database failed"),
        },
    };
    meaning.cause(without_statement(error))
}

/// What a failure of the file or its disk means; `None` when it is none.
pub(in crate::adapters) fn of_file(error: &rusqlite::Error, path: &Path) -> Option<Error> {
    let what = match code_of(error)? {
        ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => {
            return Some(disk::damaged(path, &format!("it is damaged, or another program's ({})", words(error))));
        }
        ErrorCode::DiskFull => return Some(disk::failed(path, "written", disk::full())),
        ErrorCode::CannotOpen => "opened",
        // A statement that would write is stopped before: this is the file's own state.
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => "written",
        ErrorCode::SystemIoFailure => "read or written",
        _ => return None,
    };
    Some(match disk::why_unwritable(path) {
        Some(cause) => disk::failed(path, what, cause),
        None if what == "read or written" => disk::failed(path, what, disk::faulty()),
        None => Error::new(Code::Unavailable, format!("`{}` cannot be {what}: {}", path.display(), words(error)))
            .hint("this user must be able to read and write it, the files beside it and their directory; CALLBOARD_DATA_DIR names that"),
    })
}

/// The driver repeats the caller's statement, which belongs in no log.
fn without_statement(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqlInputError { error, msg, .. } => rusqlite::Error::SqliteFailure(error, Some(msg)),
        other => other,
    }
}

fn code_of(error: &rusqlite::Error) -> Option<ErrorCode> {
    match error {
        rusqlite::Error::SqliteFailure(error, _) | rusqlite::Error::SqlInputError { error, .. } => Some(error.code),
        _ => None,
    }
}

/// Whether another process has the file.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(code_of(error), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether it is the statement that cannot be run, and not its time, the file or the disk.
pub(super) fn is_of_statement(error: &rusqlite::Error) -> bool {
    use ErrorCode::{AuthorizationForStatementDenied, ConstraintViolation, TooBig, TypeMismatch, Unknown};
    matches!(
        code_of(error),
        Some(Unknown | TooBig | TypeMismatch | ConstraintViolation | AuthorizationForStatementDenied)
    )
}

/// The call ended before its work.
pub(super) fn over(call: &Call) -> Error {
    if call.is_cancelled() {
        return Error::new(Code::Cancelled, "cancelled by the caller");
    }
    Error::new(Code::Timeout, format!("the statement did not end within {} ms", call.allowed.as_millis())).hint(
        "ask for less, use explain_query to see what is slow, or give execute_query a longer timeout_ms; nothing was changed",
    )
}

/// SQLite's own words.
pub(super) fn words(error: &rusqlite::Error) -> String {
    match error {
        // Not "token:", which looks like a secret's name.
        rusqlite::Error::SqlInputError { msg, .. } => match quoted_column(msg) {
            Some(name) => format!("no such column: {name}"),
            None => msg.replace("unrecognized token:", "unrecognized characters"),
        },
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}

/// The name in double quotes that is no column, which SQLite says with advice of its own.
fn quoted_column(words: &str) -> Option<String> {
    let name = words
        .strip_prefix("no such column: \"")?
        .strip_suffix("\" - should this be a string literal in single-quotes?")?;
    Some(name.replace("\"\"", "\""))
}

fn denied(what: &str) -> Error {
    Error::new(Code::Denied, format!("a query only reads; {what}"))
        .argument("query")
        .hint("use insert_data, bulk_insert or create_table to write")
        .place(Place { backend_code: Some("42501".to_owned()), ..Place::default() })
}

/// A statement that SQLite does not understand. The codes are PostgreSQL's, so that callers meet the same on every backend.
fn statement(error: &rusqlite::Error, text: &str) -> Error {
    let position = match error {
        rusqlite::Error::SqlInputError { sql, offset, .. } => usize::try_from(*offset)
            .ok()
            .and_then(|offset| sql.get(..offset))
            .and_then(|before| u32::try_from(before.chars().count() + 1).ok()),
        _ => None,
    };
    let (sqlstate, hint) = match text {
        text if text.starts_with("no such table") => ("42P01", Some("list_tables shows the tables")),
        text if text.starts_with("no such column") => {
            ("42703", Some("get_schema shows the columns of a table; a text stands in single quotes"))
        }
        "no such function: any" | "no such function: all" => {
            ("42883", Some("this database is SQLite: `in (select value from json_each($1))` is its `= any($1)`"))
        }
        "DISTINCT aggregates must have exactly one argument" => (
            "42883",
            Some(
                "this database is SQLite: write (select string_agg(g, ',') from (select distinct g from t)) for string_agg(distinct g, ',') from t",
            ),
        ),
        text if text.starts_with("no such function") || text.contains("arguments") => {
            ("42883", Some("this database is SQLite, with its functions"))
        }
        text if text.starts_with("ambiguous column") => ("42702", None),
        text if text.contains("syntax error")
            || text.contains("unrecognized characters")
            || text.starts_with("incomplete") =>
        {
            (
                "42601",
                Some("this database is SQLite: cast(x as type) for `::`, LIKE ignores case, json_each() for arrays"),
            )
        }
        text if text.contains("overflow") => ("22003", None),
        text if text.contains("JSON") => ("22P02", None),
        text if text.contains("prohibited") || text.starts_with("not authorized") => return denied(text),
        text if text.contains("too many") || text.contains("too large") || text.contains("too deep") => {
            return Error::new(Code::Limit, text.to_owned())
                .argument("query")
                .place(Place { position, ..Place::default() });
        }
        _ => ("42000", None),
    };
    let code = if matches!(sqlstate, "42P01" | "42703" | "42883") { Code::NotFound } else { Code::Invalid };
    let refused = Error::new(code, text.to_owned()).argument("query").place(Place {
        position,
        backend_code: Some(sqlstate.to_owned()),
        ..Place::default()
    });
    match hint {
        Some(hint) => refused.hint(hint),
        None => refused,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rusqlite::{Connection, OpenFlags};

    use super::{Call, of};
    use crate::error::Code;

    #[test]
    fn a_file_that_cannot_be_written_is_no_fault_of_the_statement() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let call = Call::new(Duration::from_secs(9));
        call.is_on(&path);
        let refused = of(reader.execute_batch("INSERT INTO t VALUES (1)").unwrap_err(), &call);
        let message = format!("`{}` cannot be written: attempt to write a readonly database", path.display());
        assert_eq!((refused.code, &refused.message), (Code::Unavailable, &message));
    }
}
