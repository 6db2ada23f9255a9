//! Messages to webhooks, on the way out.

use std::time::Duration;

use url::Url;

use crate::error::Error;

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
