//! `cargo +nightly fuzz run statement -- -max_total_time=300` (after `cargo install cargo-fuzz --locked`): no SQL text makes the lexer or
//! the guard panic or hang. The bounded run of CI is the property test in `tests/it/lexer.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = callboard::domain::sql::Statement::parse(text);
});
