//! The only test binary. Most tests call tools in this process on the embedded stores; `contract/` holds what every adapter of a port must
//! do, on real servers; `stdio.rs` and its like drive the real binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that meets what it did not expect has failed"
)]

mod agents;
mod arguments;
mod boundaries;
mod breaker;
mod broken_lines;
mod cli;
mod clients;
mod contract;
mod crash;
mod cursors;
mod demo;
mod dialects;
mod disk_faults;
mod doctor;
mod elastic_outage;
mod elastic_secured;
mod embedded_search;
mod embedded_search_sharing;
mod engines;
mod every_tool;
mod export_faults;
mod export_large;
mod exports;
mod flood;
mod generated;
mod guarded;
mod history;
mod idempotency;
mod jobs;
mod lexer;
mod loads_once;
mod locks;
mod log;
mod many_processes;
mod order;
mod outage;
mod panics;
mod pooler;
mod postgres_beside;
mod postgres_commit;
mod postgres_create;
mod postgres_insert;
mod postgres_load;
mod postgres_login;
mod postgres_outage;
mod postgres_read;
mod postgres_records;
mod postgres_remembered;
mod postgres_repeated;
mod postgres_stop;
mod postgres_types;
mod postgres_versions;
mod postgres_write;
mod products;
mod protocol;
mod readme;
mod record_store;
mod refusals;
mod resources;
mod schemas;
mod search_answers;
mod search_body;
mod search_names;
mod search_pages;
mod search_real;
mod secrets;
mod settings;
mod setup;
mod sql_attacks;
mod sql_honest;
mod sql_keys;
mod sql_numbers;
mod sql_roundabout;
mod sql_values;
mod sqlite_attacks;
mod sqlite_compare;
mod sqlite_money;
mod sqlite_read;
mod sqlite_records;
mod sqlite_write;
mod stdio;
mod stopped;
mod supervision;
mod support;
mod tools;
mod transitions;
mod unicode;
mod webhooks;
mod wire_properties;
mod work;
mod workflows;
mod workflows_bad_input;
mod wrong_settings;
