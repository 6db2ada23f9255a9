//! Writing into the embedded database, beside the contract: what SQLite itself would let pass, and several processes that write at once.

use std::{path::Path, time::Duration};

use callboard::{
    adapters::sqlite::sql::DataFile,
    domain::{json as text, sql::NewRow},
    ports::sql::SqlDatabase,
};
use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    harness::Harness,
    loads::{counts, rejects},
    patience::PATIENCE,
};

async fn products(board: &Harness) {
    let columns = json!([
        {"name":"id","type":"varchar(50)"}, {"name":"name","type":"varchar(255)"}, {"name":"category","type":"varchar(100)"},
        {"name":"price","type":"numeric(10,2)"}, {"name":"description","type":"text"},
        {"name":"stock_quantity","type":"integer","default":7}, {"name":"created_at","type":"timestamptz"},
        {"name":"active","type":"boolean"}, {"name":"brand","type":"varchar(100)"}, {"name":"tags","type":"text[]"},
        {"name":"extra","type":"jsonb"}]);
    let answer = board
        .answer("create_table", &json!({"table":"products","columns":columns,"primary_key":["id"]}).to_string())
        .await;
    assert_eq!(answer["table"], "main.products");
    assert_eq!(answer["created"], true);
}

async fn load(board: &Harness, arguments: Value) -> Value {
    board.answer("bulk_insert", &arguments.to_string()).await
}

async fn rows(board: &Harness, query: &str) -> Value {
    board.answer("execute_query", &json!({"query":query}).to_string()).await["rows"].clone()
}

#[tokio::test]
async fn rows_that_share_a_key_are_refused_or_the_last_wins() {
    let board = Harness::embedded();
    products(&board).await;
    let given = json!([{"id":"a","price":1},{"id":"b","price":1},{"id":"a","price":2},{"id":"a","price":3}]);
    let refused =
        load(&board, json!({"table":"products","rows":given,"on_conflict":"update","on_error":"reject"})).await;
    assert_eq!(rejects(&refused), [(2, "id", "21000"), (3, "id", "21000")]);
    let last = load(&board, json!({"table":"products","rows":given,"on_conflict":"update","duplicates":"last"})).await;
    assert_eq!(counts(&last), [0, 1, 1, 2, 0]);
    assert_eq!(rows(&board, "select price from products where id = 'a'").await, json!([["3.00"]]));
    let failure = board
        .refused(
            "bulk_insert",
            &json!({"table":"products","rows":given,"on_conflict":"update","conflict_columns":["name"]}).to_string(),
        )
        .await;
    assert_eq!(failure["argument"], "conflict_columns");
    assert!(failure["hint"].as_str().unwrap().contains("(id)"), "{failure}");
}

