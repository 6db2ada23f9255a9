//! What every adapter of a port must do, run on every real server.

mod idempotency;
mod records;
mod search;
mod sql;
