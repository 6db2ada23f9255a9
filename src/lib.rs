//! Callboard: one MCP server process that gives AI agents SQL, search and ETL through tool calls, and workflows of tasks that they share, over
//! PostgreSQL and Elasticsearch or OpenSearch, or over embedded stores with no servers at all.
//!
//! Read in this order: [`tools`] (what an agent sees), [`services`] (what it can ask for), [`domain`] (the rules), [`store`] (what is kept, and each change of it), [`ports`] (what services need
//! of the rest of the world), [`adapters`] (how the world does it), and [`mcp`] (the wire).

pub mod adapters;
pub mod app;
pub mod background;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error;
pub mod ids;
pub mod jobs;
pub mod mcp;
pub mod ports;
pub mod redaction;
pub mod services;
pub mod store;
pub mod telemetry;
pub mod tools;
