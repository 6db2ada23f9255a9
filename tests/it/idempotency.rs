//! Calls that are repeated with the same key, through tools on the embedded record store.

use callboard::{
    domain::{idempotency::Key, json},
    error::{Code, Error},
    ports::attempts::{Settled, Settles},
    services::idempotency::{Start, keyed, port},
};
use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Value, json};

use crate::support::{
    binary::Binary,
    harness::{Harness, keys},
};

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
async fn a_repeat_may_say_the_same_in_other_words() {
    let board = Harness::embedded();
    for (tool, first, again) in [
        (
            "create_workflow",
            r#"{"name":"w","input":{"a":1,"b":2},"tasks":[{"key":"a","queue":"q"}],"idempotency_key":"c"}"#,
            r#"{ "idempotency_key":"c", "tasks":[{"queue":"q","key":"a"}], "input":{"b":2,"a":1}, "name":"\u0077"}"#,
        ),
        (
            "create_table",
            r#"{"table":"t","columns":[{"name":"id","type":"bigint"}],"idempotency_key":"t"}"#,
            r#"{"columns":[{"type":"bigint","name":"id"}],"idempotency_key":"t","table":"t"}"#,
        ),
    ] {
        assert_eq!(board.answer_text(tool, first).await, board.answer_text(tool, again).await);
    }
    let other = r#"{"name":"w","input":{"a":2,"b":1},"tasks":[{"key":"a","queue":"q"}],"idempotency_key":"c"}"#;
    assert_eq!(board.refused("create_workflow", other).await["code"], "conflict");
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
    assert_eq!(failure["code"], "internal");
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

#[tokio::test]
async fn a_repeat_while_the_first_call_runs_is_told_to_come_again_and_then_has_its_answer() {
    let board = Harness::embedded();
    board.answer("create_table", TABLE).await;
    let call = r#"{"table":"t","rows":[{"n":1},{"n":2}],"idempotency_key":"k"}"#;
    // The first call cannot end as long as somebody else writes.
    let mut file = Connection::open(board.home.path().join("data.db")).unwrap();
    let writing = file.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let meanwhile = async {
        for _ in 0..3 {
            let failure = board.refused("bulk_insert", call).await;
            assert_eq!((&failure["code"], &failure["retryable"]), (&json!("busy"), &json!(true)), "{failure}");
            assert!(
                failure["retry_after_ms"].as_u64().is_some() && failure["argument"] == "idempotency_key",
                "{failure}"
            );
        }
        let other = board.refused("bulk_insert", &call.replace(":2}", ":3}")).await;
        assert_eq!(other["code"], "conflict", "{other}");
        drop(writing);
    };
    let (first, ()) = tokio::join!(board.answer_text("bulk_insert", call), meanwhile);
    for _ in 0..3 {
        assert_eq!(board.answer_text("bulk_insert", call).await, first);
    }
    assert_eq!(count(&board).await, 2);
}

#[tokio::test]
async fn of_many_repeats_at_once_one_has_the_effect() {
    let board = Harness::embedded();
    board.answer("create_table", TABLE).await;
    let call = r#"{"table":"t","row":{"n":1},"idempotency_key":"k"}"#;
    let calls = futures_util::future::join_all((0..30).map(|_| board.any("insert_data", call))).await;
    let answered: Vec<&Value> = calls.iter().filter(|(is_error, _)| !is_error).map(|(_, answer)| answer).collect();
    assert!(!answered.is_empty() && answered.iter().all(|answer| *answer == answered[0]), "{calls:?}");
    // Nobody is told that the outcome is unknown while it is only not there yet.
    assert!(calls.iter().all(|(is_error, answer)| !is_error || answer["code"] == "busy"), "{calls:?}");
    assert_eq!(count(&board).await, 1);
}

/// A backend that says of every attempt what the test says.
struct Says(Box<dyn Fn() -> Settled + Send + Sync>);

#[async_trait::async_trait]
impl Settles for Says {
    async fn settle(&self, _: &str, _: Option<&str>) -> Result<Settled, Error> {
        Ok(self.0())
    }
}

fn key(name: &str) -> Option<Key> {
    Some(keyed(name, "insert_data", "{}").unwrap())
}

#[tokio::test]
async fn a_call_that_was_given_up_is_settled_by_its_repeat() {
    let home = tempfile::tempdir().unwrap();
    let keys = keys(home.path());
    let begin =
        async |name: &str, says: fn() -> Settled| keys.begin::<String>(key(name), Some(&Says(Box::new(says)))).await;
    let Start::Run(Some(attempt)) = begin("k", || unreachable!()).await.unwrap() else { panic!("it is new") };
    let code = |begun: Result<Start<String>, Error>| begun.err().map(|error| error.code);
    assert_eq!(code(begin("k", || unreachable!()).await), Some(Code::Busy), "it is worked on here");
    // What a dropped future does.
    drop(attempt);
    assert_eq!(code(begin("k", || Settled::Running).await), Some(Code::Busy));
    let unknown = begin("k", || Settled::Unknown).await.err().unwrap();
    assert_eq!(unknown.code, Code::OutcomeUnknown);
    assert!(unknown.hint.as_ref().is_some_and(|hint| hint.contains("new key")), "{unknown:?}");
    let Start::Run(Some(attempt)) = begin("k", || Settled::Never).await.unwrap() else { panic!("it has no effect") };
    drop(attempt);
    let stands = || Settled::Stands(Some(json::of("done")));
    assert!(matches!(begin("k", stands).await.unwrap(), Start::Answered(answer) if answer == "done"));
    assert!(matches!(begin("k", || unreachable!()).await.unwrap(), Start::Answered(answer) if answer == "done"));
    // A failure that changed nothing frees a key.
    let Start::Run(attempt) = begin("l", || unreachable!()).await.unwrap() else { panic!("it is new") };
    let failed: Result<String, Error> = Err(Error::new(Code::Conflict, "no"));
    keys.end(attempt, failed).await.unwrap_err();
    assert!(matches!(begin("l", || unreachable!()).await.unwrap(), Start::Run(Some(_))));
}

#[tokio::test]
async fn an_effect_that_is_the_same_again_is_carried_out_again_by_the_same_attempt() {
    let home = tempfile::tempdir().unwrap();
    let keys = keys(home.path());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let Start::Run(attempt) = keys.begin::<String>(key("k"), None).await.unwrap() else { panic!("it did not end") };
        ids.push(port(&attempt).unwrap().id().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn after_a_cancelled_call_its_repeat_has_the_effect_once() {
    let mut server = Binary::serve();
    server.answer("create_table", TABLE);
    let data = server.home.path().join("data");
    let mut file = Connection::open(data.join("data.db")).unwrap();
    let writing = file.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let call = r#"{"table":"t","row":{"n":1},"idempotency_key":"k"}"#;
    server.send(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"insert_data","arguments":{call}}}}}"#
    ));
    // Calls are taken in order: the key is begun before this repeat looks for it.
    assert_eq!(server.refused("insert_data", call)["code"], "busy");
    server.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    drop(writing);
    let mut again = server.call("insert_data", call);
    while again["isError"] == true {
        let failure: Value = serde_json::from_str(again["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(failure["code"], "busy", "{failure}");
        again = server.call("insert_data", call);
    }
    assert_eq!(server.call("insert_data", call), again);
    assert_eq!(server.answer("count_rows", r#"{"table":"t"}"#)["count"], 1);
}

#[tokio::test]
async fn what_attempts_wrote_is_shown_by_no_tool() {
    let board = Harness::embedded();
    board.answer("create_table", TABLE).await;
    board.answer("insert_data", r#"{"table":"t","row":{"n":1},"idempotency_key":"k"}"#).await;
    let tables = board.answer("list_tables", "{}").await["tables"].clone();
    assert_eq!(tables.as_array().unwrap().iter().map(|table| &table["name"]).collect::<Vec<_>>(), ["t"]);
    for (tool, arguments, code) in [
        ("execute_query", r#"{"query":"select * from callboard_attempt"}"#, "denied"),
        ("execute_query", r#"{"query":"select count(*) from \"Callboard_Attempt\""}"#, "denied"),
        ("get_schema", r#"{"table":"callboard_attempt"}"#, "not_found"),
        ("count_rows", r#"{"table":"callboard_attempt"}"#, "not_found"),
        ("insert_data", r#"{"table":"callboard_attempt","row":{"id":"x"}}"#, "not_found"),
        (
            "create_table",
            r#"{"table":"Callboard_Attempt","columns":[{"name":"id","type":"text"}],"if_not_exists":true}"#,
            "invalid",
        ),
    ] {
        let refused = board.refused(tool, arguments).await;
        assert_eq!(refused["code"], code, "{tool} {arguments}: {refused}");
        assert_eq!(refused["did_you_mean"], Value::Null, "{refused}");
    }
}
