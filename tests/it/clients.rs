//! Real clients against the real binary: Claude Code, the TypeScript and Python SDKs, the Inspector. `tests/clients/install.sh` installs them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::support::{patience::PATIENCE, slow_engine::SlowEngine};

const TOOLS: usize = callboard::domain::catalogue::TOOLS.len();

/// Where a variable leads. Without it the test is skipped, loudly; in CI that is a failure.
fn installed(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: run tests/clients/install.sh");
        eprintln!("SKIPPED: {variable} is not set; run tests/clients/install.sh");
    }
    found
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Node of at least 22, beside the packages.
fn node(modules: &Path) -> PathBuf {
    modules.parent().unwrap().join("node")
}

/// A command with a home of its own, that calls nobody.
fn command(program: &Path, home: &tempfile::TempDir) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home.path()).env("CALLBOARD_DATA_DIR", home.path().join("data"));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(home.path());
    for off in ["DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING", "DISABLE_BUG_COMMAND"] {
        command.env(off, "1");
    }
    // How long Claude Code waits for a server.
    command.env("MCP_TIMEOUT", PATIENCE.as_millis().to_string());
    command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("npm_config_offline", "true");
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let shown = format!(
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{}: {shown}", output.status);
    output
}

/// What both SDK scripts must have seen.
fn check(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let seen: Value =
        serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{text}"));
    assert_eq!(seen["server"], "callboard");
    assert_eq!(seen["tools"].as_array().map(Vec::len), Some(TOOLS), "{seen}");
    assert_eq!(seen["copies_agree"], true, "{seen}");
    assert_eq!(seen["failure"], json!({"isError": true, "code": "invalid", "argument": "tabel"}));
    assert_eq!((&seen["indexed"], &seen["exported"]), (&json!(3000), &json!(3000)), "{seen}");
    assert_eq!((&seen["progress"], &seen["ping"]), (&json!(true), &json!(true)), "{seen}");
}

/// The script starts a call that is held, cancels it, and goes on.
fn check_cancelled(mut script: Command) {
    let engine = SlowEngine::start();
    let output = run(script.env("TEST_CANCEL", "1").env("ELASTICSEARCH_URL", engine.url()));
    let text = String::from_utf8_lossy(&output.stdout);
    let seen: Value =
        serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{text}"));
    assert_eq!(seen, json!({"cancelled": true, "ping": true}));
    // The cancellation reached the engine.
    engine.wait_for_abandoned(1);
}

#[test]
fn the_typescript_sdk_lists_calls_cancels_and_sees_progress() {
    let Some(modules) = installed("CALLBOARD_TEST_NODE_MODULES") else { return };
    let home = tempfile::tempdir().unwrap();
    let script = || {
        let mut script = command(&node(&modules), &home);
        script.arg(scripts().join("typescript.mjs")).arg(&modules).arg(env!("CARGO_BIN_EXE_callboard"));
        script
    };
    check(&run(&mut script()));
    check_cancelled(script());
}

#[test]
fn the_python_sdk_lists_calls_cancels_and_sees_progress() {
    let Some(python) = installed("CALLBOARD_TEST_PYTHON") else { return };
    let home = tempfile::tempdir().unwrap();
    let script = || {
        let mut script = command(&python, &home);
        script.arg(scripts().join("python_sdk.py")).arg(env!("CARGO_BIN_EXE_callboard"));
        script
    };
    check(&run(&mut script()));
    check_cancelled(script());
}

#[test]
fn the_inspector_finds_the_schemas_portable() {
    let Some(modules) = installed("CALLBOARD_TEST_NODE_MODULES") else { return };
    let home = tempfile::tempdir().unwrap();
    let inspector = modules.join("@modelcontextprotocol/inspector/clients/launcher/build/index.js");
    let cli = |arguments: &[&str]| {
        let mut cli = command(&node(&modules), &home);
        cli.arg(&inspector).args(["--cli", env!("CARGO_BIN_EXE_callboard"), "serve"]).args(arguments);
        serde_json::from_slice::<Value>(&run(&mut cli).stdout).unwrap()
    };
    let list = cli(&["--method", "tools/list", "--strict"]);
    assert_eq!(list["tools"].as_array().map(Vec::len), Some(TOOLS));
    let called = cli(&["--method", "tools/call", "--tool-name", "get_server_info"]);
    assert_eq!(called["structuredContent"]["version"], env!("CARGO_PKG_VERSION"), "{called}");
}

#[test]
fn claude_code_connects() {
    let Some(modules) = installed("CALLBOARD_TEST_NODE_MODULES") else { return };
    let home = tempfile::tempdir().unwrap();
    let claude = modules.join(".bin/claude");
    run(command(&claude, &home).args(["mcp", "add", "callboard", "--", env!("CARGO_BIN_EXE_callboard"), "serve"]));
    let list = run(command(&claude, &home).args(["mcp", "list"]));
    let text = String::from_utf8_lossy(&list.stdout);
    let line = text.lines().find(|line| line.starts_with("callboard:")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("Connected"), "{text}");
    assert!(line.contains(env!("CARGO_BIN_EXE_callboard")), "{text}");
}
