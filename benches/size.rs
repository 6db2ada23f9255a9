//! The bytes of tools/list and of the binary: `cargo bench --bench size`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that meets what it did not expect has failed"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

fn main() {
    let (all, core) = (tools(&[]), tools(&["--toolsets", "core"]));
    let answers: usize = all.iter().map(|tool| tool["outputSchema"].to_string().len()).sum();
    let binary = fs::metadata(env!("CARGO_BIN_EXE_callboard")).unwrap().len();
    let kb = |bytes: usize| bytes as f64 / 1024.0;
    let table = format!(
        "| measure | value | target |\n|---|---|---|\n\
         | what a model sees of all {} tools | {:.1} KB | ≤ 36 KB |\n\
         | what a model sees of `core` | {:.1} KB | ≤ 8 KB |\n\
         | output schemas of all tools | {:.1} KB | ≤ 80 KB |\n\
         | binary, stripped | {:.1} MB | ≤ 25 MB |\n",
        all.len(),
        kb(seen(&all)),
        kb(seen(&core)),
        kb(answers),
        binary as f64 / (1024.0 * 1024.0)
    );
    print!("{table}");
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/size.md"), table).unwrap();
}

/// Bytes that a host shows a model of these tools.
fn seen(tools: &[Value]) -> usize {
    let seen = |tool: &Value| json!({"name": tool["name"], "description": tool["description"], "inputSchema": tool["inputSchema"]});
    tools.iter().map(|tool| seen(tool).to_string().len()).sum()
}

/// What tools/list answers with these flags.
fn tools(flags: &[&str]) -> Vec<Value> {
    let home = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_callboard"))
        .args(["serve", "--data-dir"])
        .arg(home.path())
        .args(flags)
        // Where the servers of the tests are is no setting of Callboard, which refuses what it does not know.
        .env_clear()
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ask = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"size","version":"1"}}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#,
        "\n"
    );
    server.stdin.take().unwrap().write_all(ask.as_bytes()).unwrap();
    let lines: Vec<String> = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    server.wait().unwrap();
    let list: Value =
        lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|answer| answer["id"] == 2).unwrap();
    list["result"]["tools"].as_array().unwrap().clone()
}
