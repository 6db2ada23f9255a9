//! Calls that are repeated with the same key, through tools on the embedded record store.

use serde_json::{Value, json};

use crate::support::{binary::Binary, harness::Harness};

const TABLE: &str =
    r#"{"table":"t","columns":[{"name":"id","type":"bigserial"},{"name":"n","type":"integer"}],"primary_key":["id"]}"#;

async fn count(board: &Harness) -> u64 {
    board.answer("count_rows", r#"{"table":"t"}"#).await["count"].as_u64().unwrap()
}

#[tokio::test]
async fn a_repeat_has_the_same_answer_and_no_second_effect() {
    let board = Harness::embedded();
    board.answer("create_table", TABLE).await;
    let call = r#"{"table":"t","rows":[{"n":1},{"n":2}],"idempotency_key":"k1"}"#;
    let first = board.answer_text("bulk_insert", call).await;
    let again = board.answer_text("bulk_insert", call).await;
    assert_eq!(first, again);
    assert_eq!(count(&board).await, 2);
    let insert = r#"{"table":"t","row":{"n":3},"idempotency_key":"k2"}"#;
    assert_eq!(board.answer("insert_data", insert).await, board.answer("insert_data", insert).await);
    assert_eq!(count(&board).await, 3);
}

#[tokio::test]
async fn a_key_belongs_to_one_call() {
    let board = Harness::embedded();
    board.answer("create_table", TABLE).await;
    board.answer("bulk_insert", r#"{"table":"t","rows":[{"n":1}],"idempotency_key":"k"}"#).await;
    for (tool, arguments) in [
        ("bulk_insert", r#"{"table":"t","rows":[{"n":2}],"idempotency_key":"k"}"#),
        ("insert_data", r#"{"table":"t","row":{"n":2},"idempotency_key":"k"}"#),
    ] {
        let failure = board.refused(tool, arguments).await;
        assert_eq!(
            (failure["code"].as_str(), failure["argument"].as_str()),
            (Some("conflict"), Some("idempotency_key"))
        );
    }
    assert_eq!(count(&board).await, 1);
}

#[tokio::test]
async fn a_call_that_failed_can_be_made_again() {
    let board = Harness::embedded();
    let call = r#"{"table":"t","rows":[{"n":1}],"idempotency_key":"k"}"#;
    assert_eq!(board.refused("bulk_insert", call).await["code"], "not_found");
    board.answer("create_table", TABLE).await;
    assert_eq!(board.answer("bulk_insert", call).await["inserted"], 1);
}

#[tokio::test]
async fn the_record_store_is_made_only_when_a_key_is_used() {
    let board = Harness::embedded();
    board.answer("create_table", TABLE).await;
    assert!(!board.home.path().join("callboard.db").exists());
    board.answer("insert_data", r#"{"table":"t","row":{"n":3},"idempotency_key":"k"}"#).await;
    assert!(board.home.path().join("callboard.db").exists());
}

#[tokio::test]
async fn a_record_store_of_a_newer_server_is_left_alone() {
    let board = Harness::embedded();
    let file = rusqlite::Connection::open(board.home.path().join("callboard.db")).unwrap();
    file.execute_batch("CREATE TABLE schema_version (version INTEGER PRIMARY KEY NOT NULL) STRICT; INSERT INTO schema_version VALUES (99);").unwrap();
    let failure = board
        .refused(
            "create_table",
            &json!({"table":"t","columns":[{"name":"a","type":"text"}],"idempotency_key":"k"}).to_string(),
        )
        .await;
    assert_eq!(failure["code"], "unavailable");
    assert_eq!(file.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)), Ok(1));
    assert_eq!(board.answer("list_tables", "{}").await["tables"], json!([]));
}

#[test]
fn the_same_tool_use_of_a_host_is_the_same_call() {
    let mut server = Binary::serve();
    server.answer("create_table", TABLE);
    let mut insert = |tool_use: &str| {
        let params = json!({"name": "insert_data", "arguments": {"table": "t", "row": {"n": 1}},
                            "_meta": {"claudecode/toolUseId": tool_use}});
        let answer = server.request("tools/call", &params);
        assert_ne!(answer["result"]["isError"], true, "{answer}");
        serde_json::from_str::<Value>(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap()
    };
    let first = insert("toolu_1");
    assert_eq!(insert("toolu_1"), first);
    assert_ne!(insert("toolu_2"), first);
    assert_eq!(server.answer("count_rows", r#"{"table":"t"}"#)["count"], 2);
}
