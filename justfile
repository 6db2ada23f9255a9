# What developers run; CI runs the same.

# Everything that must hold before a change lands.
check: format lint test deny unused

format:
    cargo fmt --check

lint:
    cargo clippy --locked --all-targets -- -D warnings

# Installs what is missing, then runs all tests; names select some.
test *names:
    tests/run {{ names }}

# Licences, bans, sources (`cargo install cargo-deny --locked`).
deny:
    cargo deny check licenses bans sources

# Dependencies that nothing uses (`cargo install cargo-machete --locked`).
unused:
    cargo machete

# Rewrites docs/config.md, docs/errors.md, tools/ and the tables of README.md.
generate:
    UPDATE=1 cargo test --test it generated

# The measured tables of benches/results.
bench:
    benches/run
