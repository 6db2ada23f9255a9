//! More than the server takes: calls, lines, and a client that does not read.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    slow_engine::SlowEngine,
};

/// Two thousand calls at once: 64 are worked on, 1,024 wait, the rest is told to come back. Meanwhile a ping is answered.
#[test]
fn two_thousand_calls_at_once_are_all_answered() {
    let engine = SlowEngine::start();
    let mut board = Binary::with(Streams::Pipes, |command| {
        command.env("ELASTICSEARCH_URL", engine.url());
    });
    board.initialize("2025-06-18");
    let mut lines = String::new();
    for id in 0..2_000 {
        lines.push_str(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"count_documents\",\"arguments\":{{\"index\":\"slow\"}}}}}}\n"
        ));
    }
    board.send_bytes(lines.as_bytes());
    let mut busy = Vec::new();
    for _ in 0..2_000 - 64 - 1_024 {
        busy.push(board.message());
    }
    for answer in &busy {
        let envelope: Value = serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(envelope["code"], "busy", "{answer}");
        assert_eq!(envelope["retryable"], true);
        assert!(envelope["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{envelope}");
    }
    engine.wait_for_held(64);
    assert_eq!(engine.held(), 64, "no more are worked on at once");
    // Answered while nothing else is: the calls are held until the engine is told.
    board.send(r#"{"jsonrpc":"2.0","id":"ping","method":"ping"}"#);
    board.answer_to(&json!("ping"));
    engine.open();
    let mut good = 0;
    for _ in 0..64 + 1_024 {
        let answer = board.message();
        good += usize::from(answer["result"]["structuredContent"]["count"] == 3);
    }
    assert_eq!(good, 64 + 1_024);
}

/// Whether no thread of a process runs, or waits for its turn on a busy machine.
fn sleeps(process: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let states = tasks.map(|task| std::fs::read_to_string(task.path().join("stat")).unwrap_or_default());
    states.into_iter().all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')))
}

/// The server stops taking in when nobody takes out, and loses nothing of what it took.
#[test]
fn a_client_that_does_not_read_is_not_a_memory_leak() {
    let home = tempfile::tempdir().unwrap();
    let mut child =
        Binary::command(&home).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = child.stdout.take().unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let total = 200_000u64;
    let writer = std::thread::spawn(move || {
        for id in 0..total {
            writeln!(stdin, r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#).unwrap();
            counter.store(id + 1, Ordering::Relaxed);
        }
    });
    // Until nothing moves for a second in which it could have.
    let mut last = (0, Instant::now());
    while last.1.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(20));
        let now = sent.load(Ordering::Relaxed);
        if now != last.0 || !sleeps(child.id()) {
            last = (now, Instant::now());
        }
    }
    assert!(last.0 < total / 2, "{} requests were taken in while nobody read", last.0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let resident: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap();
    assert!(resident < 128 * 1024, "{resident} KiB resident with {} requests taken in", last.0);
    // Everything that was taken in is answered in the end, in order of its arrival or not.
    let mut answered = 0u64;
    for line in BufReader::with_capacity(1 << 20, stdout).lines() {
        let line = line.unwrap();
        assert!(line.contains(r#""tools":"#), "{}", &line[..line.len().min(200)]);
        answered += 1;
        if answered == last.0 {
            break;
        }
    }
    assert_eq!(answered, last.0);
    child.kill().unwrap();
    child.wait().unwrap();
    // Its pipe is broken now.
    assert!(writer.join().is_err());
}
