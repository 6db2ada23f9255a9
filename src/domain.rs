//! What things are and the rules that decide. Pure: no port, no clock, no backend, nothing async.

pub mod agents;
pub mod canonical;
pub mod catalogue;
pub mod idempotency;
pub mod json;
pub mod locks;
pub mod money;
pub mod names;
pub mod ops;
pub mod page;
pub mod search;
pub mod sessions;
pub mod sql;
pub mod tasks;
pub mod text;
pub mod values;
pub mod webhooks;
pub mod workflows;
