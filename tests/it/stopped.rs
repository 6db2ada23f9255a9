//! A server process that is stopped in the middle of its work, as a debugger or a frozen container does it, and those beside it.

use std::{fs, time::Duration};

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    bench::{Bench, open},
    binary::{Binary, Streams},
    postgres,
};

/// Calls before it is given up that a server is ever stopped while it has the file.
const SENT_MAX: usize = 5_000;

fn serve(url: &str) -> Binary {
    let mut server = Binary::with(Streams::Pipes, |command| {
        command.env("CALLBOARD_STORE_URL", url);
    });
    server.initialize("2025-06-18");
    server
}

fn call(id: usize, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

/// Stops it; all its threads stand still then.
fn stop(server: &Binary) {
    server.signal(Signal::STOP);
    let tasks = format!("/proc/{}/task", server.child.id());
    let stands = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
    while !fs::read_dir(&tasks)
        .unwrap()
        .all(|task| fs::read_to_string(task.unwrap().path().join("stat")).is_ok_and(stands))
    {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn postgresql_takes_back_what_a_stopped_server_has_begun() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    let (mut stopped, mut other) = (serve(&url), serve(&url));
    let acquire = |resource: &str| json!({"action": "acquire", "resource": resource, "ttl_ms": 60_000}).to_string();
    stopped.answer("manage_lock", &acquire("before"));
    bench.block("LOCK TABLE callboard.event IN SHARE MODE").await;
    stopped.send(&call(1, "manage_lock", &acquire("db")));
    assert_eq!(bench.waiting(1).await, ["-- event_add_numbered"], "it has the row of the lock");
    stop(&stopped);
    bench.let_go().await;
    // Longer than 3 s nobody waits for a row: what comes in time is an answer.
    let taken = other.answer("manage_lock", &acquire("db"));
    assert_eq!(taken["acquired"], true, "{taken}");
    // Of what it had begun nothing stands, and it says how it is now.
    stopped.signal(Signal::CONT);
    let late = stopped.answer_to(&json!(1));
    let late: Value = serde_json::from_str(late["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!((&late["acquired"], &late["holder"]), (&json!(false), &taken["holder"]));
}

#[test]
fn beside_a_stopped_server_the_embedded_store_is_read_and_written_once_it_goes_on() {
    let mut stopped = Binary::serve();
    let mut other = stopped.beside();
    let enqueue = r#"{"tasks":[{"title":"one"}]}"#;
    for server in [&mut stopped, &mut other] {
        server.answer("enqueue_tasks", enqueue);
    }
    let file = Connection::open(stopped.home.path().join("data").join("callboard.db")).unwrap();
    file.busy_timeout(Duration::from_secs(1)).unwrap();
    let mut sent = 0;
    loop {
        assert!(sent < SENT_MAX, "it never had the file");
        for _ in 0..10 {
            sent += 1;
            stopped.send(&call(sent, "enqueue_tasks", enqueue));
        }
        stop(&stopped);
        // Nobody else has it for as long as that.
        if file.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err() {
            break;
        }
        stopped.signal(Signal::CONT);
    }
    assert_eq!(other.answer("manage_tasks", r#"{"action":"list","limit":1}"#)["tasks"][0]["title"], "one");
    other.send(&call(1, "enqueue_tasks", enqueue));
    assert_eq!(other.answer("manage_tasks", r#"{"action":"list","limit":1}"#)["tasks"][0]["title"], "one");
    stopped.signal(Signal::CONT);
    assert_ne!(other.answer_to(&json!(1))["result"]["isError"], true);
    for id in 1..=sent {
        assert_ne!(stopped.answer_to(&json!(id))["result"]["isError"], true);
    }
    let kept: i64 = file.query_row("SELECT count(*) FROM task", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, i64::try_from(sent).unwrap() + 3);
}
