//! What every adapter of a port must do, run on every real server.

mod agents;
mod idempotency;
mod locks;
pub mod records;
mod search;
mod sessions;
mod sql;
mod tasks;
mod upkeep;
mod webhooks;
mod workflows;
