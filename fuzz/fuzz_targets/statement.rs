//! `cargo +nightly fuzz run statement -- -max_total_time=300` (after `cargo install cargo-fuzz --locked`): no SQL text makes the lexer or
//! the guard panic or hang. The bounded run of CI is the property test in `tests/it/lexer.rs`.
#![no_main]

use callboard::domain::sql::{Purpose, Statement};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for purpose in [Purpose::Run, Purpose::Explain] {
        let _ = Statement::parse(text, purpose);
    }
});
