//! What a refusal says: what is meant, what is accepted, and nothing that leads astray.

use serde_json::{Value, json};

use crate::support::harness::Harness;

#[tokio::test]
async fn a_list_is_no_object_with_members() {
    let board = Harness::embedded();
    for (tool, arguments, argument, message) in [
        ("manage_tasks", r#"{"action":"list","filter":["ready"]}"#, "filter", "`filter` takes an object, not a list"),
        (
            "manage_tasks",
            r#"{"action":"list","filter":"[\"ready\",\"q\",\"w\",\"a\"]"}"#,
            "filter",
            "`filter` takes an object, not a list",
        ),
        ("update_task", r#"{"lease_token":"t","cost":[0.5,"m",1,1]}"#, "cost", "`cost` takes an object, not a list"),
        ("enqueue_tasks", r#"{"tasks":[{},["k"]]}"#, "tasks", "`tasks[1]` takes an object, not a list"),
        (
            "create_table",
            r#"{"table":"t","columns":[["a","text",true,null,null]],"dry_run":true}"#,
            "columns",
            "`columns[0]` takes an object, not a list",
        ),
    ] {
        board.invalid(tool, arguments, argument, message).await;
    }
}

#[tokio::test]
async fn an_empty_value_inside_of_a_text_is_left_out_where_no_text_is_wanted() {
    let board = Harness::embedded();
    board.answer("enqueue_tasks", r#"{"tasks":[{}]}"#).await;
    let whole = board.answer("manage_tasks", r#"{"action":"list"}"#).await;
    for arguments in [
        r#"{"action":"list","filter":"{}","ids":"[]"}"#,
        r#"{"action":"list","filter":"[]","limit":"{}","dry_run":" [ ] "}"#,
        r#"{"action":"list","limit":"","priority":"null"}"#,
    ] {
        assert_eq!(board.answer("manage_tasks", arguments).await["tasks"], whole["tasks"], "{arguments}");
    }
}

#[tokio::test]
async fn only_what_is_near_is_suggested() {
    let board = Harness::embedded();
    for (tool, arguments, near) in [
        ("list_table", "{}", json!(["list_tables"])),
        ("nope", "{}", Value::Null),
        ("create_table", r#"{"table":"t","columns":[{"name":"a","nullabel":true}]}"#, json!(["nullable"])),
        ("update_agent", r#"{"agent_id":"a","status":"sleeping"}"#, Value::Null),
        ("list_workflows", r#"{"state":"runing"}"#, json!(["running"])),
        ("list_workflows", r#"{"state":"opne"}"#, json!(["open"])),
        ("list_workflows", r#"{"since":"x"}"#, json!(["created_after"])),
        ("get_events", r#"{"since":"x"}"#, json!(["after"])),
        ("create_workflow", r#"{"name":"w","tasks":[{"name":"x"}]}"#, json!(["title"])),
        ("create_workflow", r#"{"name":"w","tasks":[{"id":"x"}]}"#, json!(["key"])),
        ("create_workflow", r#"{"name":"w","callback_url":"https://x.example"}"#, json!(["webhook_url"])),
        ("enqueue_tasks", r#"{"tasks":[{"max_retries":3}]}"#, json!(["max_attempts"])),
        ("execute_query", r#"{"sql":"select 1"}"#, json!(["query"])),
        ("register_agent", r#"{"role":"r","name":"x"}"#, json!(["agent_id"])),
    ] {
        assert_eq!(board.refused(tool, arguments).await["did_you_mean"], near, "{tool} {arguments}");
    }
}

#[tokio::test]
async fn a_moment_that_is_none_is_answered_with_an_example() {
    let board = Harness::embedded();
    let written = "a date and time with its zone, e.g. 2026-11-21T09:00:00Z";
    for (tool, arguments, argument, message) in [
        (
            "enqueue_tasks",
            r#"{"tasks":[{"run_at":0}]}"#,
            "tasks",
            format!("`tasks[0].run_at` takes {written}, not integer `0`"),
        ),
        (
            "enqueue_tasks",
            r#"{"tasks":[{"run_at":{"at":1}}]}"#,
            "tasks",
            format!("`tasks[0].run_at` takes {written}, not an object"),
        ),
        (
            "enqueue_tasks",
            r#"{"tasks":[{"run_at":"0"}]}"#,
            "tasks[0].run_at",
            format!("`run_at` is `0`; it takes {written}"),
        ),
        (
            "list_workflows",
            r#"{"created_after":1795947777}"#,
            "created_after",
            format!("`created_after` takes {written}, not integer `1795947777`"),
        ),
        (
            "list_workflows",
            r#"{"created_after":"yesterday"}"#,
            "created_after",
            format!("`created_after` is `yesterday`; it takes {written}"),
        ),
    ] {
        board.invalid(tool, arguments, argument, &message).await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_called_what_it_may_be() {
    let board = Harness::embedded();
    for (arguments, message) in [
        (r#"{"task_id":"x"}"#, "no task or workflow `x`"),
        (r#"{"task_id":"tk_x"}"#, "no task `tk_x`"),
        (r#"{"task_id":"wf_x"}"#, "no workflow `wf_x`"),
        (r#"{"workflow_id":"x"}"#, "no workflow `x`"),
    ] {
        let refused = board.refused("get_orchestration_status", arguments).await;
        assert_eq!((&refused["code"], &refused["message"]), (&json!("not_found"), &json!(message)));
    }
    let alone = board.refused("enqueue_tasks", r#"{"workflow_id":"x","tasks":[{}]}"#).await;
    assert_eq!(alone["hint"], "list_workflows shows workflows; without `workflow_id` tasks belong to none");
}

#[tokio::test]
async fn a_number_beyond_all_bounds_is_named() {
    let board = Harness::embedded();
    for (tool, arguments, argument, message) in [
        ("get_events", r#"{"after":1e400}"#, "after", "`after` is a number beyond what any argument takes"),
        ("get_events", r#"{"after":"1e400"}"#, "after", "`after` takes a whole number, not string \"1e400\""),
        (
            "get_orchestration_status",
            r#"{"workflow_id":"x","since_version":-1e400}"#,
            "since_version",
            "`since_version` is a number beyond what any argument takes",
        ),
    ] {
        board.invalid(tool, arguments, argument, message).await;
    }
}

#[tokio::test]
async fn a_member_of_a_sort_key_that_is_none_is_named() {
    let board = Harness::embedded();
    board.answer("index_documents", r#"{"index":"notes","documents":[{"n":1}]}"#).await;
    let refused = board.refused("search_documents", r#"{"index":"notes","sort":[{"n":{"ordr":"asc"}}]}"#).await;
    assert_eq!((&refused["argument"], &refused["did_you_mean"]), (&json!("sort"), &json!(["order"])));
    assert_eq!(refused["message"], "`sort` does not take `ordr` for `n`");
    assert_eq!(refused["hint"], "a key of `sort` takes order, mode, missing, unmapped_type, format, numeric_type");
    for (key, message) in [
        (r#"{"order":5}"#, "`sort` takes `asc` or `desc` as order of `n`, not `5`"),
        (r#"{"mode":true}"#, "`sort` takes min, max, sum, avg or median as mode of `n`, not `true`"),
    ] {
        let sorted = format!(r#"{{"index":"notes","sort":[{{"n":{key}}}]}}"#);
        board.invalid("search_documents", &sorted, "sort", message).await;
    }
}

#[tokio::test]
async fn older_names_are_taken_and_not_listed() {
    let board = Harness::embedded();
    for (tool, arguments, hint) in [
        (
            "register_agent",
            r#"{"role":"r","rule":1}"#,
            "the arguments are: role, agent_id, capabilities, metadata, status, agent_token, idempotency_key",
        ),
        (
            "enqueue_tasks",
            r#"{"tasks":[{"color":1}]}"#,
            "the members are: key, title, description, queue, priority, depends_on, required_capabilities, input, delay_ms, run_at, max_attempts, max_runtime_ms, on_dependency_failure",
        ),
        (
            "create_workflow",
            r#"{"name":"w","color":1}"#,
            "the arguments are: name, type, tasks, input, deadline_ms, budget_usd, on_task_failure, parent_id, webhook_url, idempotency_key",
        ),
    ] {
        assert_eq!(board.refused(tool, arguments).await["hint"], hint);
    }
    let part = board.refused("get_orchestration_status", r#"{"include":["everything"]}"#).await;
    assert_eq!(part["message"], "`include[0]` is `everything`; it takes tasks, events, results");
    board.answer("register_agent", r#"{"agent_type":"r","config":{"a":1}}"#).await;
    board.answer("get_orchestration_status", r#"{"include":["task","history"]}"#).await;
}

#[tokio::test]
async fn the_idempotency_key_is_an_argument_like_any_other() {
    let board = Harness::embedded();
    let table = r#"{"table":"t","columns":[{"name":"a","type":"text"}],"#;
    for (rest, argument, message) in [
        (r#""idempotency_key":5}"#, "idempotency_key", "`idempotency_key` takes a string, not integer `5`"),
        (r#""idempotency_key":["k"]}"#, "idempotency_key", "`idempotency_key` takes a string, not a list"),
        (r#""idempotency_key":"k","idempotency_key":"k"}"#, "idempotency_key", "`idempotency_key` is given twice"),
        (r#""idempotency_key":"k","colour":1}"#, "colour", "no argument `colour`"),
    ] {
        board.invalid("create_table", &format!("{table}{rest}"), argument, message).await;
    }
    let near = board.refused("create_table", &format!(r#"{table}"idempotencykey":"k"}}"#)).await;
    assert_eq!(near["did_you_mean"][0], "idempotency_key", "{near}");
    let reading = board.refused("count_rows", r#"{"table":"t","idempotency_key":"k"}"#).await;
    assert_eq!(
        (&reading["argument"], &reading["hint"]),
        (&"idempotency_key".into(), &"the arguments are: table, where, database".into())
    );
    board.answer("create_table", &format!(r#"{table}"idempotency\u005fkey":"k"}}"#)).await;
}
