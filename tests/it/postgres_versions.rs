//! Writing into the oldest and the newest PostgreSQL: a short pass.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    postgres::{self, name_of},
};

#[tokio::test]
async fn a_temporal_key_is_no_key_to_find_rows_by_and_that_is_said() {
    let server = postgres::version(18);
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE EXTENSION btree_gist;
         CREATE TABLE t (id int, r daterange, n int, CONSTRAINT t_key PRIMARY KEY (id, r WITHOUT OVERLAPS))",
    );
    let board = Harness::postgres(&url);
    let row = json!({"id":1,"r":"[2026-01-01,2026-02-01)","n":1});
    let inserted = board.answer("insert_data", &json!({"table":"t","row":row}).to_string()).await;
    assert_eq!(inserted["row"], json!({"id":1,"r":"[2026-01-01,2026-02-01)"}));
    for (columns, asked) in
        [(json!(["id", "r"]), "`id, r` of `public.t`"), (json!([]), "the primary key of `public.t`")]
    {
        let load = json!({"table":"t","rows":[row],"on_conflict":"update","conflict_columns":columns});
        let refused = board.refused("bulk_insert", &load.to_string()).await;
        assert_eq!(
            (&refused["code"], &refused["argument"], &refused["message"], &refused["hint"]),
            (
                &json!("invalid"),
                &json!("conflict_columns"),
                &json!(format!(
                    "existing rows cannot be found by {asked}: `t_key` is an exclusion constraint, and rows are found by unique indexes only"
                )),
                &json!(
                    "it has no unique index that tells all rows apart, so existing rows cannot be found; on_conflict `error` adds every row as a new one"
                ),
            )
        );
    }
    let overlapping = json!({"id":1,"r":"[2026-01-15,2026-03-01)","n":2});
    let load = json!({"table":"t","rows":[overlapping, {"id":2,"r":"[2026-01-15,2026-03-01)"}],"on_conflict":"ignore"});
    let answer = board.answer("bulk_insert", &load.to_string()).await;
    assert_eq!((&answer["inserted"], &answer["unchanged"]), (&json!(1), &json!(1)), "{answer}");
}

async fn pass(major: u32) {
    let server = postgres::version(major);
    let url = server.database();
    server.psql(name_of(&url), "CREATE TABLE parts (id int, region text, v numeric(6,2), PRIMARY KEY (id, region)) PARTITION BY LIST (region); CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu')");
    let board = Harness::postgres(&url);
    let made = json!({"table":"items","columns":[{"name":"id","type":"bigserial"},{"name":"name","type":"varchar(20)","nullable":false},
        {"name":"price","type":"numeric(10,2)"},{"name":"tags","type":"text[]"},{"name":"at","type":"timestamptz","default":"now()"}],"primary_key":["id"]});
    assert_eq!(board.answer("create_table", &made.to_string()).await["created"], true);
    assert_eq!(board.answer("insert_data", r#"{"table":"items","row":{"name":"one"}}"#).await["row"], json!({"id":1}));
    for (table, count) in [("items", 5), ("items", 900), ("parts", 5), ("parts", 900)] {
        let row = |n: usize| match table {
            "items" => json!({"id":n + 100,"name":format!("n{n}"),"price":1.5,"tags":["a"]}),
            _ => json!({"id":n,"region":"eu","v":n % 100}),
        };
        let rows: Vec<Value> = (0..count).map(row).collect();
        let mut load = json!({"table":table,"rows":rows,"on_conflict":"update"});
        let counts = async |load: &Value| {
            let answer = board.answer("bulk_insert", &load.to_string()).await;
            ["inserted", "updated", "unchanged", "rejected_count"].map(|name| answer[name].as_u64().unwrap())
        };
        let first = counts(&load).await;
        assert_eq!(first.iter().sum::<u64>(), count as u64);
        assert_eq!(counts(&load).await, [0, 0, count as u64, 0], "{major} {table}");
        let column = if table == "items" { "price" } else { "v" };
        load["rows"][1][column] = json!("7.77");
        load["rows"][2][column] = json!("free");
        load["on_error"] = json!("reject");
        assert_eq!(counts(&load).await, [0, 1, count as u64 - 2, 1], "{major} {table}");
    }
}

#[tokio::test]
async fn postgresql_13_is_written_to() {
    pass(13).await;
}

#[tokio::test]
async fn postgresql_18_is_written_to() {
    pass(18).await;
}
