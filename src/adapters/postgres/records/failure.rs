//! Failures of the record store's own statements, in words for callers who never wrote one.

use std::time::Duration;

use crate::{
    adapters::postgres::failure::sqlstate,
    error::{Code, Error, Place},
};

/// What a failure means for whoever asked for a transition.
pub(super) fn of(error: Error) -> Error {
    // Not its detail, which may hold what was to be written.
    let place = Place { backend_code: error.place.backend_code.clone(), ..Place::default() };
    let said = match error.code {
        Code::OutcomeUnknown | Code::Cancelled | Code::Limit => return error,
        Code::Unavailable => Error::new(Code::Unavailable, format!("the record store is down: {}", error.message))
            .hint("it is used again as soon as it answers; the operator looks at CALLBOARD_STORE_URL, or at DATABASE_URL where that is not set")
            .retry_after(error.retry_after.unwrap_or(Duration::from_secs(1))),
        Code::Busy | Code::Timeout => Error::new(Code::Busy, "the record store has too much to do")
            .hint("nothing was changed; try again")
            .retry_after(error.retry_after.unwrap_or(Duration::from_millis(500))),
        Code::Denied => Error::new(Code::Unavailable, format!("the record store cannot be written: {}", error.message))
            .hint("the operator lets the role of this server own the schema `callboard`, on a server that takes writes")
            .retry_after(Duration::from_secs(1)),
        Code::NotFound => Error::new(Code::Unavailable, "the record store's tables are not what this server works on")
            .hint("the operator runs `callboard migrate`")
            .retry_after(Duration::from_secs(1)),
        Code::Invalid | Code::Conflict | Code::LeaseLost | Code::Internal => {
            Error::new(Code::Internal, "the record store failed")
        }
    };
    said.place(place).cause(error)
}

/// Whether another transaction was in the way, so that the same may succeed when it is run again.
pub(super) fn is_collision(error: &Error) -> bool {
    matches!(sqlstate(error), Some("40001" | "40P01"))
}

/// The tables have gone, or were never there.
pub(super) fn is_unmade(error: &Error) -> bool {
    matches!(sqlstate(error), Some("42P01" | "3F000"))
}
