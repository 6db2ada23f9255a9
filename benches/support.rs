//! What the benches share: servers started as the tests start them, and a client at a server's pipes. A bench that needs another part of the
//! tests' support declares it here.

#[path = "../tests/it/support/binary.rs"]
pub mod binary;
pub mod client;
#[path = "../tests/it/support/engines.rs"]
pub mod engines;
#[path = "../tests/it/support/guarded.rs"]
pub mod guarded;
#[path = "../tests/it/support/patience.rs"]
pub mod patience;
#[path = "../tests/it/support/port.rs"]
pub mod port;
#[path = "../tests/it/support/postgres.rs"]
pub mod postgres;
