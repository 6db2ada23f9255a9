//! Arguments as models and hosts write them, for every tool alike.

use serde_json::{Map, Value, json};

use crate::support::harness::Harness;

/// What stands for nothing.
const EMPTY: [&str; 6] = ["null", r#""""#, r#"" \t ""#, "{}", "[]", "[ ]"];

/// A call of each tool that answers or refuses the same however often it is made, on a board as [`board`] makes it.
fn calls() -> Vec<(&'static str, Value)> {
    vec![
        ("create_workflow", json!({"name": "w"})),
        ("get_orchestration_status", json!({"workflow_id": "WORKFLOW"})),
        ("list_workflows", json!({})),
        ("complete_workflow", json!({"workflow_id": "wf_none", "outcome": "completed"})),
        ("control_workflow", json!({"workflow_id": "wf_none", "action": "pause"})),
        ("get_events", json!({})),
        ("get_analytics", json!({"metric": "throughput"})),
        ("enqueue_tasks", json!({"tasks": [{"run_at": "2099-01-01T00:00:00Z"}]})),
        ("claim_tasks", json!({"agent_id": "idle"})),
        ("update_task", json!({"lease_token": "TOKEN"})),
        ("finish_task", json!({"lease_token": "tk_1.1.x", "outcome": "failed", "error": "e"})),
        ("finish_task", json!({"lease_token": "tk_1.1.x", "outcome": "completed"})),
        ("manage_tasks", json!({"action": "list"})),
        ("manage_tasks", json!({"action": "retry"})),
        ("register_agent", json!({"role": "r", "agent_id": "known", "agent_token": "AGENT"})),
        ("list_agents", json!({})),
        ("update_agent", json!({"agent_id": "nobody", "status": "idle"})),
        ("manage_lock", json!({"action": "inspect", "resource": "r"})),
        ("search_documents", json!({"index": "notes", "text": "fox"})),
        ("search_documents", json!({"index": "notes", "query": {"match_all": {}}})),
        ("get_document", json!({"index": "notes", "id": "a"})),
        ("list_indices", json!({})),
        ("get_mapping", json!({"index": "notes"})),
        ("count_documents", json!({"index": "notes", "query": {"match_all": {}}})),
        ("bulk_export", json!({"index": "notes", "text": "fox"})),
        ("index_documents", json!({"index": "notes", "documents": [{"id": "a", "text": "red fox"}], "id_field": "id"})),
        ("execute_query", json!({"query": "select n from notes order by n"})),
        ("explain_query", json!({"query": "select n from notes"})),
        ("list_tables", json!({})),
        ("get_schema", json!({"table": "notes"})),
        ("count_rows", json!({"table": "notes"})),
        ("insert_data", json!({"table": "notes", "row": {"n": 1}})),
        ("bulk_insert", json!({"table": "notes", "rows": [{"n": 1}]})),
        ("create_table", json!({"table": "t2", "columns": [{"name": "a", "type": "text"}], "dry_run": true})),
        ("get_server_info", json!({})),
    ]
}

/// A board with something of each kind, and what stands for WORKFLOW, TOKEN and AGENT.
async fn board() -> (Harness, [(&'static str, String); 3]) {
    let board = Harness::embedded();
    let made = board.answer("create_workflow", r#"{"name":"w","tasks":[{"key":"a"}]}"#).await;
    let claimed = board.answer("claim_tasks", r#"{"agent_id":"worker"}"#).await;
    let known = board.answer("register_agent", r#"{"role":"r","agent_id":"known"}"#).await;
    let documents = r#"{"index":"notes","documents":[{"id":"a","text":"red fox"}],"id_field":"id"}"#;
    board.answer("index_documents", documents).await;
    let columns = r#"{"table":"notes","columns":[{"name":"n","type":"integer"}],"primary_key":["n"]}"#;
    board.answer("create_table", columns).await;
    board.answer("insert_data", r#"{"table":"notes","row":{"n":1}}"#).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = [
        ("WORKFLOW", text(&made["workflow_id"])),
        ("TOKEN", text(&claimed["tasks"][0]["lease_token"])),
        ("AGENT", text(&known["agent_token"])),
    ];
    (board, names)
}

/// An answer without what differs from call to call.
fn steady(answer: &Value) -> Value {
    const MOVES: [&str; 14] = [
        "request_id",
        "elapsed_ms",
        "took_ms",
        "uptime_ms",
        "latency_ms",
        "lease_until",
        "since",
        "version",
        "last_heartbeat",
        "workflow_id",
        "task_id",
        "seq",
        "until",
        "average_response_time",
    ];
    match answer {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !MOVES.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name.clone(), steady(value))).collect())
        }
        Value::Array(items) => items.iter().map(steady).collect(),
        other => other.clone(),
    }
}

/// The optional arguments of a tool that a call does not give, in alphabetical order.
fn optional(schema: &Value, given: &Map<String, Value>) -> Vec<String> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    names.filter(|name| !required.contains(&json!(name)) && !given.contains_key(name)).collect()
}

fn schema_of(tool: &str) -> Value {
    let found = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tools"))
        .unwrap()
        .map(|group| group.unwrap().path().join(format!("{tool}.json")))
        .find(|path| path.exists());
    let document: Value = serde_json::from_slice(&std::fs::read(found.unwrap()).unwrap()).unwrap();
    document["inputSchema"].clone()
}

/// The call with one argument more, written as given.
fn with(arguments: &Value, name: &str, value: &str) -> String {
    let text = arguments.to_string();
    let members = text.strip_prefix('{').unwrap();
    let comma = if members == "}" { "" } else { "," };
    format!("{{{}:{value}{comma}{members}", json!(name))
}

#[tokio::test]
async fn an_optional_argument_that_is_empty_is_as_if_left_out() {
    let (board, names) = board().await;
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (tool, arguments) in calls() {
        let mut text = arguments.to_string();
        names.iter().for_each(|(name, value)| text = text.replace(name, value));
        let arguments: Value = serde_json::from_str(&text).unwrap();
        for name in optional(&schema_of(tool), arguments.as_object().unwrap()) {
            for empty in EMPTY {
                let without = board.any(tool, &arguments.to_string()).await;
                let with = board.any(tool, &with(&arguments, &name, empty)).await;
                tried += 1;
                if (without.0, steady(&without.1)) != (with.0, steady(&with.1)) {
                    wrong.push(format!("{tool} {name}: {empty}\n  {}\n  {}", without.1, with.1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 600, "{tried}");
}

/// Objects inside of arguments: tool, the call with `HERE` where the object stands, the object, and the way to its schema.
fn nested() -> [(&'static str, &'static str, Value, &'static str); 8] {
    [
        ("create_workflow", r#"{"name":"w","tasks":[HERE]}"#, json!({"title": "t"}), "/properties/tasks/items"),
        ("create_workflow", r#"{"name":"w","tasks":"[HERE]"}"#, json!({}), "/properties/tasks/items"),
        ("enqueue_tasks", r#"{"tasks":[{},HERE]}"#, json!({"title": "t"}), "/properties/tasks/items"),
        ("update_task", r#"{"lease_token":"TOKEN","cost":HERE}"#, json!({"usd": 0}), "/properties/cost"),
        (
            "finish_task",
            r#"{"lease_token":"tk_1.1.x","outcome":"failed","error":HERE}"#,
            json!({"message": "m"}),
            "/properties/error",
        ),
        (
            "finish_task",
            r#"{"lease_token":"tk_1.1.x","outcome":"failed","error":"m","cost":HERE}"#,
            json!({}),
            "/properties/cost",
        ),
        ("manage_tasks", r#"{"action":"list","filter":HERE}"#, json!({}), "/properties/filter"),
        (
            "create_table",
            r#"{"table":"t","columns":[HERE],"dry_run":true}"#,
            json!({"name": "a", "type": "text"}),
            "/properties/columns/items",
        ),
    ]
}

/// Constants of a column: there an empty one is a constant.
const KEPT: [&str; 1] = ["default"];

#[tokio::test]
async fn an_empty_member_of_an_argument_is_as_if_left_out() {
    let (board, names) = board().await;
    let mut wrong = Vec::new();
    for (tool, call, object, place) in nested() {
        let schema = schema_of(tool).pointer(place).unwrap().clone();
        let optional = optional(&schema, object.as_object().unwrap());
        assert!(!optional.is_empty(), "{tool} {place}");
        for (name, empty) in optional.iter().flat_map(|name| EMPTY.map(|empty| (name, empty))) {
            if KEPT.contains(&name.as_str()) && empty != "null" {
                continue;
            }
            let called = |object: &str| {
                let quoted = json!(object).to_string();
                let object = if call.contains("\"[HERE]\"") { quoted.trim_matches('"') } else { object };
                names.iter().fold(call.replace("HERE", object), |text, (name, value)| text.replace(name, value))
            };
            let without = board.any(tool, &called(&object.to_string())).await;
            let with = board.any(tool, &called(&with(&object, name, empty))).await;
            if (without.0, steady(&without.1)) != (with.0, steady(&with.1)) {
                wrong.push(format!("{tool} {place} {name}: {empty}\n  {}\n  {}", without.1, with.1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_empty_value_that_means_something_is_kept() {
    let board = Harness::embedded();
    for value in ["{}", "[]"] {
        let made = board
            .answer("create_workflow", &format!(r#"{{"name":"w","input":{value},"tasks":[{{"input":{value}}}]}}"#))
            .await;
        let claimed = board.answer("claim_tasks", r#"{"agent_id":"a"}"#).await["tasks"][0].clone();
        assert_eq!(claimed["input"].to_string(), value);
        let finish = json!({"lease_token": claimed["lease_token"], "outcome": "completed"});
        board.answer("finish_task", &with(&finish, "result", value)).await;
        let asked = json!({"workflow_id": made["workflow_id"], "include": ["tasks", "results"]}).to_string();
        let shown = board.answer("get_orchestration_status", &asked).await;
        assert_eq!(shown["workflow"]["input"].to_string(), value, "{shown}");
        assert_eq!(shown["tasks"][0]["result"].to_string(), value, "{shown}");
    }
    // Beside an outcome that has no result, it is what a model writes for none.
    board.answer("enqueue_tasks", r#"{"tasks":[{}]}"#).await;
    let token = board.answer("claim_tasks", r#"{"agent_id":"a"}"#).await["tasks"][0]["lease_token"].clone();
    let failed =
        json!({"lease_token": token, "outcome": "failed", "error": {"message": "m"}, "result": {}}).to_string();
    assert_eq!(board.answer("finish_task", &failed).await["state"], "retry_wait");
    // Values of columns are data.
    let columns = r#"{"table":"t","columns":[{"name":"a","type":"text","default":""},{"name":"b","type":"text"}]}"#;
    board.answer("create_table", columns).await;
    board.answer("insert_data", r#"{"table":"t","row":{"b":" "}}"#).await;
    let count = board.answer("count_rows", r#"{"table":"t","where":{"a":"","b":" "}}"#).await;
    assert_eq!(count["count"], 1);
}

#[tokio::test]
async fn what_must_be_given_is_not_left_out_by_being_empty() {
    let board = Harness::embedded();
    for (tool, arguments, argument, message) in [
        ("list_workflows", r#"{"limit":0}"#, "limit", "`limit` is 0; it takes 1 to 10000"),
        ("claim_tasks", r#"{"agent_id":null}"#, "agent_id", "`agent_id` is required"),
        (
            "get_analytics",
            r#"{"metric":""}"#,
            "metric",
            "`metric` is ``; it takes success_rate, duration, cost, throughput, failures",
        ),
        (
            "get_analytics",
            r#"{"metric":{}}"#,
            "metric",
            "`metric` is `{}`; it takes success_rate, duration, cost, throughput, failures",
        ),
        ("enqueue_tasks", r#"{"tasks":""}"#, "tasks", "`tasks` takes a list, not string \"\""),
        ("insert_data", r#"{"table":"t","row":""}"#, "row", "`row` takes an object"),
        ("count_rows", r#"{"table":[]}"#, "table", "`table` takes a string, not a list"),
        (
            "manage_tasks",
            r#"{"action":"cancel","filter":{"state":""}}"#,
            "ids",
            "neither `ids` nor `filter` says which tasks",
        ),
        (
            "manage_tasks",
            r#"{"action":"answer","ids":["x"],"answer":""}"#,
            "answer",
            "`answer` is missing; action `answer` needs it",
        ),
    ] {
        let refused = board.refused(tool, arguments).await;
        assert_eq!((&refused["code"], &refused["argument"]), (&json!("invalid"), &json!(argument)), "{refused}");
        assert_eq!(refused["message"], message);
    }
}

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
        let refused = board.refused(tool, arguments).await;
        assert_eq!((&refused["code"], &refused["argument"]), (&json!("invalid"), &json!(argument)), "{refused}");
        assert_eq!(refused["message"], message);
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
