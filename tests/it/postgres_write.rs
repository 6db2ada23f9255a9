//! Loading into a real PostgreSQL, beside the contract: what is left on its disk.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    loads::counts,
    postgres::{self, name_of},
};

const PRODUCTS: &str = "CREATE TABLE products (
    id varchar(50) PRIMARY KEY, name varchar(255) NOT NULL, price numeric(10,2), created_at timestamptz, tags text[])";

#[tokio::test]
async fn unchanged_rows_are_not_written_again() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), PRODUCTS);
    let board = Harness::postgres(&url);
    let written = || {
        server.psql(name_of(&url), "SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY id)) FROM products")
    };
    for count in [10, 2_000] {
        let row = |n: u64| json!({"id":format!("p-{count}-{n}"),"name":"n","price":n,"created_at":"2026-01-01T10:00:00Z","tags":[]});
        let rows: Vec<Value> = (0..count).map(row).collect();
        let load = json!({"table":"products","rows":rows,"on_conflict":"update"}).to_string();
        assert_eq!(counts(&board.answer("bulk_insert", &load).await), [count, 0, 0, 0, 0]);
        let before = written();
        assert_eq!(counts(&board.answer("bulk_insert", &load).await), [0, 0, count, 0, 0]);
        assert_eq!(written(), before);
    }
}
