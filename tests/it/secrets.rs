//! Planted secrets come out nowhere: not in answers, not on stderr at trace, not on the command line, not in doctor or config.

use std::io::Write;

use crate::support::{command::Shell, postgres, postgres::name_of};

/// A word that is found wherever it slips out, with what URLs escape.
const PLANTED: &str = "pl4nt@d%s3cr3t";
/// The same as URLs carry it.
const ESCAPED: &str = "pl4nt%40d%25s3cr3t";
/// What stays of it in any spelling.
const MARKS: [&str; 3] = ["pl4nt", "s3cr3t", "cGw0bnRAZ"];

fn hold(what: &str, text: &str) {
    for mark in MARKS {
        if let Some(at) = text.find(mark) {
            let from = (0..=at.saturating_sub(200)).rev().find(|from| text.is_char_boundary(*from)).unwrap_or(0);
            let shown: String = text[from..].chars().take(400).collect();
            panic!("{what} holds a secret: …{shown}…");
        }
    }
}

/// Backends that cannot be reached, and every kind of secret.
fn planted() -> Shell {
    Shell::new()
        .set("CALLBOARD_LOG", "trace")
        .set("DATABASE_URL", &format!("postgres://me:{ESCAPED}@127.0.0.1:1/x"))
        .set("DATABASE_URL_SALES", &format!("postgres://me:{PLANTED}@127.0.0.1:1/y"))
        .set("CALLBOARD_QUERY_URL", &format!("postgres://reader:{PLANTED}@127.0.0.1:1/x"))
        .set("ELASTICSEARCH_URL", &format!("http://elastic:{PLANTED}@127.0.0.1:1"))
        .set("REDIS_URL", &format!("redis://:{ESCAPED}@127.0.0.1:1"))
        .set("NATS_URL", &format!("nats://u:{ESCAPED}@127.0.0.1:1"))
        .set("CALLBOARD_STORE_URL", &format!("postgres://me:{ESCAPED}@127.0.0.1:1/z"))
}

#[test]
fn neither_answers_nor_the_log_hold_secrets() {
    let shell = planted();
    for (tool, arguments) in [
        ("get_server_info", "{}"),
        ("list_tables", "{}"),
        ("list_tables", r#"{"database":"sales"}"#),
        ("insert_data", r#"{"table":"t","row":{"a":1}}"#),
        ("list_indices", "{}"),
        ("index_documents", r#"{"index":"i","documents":[{"a":1}]}"#),
    ] {
        let ran = shell.run(&["call", tool, arguments]);
        hold(tool, &ran.out);
        hold("stderr", &ran.err);
        assert!(!ran.out.is_empty(), "{ran:?}");
    }
}

#[test]
fn neither_doctor_nor_config_hold_secrets() {
    let shell = planted();
    for arguments in [
        &["doctor"][..],
        &["doctor", "--json"],
        &["config", "show"],
        &["setup", "cursor", "--print"],
        &["setup", "cursor"],
    ] {
        let ran = shell.run(arguments);
        hold(arguments[0], &ran.out);
        hold("stderr", &ran.err);
        assert!(!ran.out.is_empty(), "{ran:?}");
    }
    hold("the client's entry", &shell.read(".cursor/mcp.json"));
}

#[test]
fn a_setting_that_cannot_be_read_is_told_without_its_secret() {
    for (name, value) in [
        ("DATABASE_URL", format!("mysql://me:{PLANTED}@h/x")),
        ("DATABASE_URL", format!("postgres://me:{PLANTED}@h:port/x")),
        ("DATABASE_URL", format!("postgres://me:{PLANTED}@h/x?sslmode=no")),
        ("DATABASE_URL", format!("{PLANTED} is no URL")),
        ("ES_URL", format!("ftp://me:{PLANTED}@h")),
        ("ES_URL", format!("http://me:{PLANTED}@h:port")),
    ] {
        let ran = Shell::new().set(name, &value).run(&["serve"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        hold("stderr", &ran.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_command_line_of_a_server_holds_no_secret() {
    let shell = planted();
    let mut child = shell
        .command(&["serve"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").unwrap();
    hold("the command line", &std::fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_password_that_is_refused_or_accepted_is_not_told() {
    let url = postgres::shared().database();
    let place = url.rsplit_once('@').unwrap().1.to_owned();
    postgres::shared().psql(name_of(&url), &format!("CREATE ROLE planted LOGIN PASSWORD '{PLANTED}'"));
    for user in ["planted", "nobody_of_that_name"] {
        let shell = Shell::new()
            .set("CALLBOARD_LOG", "trace")
            .set("DATABASE_URL", &format!("postgres://{user}:{ESCAPED}@{place}"));
        for arguments in
            [&["call", "execute_query", r#"{"query":"select 1/0"}"#][..], &["call", "get_server_info"], &["doctor"]]
        {
            let ran = shell.run(arguments);
            hold("stdout", &ran.out);
            hold("stderr", &ran.err);
        }
    }
}
