//! A value that is written as another kind, and what it may be read as.

use serde_json::{Value, json};

use super::calls::{board, calls, schema_of, steady, with};
use crate::support::harness::Harness;

/// All whole numbers among the arguments of all tools, with one that is in range.
fn whole_numbers() -> Vec<(&'static str, Value, String, i64)> {
    let calls = calls();
    let numbers = |(tool, arguments): &(&'static str, Value)| {
        let properties = schema_of(tool)["properties"].clone();
        let whole = properties.as_object().into_iter().flatten().filter(|(_, schema)| schema["type"] == "integer");
        let number = |schema: &Value| schema["minimum"].as_i64().unwrap_or(1);
        whole.map(|(name, schema)| (*tool, arguments.clone(), name.clone(), number(schema))).collect::<Vec<_>>()
    };
    calls.iter().flat_map(numbers).collect()
}

#[tokio::test]
async fn a_whole_number_is_one_however_it_is_written() {
    let (board, names) = board().await;
    let mut wrong = Vec::new();
    let numbers = whole_numbers();
    assert!(numbers.len() > 25, "{}", numbers.len());
    for (tool, arguments, name, number) in numbers {
        let called = |value: &str| {
            let text = with(&arguments, &name, value);
            names.iter().fold(text, |text, (name, value)| text.replace(name, value))
        };
        let plain = board.any(tool, &called(&number.to_string())).await;
        for written in ["N.0", "N.000", "Ne0", "N0e-1", "\"N\"", "\" N \"", "\"N.0\"", "\"Ne0\""] {
            let call = called(&written.replace('N', &number.to_string()));
            let other = board.any(tool, &call).await;
            if (plain.0, steady(&plain.1)) != (other.0, steady(&other.1)) {
                wrong.push(format!("{tool} {call}\n  {}\n  {}", plain.1, other.1));
            }
        }
        let broken = [
            "2.5",
            "\"2.5\"",
            "1e400",
            "-0.0",
            "\"NaN\"",
            "\"１０\"",
            "\"1_0\"",
            "\"0x10\"",
            "\"+1\"",
            "\"010\"",
            "\"ten\"",
            "true",
            "[1]",
            "{\"a\":1}",
            "1e-1",
            "\"1,000\"",
            "99999999999999999999",
        ];
        for call in broken.map(called) {
            let (refused, answer) = board.any(tool, &call).await;
            if !refused || answer["code"] != "invalid" || answer["argument"] != name.as_str() {
                wrong.push(format!("{tool} {call}\n  {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn other_kinds_are_read_where_their_meaning_is_plain() {
    let board = Harness::embedded();
    for (tool, arguments, pointer, wanted) in [
        (
            "create_workflow",
            r#"{"name":"w","deadline_ms":"3.6e6","budget_usd":"0.5","on_task_failure":" Pause ","tasks":"[{\"key\":\"a\",\"priority\":7.0,\"max_attempts\":\"3\"}]"}"#,
            "/tasks/0/state",
            json!("ready"),
        ),
        (
            "enqueue_tasks",
            r#"{"tasks":[{"priority":"HIGH"},{"priority":"9.0","delay_ms":1e3}]}"#,
            "/tasks/1/state",
            json!("scheduled"),
        ),
        ("list_workflows", r#"{"state":"OPEN","limit":"1.0"}"#, "/workflows/0/name", json!("w")),
        (
            "manage_tasks",
            r#"{"action":"List","filter":{"state":" Ready"},"dry_run":"FALSE"}"#,
            "/tasks/0/max_attempts",
            json!(3),
        ),
        ("get_analytics", r#"{"metric":"Throughput","group_by":"DAY"}"#, "/metric", json!("throughput")),
        ("get_orchestration_status", r#"{"include":["Tasks"]}"#, "/workflows/pending", json!(1)),
    ] {
        let answer = board.answer(tool, arguments).await;
        assert_eq!(answer.pointer(pointer), Some(&wanted), "{tool} {arguments}\n→ {answer}");
    }
    for (tool, arguments, argument, message) in [
        ("list_workflows", r#"{"type":5}"#, "type", "`type` takes a string, not integer `5`"),
        (
            "claim_tasks",
            r#"{"agent_id":"a","queues":"default"}"#,
            "queues",
            "`queues` takes a list, not string \"default\"",
        ),
        (
            "manage_tasks",
            r#"{"action":"list","dry_run":1}"#,
            "dry_run",
            "`dry_run` takes true or false, not integer `1`",
        ),
        (
            "manage_tasks",
            r#"{"action":"list","dry_run":"yes"}"#,
            "dry_run",
            "`dry_run` takes true or false, not string \"yes\"",
        ),
        (
            "create_workflow",
            r#"{"name":"w","tasks":[{},{"priority":10}]}"#,
            "tasks",
            "`tasks[1].priority` is 10; it takes 0 to 9",
        ),
        (
            "create_workflow",
            r#"{"name":"w","tasks":[{"max_attempts":2.5}]}"#,
            "tasks",
            "`tasks[0].max_attempts` takes a whole number that is not negative, not floating point `2.5`",
        ),
        ("enqueue_tasks", r#"{"tasks":[{"delay_ms":-1}]}"#, "tasks", "`tasks[0].delay_ms` is -1; it takes 0 or more"),
        (
            "enqueue_tasks",
            r#"{"tasks":[{"priority":"urgentest"}]}"#,
            "tasks",
            "`tasks[0].priority` takes 0 to 9, or low, normal, high, critical",
        ),
        (
            "enqueue_tasks",
            r#"{"tasks":[{"on_dependency_failure":"Stop"}]}"#,
            "tasks",
            "`tasks[0].on_dependency_failure` is `Stop`; it takes cancel, continue, park",
        ),
    ] {
        board.invalid(tool, arguments, argument, message).await;
    }
}

#[tokio::test]
async fn a_text_where_a_list_is_taken_is_told_how_a_list_is_written() {
    let board = Harness::embedded();
    for (tool, arguments) in [
        ("claim_tasks", r#"{"agent_id":"a","queues":"x"}"#),
        ("register_agent", r#"{"role":"r","capabilities":"x"}"#),
        // Its members are objects: one of texts would be wrong.
        ("bulk_insert", r#"{"table":"t","rows":"x"}"#),
        ("create_table", r#"{"table":"t","columns":[{"name":"x","type":"text"}],"primary_key":"x"}"#),
    ] {
        assert_eq!(
            board.refused(tool, arguments).await["hint"],
            "a list is written in brackets, also one of a single value: [ … ]",
            "{tool}"
        );
    }
}

#[tokio::test]
async fn a_key_is_one_key_however_the_arguments_are_written() {
    let board = Harness::embedded();
    let first = board.answer("create_workflow", r#"{"name":"w","deadline_ms":60000,"idempotency_key":"k"}"#).await;
    for again in [
        r#"{"name":"w","deadline_ms":6e4,"idempotency_key":"k"}"#,
        r#"{"name":"w","deadline_ms":"60000","parent_id":"","tasks":[],"idempotency_key":"k"}"#,
        r#""{\"name\":\"w\",\"deadline_ms\":60000,\"idempotency_key\":\"k\"}""#,
    ] {
        assert_eq!(board.answer("create_workflow", again).await, first, "{again}");
    }
}
