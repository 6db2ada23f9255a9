//! A call of every tool, and the board that they are made on.

use serde_json::{Map, Value, json};

use crate::support::harness::Harness;

/// A call of each tool that answers or refuses the same however often it is made, on a board as [`board`] makes it.
pub(super) fn calls() -> Vec<(&'static str, Value)> {
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
pub(super) async fn board() -> (Harness, [(&'static str, String); 3]) {
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
pub(super) fn steady(answer: &Value) -> Value {
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
pub(super) fn optional(schema: &Value, given: &Map<String, Value>) -> Vec<String> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    names.filter(|name| !required.contains(&json!(name)) && !given.contains_key(name)).collect()
}

pub(super) fn schema_of(tool: &str) -> Value {
    let found = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tools"))
        .unwrap()
        .map(|group| group.unwrap().path().join(format!("{tool}.json")))
        .find(|path| path.exists());
    let document: Value = serde_json::from_slice(&std::fs::read(found.unwrap()).unwrap()).unwrap();
    document["inputSchema"].clone()
}

/// The call with one argument more, written as given.
pub(super) fn with(arguments: &Value, name: &str, value: &str) -> String {
    let text = arguments.to_string();
    let members = text.strip_prefix('{').unwrap();
    let comma = if members == "}" { "" } else { "," };
    format!("{{{}:{value}{comma}{members}", json!(name))
}