#[tokio::test]
async fn foreign_keys_checks_and_other_unique_columns_are_held() {
    let board = Harness::embedded();
    board.answer("list_tables", "{}").await;
    make(
        board.home.path(),
        "CREATE TABLE parent (id text PRIMARY KEY NOT NULL); INSERT INTO parent VALUES ('here');
         CREATE TABLE child (id integer PRIMARY KEY, parent text REFERENCES parent (id), mail text UNIQUE, n int CONSTRAINT positive CHECK (n > 0),
            twice int GENERATED ALWAYS AS (n * 2) STORED);
         CREATE VIEW v AS SELECT * FROM child;",
    );
    let given = json!([{"parent":"here","mail":"a@x","n":1},{"parent":"gone"},{"mail":"a@x"},{"n":-1},{"twice":4},{"mail":"b@x"}]);
    let answer = load(&board, json!({"table":"child","rows":given,"on_error":"reject"})).await;
    let wanted = [(1, "parent", "23503"), (2, "mail", "21000"), (3, "-", "23514"), (4, "twice", "428C9")];
    assert_eq!(rejects(&answer), wanted);
    assert_eq!(
        answer["rejected"][2]["reason"],
        "new row for relation \"child\" violates check constraint \"positive\""
    );
    assert_eq!(
        rows(&board, "select id, mail, twice from child order by id").await,
        json!([[1, "a@x", 2], [2, "b@x", null]])
    );
    let upsert = json!({"table":"child","rows":[{"mail":"b@x","n":5},{"mail":"c@x"}],"on_conflict":"update","conflict_columns":["mail"]});
    assert_eq!(counts(&load(&board, upsert).await), [1, 1, 0, 0, 0]);
    let failure = board.refused("bulk_insert", r#"{"table":"v","rows":[{"n":1}]}"#).await;
    assert_eq!((failure["code"].as_str(), failure["argument"].as_str()), (Some("invalid"), Some("table")));
}

/// Runs SQL on the file as another program would.
fn make(home: &Path, sql: &str) {
    rusqlite::Connection::open(home.join("data.db")).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn insert_gives_the_key_back_and_names_a_conflict() {
    let board = Harness::embedded();
    let columns = r#"[{"name":"id","type":"bigserial"},{"name":"Odd \"Name\"","type":"text"},{"name":"at","type":"timestamptz"}]"#;
    board
        .answer("create_table", &format!(r#"{{"table":"\"Log Book\"","columns":{columns},"primary_key":["id"]}}"#))
        .await;
    let row = r#"{"table":"\"Log Book\"","row":{"Odd \"Name\"":"x","at":"2026-01-01 12:00:00.5+02"},"returning":["id","at"]}"#;
    let first = board.answer("insert_data", row).await;
    assert_eq!(first["row"], json!({"id":1,"at":"2026-01-01T10:00:00.500Z"}));
    let second = board.answer("insert_data", r#"{"table":"\"Log Book\"","row":{}}"#).await;
    assert_eq!(second["row"], json!({"id":2}));
    let failure = board.refused("insert_data", r#"{"table":"\"Log Book\"","row":{"id":2}}"#).await;
    assert_eq!((failure["code"].as_str(), failure["backend_code"].as_str()), (Some("conflict"), Some("23505")));
    assert_eq!(failure["detail"], "Key (id)=(2) already exists.");
    let failure = board.refused("insert_data", r#"{"table":"log_book","row":{"id":2}}"#).await;
    assert_eq!((failure["code"].as_str(), &failure["did_you_mean"][0]), (Some("not_found"), &json!("Log Book")));
}

#[tokio::test]
async fn create_table_says_what_it_would_do_and_refuses_what_it_cannot() {
    let board = Harness::embedded();
    let table = |extra: &str| {
        format!(
            r#"{{"table":"public.t","columns":[{{"name":"id","type":"varchar(50)"}},{{"name":"n","type":"numeric(10,2)[]","comment":"all */ prices"}}],"primary_key":["id"]{extra}}}"#
        )
    };
    let dry = board.answer("create_table", &table(r#","dry_run":true"#)).await;
    assert_eq!((&dry["created"], &dry["table"]), (&json!(false), &json!("main.t")));
    assert_eq!(board.answer("list_tables", "{}").await["tables"], json!([]));
    assert_eq!(board.answer("create_table", &table("")).await["created"], true);
    assert_eq!(board.refused("create_table", &table(r#","dry_run":true"#)).await["code"], "conflict");
    let again = board.answer("create_table", &table(r#","if_not_exists":true"#)).await;
    assert_eq!((&again["created"], &again["note"]), (&json!(false), &json!("the table existed with these columns")));
    let other =
        r#"{"table":"t","columns":[{"name":"id","type":"text"},{"name":"m","type":"text"}],"if_not_exists":true}"#;
    assert_eq!(
        board.answer("create_table", other).await["note"],
        "the table existed with other columns: `id` is `character varying(50)` there, not `text`; it has no column `m`; it also has `n`"
    );
    let failure = board.refused("create_table", &table("")).await;
    assert_eq!((failure["code"].as_str(), failure["backend_code"].as_str()), (Some("conflict"), Some("42P07")));
    let schema = board.answer("get_schema", r#"{"table":"t"}"#).await;
    assert_eq!(schema["columns"][1]["type"], "numeric(10,2)[]");
    assert_eq!(schema["columns"][1]["comment"], "all * / prices");
    for (arguments, argument) in [
        (r#"{"table":"x","columns":[{"name":"a","type":"text; drop table t"}]}"#, "columns[0].type"),
        (r#"{"table":"x","columns":[{"name":"a","type":"text"},{"name":"A","type":"text"}]}"#, "columns[1].name"),
        (r#"{"table":"x","columns":[{"name":"a","type":"integer","default":"x"}]}"#, "columns[0].default"),
        (r#"{"table":"x","columns":[{"name":"a","type":"text"}],"primary_key":["b"]}"#, "primary_key"),
        (r#"{"table":"other.x","columns":[{"name":"a","type":"text"}]}"#, "table"),
        (r#"{"table":"sqlite_x","columns":[{"name":"a","type":"text"}]}"#, "table"),
        (r#"{"table":"x","columns":[{"name":"","type":"text"}]}"#, "columns[0].name"),
    ] {
        assert_eq!(board.refused("create_table", arguments).await["argument"], argument, "{arguments}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_rows_are_loaded_exactly() {
    let board = Harness::embedded();
    products(&board).await;
    // In parts, each of which even a starved machine writes within the 24 s that one statement has.
    let part = |from: u32| {
        let row = |n| json!({"id":format!("p-{n}"),"name":"Thing","price":format!("{n}.25"),"tags":["a"]});
        let given: Vec<Value> = (from..from + 10_000).map(row).collect();
        json!({"table":"products","rows":given,"on_conflict":"update"}).to_string()
    };
    for wanted in [[10_000, 0, 0, 0, 0], [0, 0, 10_000, 0, 0]] {
        for from in (0..100_000).step_by(10_000) {
            assert_eq!(counts(&board.answer("bulk_insert", &part(from)).await), wanted);
        }
    }
    assert_eq!(rows(&board, "select count(*), sum(price) from products").await, json!([[100_000, "4999975000.00"]]));
}

#[test]
fn two_processes_write_one_file_at_once_and_neither_finds_it_locked() {
    let home = tempfile::tempdir().unwrap();
    let serve = || {
        let mut board = Binary::with(Streams::Pipes, |command| {
            command.env("CALLBOARD_DATA_DIR", home.path());
        });
        board.initialize("2025-11-25");
        board
    };
    let (mut first, second) = (serve(), serve());
    first.answer("create_table", r#"{"table":"t","columns":[{"name":"id","type":"text"}],"primary_key":["id"]}"#);
    let writing = |mut board: Binary, who: &'static str| {
        std::thread::spawn(move || {
            for n in 0..100 {
                board.answer("insert_data", &format!(r#"{{"table":"t","row":{{"id":"{who}-{n}"}}}}"#));
                board.answer("count_rows", r#"{"table":"t"}"#);
            }
            board
        })
    };
    let both = [writing(first, "a"), writing(second, "b")].map(|thread| thread.join().unwrap());
    for mut board in both {
        assert_eq!(board.answer("count_rows", r#"{"table":"t"}"#)["count"], 200);
    }
}

#[test]
fn a_process_killed_while_loading_leaves_all_or_nothing() {
    let home = tempfile::tempdir().unwrap();
    let serve = || {
        let mut board = Binary::with(Streams::Pipes, |command| {
            command.env("CALLBOARD_DATA_DIR", home.path());
        });
        board.initialize("2025-11-25");
        board
    };
    let mut board = serve();
    board.answer("create_table", r#"{"table":"t","columns":[{"name":"id","type":"integer"},{"name":"text","type":"text"}],"primary_key":["id"]}"#);
    let rows: Vec<Value> = (0..50_000).map(|n| json!({"id":n,"text":"some words that take a little room"})).collect();
    let arguments = json!({"table":"t","rows":rows});
    let call =
        json!({"jsonrpc":"2.0","id":99,"method":"tools/call","params":{"name":"bulk_insert","arguments":arguments}});
    board.send(&call.to_string());
    // The log grows once the load has begun to write.
    let log = home.path().join("data.db-wal");
    let begun = std::time::Instant::now();
    while std::fs::metadata(&log).map_or(0, |file| file.len()) < 1 << 17 && begun.elapsed().as_secs() < 20 {
        std::thread::yield_now();
    }
    board.child.kill().unwrap();
    board.child.wait().unwrap();
    let mut board = serve();
    let count = board.answer("count_rows", r#"{"table":"t"}"#)["count"].as_u64().unwrap();
    assert!(count == 0 || count == 50_000, "{count}");
    assert_eq!(board.answer("insert_data", r#"{"table":"t","row":{"id":-1}}"#)["inserted"], 1);
}

#[tokio::test]
async fn a_call_waits_for_another_process_as_long_as_it_has() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id integer PRIMARY KEY); BEGIN IMMEDIATE").unwrap();
    let row = NewRow { table: "t".parse().unwrap(), row: text::of(&json!({"id": 1})), returning: vec![] };
    let database = DataFile::new(path, Duration::from_millis(70));
    let refused = database.insert(&row, None).await.unwrap_err();
    assert_eq!(refused.message, "the statement did not end within 70 ms");
    other.execute_batch("COMMIT").unwrap();
    let database = DataFile::new(home.path().join("data.db"), PATIENCE);
    database.insert(&row, None).await.unwrap();
}
