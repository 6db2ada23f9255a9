//! MCP: the transports, the one path of a call, and the shape of its answers.

pub mod answer;
pub mod catalogue;
pub mod clean;
pub mod envelope;
pub mod instructions;
pub mod local;
pub mod message;
pub mod pressure;
pub mod products;
pub mod resources;
pub mod server;
pub mod session;
pub mod stdio;
pub mod traffic;
