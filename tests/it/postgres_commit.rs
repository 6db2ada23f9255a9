//! The connection breaks while PostgreSQL is asked to commit: whether it did, the server knows.

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

/// Each write is cut as `cut` says; `stands` tells whether the server has done it all the same. The repeat finds out.
async fn each_write_is_settled_by_its_repeat(cut: fn(&Proxy), stands: bool) {
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
        assert!(failure["hint"].as_str().is_some_and(|hint| hint.contains("same idempotency_key")), "{failure}");
        assert!(failure.get("retry_after_ms").is_none(), "nothing says to try again blindly: {failure}");
        proxy.pass();
        let there = || server.psql(name_of(&url), "SELECT count(*), count(DISTINCT xmin::text) FROM words");
        assert_eq!(there(), if stands { format!("{count}|1") } else { "0|0".to_owned() }, "{tool} {count}");
        let mut again = board.any(tool, &arguments).await;
        // The server may not have seen yet that the connection broke.
        while again.1["code"] == "busy" {
            again = board.any(tool, &arguments).await;
        }
        assert!(!again.0, "{tool} {count}: {}", again.1);
        assert_eq!(again.1["inserted"], count, "{}", again.1);
        assert_eq!(there(), format!("{count}|1"), "{tool} {count}");
        assert_eq!(board.any(tool, &arguments).await, again);
    }
}

#[tokio::test]
async fn a_commit_that_the_server_never_heard_of() {
    each_write_is_settled_by_its_repeat(Proxy::cut_before_commit, false).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost() {
    each_write_is_settled_by_its_repeat(Proxy::cut_after_commit, true).await;
}
