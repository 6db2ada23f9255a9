//! Writing into the embedded database: what is exact, what is refused and why, and that several processes can write at once.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    harness::Harness,
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

/// inserted, updated, unchanged, merged, rejected.
fn counts(answer: &Value) -> [u64; 5] {
    let rejected = answer["rejected"].as_array().unwrap().len() as u64;
    assert_eq!(answer["rejected_count"], rejected);
    let of = |name: &str| answer[name].as_u64().unwrap();
    [of("inserted"), of("updated"), of("unchanged"), of("merged"), rejected]
}

/// position, column, code of each reject.
fn rejects(answer: &Value) -> Vec<(u64, String, String)> {
    let of = |reject: &Value| {
        let text = |name: &str| reject[name].as_str().unwrap_or("-").to_owned();
        (reject["position"].as_u64().unwrap(), text("column"), text("code"))
    };
    answer["rejected"].as_array().unwrap().iter().map(of).collect()
}

fn named<const N: usize>(wanted: [(u64, &str, &str); N]) -> Vec<(u64, String, String)> {
    wanted.map(|(at, column, code)| (at, column.to_owned(), code.to_owned())).to_vec()
}

#[tokio::test]
async fn one_bad_row_comes_back_with_its_reason_and_the_others_stand() {
    let board = Harness::embedded();
    products(&board).await;
    let given = json!([{"id":"p-001","price":29.99,"tags":["usb"]},{"id":"p-002","price":"free"}]);
    let answer = load(
        &board,
        json!({"table":"products","rows":given,"on_conflict":"update","conflict_columns":["id"],"on_error":"reject"}),
    )
    .await;
    assert_eq!(counts(&answer), [1, 0, 0, 0, 1]);
    assert_eq!(
        answer["rejected"][0],
        json!({"position":1,"column":"price","code":"22P02",
               "reason":"invalid input syntax for type numeric: \"free\"","row":{"id":"p-002","price":"free"}})
    );
    assert_eq!(
        rows(&board, "select id, price, tags, stock_quantity from products").await,
        json!([["p-001", "29.99", ["usb"], 7]])
    );
}

