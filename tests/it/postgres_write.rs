//! Loading into a real PostgreSQL: what is exact, what is refused and why, and what is left behind.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    postgres::{self, PostgresServer, name_of},
};

const PRODUCTS: &str = "CREATE TABLE products (
    id varchar(50) PRIMARY KEY, name varchar(255) NOT NULL, category varchar(100), subcategory varchar(100),
    price numeric(10,2), description text, stock_quantity integer DEFAULT 7, created_at timestamptz,
    ratings numeric(3,2), reviews_count integer, brand varchar(100), tags text[])";

/// A database with what `sql` makes, and a Callboard on it.
struct Place {
    server: &'static PostgresServer,
    url: String,
    board: Harness,
}

impl Place {
    fn new(sql: &str) -> Self {
        Self::on(postgres::shared(), sql)
    }

    fn on(server: &'static PostgresServer, sql: &str) -> Self {
        let url = server.database();
        server.psql(name_of(&url), sql);
        let board = Harness::postgres(&url);
        Self { server, url, board }
    }

    fn sql(&self, sql: &str) -> String {
        self.server.psql(name_of(&self.url), sql)
    }

    async fn load(&self, arguments: Value) -> Value {
        self.board.answer("bulk_insert", &arguments.to_string()).await
    }

    async fn refused(&self, arguments: Value) -> Value {
        self.board.refused("bulk_insert", &arguments.to_string()).await
    }
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

#[tokio::test]
async fn one_bad_row_comes_back_with_its_reason_and_the_others_stand() {
    let place = Place::new(&PRODUCTS.replace("name varchar(255) NOT NULL", "name varchar(255)"));
    let rows = json!([{"id":"p-001","price":29.99,"tags":["usb"]},{"id":"p-002","price":"free"}]);
    let answer = place
        .load(json!({"table":"products","rows":rows,"on_conflict":"update","conflict_columns":["id"],"on_error":"reject"}))
        .await;
    assert_eq!(counts(&answer), [1, 0, 0, 0, 1]);
    assert_eq!(
        answer["rejected"][0],
        json!({"position":1,"column":"price","code":"22P02",
               "reason":"invalid input syntax for type numeric: \"free\"","row":{"id":"p-002","price":"free"}})
    );
    assert_eq!(place.sql("SELECT id, price, tags, stock_quantity FROM products"), "p-001|29.99|{usb}|7");
}

#[tokio::test]
async fn abort_writes_nothing_and_names_the_row_and_column() {
    let place = Place::new(PRODUCTS);
    let rows = json!([{"id":"p-001","name":"a","price":1},{"id":"p-002","name":"b","price":"free"}]);
    let failure = place.refused(json!({"table":"products","rows":rows})).await;
    assert_eq!(failure["code"], "invalid");
    assert_eq!(failure["argument"], "rows[1].price");
    assert_eq!(failure["backend_code"], "22P02");
    assert!(
        failure["message"].as_str().unwrap().contains("invalid input syntax for type numeric: \"free\""),
        "{failure}"
    );
    assert_eq!(place.sql("SELECT count(*) FROM products"), "0");
}

#[tokio::test]
async fn every_count_is_exact_again_and_again() {
    let place = Place::new(PRODUCTS);
    let row = |n: u32, price: &str| json!({"id":format!("p-{n}"),"name":"n","price":price,"tags":["a","b"]});
    let load = |rows: Vec<Value>| json!({"table":"products","rows":rows,"on_conflict":"update"});
    let first = place.load(load((0..20).map(|n| row(n, "1.50")).collect())).await;
    assert_eq!(counts(&first), [20, 0, 0, 0, 0]);
    let same = place.load(load((0..20).map(|n| row(n, "1.5")).collect())).await;
    assert_eq!(counts(&same), [0, 0, 20, 0, 0], "the same again");
    let mixed = place.load(load((10..30).map(|n| row(n, if n < 15 { "2" } else { "1.50" })).collect())).await;
    assert_eq!(counts(&mixed), [10, 5, 5, 0, 0]);
    let ignored = json!({"table":"products","rows":[row(1,"9"),row(99,"9")],"on_conflict":"ignore"});
    assert_eq!(counts(&place.load(ignored).await), [1, 0, 1, 0, 0]);
    assert_eq!(place.sql("SELECT count(*), sum(price) FROM products"), "31|56.50");
}

#[tokio::test]
async fn unchanged_rows_are_not_written_again() {
    let place = Place::new(PRODUCTS);
    for count in [10, 2_000] {
        let rows: Vec<Value> =
            (0..count).map(|n| json!({"id":format!("p-{count}-{n}"),"name":"n","price":n,"created_at":"2026-01-01T10:00:00Z","tags":[]})).collect();
        let load = json!({"table":"products","rows":rows,"on_conflict":"update"});
        assert_eq!(counts(&place.load(load.clone()).await), [count, 0, 0, 0, 0]);
        let before = place.sql("SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY id)) FROM products");
        assert_eq!(counts(&place.load(load).await), [0, 0, count, 0, 0]);
        assert_eq!(
            place.sql("SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY id)) FROM products"),
            before
        );
    }
}

#[tokio::test]
async fn a_missing_key_keeps_what_is_there_and_null_writes_null() {
    let place = Place::new(PRODUCTS);
    place.sql("INSERT INTO products (id, name, brand, price) VALUES ('a', 'A', 'Acme', 1), ('b', 'B', 'Acme', 2)");
    let rows = json!([{"id":"a","price":5},{"id":"b","brand":null},{"id":"c","name":"C"}]);
    let answer = place.load(json!({"table":"products","rows":rows,"on_conflict":"update"})).await;
    assert_eq!(counts(&answer), [1, 2, 0, 0, 0]);
    assert_eq!(
        place.sql("SELECT id, name, brand, price, stock_quantity FROM products ORDER BY id"),
        "a|A|Acme|5.00|7\nb|B||2.00|7\nc|C|||7"
    );
}

#[tokio::test]
async fn numbers_are_exact_or_refused() {
    let place = Place::new(
        "CREATE TABLE n (id int PRIMARY KEY, big bigint, whole integer, exact numeric, money numeric(10,2), share double precision)",
    );
    let rows = r#"[{"id":1,"big":9007199254740993,"exact":0.12345678901234567890123456789,"money":29.990,"whole":12.0},
        {"id":2,"whole":12.7},{"id":3,"money":29.999},{"id":4,"whole":3000000000},{"id":5,"money":123456789},
        {"id":6,"share":9007199254740993},{"id":7,"big":"9007199254740993","share":0.1,"exact":1e30}]"#;
    let answer =
        place.board.answer("bulk_insert", &format!(r#"{{"table":"n","rows":{rows},"on_error":"reject"}}"#)).await;
    let wanted = [
        (1, "whole", "22P02"),
        (2, "money", "22003"),
        (3, "whole", "22003"),
        (4, "money", "22003"),
        (5, "share", "22003"),
    ];
    assert_eq!(rejects(&answer), wanted.map(|(at, column, code)| (at, column.to_owned(), code.to_owned())));
    assert_eq!(answer["rejected"][0]["reason"], "invalid input syntax for type integer: \"12.7\"");
    assert_eq!(
        place.sql("SELECT id, big, whole, exact, money, share FROM n ORDER BY id"),
        "1|9007199254740993|12|0.12345678901234567890123456789|29.99|\n7|9007199254740993||1000000000000000000000000000000||0.1"
    );
}

#[tokio::test]
async fn each_row_has_its_own_fault() {
    let place = Place::new(PRODUCTS);
    place.sql("INSERT INTO products (id, name) VALUES ('there', 'x')");
    let rows = r#"[{"id":"ok","name":"fine"},{"id":"there","name":"x"},{"id":"a"},{"id":"b","name":null},
        {"id":"c","name":"c","pric":1},{"id":"d","name":"nul \u0000"},{"id":"e","name":"half \ud800"},
        {"id":"f","name":"f","created_at":"2024-13-01T00:00:00Z"},{"id":"g","name":"g","tags":"{open"},
        {"id":"0123456789012345678901234567890123456789012345678901234567890","name":"long"},{"id":"ok","name":"again"},
        {"id":"h","name":"h","name":"twice"},{"id":"i","name":{"x":1}}]"#;
    let answer = place
        .board
        .answer("bulk_insert", &format!(r#"{{"table":"products","rows":{rows},"on_error":"reject"}}"#))
        .await;
    let wanted = [
        (1, "-", "23505"),
        (2, "name", "23502"),
        (3, "name", "23502"),
        (4, "pric", "42703"),
        (5, "name", "22021"),
        (6, "name", "22P05"),
        (7, "created_at", "22008"),
        (9, "id", "22001"),
        (10, "-", "23505"),
        (11, "name", "42701"),
        (12, "name", "42804"),
    ];
    assert_eq!(rejects(&answer), wanted.map(|(at, column, code)| (at, column.to_owned(), code.to_owned())));
    assert_eq!(counts(&answer), [2, 0, 0, 0, 11]);
    assert_eq!(answer["rejected"][3]["reason"], "column \"pric\" of relation \"products\" does not exist");
    assert_eq!(place.sql("SELECT string_agg(id, ',' ORDER BY id) FROM products"), "g,ok,there");
}
