//! Each tool answers once as it should and refuses once what is wrong, on the embedded stores. A tool without a line here fails.

use std::collections::BTreeSet;

use callboard::domain::catalogue::TOOLS;
use serde_json::Value;

use crate::support::harness::Harness;

/// A call that must answer: tool, arguments, and where in the answer what must stand. In this order: later ones stand on earlier ones.
const ANSWERED: [(&str, &str, &str, &str); 28] = [
    (
        "create_workflow",
        r#"{"name":"w","tasks":[{"key":"a"},{"key":"b","depends_on":["a"]}],"idempotency_key":"w1"}"#,
        "/tasks/1/state",
        "\"blocked\"",
    ),
    ("get_orchestration_status", "{}", "/workflows/pending", "1"),
    ("list_workflows", r#"{"state":"open"}"#, "/workflows/0/name", "\"w\""),
    ("get_events", "{}", "/events/0/event_type", "\"workflow_created\""),
    ("get_analytics", r#"{"metric":"throughput"}"#, "/metric", "\"throughput\""),
    ("enqueue_tasks", r#"{"tasks":[{"title":"lone","priority":"high"}]}"#, "/tasks/0/state", "\"ready\""),
    ("claim_tasks", r#"{"agent_id":"worker"}"#, "/tasks/0/title", "\"lone\""),
    ("manage_tasks", r#"{"action":"cancel","filter":{"state":"leased"},"dry_run":true}"#, "/affected", "1"),
    (
        "index_documents",
        r#"{"index":"notes","documents":[{"id":"a","text":"red fox"},{"id":"b","text":"blue fox"}],"id_field":"id","refresh":true}"#,
        "/indexed",
        "2",
    ),
    ("search_documents", r#"{"index":"notes","text":"red"}"#, "/hits/0/_id", "\"a\""),
    ("get_document", r#"{"index":"notes","id":"b"}"#, "/document/text", "\"blue fox\""),
    ("list_indices", "{}", "/indices/0/name", "\"notes\""),
    ("get_mapping", r#"{"index":"notes"}"#, "/index", "\"notes\""),
    ("count_documents", r#"{"index":"notes","text":"fox"}"#, "/count", "2"),
    ("bulk_export", r#"{"index":"notes"}"#, "/count", "2"),
    (
        "create_table",
        r#"{"table":"notes","columns":[{"name":"id","type":"varchar(50)"},{"name":"n","type":"integer"}],"primary_key":["id"]}"#,
        "/created",
        "true",
    ),
    ("insert_data", r#"{"table":"notes","row":{"id":"a","n":1}}"#, "/inserted", "1"),
    (
        "bulk_insert",
        r#"{"table":"notes","rows":[{"id":"a","n":2},{"id":"b","n":3}],"on_conflict":"update"}"#,
        "/updated",
        "1",
    ),
    ("list_tables", "{}", "/tables/0/name", "\"notes\""),
    ("get_schema", r#"{"table":"notes"}"#, "/primary_key/0", "\"id\""),
    ("count_rows", r#"{"table":"notes","where":{"n":{"gt":2}}}"#, "/count", "1"),
    ("execute_query", r#"{"query":"select id from notes order by id"}"#, "/rows/1/0", "\"b\""),
    ("explain_query", r#"{"query":"select id from notes where n = 1"}"#, "/scans/0/table", "\"notes\""),
    ("register_agent", r#"{"role":"writer","agent_id":"agent-1","capabilities":["writing"]}"#, "/version", "1"),
    ("update_agent", r#"{"agent_id":"agent-1","status":"running","metrics":{"cpu_usage":3}}"#, "/status", "\"busy\""),
    ("list_agents", r#"{"capability":"writing"}"#, "/agents/0/agent_id", "\"agent-1\""),
    ("manage_lock", r#"{"action":"acquire","resource":"db/migrate","agent_id":"agent-1"}"#, "/holder", "\"agent-1\""),
    ("get_server_info", "{}", "/backends/1/name", "\"search\""),
];

/// A call that must be refused: tool, arguments, code, argument.
const REFUSED: [(&str, &str, &str, &str); 32] = [
    ("manage_lock", r#"{"action":"renew","resource":"db/migrate"}"#, "invalid", "token"),
    ("create_workflow", r#"{"name":""}"#, "invalid", "name"),
    ("get_orchestration_status", r#"{"workflow_id":"wf_none"}"#, "not_found", "workflow_id"),
    ("list_workflows", r#"{"state":"opne"}"#, "invalid", "state"),
    ("complete_workflow", r#"{"workflow_id":"wf_none","outcome":"completed"}"#, "not_found", "workflow_id"),
    ("control_workflow", r#"{"workflow_id":"wf_none","action":"signal"}"#, "invalid", "signal"),
    ("get_events", r#"{"workflow_id":"wf_none"}"#, "not_found", "workflow_id"),
    ("get_analytics", r#"{"metric":"cost","window":"soon"}"#, "invalid", "window"),
    ("enqueue_tasks", r#"{"tasks":[]}"#, "invalid", "tasks"),
    ("claim_tasks", r#"{"agent_id":"a","max":0}"#, "invalid", "max"),
    ("update_task", r#"{"lease_token":"nonsense"}"#, "invalid", "lease_token"),
    ("finish_task", r#"{"lease_token":"tk_1.1.x","outcome":"completed"}"#, "not_found", "lease_token"),
    ("manage_tasks", r#"{"action":"retry"}"#, "invalid", "ids"),
    ("register_agent", r#"{"role":"writer","status":"idel"}"#, "invalid", "status"),
    ("list_agents", r#"{"limit":0}"#, "invalid", "limit"),
    ("update_agent", r#"{"agent_id":"nobody","status":"idle"}"#, "not_found", "agent_id"),
    ("search_documents", r#"{"index":"notes","size":-1}"#, "invalid", "size"),
    ("get_document", r#"{"index":"notes"}"#, "invalid", "id"),
    ("list_indices", r#"{"patern":"*"}"#, "invalid", "patern"),
    ("get_mapping", r#"{"index":"notse"}"#, "not_found", "index"),
    ("count_documents", r#"{"index":7}"#, "invalid", "index"),
    ("bulk_export", r#"{"index":"notes","format":"xml"}"#, "invalid", "format"),
    ("index_documents", r#"{"index":"notes","documents":[1]}"#, "invalid", "documents"),
    ("execute_query", r#"{"query":"delete from notes"}"#, "denied", "query"),
    ("explain_query", r#"{"query":"drop table notes"}"#, "denied", "query"),
    ("list_tables", r#"{"limit":0}"#, "invalid", "limit"),
    ("get_schema", r#"{"table":"notse"}"#, "not_found", "table"),
    ("count_rows", r#"{"table":"notes","where":{"n":{"above":2}}}"#, "invalid", "where"),
    ("insert_data", r#"{"table":"notes","row":[1]}"#, "invalid", "row"),
    ("bulk_insert", r#"{"table":"notes","rows":[],"on_conflict":"replace"}"#, "invalid", "on_conflict"),
    ("create_table", r#"{"table":"more","columns":[{"name":"a","type":"txet"}]}"#, "invalid", "columns"),
    ("get_server_info", r#"{"verbose":true}"#, "invalid", "verbose"),
];

#[tokio::test]
async fn each_tool_answers() {
    let board = Harness::embedded();
    for (tool, arguments, pointer, wanted) in ANSWERED {
        let answer = board.answer(tool, arguments).await;
        let found = answer
            .pointer(pointer)
            .map(Value::to_string)
            .unwrap_or_else(|| panic!("{tool} {arguments}\nno {pointer} in {answer}"));
        assert!(
            wanted.is_empty() || found == wanted,
            "{tool} {arguments}\n{pointer} is {found}, not {wanted}, in {answer}"
        );
    }
}

/// Tools that need what another call gave, each called once by [`a_leased_task_is_worked_on`].
const WITH_TOKENS: [&str; 4] = ["update_task", "finish_task", "complete_workflow", "control_workflow"];

#[tokio::test]
async fn a_leased_task_is_worked_on() {
    let board = Harness::embedded();
    let made = board.answer("create_workflow", r#"{"name":"w","tasks":[{"key":"a"}]}"#).await;
    let id = &made["workflow_id"];
    let claimed = board.answer("claim_tasks", r#"{"agent_id":"worker"}"#).await;
    let token = &claimed["tasks"][0]["lease_token"];
    let updated = board.answer("update_task", &format!(r#"{{"lease_token":{token},"progress":0.5}}"#)).await;
    assert_eq!(updated["state"], "leased");
    let controlled = board.answer("control_workflow", &format!(r#"{{"workflow_id":{id},"action":"pause"}}"#)).await;
    assert_eq!(controlled["state"], "paused");
    let finished = board.answer("finish_task", &format!(r#"{{"lease_token":{token},"outcome":"completed"}}"#)).await;
    assert_eq!((&finished["state"], &finished["workflow_state"]), (&"completed".into(), &"paused".into()));
    let completed =
        board.answer("complete_workflow", &format!(r#"{{"workflow_id":{id},"outcome":"completed"}}"#)).await;
    assert_eq!(completed["state"], "completed");
}

#[tokio::test]
async fn each_tool_refuses_what_is_wrong() {
    let board = Harness::embedded();
    for (tool, arguments, _, _) in ANSWERED.iter().take(9) {
        board.answer(tool, arguments).await;
    }
    for (tool, arguments, code, argument) in REFUSED {
        let error = board.refused(tool, arguments).await;
        let named = error["argument"].as_str().unwrap_or_default();
        let top = named.split(['.', '[']).next().unwrap();
        assert_eq!((error["code"].as_str(), top), (Some(code), argument), "{tool} {arguments}\n→ {error}");
        assert!(
            error["message"].as_str().is_some_and(|message| !message.is_empty()) && error["request_id"].is_string(),
            "{error}"
        );
    }
}

#[test]
fn no_tool_is_left_out() {
    let catalogue: BTreeSet<&str> = TOOLS.iter().map(|tool| tool.name).collect();
    let answered: BTreeSet<&str> = ANSWERED.iter().map(|(tool, ..)| *tool).chain(WITH_TOKENS).collect();
    let refused: BTreeSet<&str> = REFUSED.iter().map(|(tool, ..)| *tool).collect();
    assert_eq!(answered, catalogue);
    assert_eq!(refused, catalogue);
}
