//! Webhooks: messages in the record store, and the way out. Every adapter passes `tests/it/contract/webhooks.rs`.

use std::time::Duration;

use url::Url;

use crate::{clock::Instant, error::Error};

/// Messages to webhooks, as transitions of the record store.
#[async_trait::async_trait]
pub trait WebhookStore: Send + Sync {
    /// Makes messages of the ends of workflows that somebody asked to be told of, each exactly once, up to so many. How many.
    async fn fan_out(&self, now: Instant) -> Result<u64, Error>;

    /// Takes messages that are due to be sent. Until `until` nobody else does; who is killed meanwhile has not sent them.
    async fn take_due(&self, now: Instant, until: Instant, most: usize) -> Result<Vec<Delivery>, Error>;

    /// Notes how sending a message went; nothing when somebody else has taken it since.
    async fn settle(&self, delivery: &Delivery, outcome: Outcome, now: Instant) -> Result<bool, Error>;
}

/// A message on its way.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id; the same for each attempt.
    pub id: String,
    /// Whom it goes to.
    pub webhook_id: String,
    /// The workflow it tells of.
    pub workflow_id: String,
    /// What happened to that.
    pub kind: String,
    /// JSON, sent as it is.
    pub body: String,
    /// Which attempt this is; the first is 1.
    pub attempt: i64,
    /// Where it goes to.
    pub url: String,
    /// The key of its signature.
    pub secret: String,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Delivered {
        /// The status it was answered with.
        status: u16,
    },
    /// It was not, and is sent again.
    Again {
        /// When.
        at: Instant,
        /// The status it was answered with, if it was.
        status: Option<u16>,
        /// Why, in words.
        error: String,
    },
    /// It was not, and will not be.
    Dead {
        /// The status it was answered with, if it was.
        status: Option<u16>,
        /// Why, in words.
        error: String,
    },
}

/// The way out.
#[async_trait::async_trait]
pub trait WebhookSender: Send + Sync {
    /// Sends a message by POST; the status it was answered with.
    ///
    /// # Errors
    /// When there was no answer in time, or the host is none that may be called.
    async fn send(&self, message: Message) -> Result<u16, Error>;
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where to.
    pub url: Url,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
    /// The whole exchange, at the most.
    pub time: Duration,
}
