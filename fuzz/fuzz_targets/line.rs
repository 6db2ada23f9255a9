//! `cargo +nightly fuzz run line -- -max_total_time=300` (after `cargo install cargo-fuzz --locked`): no bytes make the reader of messages
//! panic or hang. The bounded run of CI is the property test in `tests/it/wire_properties.rs`.
#![no_main]

use callboard::mcp::message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = message::text(bytes) {
        let _ = message::read(text);
    }
});
