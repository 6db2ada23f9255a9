//! What a caller may know of a failure. The private cause travels beside it, to the log only.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Stable, documented (`docs/errors.md`), matched on by agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The call is wrong as it stands: an argument, the query text, a value.
    Invalid,
    /// What the call names does not exist.
    NotFound,
    /// Someone else changed it, or it exists already.
    Conflict,
    /// The lease behind the token has ended.
    LeaseLost,
    /// A bound of this server was reached.
    Limit,
    /// Too many calls at once.
    Busy,
    /// Not allowed, by this server's settings or by the backend's rights.
    Denied,
    /// A backend cannot be reached or refuses to serve.
    Unavailable,
    /// The time allowed is over.
    Timeout,
    /// The caller cancelled.
    Cancelled,
    /// The connection broke while a write was being committed: it may or may not stand.
    OutcomeUnknown,
    /// A fault of this server.
    Internal,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::Invalid,
        Self::NotFound,
        Self::Conflict,
        Self::LeaseLost,
        Self::Limit,
        Self::Busy,
        Self::Denied,
        Self::Unavailable,
        Self::Timeout,
        Self::Cancelled,
        Self::OutcomeUnknown,
        Self::Internal,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::LeaseLost => "lease_lost",
            Self::Limit => "limit",
            Self::Busy => "busy",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Internal => "internal",
        }
    }

    /// Whether the same call can succeed later. No wildcard arm: a new code has to decide.
    pub fn retryable(self) -> bool {
        match self {
            Self::Busy | Self::Unavailable | Self::Timeout | Self::Cancelled | Self::OutcomeUnknown => true,
            Self::Invalid
            | Self::NotFound
            | Self::Conflict
            | Self::LeaseLost
            | Self::Limit
            | Self::Denied
            | Self::Internal => false,
        }
    }
}

impl Code {
    /// What it means, and what a caller does next: a line of `docs/errors.md`.
    pub fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Invalid => (
                "the call is wrong as it stands: an argument, the query text, a value",
                "change what `argument` and `hint` name",
            ),
            Self::NotFound => ("what the call names does not exist", "use one of `did_you_mean`, or list what exists"),
            Self::Conflict => ("someone else changed it, or it exists already", "read it again, then decide"),
            Self::LeaseLost => {
                ("the lease behind the token has ended", "claim again; another agent may have the task now")
            }
            Self::Limit => {
                ("a limit of this server was reached", "split the call; `callboard config schema` lists the limits")
            }
            Self::Busy => ("too many calls at once", "repeat after `retry_after_ms`"),
            Self::Denied => (
                "not allowed, by this server's settings or by the backend's rights",
                "use another tool, or ask the operator for the setting that `hint` names",
            ),
            Self::Unavailable => (
                "a backend cannot be reached or refuses to serve",
                "repeat after `retry_after_ms`; get_server_info says what is wrong",
            ),
            Self::Timeout => ("the time limit was reached; the work was stopped", "ask for less, or for more time"),
            Self::Cancelled => ("the caller cancelled; the work was stopped", "nothing"),
            Self::OutcomeUnknown => (
                "the connection broke while a write was being committed: it may or may not stand",
                "repeat with the same `idempotency_key`, or check",
            ),
            Self::Internal => (
                "a fault of this server, or a file of its own that is damaged",
                "do what `hint` says, else report it with `request_id`; the log has the cause",
            ),
        }
    }
}

/// Where in the caller's text a backend saw the mistake, and its own words about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Character of the query text, from 1.
    pub position: Option<u32>,
    /// Line of the query body, from 1.
    pub line: Option<u32>,
    /// Column of that line, from 1.
    pub column: Option<u32>,
    /// PostgreSQL's DETAIL, or the engine's root cause.
    pub detail: Option<String>,
    /// SQLSTATE, or the engine's exception type.
    pub backend_code: Option<String>,
}

/// The only error type above the adapters. Small: everything is behind one box.
#[derive(Debug)]
pub struct Error(Box<Facts>);

/// What an [`Error`] says. Read through `Deref`.
#[derive(Debug)]
pub struct Facts {
    /// Decides what an agent does next.
    pub code: Code,
    /// One sentence: what failed. Lower case, no full stop, values in backticks.
    pub message: String,
    /// What the caller can do now.
    pub hint: Option<Cow<'static, str>>,
    /// The argument that is wrong, as the caller wrote it.
    pub argument: Option<Cow<'static, str>>,
    /// Up to three names that exist and are near the one given.
    pub did_you_mean: Vec<String>,
    /// When a repeat makes sense.
    pub retry_after: Option<Duration>,
    /// The backend's own words.
    pub place: Place,
    /// What stands now, where somebody else was first: a JSON object with its state, version or fence.
    pub current: Option<Box<RawValue>>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            code,
            message: message.into(),
            hint: None,
            argument: None,
            did_you_mean: Vec::new(),
            retry_after: None,
            place: Place::default(),
            current: None,
            cause: None,
        }))
    }

    /// A wrong argument.
    pub fn invalid(argument: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message).argument(argument)
    }

    /// The same in other words.
    pub fn reworded(mut self, message: String) -> Self {
        self.0.message = message;
        self
    }

    /// The argument the failure is about.
    pub fn argument(mut self, argument: impl Into<Cow<'static, str>>) -> Self {
        self.0.argument = Some(argument.into());
        self
    }

    /// What the caller can do now.
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names that exist and are near the one given; see [`crate::domain::names::nearest`].
    pub fn did_you_mean(mut self, names: Vec<String>) -> Self {
        self.0.did_you_mean = names;
        self
    }

    /// When a repeat makes sense.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The backend's own words and place.
    pub fn place(mut self, place: Place) -> Self {
        self.0.place = place;
        self
    }

    /// What stands now: a JSON object.
    pub fn current(mut self, current: Box<RawValue>) -> Self {
        self.0.current = Some(current);
        self
    }

    /// The same for one of several who failed together: what is to be known and done, without what belongs to one of them alone.
    pub fn for_each(&self) -> Self {
        let mut told = Self::new(self.code, self.message.clone());
        (told.0.hint, told.0.retry_after) = (self.hint.clone(), self.retry_after);
        told
    }

    /// What lies behind it, for the log.
    pub fn cause_text(&self) -> String {
        self.source().map(ToString::to_string).unwrap_or_default()
    }

    /// Kept for the log; never shown.
    pub fn cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }
}

impl std::ops::Deref for Error {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}
