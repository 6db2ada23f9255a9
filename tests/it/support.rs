//! What tests stand on: a Callboard in this process, the real binary, and real servers started from local binaries.

pub mod answers;
pub mod bench;
pub mod binary;
pub mod cases;
pub mod chance;
pub mod clock;
pub mod command;
pub mod engines;
pub mod flows;
pub mod guarded;
pub mod harness;
pub mod hook;
pub mod loads;
pub mod patience;
pub mod port;
pub mod postgres;
pub mod proxy;
pub mod slow_engine;
pub mod writers;
