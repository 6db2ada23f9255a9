//! The connection breaks while PostgreSQL is asked to commit: nobody here can know whether it did.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    postgres::{self, name_of},
    proxy::Proxy,
};

/// A row, a few, and so many that they travel by COPY.
fn writes() -> [(&'static str, usize, Value); 3] {
    let rows = |count: usize| (0..count).map(|n| json!({"id": n, "word": "w"})).collect::<Vec<_>>();
    [
        ("insert_data", 1, json!({"table": "words", "row": {"id": 0, "word": "w"}})),
        ("bulk_insert", 5, json!({"table": "words", "rows": rows(5)})),
        ("bulk_insert", 900, json!({"table": "words", "rows": rows(900), "on_conflict": "update"})),
    ]
}

/// Each write is cut as `cut` says; `stands` tells whether the server has done it all the same.
async fn each_write_is_of_unknown_outcome(cut: fn(&Proxy), stands: bool) {
    let server = postgres::shared();
    for (tool, count, mut arguments) in writes() {
        let url = server.database();
        server.psql(name_of(&url), "CREATE TABLE words (id int PRIMARY KEY, word text)");
        let proxy = Proxy::to(server.port);
        let board = Harness::postgres(&format!("postgres://postgres@127.0.0.1:{}/{}", proxy.port(), name_of(&url)));
        arguments["idempotency_key"] = json!("once");
        let arguments = arguments.to_string();
        cut(&proxy);
        let failure = board.refused(tool, &arguments).await;
        assert_eq!(failure["code"], "outcome_unknown", "{tool} {count}: {failure}");
        assert!(failure["hint"].as_str().is_some_and(|hint| hint.contains("check whether")), "{failure}");
        assert!(failure.get("retry_after_ms").is_none(), "nothing says to try again blindly: {failure}");
        proxy.pass();
        let there = server.psql(name_of(&url), "SELECT count(*) FROM words");
        assert_eq!(there, if stands { count } else { 0 }.to_string(), "{tool} {count}");
        // The same call is not made a second time, only said to be unknown; a look and a new key go on.
        let again = board.refused(tool, &arguments).await;
        assert_eq!((&again["code"], &again["argument"]), (&json!("outcome_unknown"), &json!("idempotency_key")));
        assert!(again["hint"].as_str().unwrap().contains("new key"), "{again}");
        let seen = board.answer("count_rows", r#"{"table":"words"}"#).await;
        assert_eq!(seen["count"].to_string(), there);
        if !stands {
            board.answer(tool, &arguments.replace("\"once\"", "\"twice\"")).await;
            assert_eq!(server.psql(name_of(&url), "SELECT count(*) FROM words"), count.to_string());
        }
    }
}

#[tokio::test]
async fn a_commit_that_the_server_never_heard_of() {
    each_write_is_of_unknown_outcome(Proxy::cut_before_commit, false).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost() {
    each_write_is_of_unknown_outcome(Proxy::cut_after_commit, true).await;
}
