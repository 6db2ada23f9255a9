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

fn main() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_callboard"))
        .args(["serve", "--data-dir"])
        .arg(home.path())
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
    let list: serde_json::Value = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|answer| answer["id"] == 2)
        .unwrap();
    let tools = list["result"]["tools"].as_array().unwrap();
    let bytes = serde_json::to_string(tools).unwrap().len();
    let binary = fs::metadata(env!("CARGO_BIN_EXE_callboard")).unwrap().len();
    let table = format!(
        "| measure | value | target |\n|---|---|---|\n| tools/list, {} tools | {:.1} KB | ≤ 24 KB |\n| binary, stripped | {:.1} MB | ≤ 25 MB |\n",
        tools.len(),
        bytes as f64 / 1024.0,
        binary as f64 / (1024.0 * 1024.0)
    );
    print!("{table}");
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/size.md"), table).unwrap();
}
