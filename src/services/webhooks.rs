//! Webhooks: the end of a workflow is told to who asked for it, until it is taken or there is no hope.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use secrecy::ExposeSecret;

use crate::{
    clock::{Clock, Instant},
    config,
    domain::{tasks::retry, webhooks},
    error::Error,
    ports::webhooks::{Message, WebhookSender},
    store::Store,
    store::webhooks::{Delivery, Outcome},
};

/// Attempts before a message is dead.
pub const ATTEMPTS_MAX: i64 = 8;
/// One exchange, at the most.
const TIME: Duration = Duration::from_secs(10);
/// A message that was taken and not settled within this time is taken again: its sender was killed.
const TAKEN: Duration = Duration::from_secs(30);
/// Messages on their way at once.
const AT_ONCE: usize = 64;
/// Messages that one run sends. What is left then comes in the next.
const RUN_MAX: u64 = 800;
/// So long nobody looks for further messages while some are on their way: a receiver may be slow.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Characters of why an attempt failed.
const REASON_MAX: usize = 500;

/// The webhooks. Cloning shares.
#[derive(Clone)]
pub struct Webhooks {
    store: Arc<Store>,
    sender: Arc<dyn WebhookSender>,
    clock: Arc<dyn Clock>,
    settings: config::Webhooks,
}

impl Webhooks {
    /// Over a store and a way out.
    pub fn new(
        store: Arc<Store>,
        sender: Arc<dyn WebhookSender>,
        clock: Arc<dyn Clock>,
        settings: config::Webhooks,
    ) -> Self {
        Self { store, sender, clock, settings }
    }

    /// Makes messages of the ends of workflows. How many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn fan_out(&self, now: Instant) -> Result<u64, Error> {
        self.store.fan_out(now).await
    }

    /// Sends what is due. One that hangs holds up no other, as long as there are places. How many were sent, whatever came of it.
    ///
    /// # Errors
    /// When the store cannot be written; what was sent may be sent again.
    pub async fn deliver(&self) -> Result<u64, Error> {
        let mut sent = 0;
        let mut under_way = FuturesUnordered::new();
        let mut failure = None;
        let mut may_be_more = true;
        while may_be_more || !under_way.is_empty() {
            let places = AT_ONCE - under_way.len();
            if may_be_more && places > 0 {
                let now = self.clock.now();
                let due = self.store.take_due_deliveries(now, now.after(TAKEN), places).await?;
                sent += due.len() as u64;
                may_be_more = due.len() == places && sent < RUN_MAX;
                under_way.extend(due.into_iter().map(|delivery| async move { self.one(&delivery).await }));
            }
            match tokio::time::timeout(LOOK_AGAIN, under_way.next()).await {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(error))) => failure = Some(error),
                Ok(None) => break,
                Err(_elapsed) => may_be_more = sent < RUN_MAX,
            }
        }
        failure.map_or(Ok(sent), Err)
    }

    async fn one(&self, delivery: &Delivery) -> Result<(), Error> {
        let answered = self.send(delivery).await;
        let now = self.clock.now();
        let outcome = match answered {
            Ok(status @ 200..=299) => Outcome::Delivered { status },
            Ok(status) => again(delivery, Some(status), format!("the receiver answered with status {status}"), now),
            Err(error) => again(delivery, None, error.to_string(), now),
        };
        if let Outcome::Dead { error, .. } = &outcome {
            tracing::warn!(
                webhook.id = delivery.webhook_id,
                workflow.id = delivery.workflow_id,
                "a webhook was given up: {error}"
            );
        }
        self.store.settle_delivery(delivery, outcome, now).await.map(drop)
    }

    async fn send(&self, delivery: &Delivery) -> Result<u16, Error> {
        // Looked at again: what was allowed when it was made need not be any more.
        let url = webhooks::parse(&delivery.url, &self.settings.hosts)?;
        let secret = self.settings.secret.as_ref().map_or(delivery.secret.as_str(), |secret| secret.expose_secret());
        let timestamp = (self.clock.now().0 / 1_000_000).to_string();
        let headers = vec![
            ("X-Callboard-Event", delivery.kind.clone()),
            ("X-Callboard-Delivery", delivery.id.clone()),
            ("X-Callboard-Signature", webhooks::signature(secret, &timestamp, &delivery.body)),
            ("X-Callboard-Timestamp", timestamp),
        ];
        self.sender.send(Message { url, headers, body: delivery.body.clone(), time: TIME }).await
    }
}

fn again(delivery: &Delivery, status: Option<u16>, reason: String, now: Instant) -> Outcome {
    let error: String = reason.chars().take(REASON_MAX).collect();
    if delivery.attempt >= ATTEMPTS_MAX {
        return Outcome::Dead { status, error };
    }
    // Uneven, so that many that failed at once do not come again at once.
    let (least, most) = retry::wait_ms(delivery.attempt, None);
    let mut hasher = DefaultHasher::new();
    (&delivery.id, delivery.attempt).hash(&mut hasher);
    let wait = least + hasher.finish() % (most - least + 1);
    Outcome::Again { at: now.after(Duration::from_millis(wait)), status, error }
}
