//! What was answered to a call with an idempotency key. Every adapter passes `tests/it/contract/idempotency.rs`.

use crate::{
    clock::Instant,
    domain::{idempotency::Key, json::Json},
    error::Error,
};

/// Remembers answers by key for 24 hours, for writes into a database that cannot share a transaction with the record store. A call is begun,
/// proved before its effect stands, and finished after it; each time by the name of its attempt, so that an attempt whose call was taken
/// over by another can keep nothing any more.
#[async_trait::async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Claims `key` for `attempt`.
    async fn begin(&self, key: &Key, attempt: &str, now: Instant) -> Result<Begun, Error>;

    /// Puts `attempt` in the place of one that has no effect and never will. False when that one went on meanwhile, or another was quicker.
    async fn take_over(&self, key: &str, from: &Unfinished, attempt: &str) -> Result<bool, Error>;

    /// Keeps what will be answered if the effect stands, and how its database can be asked whether it does. False when the attempt was taken over.
    async fn prove(&self, key: &str, attempt: &str, proof: &Proof) -> Result<bool, Error>;

    /// Keeps the answer.
    async fn finish(&self, key: &str, attempt: &str, answer: &Json, now: Instant) -> Result<(), Error>;

    /// Frees the key: the attempt failed and changed nothing.
    async fn forget(&self, key: &str, attempt: &str) -> Result<(), Error>;

    /// Forgets keys whose time is over, up to so many. How many.
    async fn sweep(&self, now: Instant) -> Result<u64, Error>;
}

/// What a key stands for.
#[derive(Debug)]
pub enum Begun {
    /// It is new: go on, and say how it ended.
    New,
    /// The same call was answered before.
    Answered(Json),
    /// The same call was begun and its end is not known.
    Unfinished(Unfinished),
    /// The key belongs to a call with other arguments.
    OtherRequest,
}

/// A call that was begun and did not end.
#[derive(Debug)]
pub struct Unfinished {
    /// Who began it; none in the records of a server that could not settle one.
    pub attempt: Option<String>,
    /// None before its effect could stand.
    pub proof: Option<Proof>,
}

/// How to find out whether an effect stands.
#[derive(Debug)]
pub struct Proof {
    /// What the effect's database knows it by; only its adapter reads it.
    pub effect: String,
    /// What is answered if it stands.
    pub answer: Json,
}
