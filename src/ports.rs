//! What services need of the world, as traits over domain types. Each method is one whole step; adapters carry it out.

pub mod agents;
pub mod attempts;
pub mod changes;
pub mod costs;
pub mod exports;
pub mod idempotency;
pub mod leaders;
pub mod locks;
pub mod process;
pub mod records;
pub mod search;
pub mod sessions;
pub mod sql;
pub mod tasks;
pub mod webhooks;
pub mod workflows;
