//! Lines that are no message: who is told of them.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::binary::{Binary, Streams};

const PING: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;

fn code(message: &Value) -> i64 {
    message["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {message}"))
}

/// The ids of the answers to a line, which say that it is not JSON.
fn told(board: &mut Binary, line: &[u8]) -> Vec<Value> {
    board.send_bytes(line);
    board.send("\n{\"jsonrpc\":\"2.0\",\"id\":\"end\",\"method\":\"ping\"}");
    let mut ids = Vec::new();
    loop {
        let answer = board.message();
        if answer == json!({"jsonrpc": "2.0", "id": "end", "result": {}}) {
            return ids;
        }
        let shown = String::from_utf8_lossy(line);
        assert_eq!(code(&answer), -32700, "{shown} → {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("the line is not JSON: "), "{shown} → {answer}");
        ids.push(answer["id"].clone());
    }
}

#[test]
fn what_is_not_json_is_answered_by_the_id_that_stands_in_it() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let seven = |rest: &str| format!(r#"{{"jsonrpc":"2.0","id":7,{rest}"#).into_bytes();
    let last = |rest: &str| format!(r#"{{"jsonrpc":"2.0",{rest},"id":"x-1"}}"#).into_bytes();
    let [number, text] = [vec![json!(7)], vec![json!("x-1")]];
    let mut board = Binary::serve();
    for (line, ids) in [
        (seven(r#""method":"tools/call","params":{"name":}}"#), &number),
        (seven(r#""method":"#), &number),
        (seven(r#""method":"ping","#), &number),
        (seven(r#""method":"ping",}"#), &number),
        (seven(r#""method":"ping"}}"#), &number),
        (seven(r#""method":"ping"]"#), &number),
        (seven(r#""method":"ping" "params":{}}"#), &number),
        (seven(r#""method":"ping","params":{"x":NaN}}"#), &number),
        (seven(r#""method":"ping","params":{"x":"\ud800"}}"#), &number),
        (seven(r#""method":"ping","params":{"x":"\udc00\ud800"}}"#), &number),
        (seven(r#""method":"ping","params":{"x":"cut"#), &number),
        (seven(&format!(r#""method":"tools/call","params":{{"name":"x","arguments":{deep}}}}}"#)), &number),
        ([seven(r#""method":"ping","x":""#).as_slice(), b"\xff\xfe\"}"].concat(), &number),
        ([b"\xef\xbb\xbf\0", seven(r#""method":"ping"}"#).as_slice(), b"\0"].concat(), &number),
        ([seven(r#""method":"ping",}"#).as_slice(), b"\r"].concat(), &number),
        (last(r#""method":"tools/call","params":{"name":}"#), &text),
        (last(r#""method":"tools/call","params":{"name":"x","arguments":{"id":3,"t":"\"id\":4",}}"#), &text),
        (last(r#""method":ping"#), &text),
        (last(&format!(r#""method":"tools/call","params":{{"name":"x","arguments":{deep}}}"#)), &text),
        (format!("{PING} {PING}").into_bytes(), &vec![json!(7), json!(7)]),
        (br#"[{"id":1,"method":"ping"},{"method":"x"},{"id":2,"method":}]"#.to_vec(), &vec![json!(1), json!(2)]),
        (br#"{"id":-1.5e3,"method":}"#.to_vec(), &vec![json!(-1500.0)]),
    ] {
        assert_eq!(&told(&mut board, &line), ids, "{}", String::from_utf8_lossy(&line));
    }
}

#[test]
fn what_is_not_json_and_has_no_id_is_answered_to_nobody_in_particular() {
    let deep = "[".repeat(10_000);
    let mut board = Binary::serve();
    for line in [
        "nonsense",
        "\0\0\0",
        deep.as_str(),
        r#"{"method":"ping","params":{"id":7,}}"#,
        r#"{"method":"ping","params":"\"id\":7",}"#,
        r#"{"method":"ping","params":{"a":[1},"id":8}]},"id":7}"#,
        r#"{"id":7,"id":7,"method":"ping",}"#,
        r#"{"id":7,"id":8,"method":"ping",}"#,
        r#"{"id":null,"method":"ping",}"#,
        r#"{"id":{"id":7},"method":"ping",}"#,
        r#"{"id":[7],"method":"ping",}"#,
        r#"{"id":"\ud800","method":"ping",}"#,
        r#"{"id":7,"result":{},}"#,
        r"{'id':7,'method':'ping'}",
    ] {
        assert_eq!(told(&mut board, line.as_bytes()), [Value::Null], "{line}");
    }
}

#[test]
fn a_broken_line_is_answered_when_the_input_ends_in_it() {
    let mut board = Binary::with(Streams::Pipes, |_| {});
    board.send_bytes(br#"{"jsonrpc":"2.0","id":7,"method":"tools/ca"#);
    board.end_input();
    assert!(board.wait().0.success());
    let answers: Vec<_> = board.rest().iter().map(|answer| (code(answer), answer["id"].clone())).collect();
    assert_eq!(answers, [(-32700, json!(7))]);
}

#[test]
fn every_broken_request_is_answered_however_many_there_are() {
    let mut board = Binary::serve();
    for id in 0..100 {
        board.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":}}"#));
    }
    for id in 0..100 {
        let answer = board.message();
        assert_eq!((code(&answer), &answer["id"]), (-32700, &json!(id)));
    }
}

#[test]
fn at_most_twenty_broken_lines_a_second_are_answered() {
    let mut board = Binary::serve();
    let started = Instant::now();
    for _ in 0..500 {
        board.send("nonsense");
    }
    board.send(PING);
    let mut broken = 0;
    while board.message()["id"].is_null() {
        broken += 1;
    }
    let seconds = started.elapsed().as_secs() + 1;
    assert!((20..=20 * seconds).contains(&broken), "{broken} answers in {seconds} s");
}

#[test]
fn what_is_no_message_is_refused_with_its_id() {
    let cases = [
        ("42", Value::Null),
        (r#""ping""#, Value::Null),
        ("null", Value::Null),
        ("true", Value::Null),
        ("[]", Value::Null),
        ("[[]]", Value::Null),
        (r#"[{"jsonrpc":"2.0","id":4,"method":"ping"},[]]"#, json!(4)),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, Value::Null),
        (r#"{"id":1}"#, json!(1)),
        ("{}", Value::Null),
        (r#"{"jsonrpc":"1.0","id":5,"method":"ping"}"#, json!(5)),
        (r#"{"id":"a","method":"ping"}"#, json!("a")),
        (r#"{"jsonrpc":"2.0","id":6}"#, json!(6)),
        (r#"{"jsonrpc":"2.0","id":6,"method":5}"#, json!(6)),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","method":"ping","method":"ping","id":3}"#, json!(3)),
        (r#"{"jsonrpc":"2.0","params":{"id":1},"params":{},"method":"ping","id":"four"}"#, json!("four")),
    ];
    let mut board = Binary::serve();
    for (line, id) in cases {
        board.send(line);
        let answer = board.message();
        assert_eq!(code(&answer), -32600, "{line} → {answer}");
        assert_eq!(answer["id"], id, "{line} → {answer}");
    }
    for params in ["[1]", "5", r#""x""#] {
        board.send(&format!(r#"{{"jsonrpc":"2.0","id":8,"method":"tools/list","params":{params}}}"#));
        assert_eq!(code(&board.message()), -32602, "{params}");
    }
}
