//! Columns that the database numbers or computes itself: rows that name them are found, never made up, and no hint leads to another row.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    loads::{counts, rejects},
    postgres::{self, PostgresServer, name_of},
};

struct Board {
    server: &'static PostgresServer,
    url: String,
    harness: Harness,
}

fn board(sql: &str) -> Board {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), sql);
    let harness = Harness::postgres(&url);
    Board { server, url, harness }
}

impl Board {
    fn arguments(rows: &Value, how: &Value) -> String {
        let mut arguments = json!({ "table": "t", "rows": rows });
        arguments.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
        arguments.to_string()
    }

    async fn load(&self, rows: Value, how: &Value) -> Value {
        self.harness.answer("bulk_insert", &Self::arguments(&rows, how)).await
    }

    /// SQLSTATE and argument, and a hint that changes no row.
    async fn refused(&self, rows: Value, how: &Value) -> (String, String, String) {
        let failure = self.harness.refused("bulk_insert", &Self::arguments(&rows, how)).await;
        let text = |name: &str| failure[name].as_str().unwrap().to_owned();
        assert!(!text("hint").contains("update"), "{failure}");
        (text("backend_code"), text("argument"), text("message"))
    }

    fn all(&self) -> String {
        self.server.psql(name_of(&self.url), "SELECT string_agg(t::text, '' ORDER BY t::text) FROM t")
    }
}

const ALWAYS: &str = "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sku text UNIQUE, n int);
    INSERT INTO t (sku, n) VALUES ('a', 1), ('b', 2)";

