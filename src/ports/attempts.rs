//! A write with an idempotency key, whose database can be asked later what became of it.

use std::time::Duration;

use crate::{
    domain::json::Json,
    error::{Code, Error},
};

/// One attempt to carry out a call. Whoever writes for it makes sure that it can be settled.
#[async_trait::async_trait]
pub trait Attempt: Send + Sync {
    /// Its name, which no other attempt has.
    fn id(&self) -> &str;

    /// Keeps, just before COMMIT, what [`Settles::settle`] needs and what will be answered.
    ///
    /// # Errors
    /// The effect must be taken back: another attempt has the call now, or nothing can be kept.
    async fn prove(&self, effect: String, answer: Json) -> Result<(), Error>;
}

/// A backend that knows what became of an attempt to write into it.
#[async_trait::async_trait]
pub trait Settles: Send + Sync {
    /// What became of an attempt that was cut off; `effect` is what it proved, if it came to that.
    async fn settle(&self, attempt: &str, effect: Option<&str>) -> Result<Settled, Error>;
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Settled {
    /// Its effect stands; with its answer, where the backend keeps that itself.
    Stands(Option<Json>),
    /// It has no effect, and from now on can have none.
    Never,
    /// It is still at work.
    Running,
    /// The backend does not know any more.
    Unknown,
}

/// Why an attempt has to take its effect back although nothing is wrong with it.
pub fn taken_over() -> Error {
    Error::new(Code::Busy, "another call with this key has taken over; nothing was written")
        .argument("idempotency_key")
        .retry_after(Duration::from_millis(500))
}
