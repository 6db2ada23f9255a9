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

#[tokio::test]
async fn what_the_server_cannot_know_stays_unknown() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), "CREATE TABLE words (id int, word text)");
    server.psql(name_of(&url), "CREATE ROLE loader LOGIN; GRANT INSERT, SELECT ON words TO loader");
    let proxy = Proxy::to(server.port);
    let board = Harness::postgres(&format!("postgres://loader@127.0.0.1:{}/{}", proxy.port(), name_of(&url)));
    let call = json!({"table": "words", "row": {"id": 1, "word": "w"}, "idempotency_key": "once"}).to_string();
    proxy.cut_after_commit();
    assert_eq!(board.refused("insert_data", &call).await["code"], "outcome_unknown");
    proxy.pass();
    for change in [
        // Of a cluster that was set up anew, one that was promoted, a server's future, and one that does not prove its attempts.
        "proof = replace(proof, ':', ':9')",
        "proof = substr(proof, 1, length(proof) - 8) || 'FFFFFFFF'",
        "proof = '9' || proof",
        "proof = 'x'",
        "attempt = NULL, proof = NULL, answer = NULL",
    ] {
        let file = rusqlite::Connection::open(board.home.path().join("callboard.db")).unwrap();
        let kept: [Option<String>; 3] = file
            .query_row("SELECT attempt, proof, answer FROM idempotency WHERE key = 'once'", [], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?])
            })
            .unwrap();
        assert_eq!(file.execute(&format!("UPDATE idempotency SET {change} WHERE key = 'once'"), []), Ok(1));
        let failure = board.refused("insert_data", &call).await;
        assert_eq!(
            (&failure["code"], &failure["argument"]),
            (&json!("outcome_unknown"), &json!("idempotency_key")),
            "{change}: {failure}"
        );
        assert!(failure["hint"].as_str().unwrap().contains("new key"), "{failure}");
        file.execute("UPDATE idempotency SET attempt = ?1, proof = ?2, answer = ?3 WHERE key = 'once'", kept).unwrap();
    }
    assert_eq!(board.answer("insert_data", &call).await["inserted"], 1);
    assert_eq!(server.psql(name_of(&url), "SELECT count(*) FROM words"), "1");
}
