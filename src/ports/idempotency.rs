//! What was answered to a call with an idempotency key. Every adapter passes `tests/it/contract/idempotency.rs`.

use crate::{clock::Instant, domain::json::Json, error::Error};

/// Remembers answers by key for 24 hours. For writes into a database of the user's, which cannot share a transaction with the record
/// store: `begin` is on disk before the effect, `finish` after it, and a repeat that finds a begun but unfinished key is told that the
/// outcome is unknown.
#[async_trait::async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Claims `key` for a call whose arguments hash to `request_hash`.
    async fn begin(&self, key: &str, request_hash: &str, now: Instant) -> Result<Begun, Error>;

    /// Keeps the answer.
    async fn finish(&self, key: &str, answer: &Json, now: Instant) -> Result<(), Error>;

    /// Forgets keys whose time is over, up to so many. How many.
    async fn sweep(&self, now: Instant) -> Result<u64, Error>;

    /// Frees the key: the call failed and changed nothing.
    async fn forget(&self, key: &str) -> Result<(), Error>;
}

/// What a key stands for.
#[derive(Debug)]
pub enum Begun {
    /// It is new: go on, and say how it ended.
    New,
    /// The same call was answered before.
    Answered(Json),
    /// The same call was begun and its end is not known.
    Unfinished,
    /// The key belongs to a call with other arguments.
    OtherRequest,
}
