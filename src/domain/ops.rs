//! The state of what this server stands on.

use crate::error::Error;

/// How a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Up,
    /// It answers, but something about it should be mended.
    Degraded,
    /// It does not answer, or refuses to serve.
    Down,
}

impl State {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// What one look at a backend showed.
#[derive(Debug)]
pub struct BackendStatus {
    /// What it is for: `sql`, `search`, `store`, and for further databases `sql:NAME`.
    pub name: String,
    /// What it is: postgresql, sqlite, elasticsearch, opensearch, embedded.
    pub kind: &'static str,
    /// How it is.
    pub state: State,
    /// Its own version, where it said one.
    pub version: Option<String>,
    /// How long the look took, in milliseconds.
    pub latency_ms: f64,
    /// Why it is down.
    pub problem: Option<Error>,
    /// What an operator should know or mend: a superuser role, a fallback in use.
    pub notes: Vec<String>,
    /// Statements an operator can run to mend what the notes say (the SQL of a least-privilege role).
    pub remedy: Option<String>,
}

/// What this process takes of its machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Of one processor, since the last time somebody asked.
    pub cpu_percent: f64,
    /// Resident memory.
    pub memory_mb: f64,
}

/// What bringing the record store to the newest schema does or did.
#[derive(Debug)]
pub struct Migration {
    /// Where it is: a file, or a schema.
    pub place: String,
    /// The version it had; 0 for a new one.
    pub version_found: usize,
    /// The version this server works on.
    pub version_newest: usize,
}
