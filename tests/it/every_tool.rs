//! Each tool answers once as it should and refuses once what is wrong, on the embedded stores. A tool without a line here fails.

use std::collections::BTreeSet;

use callboard::tools::CATALOGUE;
use serde_json::Value;

use crate::support::harness::Harness;

/// A call that must answer: tool, arguments, and where in the answer what must stand. In this order: later ones stand on earlier ones.
const ANSWERED: [(&str, &str, &str, &str); 20] = [
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
const REFUSED: [(&str, &str, &str, &str); 20] = [
    ("manage_lock", r#"{"action":"renew","resource":"db/migrate"}"#, "invalid", "token"),
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
    let catalogue: BTreeSet<&str> = CATALOGUE.iter().map(|(_, tool)| *tool).collect();
    let answered: BTreeSet<&str> = ANSWERED.iter().map(|(tool, ..)| *tool).collect();
    let refused: BTreeSet<&str> = REFUSED.iter().map(|(tool, ..)| *tool).collect();
    assert_eq!(answered, catalogue);
    assert_eq!(refused, catalogue);
}
