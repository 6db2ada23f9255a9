//! What an agent can ask for: decides by the domain's rules, acts through ports, and puts refusals into words.

pub mod agents;
pub mod board;
pub mod exports;
pub mod idempotency;
pub mod locks;
pub mod ops;
pub mod search;
pub mod sessions;
pub mod sql;
pub mod tasks;
pub mod webhooks;
pub mod workflows;

/// How a long piece of work tells its caller how far it is.
#[async_trait::async_trait]
pub trait Report: Send + Sync {
    /// `done` of `total` so far. At most once a second is enough.
    async fn report(&self, done: u64, total: Option<u64>, message: &str);
}
