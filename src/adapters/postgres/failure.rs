//! The driver's errors by their meaning. The only place that reads SQLSTATE.

mod login;

use std::{error::Error as _, io, time::Duration};

use tokio_postgres::error::{DbError, ErrorPosition};

use crate::error::{Code, Error, Place};

/// The meaning of a failure on an open connection. Keeps PostgreSQL's own sentence, DETAIL, HINT and SQLSTATE.
///
/// A position counts in the statement that was sent; whoever put the caller's text into a larger one uses [`in_text`].
pub fn meaning(error: tokio_postgres::Error) -> Error {
    let Some(reported) = error.as_db_error() else { return without_words(error) };
    let code = code_of(reported);
    let place = place_of(reported);
    let retry_after = match code {
        Code::Busy => Some(Duration::from_millis(200)),
        Code::Unavailable => Some(Duration::from_secs(1)),
        _ => None,
    };
    let state = reported.code().code();
    let own = || login::hint(state, reported.message()).or_else(|| own_hint(state)).map(str::to_owned);
    let hint = reported.hint().map(str::to_owned).or_else(own);
    let message = match login_refused(state) {
        true => login::rejected(reported.message()),
        false => reported.message().to_owned(),
    };
    let mut meaning = Error::new(code, message).place(place);
    if let Some(hint) = hint {
        meaning = meaning.hint(hint);
    }
    if let Some(wait) = retry_after {
        meaning = meaning.retry_after(wait);
    }
    meaning.cause(error)
}

/// The same for a statement that holds the caller's text from character `before` on: the position counts in the caller's text, and
/// what is wrong behind its end is the end.
pub fn in_text(error: tokio_postgres::Error, before: usize, text: &str, argument: &'static str) -> Error {
    let mut place = error.as_db_error().map(place_of).unwrap_or_default();
    let length = text.chars().count();
    let parameter = error.as_db_error().and_then(parameter_of);
    let behind = place.position.is_some_and(|position| position as usize > before + length);
    place.position = place.position.and_then(|position| {
        let own = (position as usize).checked_sub(before).filter(|own| *own > 0)?;
        u32::try_from(own.min(length.max(1))).ok()
    });
    let syntax = place.backend_code.as_deref() == Some("42601");
    let meaning = meaning(error);
    if matches!(meaning.code, Code::Unavailable | Code::OutcomeUnknown | Code::Internal) {
        return meaning;
    }
    let mut answer = match syntax && behind {
        true => Error::new(meaning.code, "the statement ends where more is expected"),
        false => Error::new(meaning.code, meaning.message.clone()),
    };
    if let Some(hint) = &meaning.hint {
        answer = answer.hint(hint.clone());
    }
    if let Some(wait) = meaning.retry_after {
        answer = answer.retry_after(wait);
    }
    match parameter {
        Some(number) if number > 0 => answer = answer.argument(format!("params[{}]", number - 1)),
        _ if matches!(meaning.code, Code::Timeout | Code::Busy | Code::Cancelled) => {}
        _ => answer = answer.argument(argument),
    }
    answer.place(place).cause(meaning)
}

/// The parameter that a failure is about, which only its context tells: `unnamed portal parameter $1 = '…'`.
fn parameter_of(reported: &DbError) -> Option<usize> {
    let (_, rest) = reported.where_()?.split_once("portal parameter $")?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// The connection broke while COMMIT was under way.
pub fn in_commit(error: tokio_postgres::Error) -> Error {
    if error.as_db_error().is_some_and(|reported| !reported.code().code().starts_with("57P")) {
        return meaning(error);
    }
    unknown("the connection broke during COMMIT; the write may or may not stand").cause(error)
}

/// The server fell silent while COMMIT was under way.
pub fn silent_in_commit(silence: Error) -> Error {
    unknown("the database did not answer COMMIT in time; the write may or may not stand").cause(silence)
}

fn unknown(message: &'static str) -> Error {
    Error::new(Code::OutcomeUnknown, message)
        .hint("repeat the call with the same idempotency_key, or check whether the rows are there")
}

/// Why no connection came about. Never names the host.
pub fn no_connection(error: tokio_postgres::Error) -> Error {
    if error.as_db_error().is_some() {
        let refused = meaning(error);
        // Whatever a server says before it serves, it does not serve.
        return match refused.code {
            Code::Unavailable => refused,
            _ => unreachable_because(&refused.message.clone()).place(refused.place.clone()).cause(refused),
        };
    }
    let words = error.to_string();
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let of_tls = words.contains("TLS") || cause.contains("fatal alert");
    if let Some((why, hint)) = login::not_made(&cause).filter(|_| !of_tls) {
        return Error::new(Code::Unavailable, why).hint(hint).cause(error);
    }
    if of_tls {
        return unreachable_because(&format!("TLS failed ({cause})"))
            .hint("in DATABASE_URL, sslmode and sslrootcert say how the server's certificate is checked, sslcert and sslkey name the client's own")
            .cause(error);
    }
    let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    let (why, hint) = match kind {
        Some(io::ErrorKind::ConnectionRefused) => ("connection refused", NOBODY_LISTENS),
        Some(io::ErrorKind::TimedOut) => ("no answer in time", AS_SOON_AS),
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
            ("the connection was closed", AS_SOON_AS)
        }
        Some(io::ErrorKind::NotFound) => ("nothing is listening on its socket", NOBODY_LISTENS),
        Some(io::ErrorKind::PermissionDenied) => {
            ("access to its socket is denied", "the operator should give this server's user the right")
        }
        _ if words.contains("timeout") => ("no answer in time", AS_SOON_AS),
        _ if words.contains("connecting") => (
            "its host name cannot be resolved, or its network cannot be reached",
            "the operator should correct the host in DATABASE_URL",
        ),
        _ => ("the connection was closed", AS_SOON_AS),
    };
    unreachable_because(why).hint(hint).cause(error)
}

