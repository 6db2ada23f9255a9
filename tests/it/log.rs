//! The log must never stand in the way of the calls.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use crate::support::binary::Binary;

#[test]
fn a_host_that_never_reads_stderr_gets_its_answers() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Binary::command(&home)
        .arg("serve")
        .env("CALLBOARD_LOG", "trace")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A pipe that nobody empties: it holds 64 KiB.
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = server.stdin.take().unwrap();
    let mut answers = BufReader::new(server.stdout.take().unwrap()).lines();
    for id in 0..2_000 {
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"execute_query","arguments":{{"query":"drop table x"}}}}}}"#
        );
        writeln!(stdin, "{call}").unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["id"], id);
    }
    drop(stdin);
    assert!(server.wait().unwrap().success());
}
