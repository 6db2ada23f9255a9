//! The transport: what comes in, what goes out, and how the process ends.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    patience::{PATIENCE, SOON},
    slow_engine::SlowEngine,
};

const PING: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;

fn code(message: &Value) -> i64 {
    message["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {message}"))
}

/// A server whose index `slow` answers when the test says so.
fn slow_board() -> (Binary, SlowEngine) {
    let engine = SlowEngine::start();
    let mut board = Binary::with(Streams::Pipes, |command| {
        command.env("ELASTICSEARCH_URL", engine.url());
    });
    board.initialize("2025-06-18");
    (board, engine)
}

fn slow_call(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"count_documents","arguments":{{"index":"slow"}}}}}}"#
    )
}

#[test]
fn pipes_and_sockets_are_served() {
    for streams in [Streams::Pipes, Streams::Sockets] {
        let mut board = Binary::with(streams, |_| {});
        let greeting = board.initialize("2025-11-25");
        assert_eq!(greeting["result"]["serverInfo"]["name"], "callboard", "{streams:?}");
        assert_eq!(board.answer("get_server_info", "{}")["version"], env!("CARGO_PKG_VERSION"));
        board.end_input();
        let (status, _) = board.wait();
        assert!(status.success(), "{streams:?}: {status}");
    }
}

#[test]
fn files_and_null_are_served() {
    let home = tempfile::tempdir().unwrap();
    let requests = home.path().join("requests");
    std::fs::write(&requests, format!("{PING}\r\n\n  \n\u{feff}{PING}\n{PING}")).unwrap();
    let answers = home.path().join("answers");
    let status = Binary::command(&home)
        .stdin(std::fs::File::open(&requests).unwrap())
        .stdout(std::fs::File::create(&answers).unwrap())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let line = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
    assert_eq!(std::fs::read_to_string(&answers).unwrap(), format!("{line}\n{line}\n{line}\n"));
    let status = Binary::command(&home).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_end_of_input_before_any_request_is_no_failure() {
    let mut board = Binary::with(Streams::Pipes, |_| {});
    board.end_input();
    let (status, took) = board.wait();
    assert!(status.success());
    assert!(took < SOON, "{took:?}");
    assert!(board.rest().is_empty());
}

#[test]
fn a_line_over_the_limit_is_refused_and_not_kept() {
    let mut board = Binary::serve();
    board.answer("get_server_info", "{}");
    let before = board.resident_kib();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        board.send_bytes(&chunk);
    }
    let answer = board.message();
    assert_eq!(code(&answer), -32600);
    assert!(answer["error"]["message"].as_str().unwrap().contains("16777216"), "{answer}");
    let after = board.resident_kib();
    assert!(after < before + 48 * 1024, "{before} KiB before, {after} KiB after 200 MiB without a line break");
    board.send_bytes(b"\n");
    board.send(PING);
    assert_eq!(board.message()["id"], 7);
}

/// One line of more than 200 MiB: what stands before and behind the long text in it.
fn send_long(board: &mut Binary, before: &str, behind: &str) {
    let chunk = vec![b'x'; 1 << 20];
    board.send_bytes(before.as_bytes());
    for _ in 0..200 {
        board.send_bytes(&chunk);
    }
    board.send_bytes(behind.as_bytes());
}

