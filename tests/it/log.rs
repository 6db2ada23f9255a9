//! The log must never stand in the way of the calls.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use crate::support::{binary::Binary, command::Shell};

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

#[test]
fn a_mistake_of_the_caller_is_not_shown_to_whoever_watches_the_host() {
    let mistakes = [
        ("execute_query", r#"{"query":"select * from missing"}"#),
        ("execute_query", r#"{"query":"selct 1"}"#),
        ("execute_query", r#"{"query":"select $1::int"}"#),
        ("insert_data", r#"{"table":"missing","row":{"a":1}}"#),
    ];
    for (tool, arguments) in mistakes {
        let ran = Shell::new().run(&["call", tool, arguments]);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{tool} {arguments}\n{}", ran.out);
    }
    let told = Shell::new().set("CALLBOARD_LOG", "callboard=debug").run(&["call", mistakes[0].0, mistakes[0].1]);
    assert!(told.err.contains("DEBUG") && told.err.contains("call refused: no such table: missing"), "{}", told.err);
}

#[test]
fn a_backend_that_is_down_is_shown_with_its_cause() {
    let shell = Shell::new().set("DATABASE_URL", "postgres://me:word@127.0.0.1:1/x");
    let ran = shell.run(&["call", "list_tables"]);
    assert!(ran.err.contains("WARN") && ran.err.contains("cause="), "{}", ran.err);
}
