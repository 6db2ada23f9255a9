//! The record store's agents, as transitions. Every adapter passes `tests/it/contract/agents.rs`.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Instant,
    domain::{
        agents::{AgentView, Counts, Status},
        idempotency::{Key, Repeat},
        json::Json,
    },
    error::Error,
};

/// Agents. Every change is one transaction that also writes its event and, with a key, its answer.
#[async_trait::async_trait]
pub trait AgentStore: Send + Sync {
    /// Makes an agent known, or changes what is known of it when the same one comes again.
    async fn register(&self, register: Register) -> Result<Result<Registered, RegisterRefused>, Error>;

    /// Changes how an agent is.
    async fn update(&self, update: Update) -> Result<Result<Updated, UpdateRefused>, Error>;

    /// Agents by what they are, in the order of their ids, and all of them counted.
    async fn list(&self, list: List) -> Result<(Vec<AgentView>, Counts), Error>;

    /// Makes agents lost that were silent for too long, up to so many. How many.
    async fn lose(&self, silence: Silence, now: Instant) -> Result<u64, Error>;

    /// Forgets agents that were gone before then, and what was written of agents, locks and processes; up to so many. How many.
    async fn forget_gone(&self, before: Instant) -> Result<u64, Error>;
}

/// An agent to be known.
#[derive(Debug, Clone)]
pub struct Register {
    /// Its id.
    pub agent_id: String,
    /// What it is for.
    pub role: String,
    /// What it can do; sorted, each once.
    pub capabilities: Vec<String>,
    /// What it tells of itself, as a JSON object.
    pub metadata: Option<Json>,
    /// How it is.
    pub status: Status,
    /// Proves that it is the same, when it comes again.
    pub token: Option<String>,
    /// Its token, should it be new.
    pub new_token: String,
    /// The server process behind it.
    pub session_id: String,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// A known agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its id.
    pub agent_id: String,
    /// Proves later that it is the same.
    pub token: String,
    /// Raised with each change.
    pub version: i64,
    /// How it is.
    pub status: Status,
}

/// Why an agent is not registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterRefused {
    /// Another one has this id.
    Taken {
        /// What that one is for.
        role: String,
        /// How it is.
        status: Status,
        /// Its version.
        version: i64,
        /// A token was given, and is not that one's.
        token_is_wrong: bool,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// A change of an agent.
#[derive(Debug, Clone)]
pub struct Update {
    /// Which.
    pub agent_id: String,
    /// How it is now.
    pub status: Option<Status>,
    /// What it measured, as a JSON object.
    pub metrics: Option<Json>,
    /// It is not well.
    pub degraded: bool,
    /// What it tells of itself, as a JSON object.
    pub metadata: Option<Json>,
    /// Only if it still has this version.
    pub expected_version: Option<i64>,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// A changed agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// Its version.
    pub version: i64,
    /// How it is.
    pub status: Status,
}

/// Why an agent is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateRefused {
    /// Nobody has this id.
    NoSuchAgent {
        /// Ids that exist.
        known: Vec<String>,
    },
    /// Somebody changed it.
    Version {
        /// Its version.
        version: i64,
        /// How it is.
        status: Status,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// Which agents.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// With this role.
    pub role: Option<String>,
    /// Who can do this.
    pub capability: Option<String>,
    /// Who are so.
    pub status: Option<Status>,
    /// Less the first.
    pub offset: u64,
    /// At the most.
    pub limit: u64,
}

/// Agents that were not heard of since are lost.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    /// Those whose server process is gone.
    pub without_session: Instant,
    /// All.
    pub at_all: Instant,
}

impl From<Repeat> for RegisterRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl From<Repeat> for UpdateRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}
