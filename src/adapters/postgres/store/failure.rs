//! Failures of the record store's own statements, in words for callers who never wrote one.

use std::time::Duration;

use crate::{
    adapters::postgres::failure::sqlstate,
    error::{Code, Error, Place},
};

/// SQLSTATE of a standby that is asked for a transaction that writes.
const STANDBY: &str = "0A000";

/// Why nothing more can be done in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another transaction was in the way: no row is there twice but by two that did not see each other.
    Collision,
    /// The tables have gone, or were never there.
    Unmade,
    /// A statement failed otherwise.
    Statement,
    /// Prepared statements are not where they were put: a pooler hands out sessions.
    Mixed,
    /// The connection broke.
    Parted,
    /// The server has fallen silent.
    Silent,
}

impl Fault {
    /// Of a statement that failed.
    pub(super) fn of(error: &Error) -> Self {
        match sqlstate(error) {
            Some("40001" | "40P01" | "23505") => Self::Collision,
            Some("42P01" | "3F000") => Self::Unmade,
            Some("26000" | "42P05") => Self::Mixed,
            Some(state) if state.starts_with("57P") => Self::Parted,
            None if error.code == Code::Unavailable => Self::Parted,
            _ => Self::Statement,
        }
    }

    /// Whether the same may succeed when it is run again.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Self::Collision | Self::Mixed | Self::Parted)
    }
}

/// What a failure means for whoever asked for a transition.
pub(super) fn of(error: Error) -> Error {
    // Not its detail, which may hold what was to be written.
    let place = Place { backend_code: error.place.backend_code.clone(), ..Place::default() };
    let said = match error.code {
        Code::OutcomeUnknown | Code::Cancelled | Code::Limit => return error,
        Code::Unavailable => Error::new(Code::Unavailable, format!("the record store is down: {}", error.message))
            .hint("calls work again as soon as it answers; the operator should check CALLBOARD_STORE_URL, or DATABASE_URL where that is not set")
            .retry_after(error.retry_after.unwrap_or(Duration::from_secs(1))),
        Code::Busy | Code::Timeout => Error::new(Code::Busy, "the record store has too much to do")
            .hint("nothing was changed; try again")
            .retry_after(error.retry_after.unwrap_or(Duration::from_millis(500))),
        _ if error.code == Code::Denied || sqlstate(&error) == Some(STANDBY) => Error::new(Code::Unavailable, format!("the record store cannot be written: {}", error.message))
            .hint("the operator lets the role of this server own the schema `callboard`, on a server that takes writes")
            .retry_after(Duration::from_secs(1)),
        Code::NotFound => Error::new(Code::Unavailable, "the record store's tables are not what this server works on")
            .hint("the operator runs `callboard migrate`")
            .retry_after(Duration::from_secs(1)),
        Code::Invalid | Code::Conflict | Code::LeaseLost | Code::Denied | Code::Internal => {
            Error::new(Code::Internal, "the record store failed")
        }
    };
    said.place(place).cause(error)
}

#[cfg(test)]
mod tests {
    use super::{Code, Error, Place, of};

    #[test]
    fn words_are_for_whoever_wrote_no_statement() {
        let failed = |code, state: &str| {
            let place =
                Place { backend_code: Some(state.to_owned()), detail: Some("row".to_owned()), ..Place::default() };
            of(Error::new(code, "x").place(place))
        };
        for (code, state, said, message) in [
            (Code::Unavailable, "57P01", Code::Unavailable, "the record store is down: x"),
            (Code::Busy, "55P03", Code::Busy, "the record store has too much to do"),
            (Code::Denied, "25006", Code::Unavailable, "the record store cannot be written: x"),
            (Code::Invalid, "0A000", Code::Unavailable, "the record store cannot be written: x"),
            (Code::NotFound, "42P01", Code::Unavailable, "the record store's tables are not what this server works on"),
            (Code::Conflict, "23505", Code::Internal, "the record store failed"),
        ] {
            let error = failed(code, state);
            assert_eq!((error.code, error.message.as_str()), (said, message));
            assert_eq!((error.place.backend_code.as_deref(), &error.place.detail), (Some(state), &None));
        }
    }
}
