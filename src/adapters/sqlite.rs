//! SQLite: the embedded databases. `file.rs` opens them so that several processes can share one; `sql.rs` serves the SQL tools, `records.rs`
//! keeps the server's own records in another file, which nothing that a caller writes can reach.

pub(in crate::adapters) mod call;
mod collations;
mod decimal;
pub(in crate::adapters) mod failure;
pub(in crate::adapters) mod file;
mod functions;
mod instants;
mod money;
pub mod sql;
pub(in crate::adapters) mod still;
pub mod store;
