//! What services need of the world besides the record store, as traits over domain types. Each method is one whole step; adapters carry it out.

pub mod attempts;
pub mod exports;
pub mod process;
pub mod search;
pub mod sql;
pub mod webhooks;
