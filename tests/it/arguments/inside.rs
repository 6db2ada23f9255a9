//! Values with several forms, and mistakes inside of them.

use serde_json::{Value, json};

use crate::support::harness::Harness;

/// A claimed task's token.
async fn token(board: &Harness) -> String {
    board.answer("enqueue_tasks", r#"{"tasks":[{}]}"#).await;
    board.answer("claim_tasks", r#"{"agent_id":"a"}"#).await["tasks"][0]["lease_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_failure_is_told_in_words_or_as_an_object() {
    let board = Harness::embedded();
    let raw = r#"{"status":500,"retryable":"perhaps"}"#;
    for (error, state, kept) in [
        (json!("no answer"), "retry_wait", json!({"message": "no answer"})),
        (json!("null"), "retry_wait", json!({"message": "null"})),
        (json!({"message": "m", "retryable": false}), "dead", json!({"message": "m", "retryable": false})),
        (
            json!({"message": "m", "retryable": "False", "code": ""}),
            "dead",
            json!({"message": "m", "retryable": false}),
        ),
        (json!({"message": "m", "retryable": null}), "retry_wait", json!({"message": "m"})),
        (json!({"code": "denied", "message": "m"}), "dead", json!({"code": "denied", "message": "m"})),
        (json!(r#"{"message":"m","retryable":false}"#), "dead", json!({"message": "m", "retryable": false})),
        // What somebody's program said is words.
        (json!(raw), "retry_wait", json!({"message": raw})),
    ] {
        let call = json!({"lease_token": token(&board).await, "outcome": "failed", "error": error}).to_string();
        let finished = board.answer("finish_task", &call).await;
        assert_eq!(finished["state"], state, "{call}");
        let asked = json!({"task_id": finished["task_id"]}).to_string();
        let shown = board.answer("get_orchestration_status", &asked).await;
        assert_eq!(shown["task"]["error"], kept, "{call}");
    }
}

#[tokio::test]
async fn a_mistake_inside_of_a_value_is_named() {
    let board = Harness::embedded();
    let token = token(&board).await;
    for (error, message, near) in [
        (json!({"message": "m", "retriable": false}), "no member `error.retriable`", json!(["retryable"])),
        (json!({"code": "x"}), "`error` lacks `message`, which is required", Value::Null),
        (json!({"message": 5}), "`error.message` takes a string, not integer `5`", Value::Null),
        (
            json!({"message": "m", "retryable": 0}),
            "`error.retryable` takes true or false, not integer `0`",
            Value::Null,
        ),
        (json!(5), "`error` takes a text, or an object with message, code, retryable", Value::Null),
        (json!(["m"]), "`error` takes a text, or an object with message, code, retryable", Value::Null),
    ] {
        let call = json!({"lease_token": token, "outcome": "failed", "error": error}).to_string();
        let refused = board.refused("finish_task", &call).await;
        assert_eq!((&refused["message"], &refused["argument"]), (&json!(message), &json!("error")), "{refused}");
        assert_eq!(refused["did_you_mean"], near, "{refused}");
    }
    for (tool, arguments, message, near) in [
        ("update_task", r#"{"lease_token":"t","cost":{"used":1}}"#, "no member `cost.used`", "usd"),
        ("update_task", r#"{"lease_token":"t","cost":"{\"used\":1}"}"#, "no member `cost.used`", "usd"),
        ("manage_tasks", r#"{"action":"list","filter":{"queues":"q"}}"#, "no member `filter.queues`", "queue"),
        ("manage_tasks", r#"{"action":"list","filter":{"state":"redy"}}"#, "`redy` is not a state of a task", "ready"),
        ("enqueue_tasks", r#"{"tasks":[{"depend_on":["a"]}]}"#, "no member `tasks[0].depend_on`", "depends_on"),
        (
            "create_table",
            r#"{"table":"t","columns":[{"name":"a","typ":"text"}]}"#,
            "no member `columns[0].typ`",
            "type",
        ),
        ("count_rows", r#"{"table":"t","where":{"n":{"gtt":1}}}"#, "`where.n` has no operator `gtt`", "gt"),
    ] {
        let refused = board.refused(tool, arguments).await;
        assert_eq!((&refused["message"], &refused["did_you_mean"][0]), (&json!(message), &json!(near)), "{refused}");
    }
}
