//! The record store's locks, as transitions. Every adapter passes `tests/it/contract/locks.rs`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        locks::{LockView, Token},
    },
    error::Error,
};

/// Locks. Every change is one transaction that also writes its event and, with a key, its answer.
#[async_trait::async_trait]
pub trait LockStore: Send + Sync {
    /// Takes a lock that nobody holds, or whose time is over, under a fence larger than all before. Who holds it already goes on.
    async fn acquire(&self, acquire: Acquire) -> Result<Result<HeldLock, AcquireRefused>, Error>;

    /// Prolongs a lock.
    async fn renew(&self, proven: Proven, ttl: Duration) -> Result<Result<HeldLock, TokenRefused>, Error>;

    /// Lets go of a lock.
    async fn release(&self, proven: Proven) -> Result<Result<Let, TokenRefused>, Error>;

    /// Who holds a lock now.
    async fn inspect(&self, resource: &str, now: Instant) -> Result<Option<LockView>, Error>;

    /// Removes locks whose time is over, up to so many, and wakes who waits for them. How many.
    async fn expire(&self, now: Instant) -> Result<u64, Error>;
}

/// A wish for a lock.
#[derive(Debug, Clone)]
pub struct Acquire {
    /// What is locked.
    pub resource: String,
    /// For whom.
    pub owner: String,
    /// Holders that are the same one where this process took the lock: they go on without a token.
    pub same: Vec<String>,
    /// Proves that the lock is held already.
    pub token: Option<Token>,
    /// The secret of the token, should it be new.
    pub secret: String,
    /// The server process behind it; the lock ends with it.
    pub session_id: String,
    /// For how long.
    pub ttl: Duration,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// A lock that is held now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLock {
    /// By whom.
    pub owner: String,
    /// Under which fence.
    pub fence: i64,
    /// What proves it, besides the fence.
    pub secret: String,
    /// Until when, in microseconds since 1970.
    pub expires_at_us: i64,
}

/// Why a lock is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcquireRefused {
    /// Somebody holds it.
    Held(LockView),
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// What somebody does to a lock that it holds.
#[derive(Debug, Clone)]
pub struct Proven {
    /// What is locked.
    pub resource: String,
    /// The right to it.
    pub token: Token,
    /// The server process behind it from now on, when it is prolonged.
    pub session_id: String,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// A lock was let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Let {
    /// Under which fence it was held.
    pub fence: i64,
}

/// Why a token is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenRefused {
    /// The lock has ended; somebody may hold it again.
    Ended(Option<LockView>),
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for AcquireRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl From<Repeat> for TokenRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}
