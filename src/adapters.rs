//! How the world does what ports ask for. Each folder is the only one that names its client crate.

pub mod breaker;
pub mod disk;
pub mod elasticsearch;
pub mod embedded_search;
pub mod export_folder;
pub mod fitting_store;
pub mod own_time;
pub mod postgres;
pub mod process;
pub mod sqlite;
pub mod store_clock;
pub mod webhook;