#[tokio::test]
async fn a_row_that_is_there_is_left_as_it_is_by_its_number() {
    let board = board(ALWAYS);
    let ignore = json!({"on_conflict":"ignore"});
    let before = board.all();
    for _ in 0..2 {
        let rows = json!([{"id":1,"n":9},{"id":2,"sku":"x","n":9},{"id":9,"sku":"a"}]);
        assert_eq!(counts(&board.load(rows, &ignore).await), [0, 0, 3, 0, 0]);
    }
    let rows: Vec<Value> = (0..600).map(|n| json!({"id":n % 2 + 1,"n":n})).collect();
    let last = json!({"on_conflict":"ignore","duplicates":"last"});
    assert_eq!(counts(&board.load(json!(rows), &last).await), [0, 0, 2, 598, 0]);
    let (state, argument, message) = board.refused(json!([{"id":1},{"id":9,"sku":"c"}]), &ignore).await;
    assert_eq!((state.as_str(), argument.as_str()), ("428C9", "rows[1].id"));
    assert!(message.contains(r#"no row has this "id""#), "{message}");
    assert_eq!(board.all(), before);
    let reject = json!({"on_conflict":"ignore","on_error":"reject"});
    let answer = board.load(json!([{"id":1,"n":9},{"id":9,"n":9},{"sku":"c"},{"sku":"a"}]), &reject).await;
    assert_eq!((counts(&answer), rejects(&answer)), ([1, 0, 2, 0, 1], vec![(1, "id", "428C9")]));
    assert_eq!(board.all(), "(1,a,1)(2,b,2)(3,c,)".replace("(3", &board.last()));
}

impl Board {
    /// What comes of the sequence's gaps: the number of the row `c`.
    fn last(&self) -> String {
        format!("({}", self.server.psql(name_of(&self.url), "SELECT id FROM t WHERE sku = 'c'"))
    }
}

#[tokio::test]
async fn a_row_found_by_another_key_keeps_its_number() {
    let board = board(ALWAYS);
    let by = json!({"on_conflict":"update","conflict_columns":["sku"]});
    for (rows, wanted) in [
        (json!([{"id":1,"sku":"a","n":5},{"id":2,"sku":"b","n":2}]), [0, 1, 1, 0, 0]),
        (json!([{"id":1,"sku":"a"}]), [0, 0, 1, 0, 0]),
        (json!([{"sku":"a","n":6}]), [0, 1, 0, 0, 0]),
    ] {
        assert_eq!(counts(&board.load(rows.clone(), &by).await), wanted, "{rows}");
    }
    assert_eq!(board.all(), "(1,a,6)(2,b,2)");
    for row in [json!({"id":2,"sku":"a","n":7}), json!({"id":7,"sku":"z","n":7}), json!({"id":1,"n":7})] {
        let (state, argument, message) = board.refused(json!([row]), &by).await;
        assert_eq!((state.as_str(), argument.as_str()), ("428C9", "rows[0].id"), "{row}");
        assert!(message.contains(r#"no row has this "sku" and this "id""#), "{message}");
    }
    assert_eq!(board.all(), "(1,a,6)(2,b,2)");
    assert_eq!(counts(&board.load(json!([{"sku":"z","n":7}]), &by).await), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_number_may_be_a_part_of_the_key() {
    let board = board(
        "CREATE TABLE t (tenant int, id int GENERATED ALWAYS AS IDENTITY, n int, PRIMARY KEY (tenant, id));
         INSERT INTO t (tenant, n) VALUES (1, 1), (2, 2)",
    );
    let update = json!({"on_conflict":"update"});
    assert_eq!(counts(&board.load(json!([{"tenant":1,"id":1,"n":5}]), &update).await), [0, 1, 0, 0, 0]);
    assert_eq!(board.refused(json!([{"tenant":2,"id":1,"n":5}]), &update).await.1, "rows[0].id");
    assert_eq!(counts(&board.load(json!([{"tenant":1,"n":6}]), &update).await), [1, 0, 0, 0, 0]);
    let ignore = json!({"on_conflict":"ignore"});
    assert_eq!(counts(&board.load(json!([{"tenant":2,"id":2,"n":9}]), &ignore).await), [0, 0, 1, 0, 0]);
    assert_eq!(board.all(), "(1,1,5)(1,3,6)(2,2,2)");
}

#[tokio::test]
async fn a_row_whose_number_the_sequence_gave_before_overwrites_none() {
    for number in ["serial", "int GENERATED BY DEFAULT AS IDENTITY"] {
        let board = board(&format!("CREATE TABLE t (id {number} PRIMARY KEY, name text)"));
        let update = json!({"on_conflict":"update"});
        // A row that names its number is written with it, which the sequence does not see.
        let rows: Vec<Value> = (1..10).map(|id| json!({"id":id,"name":"old"})).collect();
        assert_eq!(counts(&board.load(json!(rows), &update).await), [9, 0, 0, 0, 0], "{number}");
        assert_eq!(counts(&board.load(json!([{"id":1,"name":"A"}]), &update).await), [0, 1, 0, 0, 0], "{number}");
        let before = board.all();
        let (state, argument, _) = board.refused(json!([{"name":"new"}]), &update).await;
        assert_eq!((state.as_str(), argument.as_str()), ("23505", "rows[0].id"), "{number}");
        let failure = board.harness.refused("insert_data", r#"{"table":"t","row":{"name":"new"}}"#).await;
        assert_eq!(failure["argument"], "row.id", "{failure}");
        assert!(failure["hint"].as_str().unwrap().contains("another try gets the next one"), "{failure}");
        assert_eq!(board.all(), before, "{number}");
        let again = Board::arguments(&json!([{"name":"new"}]), &update);
        let mut tries = 0;
        while board.harness.any("bulk_insert", &again).await.0 && tries < 9 {
            tries += 1;
        }
        let there = "SELECT count(*), count(*) FILTER (WHERE name = 'new') FROM t";
        assert_eq!(board.server.psql(name_of(&board.url), there), "10|1", "{number}");
    }
}

#[tokio::test]
async fn a_computed_column_is_left_out() {
    let board = board("CREATE TABLE t (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED)");
    for how in [json!({}), json!({"on_conflict":"ignore"}), json!({"on_conflict":"update"})] {
        let (state, argument, _) = board.refused(json!([{"id":1,"a":2,"b":4}]), &how).await;
        assert_eq!((state.as_str(), argument.as_str()), ("428C9", "rows[0].b"), "{how}");
    }
    assert_eq!(counts(&board.load(json!([{"id":1,"a":2}]), &json!({"on_conflict":"update"})).await), [1, 0, 0, 0, 0]);
    assert_eq!(board.all(), "(1,2,4)");
}
