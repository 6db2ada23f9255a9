//! The key of a call that may be repeated.

/// What the key is called in the arguments of every tool that writes.
pub const IDEMPOTENCY_KEY: &str = "idempotency_key";

/// An idempotency key with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// As the caller gave it, or its host.
    pub key: String,
    /// Of the tool and its arguments: the same key for another call is refused.
    pub request_hash: String,
}

/// Why a key does not lead to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It belongs to a call with other arguments.
    OtherRequest,
    /// The same call was begun and its end is not known.
    Unfinished,
}