/// A database that may be back any moment.
const AS_SOON_AS: &str =
    "calls work again as soon as it answers; the operator should check the host and port in DATABASE_URL";
/// One that was not started, or is elsewhere.
const NOBODY_LISTENS: &str =
    "nothing is listening there: the operator should start the database, or correct the host and port in DATABASE_URL";

/// The connection ended, said or unsaid, before it did anything.
pub fn is_parting(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(|reported| reported.code().code().starts_with("57P"))
}

/// The database does not answer.
pub fn unreachable_because(why: &str) -> Error {
    Error::new(Code::Unavailable, format!("the database cannot be reached: {why}"))
        .hint(AS_SOON_AS)
        .retry_after(Duration::from_secs(1))
}

/// SQLSTATE of a failure, where the server gave one.
pub fn sqlstate(error: &Error) -> Option<&str> {
    error.place.backend_code.as_deref()
}

fn without_words(error: tokio_postgres::Error) -> Error {
    let words = error.to_string();
    if error.is_closed() || words.contains("communicating") || words.contains("connection closed") {
        return Error::new(Code::Unavailable, "the connection to the database broke")
            .retry_after(Duration::from_millis(200))
            .cause(error);
    }
    Error::new(Code::Internal, "the database's answer cannot be read").cause(error)
}

fn login_refused(state: &str) -> bool {
    state.starts_with("28")
}

fn code_of(reported: &DbError) -> Code {
    let state = reported.code().code();
    match state {
        // Says so in the server's language; only the timeout and a user's request exist.
        "57014" if reported.message().contains("timeout") => Code::Timeout,
        "57014" => Code::Cancelled,
        "55P03" | "40001" | "40P01" | "55006" | "25P03" => Code::Busy,
        "42P01" | "42703" | "42883" | "3F000" | "42704" => Code::NotFound,
        "42501" | "25006" => Code::Denied,
        "23505" | "42P07" | "42710" | "42P06" => Code::Conflict,
        "53400" => Code::Limit,
        "3D000" => Code::Unavailable,
        _ => match state.get(..2).unwrap_or_default() {
            "08" | "28" | "53" | "57" | "58" => Code::Unavailable,
            "54" => Code::Limit,
            "XX" | "F0" => Code::Internal,
            _ => Code::Invalid,
        },
    }
}

fn own_hint(state: &str) -> Option<&'static str> {
    Some(match state {
        "57014" => "narrow the query, ask explain_query for what is slow, or raise timeout_ms",
        "55P03" => "another session holds a lock on it; try again",
        "40001" | "40P01" => "it conflicted with another transaction; try again",
        "42P01" => "list_tables shows the tables",
        "42703" => "get_schema shows the columns of a table",
        "42501" => "the database's role of this server lacks that right; the operator can grant it",
        "25006" => "reading tools only read; use insert_data or bulk_insert to write",
        "3D000" => "the operator should set the database's name in DATABASE_URL",
        "22P02" => "the value does not fit the type; cast it or pass another",
        "42P18" => "write its type: $1::int",
        _ => return None,
    })
}

fn place_of(reported: &DbError) -> Place {
    let position = match reported.position() {
        Some(ErrorPosition::Original(position)) => Some(*position),
        _ => None,
    };
    Place {
        position,
        line: None,
        column: None,
        detail: reported.detail().map(str::to_owned),
        backend_code: Some(reported.code().code().to_owned()),
    }
}
