//! What models write for nothing: `""`, `{}`, `[]`, `null`.

use serde_json::{Value, json};

use super::calls::{board, calls, optional, schema_of, steady, with};
use crate::support::harness::Harness;

/// What stands for nothing.
const EMPTY: [&str; 6] = ["null", r#""""#, r#"" \t ""#, "{}", "[]", "[ ]"];

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
        board.invalid(tool, arguments, argument, message).await;
    }
}
