//! Failures of the record store's own statements, in words for callers who never wrote one.

use std::time::Duration;

use rusqlite::ErrorCode;

use crate::{
    adapters::{
        disk,
        sqlite::{call::Call, failure},
    },
    error::{Code, Error},
};

/// What a failure of SQLite means for whoever asked for a transition.
pub(super) fn of(error: rusqlite::Error, call: &Call) -> Error {
    reworded(failure::of(error, call))
}

/// The same while COMMIT was under way: what a disk that failed has kept shows when the file is opened again.
pub(super) fn in_commit(error: rusqlite::Error, call: &Call) -> Error {
    if error.sqlite_error_code() != Some(ErrorCode::SystemIoFailure) {
        return of(error, call);
    }
    Error::new(
        Code::OutcomeUnknown,
        format!("the disk of `{}` failed during the commit; the write may or may not stand", call.path().display()),
    )
    .hint("repeat the call with the same idempotency_key, or check whether it took effect")
    .cause(error)
}

/// The same for a failure that has words for a statement's author.
pub(super) fn reworded(error: Error) -> Error {
    if disk::is_damage(&error) {
        return error;
    }
    let said = match error.code {
        // Its words are about the file, and right for everybody.
        Code::Unavailable | Code::Cancelled | Code::OutcomeUnknown => return error,
        Code::Timeout | Code::Busy => {
            Error::new(Code::Busy, "the record store is in use by other processes, or overloaded")
                .hint("nothing was changed; try again")
                .retry_after(Duration::from_millis(500))
        }
        Code::Invalid
        | Code::NotFound
        | Code::Conflict
        | Code::LeaseLost
        | Code::Limit
        | Code::Denied
        | Code::Internal => Error::new(Code::Internal, "the record store failed"),
    };
    said.cause(error)
}