#[tokio::test]
async fn abort_writes_nothing_and_names_the_row_and_column() {
    let board = Harness::embedded();
    products(&board).await;
    let given = json!([{"id":"p-001","price":1},{"id":"p-002","price":"free"}]);
    let failure = board.refused("bulk_insert", &json!({"table":"products","rows":given}).to_string()).await;
    assert_eq!(failure["code"], "invalid");
    assert_eq!(failure["argument"], "rows[1].price");
    assert_eq!(failure["backend_code"], "22P02");
    assert_eq!(board.answer("count_rows", r#"{"table":"products"}"#).await["count"], 0);
}

#[tokio::test]
async fn every_count_is_exact_again_and_again() {
    let board = Harness::embedded();
    products(&board).await;
    let row = |n: u32, price: &str| json!({"id":format!("p-{n}"),"name":"n","price":price,"tags":["a","b"],"created_at":"2026-01-01T10:00:00Z","extra":{"a": n}});
    let upsert = |given: Vec<Value>| json!({"table":"products","rows":given,"on_conflict":"update"});
    let first = load(&board, upsert((0..20).map(|n| row(n, "1.50")).collect())).await;
    assert_eq!(counts(&first), [20, 0, 0, 0, 0]);
    let same = load(&board, upsert((0..20).map(|n| row(n, "1.5")).collect())).await;
    assert_eq!(counts(&same), [0, 0, 20, 0, 0]);
    let mixed = load(&board, upsert((10..30).map(|n| row(n, if n < 15 { "2" } else { "1.50" })).collect())).await;
    assert_eq!(counts(&mixed), [10, 5, 5, 0, 0]);
    let ignored = json!({"table":"products","rows":[row(1,"9"),row(99,"9")],"on_conflict":"ignore"});
    assert_eq!(counts(&load(&board, ignored).await), [1, 0, 1, 0, 0]);
    assert_eq!(rows(&board, "select count(*), sum(price) from products").await, json!([[31, 56.5]]));
}

#[tokio::test]
async fn a_missing_key_keeps_what_is_there_and_null_writes_null() {
    let board = Harness::embedded();
    products(&board).await;
    let given = json!([{"id":"a","name":"A","brand":"Acme","price":1},{"id":"b","name":"B","brand":"Acme","price":2}]);
    load(&board, json!({"table":"products","rows":given})).await;
    let given = json!([{"id":"a","price":5},{"id":"b","brand":null},{"id":"c","name":"C"}]);
    let answer = load(&board, json!({"table":"products","rows":given,"on_conflict":"update"})).await;
    assert_eq!(counts(&answer), [1, 2, 0, 0, 0]);
    assert_eq!(
        rows(&board, "select id, name, brand, price, stock_quantity from products order by id").await,
        json!([["a", "A", "Acme", "5.00", 7], ["b", "B", null, "2.00", 7], ["c", "C", null, null, 7]])
    );
}

#[tokio::test]
async fn numbers_are_exact_or_refused() {
    let board = Harness::embedded();
    let columns = r#"[{"name":"id","type":"int"},{"name":"big","type":"bigint"},{"name":"whole","type":"integer"},{"name":"exact","type":"numeric"},
        {"name":"wide","type":"numeric(38,10)"},{"name":"money","type":"numeric(10,2)"},{"name":"share","type":"double precision"}]"#;
    board.answer("create_table", &format!(r#"{{"table":"n","columns":{columns},"primary_key":["id"]}}"#)).await;
    let given = r#"[{"id":1,"big":9007199254740993,"exact":0.12345678901234567890123456789,"money":29.990,"whole":12.0},
        {"id":2,"whole":12.7},{"id":3,"money":29.999},{"id":4,"whole":3000000000},{"id":5,"money":123456789},
        {"id":6,"share":9007199254740993},{"id":7,"big":"9007199254740993","share":0.1,"exact":1e30,"wide":12345678901234567890.1234567891},
        {"id":8,"wide":9.5},{"id":9,"wide":"10"}]"#;
    let answer = board.answer("bulk_insert", &format!(r#"{{"table":"n","rows":{given},"on_error":"reject"}}"#)).await;
    let wanted = [
        (1, "whole", "22P02"),
        (2, "money", "22003"),
        (3, "whole", "22003"),
        (4, "money", "22003"),
        (5, "share", "22003"),
    ];
    assert_eq!(rejects(&answer), named(wanted));
    assert_eq!(answer["rejected"][0]["reason"], "invalid input syntax for type integer: \"12.7\"");
    assert_eq!(
        rows(&board, "select id, big, whole, exact, money, share from n where id < 8 order by id").await,
        json!([
            [1, "9007199254740993", 12, "0.12345678901234567890123456789", "29.99", null],
            [7, "9007199254740993", null, "1000000000000000000000000000000", null, 0.1]
        ])
    );
    // Numbers order as numbers, also when some are too long for a double.
    assert_eq!(
        rows(&board, "select wide from n where wide is not null order by wide").await,
        json!([["9.5000000000"], ["10.0000000000"], ["12345678901234567890.1234567891"]])
    );
    for (condition, wanted) in [
        (r#"{"wide":{"gt":9.75}}"#, 2),
        (r#"{"wide":"12345678901234567890.1234567891"}"#, 1),
        (r#"{"wide":12345678901234567890.1234567891}"#, 1),
        (r#"{"exact":{"lt":1}}"#, 1),
        (r#"{"big":9007199254740993}"#, 2),
        (r#"{"big":9007199254740992}"#, 0),
    ] {
        let counted = board.answer("count_rows", &format!(r#"{{"table":"n","where":{condition}}}"#)).await;
        assert_eq!(counted["count"], wanted, "{condition}");
    }
}

#[tokio::test]
async fn each_row_has_its_own_fault() {
    let board = Harness::embedded();
    let columns = json!([{"name":"id","type":"varchar(50)"},{"name":"name","type":"varchar(255)","nullable":false},
        {"name":"created_at","type":"timestamptz"},{"name":"tags","type":"text[]"},{"name":"key","type":"uuid"}]);
    board.answer("create_table", &json!({"table":"p","columns":columns,"primary_key":["id"]}).to_string()).await;
    board.answer("insert_data", r#"{"table":"p","row":{"id":"there","name":"x"}}"#).await;
    let given = r#"[{"id":"ok","name":"fine"},{"id":"there","name":"x"},{"id":"a"},{"id":"b","name":null},
        {"id":"c","name":"c","pric":1},{"id":"d","name":"nul \u0000"},{"id":"e","name":7},
        {"id":"f","name":"f","created_at":"2024-13-01T00:00:00Z"},{"id":"g","name":"g","tags":{"a":1}},
        {"id":"0123456789012345678901234567890123456789012345678901234567890","name":"long"},{"id":"ok","name":"again"},
        {"id":"h","name":"h","name":"twice"},{"id":"i","name":{"x":1}},{"id":"j","name":"j","key":"no"},{"name":"nobody"}]"#;
    let answer = board.answer("bulk_insert", &format!(r#"{{"table":"p","rows":{given},"on_error":"reject"}}"#)).await;
    let wanted = [
        (1, "-", "23505"),
        (2, "name", "23502"),
        (3, "name", "23502"),
        (4, "pric", "42703"),
        (5, "name", "22021"),
        (7, "created_at", "22008"),
        (8, "tags", "22P02"),
        (9, "id", "22001"),
        (10, "-", "23505"),
        (11, "name", "42701"),
        (12, "name", "42804"),
        (13, "key", "22P02"),
        (14, "id", "23502"),
    ];
    assert_eq!(rejects(&answer), named(wanted));
    assert_eq!(counts(&answer), [2, 0, 0, 0, 13]);
    assert_eq!(answer["rejected"][0]["reason"], "duplicate key value violates unique constraint \"p_pkey\"");
    assert_eq!(answer["rejected"][3]["reason"], "column \"pric\" of relation \"p\" does not exist");
    assert_eq!(rows(&board, "select id from p order by id").await, json!([["e"], ["ok"], ["there"]]));
}

#[tokio::test]
async fn rows_that_share_a_key_are_refused_or_the_last_wins() {
    let board = Harness::embedded();
    products(&board).await;
    let given = json!([{"id":"a","price":1},{"id":"b","price":1},{"id":"a","price":2},{"id":"a","price":3}]);
    let refused =
        load(&board, json!({"table":"products","rows":given,"on_conflict":"update","on_error":"reject"})).await;
    assert_eq!(rejects(&refused), named([(2, "-", "21000"), (3, "-", "21000")]));
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
    let wanted = [(1, "parent", "23503"), (2, "-", "23505"), (3, "-", "23514"), (4, "twice", "428C9")];
    assert_eq!(rejects(&answer), named(wanted));
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
    let given: Vec<Value> = (0..100_000)
        .map(|n| json!({"id":format!("p-{n}"),"name":"Thing","price":format!("{n}.25"),"tags":["a"]}))
        .collect();
    let arguments = json!({"table":"products","rows":given,"on_conflict":"update"}).to_string();
    let started = std::time::Instant::now();
    assert_eq!(counts(&board.answer("bulk_insert", &arguments).await), [100_000, 0, 0, 0, 0]);
    println!("100,000 rows in {:?}", started.elapsed());
    assert_eq!(counts(&board.answer("bulk_insert", &arguments).await), [0, 0, 100_000, 0, 0]);
    assert_eq!(rows(&board, "select count(*), sum(price) from products").await, json!([[100_000, 4_999_975_000.0]]));
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
