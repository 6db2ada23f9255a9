//! Keys by which rows are found and told apart: as the server compares them, whatever they look like.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    loads::{counts, rejects},
    postgres::{self, PostgresServer, name_of},
};

async fn load(board: &Harness, rows: Value, how: Value) -> Value {
    let mut arguments = json!({ "table": "t", "rows": rows });
    arguments.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
    board.answer("bulk_insert", &arguments.to_string()).await
}

async fn refused(board: &Harness, rows: Value, how: Value) -> Value {
    let mut arguments = json!({ "table": "t", "rows": rows });
    arguments.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
    board.refused("bulk_insert", &arguments.to_string()).await
}

fn board(sql: &str) -> (&'static PostgresServer, String, Harness) {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), sql);
    let board = Harness::postgres(&url);
    (server, url, board)
}

const ALIKE: &str = "CREATE EXTENSION citext; CREATE DOMAIN mail AS citext; CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";

/// A type, two values that the server holds for one, and another.
fn alike() -> Vec<(&'static str, Value, Value, Value)> {
    vec![
        ("citext", json!("Ann@x.de"), json!("ann@x.de"), json!("bob@x.de")),
        ("mail", json!("Ann@x.de"), json!("ann@x.de"), json!("bob@x.de")),
        ("text COLLATE folding", json!("Ann"), json!("ann"), json!("bob")),
        ("varchar(9) COLLATE folding", json!("Ann"), json!("ann"), json!("bob")),
        ("char(4)", json!("a"), json!("a "), json!("b")),
        ("varchar(2)", json!("ab"), json!("ab  "), json!("b")),
        ("numeric", json!("1.0"), json!(1.00), json!(2)),
        ("numeric", json!(100), json!("1e2"), json!(1)),
        ("float8", json!("-0"), json!(0), json!(1)),
        ("float8", json!("NaN"), json!("nan"), json!(1)),
        ("int", json!("12"), json!(12.0), json!(1)),
        ("bool", json!("t"), json!(true), json!(false)),
        ("timestamptz", json!("2026-01-01T10:00:00Z"), json!("2026-01-01T11:00:00+01:00"), json!("2026-01-02")),
        ("timestamptz", json!("2026-01-01T10:00:00Z"), json!("Jan 1 2026 10:00 UTC"), json!("2026-01-02")),
        ("date", json!("2026-01-01"), json!("2026-01-01T00:00:00Z"), json!("2026-01-02")),
        (
            "uuid",
            json!("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
            json!("a0eebc999c0b4ef8bb6d6bb9bd380a11"),
            json!("b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ),
        ("bytea", json!("AP8="), json!("\\x00ff"), json!("AA==")),
        ("jsonb", json!({"a":1,"b":2}), json!({"b":2,"a":1}), json!({"a":1})),
        ("inet", json!("10.0.0.1"), json!("10.0.0.1/32"), json!("10.0.0.2")),
        ("interval", json!("1 day"), json!("24 hours"), json!("2 days")),
        ("int4range", json!("[1,4]"), json!("[1,5)"), json!("[1,9]")),
        ("numeric[]", json!([1.0]), json!(["1.00"]), json!([2])),
        ("mood", json!("ok"), json!("ok"), json!("sad")),
    ]
}

#[tokio::test]
async fn rows_share_a_key_when_the_server_says_so() {
    let (server, url, board) = board(ALIKE);
    for (kind, a, b, other) in alike() {
        for more in [0, 600] {
            let table = format!("DROP TABLE IF EXISTS t; CREATE TABLE t (k {kind} PRIMARY KEY, n int, pad int UNIQUE)");
            server.psql(name_of(&url), &table);
            let mut rows = vec![json!({"k":a,"n":1}), json!({"k":other,"n":2}), json!({"k":b,"n":3})];
            // Rows without a key of their own, so that there are many: all with a bad value, which are refused.
            rows.extend((0..more).map(|_| json!({"k":other,"pad":"x"})));
            let refused = load(&board, json!(rows), json!({"on_conflict":"update","on_error":"reject"})).await;
            assert_eq!(counts(&refused), [2, 0, 0, 0, more + 1], "{kind} {a} {b} {more}");
            assert_eq!(rejects(&refused)[0], (2, "k", "21000"), "{kind} {a} {b}");
            assert_eq!(
                server.psql(name_of(&url), "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"),
                "1,2",
                "{kind}"
            );
            rows.truncate(3);
            let aborted = self::refused(&board, json!(rows), json!({"on_conflict":"update"})).await;
            assert_eq!(
                (&aborted["argument"], &aborted["backend_code"]),
                (&json!("rows[2].k"), &json!("21000")),
                "{kind}"
            );
            let last = load(&board, json!(rows), json!({"on_conflict":"update","duplicates":"last"})).await;
            assert_eq!(counts(&last), [0, 1, 1, 1, 0], "{kind} {a} {b}");
            assert_eq!(
                server.psql(name_of(&url), "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"),
                "2,3",
                "{kind}"
            );
            let again = load(&board, json!([rows[0]]), json!({"on_conflict":"ignore"})).await;
            assert_eq!(counts(&again), [0, 0, 1, 0, 0], "{kind}");
        }
    }
}

#[tokio::test]
async fn rows_that_are_only_added_share_a_key_when_the_server_says_so() {
    let (server, url, board) = board(ALIKE);
    for (kind, a, b, other) in alike() {
        for (how, key) in
            [("error", "PRIMARY KEY"), ("error", "UNIQUE"), ("ignore", "PRIMARY KEY"), ("ignore", "UNIQUE")]
        {
            let table = format!("DROP TABLE IF EXISTS t; CREATE TABLE t (k {kind} {key}, n int)");
            server.psql(name_of(&url), &table);
            let rows = json!([{"k":a,"n":1},{"k":other,"n":2},{"k":b,"n":3}]);
            let failure = refused(&board, rows.clone(), json!({"on_conflict":how})).await;
            assert_eq!(
                (&failure["argument"], &failure["backend_code"]),
                (&json!("rows[2].k"), &json!("21000")),
                "{kind} {how}"
            );
            let said =
                "`rows[2].k` cannot be written: an earlier row of this call has the same key; nothing was written";
            assert_eq!(failure["message"], said, "{kind} {how}");
            let answer = load(&board, rows.clone(), json!({"on_conflict":how,"on_error":"reject"})).await;
            assert_eq!(counts(&answer), [2, 0, 0, 0, 1], "{kind} {how} {key}");
            assert_eq!(rejects(&answer), [(2, "k", "21000")], "{kind} {how} {key}");
            // What the hint advises.
            let answer = load(&board, rows, json!({"on_conflict":"ignore","duplicates":"last"})).await;
            assert_eq!(counts(&answer), [0, 0, 2, 1, 0], "{kind} {how} {key}");
        }
    }
}

#[tokio::test]
async fn a_role_that_only_adds_rows_is_told_of_keys_too() {
    let (server, url, _) = board("CREATE TABLE t (k int PRIMARY KEY)");
    server.psql("postgres", "CREATE ROLE adding LOGIN");
    server.psql(name_of(&url), "GRANT INSERT ON t TO adding");
    let board = Harness::postgres(&url.replace("postgres@", "adding@"));
    let answer = load(&board, json!([{"k":1},{"k":1},{"k":2}]), json!({"on_error":"reject"})).await;
    assert_eq!((counts(&answer), rejects(&answer)), ([2, 0, 0, 0, 1], vec![(1, "-", "23505")]));
}

#[tokio::test]
async fn nulls_of_rows_that_are_only_added_are_alike_where_the_index_says_so() {
    let (_, _, board) = board("CREATE TABLE t (id int PRIMARY KEY, a int, UNIQUE NULLS NOT DISTINCT (a))");
    let rows = json!([{"id":1,"a":null},{"id":2,"a":7},{"id":3,"a":null},{"id":4,"a":7},{"id":2}]);
    let failure = refused(&board, rows.clone(), json!({})).await;
    assert_eq!((&failure["argument"], &failure["backend_code"]), (&json!("rows[2].a"), &json!("21000")));
    // `duplicates` is about the primary key.
    assert!(!failure["hint"].as_str().unwrap().contains("duplicates"), "{failure}");
    // The second time, the first of them are there, which is another thing than sharing a key.
    for (how, written) in [("error", 2), ("ignore", 0)] {
        let answer = load(&board, rows.clone(), json!({"on_conflict":how,"on_error":"reject"})).await;
        assert_eq!(rejects(&answer), [(2, "a", "21000"), (3, "a", "21000"), (4, "id", "21000")], "{how}");
        assert_eq!(counts(&answer), [written, 0, 2 - written, 0, 3], "{how}");
    }
}

#[tokio::test]
async fn keys_of_several_columns_and_bad_ones_are_told_apart_by_the_server() {
    let (server, url, board) =
        board(&format!("{ALIKE}; CREATE TABLE t (a citext, d interval, n int, PRIMARY KEY (a, d))"));
    let rows = json!([{"a":"X","d":"1 day","n":1},{"a":"x","d":"25 hours","n":2},{"a":"y","d":"soon","n":3},{"a":"x","d":"24:00","n":4},
        {"d":"1 day","n":5}]);
    let answer = load(&board, rows, json!({"on_conflict":"update","on_error":"reject"})).await;
    assert_eq!(rejects(&answer), [(2, "d", "22007"), (3, "-", "21000"), (4, "a", "23502")]);
    assert_eq!(counts(&answer), [2, 0, 0, 0, 3]);
    assert_eq!(server.psql(name_of(&url), "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"), "1,2");
}

#[tokio::test]
async fn nulls_are_alike_where_the_index_says_so() {
    let (server, url, board) =
        board("CREATE TABLE t (a int, n int, UNIQUE NULLS NOT DISTINCT (a)); CREATE TABLE u (a int UNIQUE, n int)");
    let rows = json!([{"a":null,"n":1},{"a":null,"n":2},{"a":1,"n":3}]);
    let how = json!({"on_conflict":"update","conflict_columns":["a"],"on_error":"reject"});
    let answer = load(&board, rows.clone(), how.clone()).await;
    assert_eq!(rejects(&answer), [(1, "a", "21000")]);
    assert_eq!(counts(&load(&board, json!([{"a":null,"n":1},{"a":1,"n":9}]), how).await), [0, 1, 1, 0, 0]);
    assert_eq!(server.psql(name_of(&url), "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"), "1,9");
    let distinct = json!({"table":"u","rows":rows,"on_conflict":"update","conflict_columns":["a"]});
    assert_eq!(counts(&board.answer("bulk_insert", &distinct.to_string()).await), [3, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_trigger_or_the_table_may_make_the_key() {
    let (server, url, board) = board(
        "CREATE FUNCTION low() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.k = lower(NEW.k); RETURN NEW; END';
         CREATE TABLE t (k text PRIMARY KEY, n int); CREATE TRIGGER low BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION low();
         CREATE TABLE g (mail text, k text GENERATED ALWAYS AS (lower(mail)) STORED UNIQUE, n int)",
    );
    let rows = json!([{"k":"A","n":1},{"k":"b","n":2},{"k":"a","n":3}]);
    let answer = load(&board, rows.clone(), json!({"on_conflict":"update","on_error":"reject"})).await;
    assert_eq!(rejects(&answer), [(2, "k", "21000")]);
    assert_eq!(counts(&answer), [2, 0, 0, 0, 1]);
    let rows = json!([{"mail":"A","n":1},{"mail":"b","n":2},{"mail":"a","n":3}]);
    let how = json!({"table":"g","rows":rows,"on_conflict":"update","conflict_columns":["k"],"on_error":"reject"});
    let answer = board.answer("bulk_insert", &how.to_string()).await;
    assert_eq!(rejects(&answer), [(2, "k", "21000")]);
    assert_eq!(server.psql(name_of(&url), "SELECT string_agg(n::text, ',' ORDER BY n) FROM g"), "1,2");
}

#[tokio::test]
async fn a_row_that_a_trigger_takes_away_is_no_row_that_was_there() {
    let (_, _, board) = board(
        "CREATE FUNCTION less() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.n < 0 THEN RETURN NULL; END IF; RETURN NEW; END';
         CREATE TABLE t (k int PRIMARY KEY, n int); CREATE TRIGGER less BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION less()",
    );
    for start in [0, 10] {
        let rows = json!([{"k":start,"n":1},{"k":start + 1,"n":-1}]);
        let answer = load(&board, rows, json!({"on_error":"reject"})).await;
        assert_eq!(counts(&answer), [1, 0, 0, 0, 1]);
        assert_eq!(rejects(&answer), [(1, "-", "09000")]);
    }
}

#[tokio::test]
async fn a_row_that_the_database_numbered_is_updated_by_its_number() {
    let (server, url, board) = board(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mail text UNIQUE);
         INSERT INTO t (name) VALUES ('a'), ('b')",
    );
    let all = || server.psql(name_of(&url), "SELECT string_agg(id || name, ',' ORDER BY id) FROM t");
    for how in [json!({"on_conflict":"update"}), json!({"on_conflict":"update","conflict_columns":["id"]})] {
        let answer = load(&board, json!([{"id":1,"name":"A"},{"id":2,"name":"b"}]), how).await;
        assert_eq!(answer["rejected"], json!([]));
    }
    assert_eq!(all(), "1A,2b");
    // One that is not there is not made up, and the next number is the sequence's.
    let rows = json!([{"id":2,"name":"B"},{"id":9,"name":"x"},{"name":"c"},{"id":1}]);
    let answer = load(&board, rows, json!({"on_conflict":"update","on_error":"reject"})).await;
    assert_eq!(counts(&answer), [1, 1, 1, 0, 1], "{answer}");
    assert_eq!(rejects(&answer), [(1, "id", "428C9")]);
    assert_eq!(all(), "1A,2B,3c");
    let rows: Vec<Value> = (0..600).map(|n| json!({"id":n % 3 + 1,"name":format!("n{n}")})).collect();
    let answer = load(&board, json!(rows), json!({"on_conflict":"update","duplicates":"last"})).await;
    assert_eq!(counts(&answer), [0, 3, 0, 597, 0]);
    assert_eq!(all(), "1n597,2n598,3n599");
    // The hint tells to change the row, before it speaks of leaving the column out.
    let insert = board.refused("insert_data", r#"{"table":"t","row":{"id":1,"name":"z"}}"#).await;
    assert_eq!((&insert["code"], &insert["argument"]), (&json!("invalid"), &json!("row.id")));
    let hint = insert["hint"].as_str().unwrap();
    assert!(hint.contains(r#"bulk_insert with on_conflict `update` and conflict_columns ["id"]"#), "{hint}");
    assert_eq!(all(), "1n597,2n598,3n599");
}

#[tokio::test]
async fn a_partial_unique_index_serves_as_it_is() {
    let (server, url, board) = board(
        "CREATE TABLE t (a int, b text, live bool DEFAULT true, n int); CREATE UNIQUE INDEX t_live ON t (b, a) WHERE live",
    );
    let how = json!({"on_conflict":"update","conflict_columns":["a","b"],"on_error":"reject"});
    let rows = json!([{"a":1,"b":"x","n":1},{"a":1,"b":"x","n":2,"live":false},{"a":1,"b":"x","n":3,"live":false}]);
    assert_eq!(counts(&load(&board, rows, how.clone()).await), [3, 0, 0, 0, 0]);
    let rows = json!([{"a":1,"b":"x","n":9},{"a":2,"b":"x","n":4},{"a":2,"b":"x","n":5}]);
    let answer = load(&board, rows, how.clone()).await;
    assert_eq!(counts(&answer), [1, 1, 0, 0, 1]);
    assert_eq!(rejects(&answer), [(2, "-", "21000")]);
    assert_eq!(server.psql(name_of(&url), "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"), "2,3,4,9");
    // Also where the first of two is there as given.
    let rows = json!([{"a":2,"b":"x","n":4},{"a":2,"b":"x","n":5},{"a":3,"b":"x","n":6}]);
    let answer = load(&board, rows, how.clone()).await;
    assert_eq!(counts(&answer), [1, 0, 1, 0, 1]);
    assert_eq!(rejects(&answer), [(1, "-", "21000")]);
    let many: Vec<Value> = (0..600).map(|a| json!({"a":a,"b":"y","n":a})).collect();
    assert_eq!(counts(&load(&board, json!(many), how.clone()).await), [600, 0, 0, 0, 0]);
    assert_eq!(counts(&load(&board, json!(many), how.clone()).await), [0, 0, 600, 0, 0]);
    let mut last = how.clone();
    last["duplicates"] = json!("last");
    assert_eq!(refused(&board, json!([{"a":1,"b":"x"}]), last).await["argument"], "duplicates");
}

#[tokio::test]
async fn an_index_that_cannot_serve_is_named_with_why() {
    for (sql, columns, why) in [
        ("CREATE UNIQUE INDEX odd ON t (lower(a))", json!(["a"]), "`odd` is on an expression"),
        ("ALTER TABLE t ADD CONSTRAINT odd UNIQUE (a) DEFERRABLE", json!(["a"]), "`odd` is deferrable"),
        (
            "ALTER TABLE t ADD CONSTRAINT odd EXCLUDE USING btree (a WITH =)",
            json!(["a"]),
            "`odd` is an exclusion constraint",
        ),
        (
            "CREATE UNIQUE INDEX odd ON t (a); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'odd'::regclass",
            json!(["a"]),
            "`odd` is invalid",
        ),
        (
            "CREATE UNIQUE INDEX odd ON t (a) WHERE n > 1; CREATE UNIQUE INDEX even ON t (a) WHERE n < 1",
            json!(["a"]),
            "`odd` is partial",
        ),
        ("ALTER TABLE t ADD CONSTRAINT odd PRIMARY KEY (a) DEFERRABLE", json!([]), "`odd` is deferrable"),
        ("CREATE UNIQUE INDEX odd ON t (a, n)", json!(["a"]), "no unique index of `public.t` is on exactly `a`"),
    ] {
        let (_, _, board) = board(&format!("CREATE TABLE t (a text NOT NULL, n int); {sql}"));
        let failure =
            refused(&board, json!([{"a":"x"}]), json!({"on_conflict":"update","conflict_columns":columns})).await;
        assert_eq!((&failure["code"], &failure["argument"]), (&json!("invalid"), &json!("conflict_columns")), "{sql}");
        assert!(failure["message"].as_str().unwrap().contains(why), "{failure}");
    }
    let (_, _, board) = board("CREATE TABLE t (a int, b int, c int); CREATE UNIQUE INDEX ON t (a, b) INCLUDE (c)");
    let how = json!({"on_conflict":"update","conflict_columns":["b","a"]});
    assert_eq!(counts(&load(&board, json!([{"a":1,"b":2,"c":3}]), how).await), [1, 0, 0, 0, 0]);
}

/// An embedded database with a table that another program made.
fn embedded(sql: &str) -> Harness {
    let board = Harness::embedded();
    rusqlite::Connection::open(board.home.path().join("data.db")).unwrap().execute_batch(sql).unwrap();
    board
}

async fn numbers(board: &Harness) -> Value {
    let query = r#"{"query":"select n from t order by n"}"#;
    board.answer("execute_query", query).await["rows"].as_array().unwrap().iter().map(|row| row[0].clone()).collect()
}

#[tokio::test]
async fn sqlite_compares_keys_by_their_collation_and_affinity() {
    for (columns, a, b) in [
        ("k TEXT COLLATE NOCASE PRIMARY KEY", json!("Ann"), json!("ann")),
        ("k TEXT COLLATE RTRIM PRIMARY KEY", json!("a"), json!("a ")),
        ("k TEXT, UNIQUE (k COLLATE NOCASE)", json!("Ann"), json!("ann")),
        ("k INTEGER PRIMARY KEY", json!("1"), json!(1.0)),
        ("k NUMBER UNIQUE", json!("1"), json!(1)),
        ("k TEXT COLLATE NOCASE, PRIMARY KEY (k)) WITHOUT ROWID; CREATE TABLE other (x", json!("Ann"), json!("ann")),
    ] {
        let (first, rest) =
            columns.split_once(", ").map_or((columns, String::new()), |(first, rest)| (first, format!(", {rest}")));
        let board = embedded(&format!("CREATE TABLE t ({first}, n INT{rest})"));
        let rows = json!([{"k":a,"n":1},{"k":b,"n":2}]);
        let how = json!({"on_conflict":"update","conflict_columns":["k"],"on_error":"reject"});
        let answer = load(&board, rows.clone(), how).await;
        assert_eq!(rejects(&answer), [(1, "k", "21000")], "{columns}");
        assert_eq!(counts(&answer), [1, 0, 0, 0, 1], "{columns}");
        for how in ["error", "ignore"] {
            let added = embedded(&format!("CREATE TABLE t ({first}, n INT{rest})"));
            let failure = refused(&added, rows.clone(), json!({"on_conflict":how})).await;
            let said =
                "`rows[1].k` cannot be written: an earlier row of this call has the same key; nothing was written";
            // A table without row numbers does not tell which rows are of this call.
            match (how, columns.contains("WITHOUT ROWID")) {
                ("error", true) => assert_eq!(failure["backend_code"], "23505"),
                _ => assert_eq!(failure["message"], said, "{columns} {how}"),
            }
        }
        let how = json!({"on_conflict":"update","conflict_columns":["k"],"duplicates":"last"});
        assert_eq!(counts(&load(&board, rows, how).await), [0, 1, 0, 1, 0], "{columns}");
        assert_eq!(numbers(&board).await, json!([2]), "{columns}");
    }
}

#[tokio::test]
async fn a_partial_unique_index_serves_on_sqlite_too() {
    let board = embedded(
        "CREATE TABLE t (a INT, b TEXT, live INT DEFAULT 1, n INT); CREATE UNIQUE INDEX t_live ON t (b, a) WHERE live = 1",
    );
    let how = json!({"on_conflict":"update","conflict_columns":["a","b"],"on_error":"reject"});
    let rows = json!([{"a":1,"b":"x","n":1},{"a":1,"b":"x","n":2,"live":0},{"a":1,"b":"x","n":3,"live":0}]);
    assert_eq!(counts(&load(&board, rows, how.clone()).await), [3, 0, 0, 0, 0]);
    let rows = json!([{"a":1,"b":"x","n":9},{"a":2,"b":"x","n":4},{"a":2,"b":"x","n":5},{"a":2,"b":"x","n":4}]);
    let answer = load(&board, rows, how).await;
    assert_eq!(counts(&answer), [1, 1, 0, 0, 2]);
    assert_eq!(rejects(&answer), [(2, "-", "21000"), (3, "-", "21000")]);
    assert_eq!(numbers(&board).await, json!([2, 3, 4, 9]));
    let board = embedded("CREATE TABLE t (a TEXT, n INT); CREATE UNIQUE INDEX odd ON t (lower(a))");
    let failure = refused(&board, json!([{"a":"x"}]), json!({"on_conflict":"update","conflict_columns":["a"]})).await;
    assert_eq!(
        failure["message"],
        "existing rows cannot be found by `a` of `main.t`: the unique index `odd` is on an expression (lower(a)), not on columns alone"
    );
    assert_eq!(counts(&load(&board, json!([{"a":"x"}]), json!({})).await), [1, 0, 0, 0, 0]);
    let failure = refused(&board, json!([{"a":"X"}]), json!({})).await;
    assert_eq!((&failure["code"], &failure["backend_code"]), (&json!("conflict"), &json!("23505")));
}

async fn a_key_that_exists_is_named_with_what_takes_it(board: &Harness) {
    let columns = json!([{"name":"id","type":"integer"},{"name":"name","type":"text"}]);
    board.answer("create_table", &json!({"table":"t","columns":columns,"primary_key":["id"]}).to_string()).await;
    load(board, json!([{"id":1,"name":"a"}]), json!({})).await;
    for how in [json!({}), json!({"on_conflict":"error"})] {
        let failure = refused(board, json!([{"id":1,"name":"b"}]), how).await;
        assert_eq!((&failure["code"], &failure["argument"]), (&json!("conflict"), &json!("rows[0]")));
        assert_eq!(
            failure["message"],
            "`rows[0]` cannot be written: duplicate key value violates unique constraint \"t_pkey\" (Key (id)=(1) already exists); nothing was written"
        );
        assert_eq!(
            failure["hint"],
            "pass on_conflict `update` and conflict_columns [\"id\"] to change the row that exists, or `ignore` to keep it; \
             on_error `reject` writes the other rows"
        );
    }
    let failure = board.refused("insert_data", r#"{"table":"t","row":{"id":1,"name":"b"}}"#).await;
    assert_eq!(
        failure["hint"],
        "use bulk_insert with on_conflict `update` and conflict_columns [\"id\"] to change the row that exists, or `ignore` to keep it"
    );
}

#[tokio::test]
async fn a_key_that_exists_is_named_with_what_takes_it_embedded() {
    a_key_that_exists_is_named_with_what_takes_it(&Harness::embedded()).await;
}

#[tokio::test]
async fn a_key_that_exists_is_named_with_what_takes_it_on_postgresql() {
    a_key_that_exists_is_named_with_what_takes_it(&Harness::postgres(&postgres::shared().database())).await;
}