#[test]
fn a_line_over_the_limit_is_answered_by_its_own_id() {
    let mut board = Binary::serve();
    board.answer("get_server_info", "{}");
    let before = board.resident_kib();
    let call = r#""method":"tools/call","params":{"name":"count_rows","arguments":{"id":9,"table":""#;
    for (first, last, ids) in [
        (format!(r#"{{"jsonrpc":"2.0","id":41,{call}"#), r#""}}}"#, vec![json!(41)]),
        (format!(r#"{{"jsonrpc":"2.0",{call}"#), r#""}},"id":"l\"ast"}"#, vec![json!("l\"ast")]),
        (format!(r#"{{"jsonrpc":"2.0",{call}\",\"id\":5,\""#), r#""},"id":8},"id":42,"x":{"id":7}}"#, vec![json!(42)]),
        (
            format!(r#"[{{"jsonrpc":"2.0","id":1,"method":"ping"}},{{"id":"b",{call}"#),
            r#""}}}]"#,
            vec![json!(1), json!("b")],
        ),
        (format!(r#"{{"jsonrpc":"2.0","id":1,"id":2,{call}"#), r#""}}}"#, vec![Value::Null]),
        (format!(r#"{{"jsonrpc":"2.0","id":null,{call}"#), r#""}}}"#, vec![Value::Null]),
        (format!(r#"{{"jsonrpc":"2.0",{call}"#), r#""}}}"#, vec![Value::Null]),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"t":""#.to_owned(), r#""}}"#, vec![Value::Null]),
    ] {
        send_long(&mut board, &first, &format!("{last}\n"));
        for id in ids {
            let answer = board.message();
            assert_eq!((code(&answer), &answer["id"]), (-32600, &id), "{first} … {last}");
            let message = "the line is longer than 16777216 bytes, the most that one message takes";
            assert_eq!(answer["error"]["message"], message);
        }
        board.send(PING);
        assert_eq!(board.message(), json!({"jsonrpc": "2.0", "id": 7, "result": {}}));
    }
    let after = board.resident_kib();
    assert!(after < before + 48 * 1024, "{before} KiB before, {after} KiB after eight lines of 200 MiB");
    // Cut off by the end of input.
    send_long(&mut board, &format!(r#"{{"jsonrpc":"2.0","id":43,{call}"#), "");
    board.end_input();
    board.wait();
    let rest = board.rest();
    assert_eq!(
        rest.iter().map(|answer| (code(answer), answer["id"].clone())).collect::<Vec<_>>(),
        [(-32600, json!(43))]
    );
}

#[test]
fn a_line_of_just_the_limit_is_served() {
    let mut board = Binary::serve();
    for ending in ["\n", "\r\n"] {
        for (bytes, code) in [(16 << 20, Value::Null), ((16 << 20) + 1, json!(-32600))] {
            let (first, last) = (r#"{"jsonrpc":"2.0","id":5,"method":"ping","x":""#, "\"}");
            let text = "x".repeat(bytes - first.len() - last.len());
            board.send_bytes(format!("{first}{text}{last}{ending}").as_bytes());
            let answer = board.message();
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(5), &code), "{bytes} {ending:?}");
        }
    }
}

#[test]
fn a_long_line_within_the_limit_is_served() {
    let mut board = Binary::serve();
    let text = "x".repeat(15 << 20);
    let failure = board.refused("count_rows", &format!(r#"{{"table":"t","no_such":"{text}"}}"#));
    assert_eq!(failure["argument"], "no_such");
}

#[test]
fn a_batch_is_unwrapped_and_answered() {
    let mut board = Binary::serve();
    board.send(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},1,{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":"b","method":"tools/list"}]"#);
    assert_eq!(board.answer_to(&json!(1))["result"], json!({}));
    assert_eq!(code(&board.answer_to(&Value::Null)), -32600);
    assert!(board.answer_to(&json!("b"))["result"]["tools"].is_array());
}

#[test]
fn ids_come_back_exactly_as_they_were() {
    let mut board = Binary::serve();
    let ids =
        ["0", "-1", "1.5", "123456789012345678901234567890", "1e3", r#""""#, r#""äöü 🦀""#, r#""a\"b\\c""#, r#""7""#];
    for id in ids {
        board.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
    }
    board.end_input();
    board.wait();
    let mut answers = Vec::new();
    for message in board.rest() {
        answers.push(message["id"].clone());
    }
    let asked: Vec<Value> = ids.iter().map(|id| serde_json::from_str(id).unwrap()).collect();
    assert_eq!(answers, asked);
}

#[test]
fn an_id_that_no_double_holds_keeps_its_digits() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Binary::command(&home).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let line = r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}"#;
    writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
    let mut answer = String::new();
    child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    child.wait().unwrap();
    assert_eq!(answer, "{\"jsonrpc\":\"2.0\",\"id\":123456789012345678901234567890,\"result\":{}}\n");
}

#[test]
fn the_same_id_twice_in_flight_gets_two_answers() {
    let (mut board, engine) = slow_board();
    board.send(&slow_call("5"));
    board.send(&slow_call("5"));
    engine.wait_for_held(2);
    engine.open();
    for _ in 0..2 {
        let answer = board.message();
        assert_eq!(answer["id"], 5);
        assert_eq!(answer["result"]["structuredContent"]["count"], 3, "{answer}");
    }
}

#[test]
fn a_second_client_on_the_same_stream_may_shake_hands_again() {
    let mut board = Binary::serve();
    assert_eq!(board.initialize("2024-11-05")["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(board.initialize("2025-11-25")["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(board.answer("get_server_info", "{}")["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn stray_messages_before_the_first_request_are_passed_over() {
    let mut board = Binary::with(Streams::Pipes, |_| {});
    board.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    board.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    board.send(r#"{"jsonrpc":"2.0","method":"notifications/nobody/knows","params":[1]}"#);
    board.send(r#"{"jsonrpc":"2.0","id":4,"result":{}}"#);
    board.send(r#"{"jsonrpc":"2.0","id":4,"error":{"code":1,"message":"x"}}"#);
    assert_eq!(board.answer("get_server_info", "{}")["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(board.initialize("2025-06-18")["result"]["protocolVersion"], "2025-06-18");
}

#[test]
fn accepted_calls_are_answered_after_the_end_of_input() {
    let (mut board, engine) = slow_board();
    board.send(&slow_call("1"));
    board.send(&slow_call("2"));
    engine.wait_for_held(2);
    board.end_input();
    engine.open();
    let rest = board.rest();
    let ids: Vec<&Value> = rest
        .iter()
        .filter(|answer| answer["result"]["structuredContent"]["count"] == 3)
        .map(|answer| &answer["id"])
        .collect();
    assert_eq!(ids.len(), 2, "{rest:?}");
    let (status, _) = board.wait();
    assert!(status.success());
}

#[test]
fn a_cancelled_call_stops_its_work_and_does_not_hold_the_end() {
    let (mut board, engine) = slow_board();
    board.send(&slow_call(r#""c""#));
    engine.wait_for_held(1);
    board.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c","reason":"enough"}}"#);
    engine.wait_for_abandoned(1);
    board.end_input();
    let (status, took) = board.wait();
    assert!(status.success());
    assert!(took < SOON, "{took:?}");
    assert_eq!(board.rest(), Vec::<Value>::new(), "a cancelled call has no answer");
}

#[test]
fn a_signal_ends_an_idle_process_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut board = Binary::serve();
        board.answer("get_server_info", "{}");
        board.signal(signal);
        let (status, took) = board.wait();
        assert!(status.success(), "{signal:?}: {status}");
        assert!(took < SOON, "{signal:?}: {took:?}");
    }
}

#[test]
fn a_signal_lets_calls_end_and_answers_those_that_do_not() {
    let (mut board, engine) = slow_board();
    board.send(&slow_call("1"));
    engine.wait_for_held(1);
    let started = Instant::now();
    board.signal(Signal::TERM);
    let (status, _) = board.wait();
    assert!(status.success(), "{status}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    let rest = board.rest();
    let envelope: Value = serde_json::from_str(rest[0]["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!((&rest[0]["id"], &envelope["code"]), (&json!(1), &json!("unavailable")), "{rest:?}");
    drop(engine);
}

/// Four calls that wait for what does not happen, as long as may be; what is answered to them.
fn waiting(board: &mut Binary) -> [(Value, Value); 4] {
    let workflow = board.answer("create_workflow", r#"{"name":"w"}"#)["workflow_id"].clone();
    board.answer("manage_lock", r#"{"action":"acquire","resource":"r","agent_id":"one","ttl_ms":3600000}"#);
    let wait = 20_000;
    for (id, tool, arguments) in [
        (1, "claim_tasks", json!({"agent_id": "one", "wait_ms": wait})),
        (2, "get_orchestration_status", json!({"workflow_id": workflow, "wait_ms": wait})),
        (3, "get_events", json!({"workflow_id": workflow, "after": 1_000, "wait_ms": wait})),
        (4, "manage_lock", json!({"action": "acquire", "resource": "r", "agent_id": "two", "wait_ms": wait})),
    ] {
        let params = json!({"name": tool, "arguments": arguments});
        board.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string());
    }
    [(json!(1), json!([])), (json!(2), json!("pending")), (json!(3), json!([])), (json!(4), json!(false))]
}

/// What each of those calls was answered, by its number.
fn waited(rest: &[Value]) -> Vec<(Value, Value)> {
    let mut answers: Vec<(Value, Value)> = rest
        .iter()
        .map(|answer| {
            let said = &answer["result"]["structuredContent"];
            let told = [&said["tasks"], &said["workflow"]["state"], &said["events"], &said["acquired"]];
            let told = told.into_iter().find(|told| !told.is_null()).unwrap_or(answer);
            (answer["id"].clone(), told.clone())
        })
        .collect();
    answers.sort_by_key(|(id, _)| id.as_i64());
    answers
}

#[test]
fn calls_that_wait_end_their_waiting_with_the_input() {
    let mut board = Binary::serve();
    let expected = waiting(&mut board);
    board.end_input();
    let (status, took) = board.wait();
    assert!(status.success(), "{status}");
    assert!(took < SOON, "{took:?}");
    assert_eq!(waited(&board.rest()), expected);
}

#[test]
fn calls_that_wait_end_their_waiting_with_the_process() {
    let mut board = Binary::serve();
    let expected = waiting(&mut board);
    // Answered at once, and after all of them were taken in.
    board.send(PING);
    assert!(board.answer_to(&json!(7))["result"].is_object());
    board.signal(Signal::TERM);
    let (status, _) = board.wait();
    assert!(status.success(), "{status}");
    assert_eq!(waited(&board.rest()), expected);
}

#[test]
fn a_client_that_stops_reading_for_good_ends_the_process() {
    let home = tempfile::tempdir().unwrap();
    let mut child =
        Binary::command(&home).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    writeln!(stdin, "{PING}").unwrap();
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    // stdin stays open: only the broken stdout can end it.
    writeln!(stdin, "{PING}").unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < PATIENCE, "the process stays");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stray_print_cannot_reach_the_client() {
    let mut board = Binary::serve();
    board.answer("get_server_info", "{}");
    let of = |fd: u32| std::fs::read_link(format!("/proc/{}/fd/{fd}", board.child.id())).unwrap();
    assert_eq!(of(1), of(2), "descriptor 1 must lead to stderr");
}

#[cfg(target_os = "linux")]
#[test]
fn the_parents_descriptors_stay_as_they_were() {
    let home = tempfile::tempdir().unwrap();
    let (theirs, mut ours) = std::io::pipe().unwrap();
    let (answers, answered) = std::io::pipe().unwrap();
    let kept = (theirs.try_clone().unwrap(), answered.try_clone().unwrap());
    let mut child = Binary::command(&home).stdin(theirs).stdout(answered).stderr(Stdio::null()).spawn().unwrap();
    writeln!(ours, "{PING}").unwrap();
    BufReader::new(answers).read_line(&mut String::new()).unwrap();
    for descriptor in [rustix::fs::fcntl_getfl(&kept.0), rustix::fs::fcntl_getfl(&kept.1)] {
        assert!(!descriptor.unwrap().contains(rustix::fs::OFlags::NONBLOCK));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
