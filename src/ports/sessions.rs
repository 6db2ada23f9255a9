//! Server processes and what they hold, as transitions of the record store. Every adapter passes `tests/it/contract/sessions.rs`.

use std::time::Duration;

use crate::{
    clock::Instant,
    domain::sessions::{Place, Process, Sight},
    error::Error,
};

/// Server processes. What is claimed, locked and registered through one ends with it.
#[async_trait::async_trait]
pub trait SessionStore: Send + Sync {
    /// A process begins.
    async fn begin(&self, id: &str, process: &Process, now: Instant) -> Result<(), Error>;

    /// A process says that it is there, and which agents it has heard of; renews their leases.
    async fn beat(&self, beat: Beat) -> Result<(), Error>;

    /// Processes that have begun and not ended.
    async fn open(&self) -> Result<Vec<OpenSession>, Error>;

    /// Forgets processes that ended before then, up to so many. How many.
    async fn forget(&self, before: Instant) -> Result<u64, Error>;

    /// Ends a process, unless it has been heard of since: its leases and locks end `grace` later at the latest, its agents are lost.
    async fn end(&self, end: End) -> Result<Option<Ended>, Error>;
}

/// The processes of this machine.
pub trait Processes: Send + Sync {
    /// This one.
    fn own(&self) -> Process;

    /// What is seen of a process number here.
    fn see(&self, place: &Place, pid: i64) -> Sight;
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Beat {
    /// Of which process.
    pub session_id: String,
    /// Agents that made a call through it.
    pub agents: Vec<String>,
    /// Leases under which calls were made through it: task and fence. The task may have passed on since, to who made none.
    pub leases: Vec<(String, i64)>,
    /// Their leases run until then, and never longer than their attempts may.
    pub lease_until: Instant,
    /// When.
    pub now: Instant,
}

/// A process that has not ended.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// Its id.
    pub id: String,
    /// Which process.
    pub process: Process,
    /// When it was last heard of.
    pub heartbeat_at: Instant,
}

/// The end of a process.
#[derive(Debug, Clone)]
pub struct End {
    /// Which.
    pub session_id: String,
    /// It has not been heard of since.
    pub heartbeat_at: Instant,
    /// It ends for its silence, which must have lasted since then.
    pub silent_since: Option<Instant>,
    /// How long what it held stays.
    pub grace: Duration,
    /// Why, in a word: stopped, gone, silent.
    pub reason: &'static str,
    /// When.
    pub now: Instant,
}

/// What ended with a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// Leases that end sooner now.
    pub leases: u64,
    /// Locks that end sooner now.
    pub locks: u64,
    /// Agents that are lost.
    pub agents: u64,
}
