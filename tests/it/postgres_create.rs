//! create_table on a real PostgreSQL.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    postgres::{self, name_of},
};

fn products() -> Value {
    json!({"table":"products","columns":[
        {"name":"id","type":"varchar(50)"},{"name":"price","type":"numeric(10,2)"},{"name":"tags","type":"text[]"}],
        "primary_key":["id"],"if_not_exists":true})
}

#[tokio::test]
async fn the_statement_is_shown_and_a_table_that_exists_is_compared() {
    let server = postgres::shared();
    let url = server.database();
    let board = Harness::postgres(&url);
    let mut asked = products();
    asked["dry_run"] = json!(true);
    let ddl = "CREATE TABLE IF NOT EXISTS \"public\".\"products\" (\"id\" varchar(50) NOT NULL, \"price\" numeric(10,2), \
               \"tags\" text[], PRIMARY KEY (\"id\"))";
    let dry = board.answer("create_table", &asked.to_string()).await;
    assert_eq!(dry, json!({"table":"public.products","created":false,"ddl":ddl}));
    assert_eq!(server.psql(name_of(&url), "SELECT to_regclass('products')"), "");
    let made = board.answer("create_table", &products().to_string()).await;
    assert_eq!(made, json!({"table":"public.products","created":true,"ddl":ddl}));
    let again = board.answer("create_table", &products().to_string()).await;
    assert_eq!((&again["created"], &again["note"]), (&json!(false), &json!("the table existed with these columns")));
    let other = json!({"table":"products","if_not_exists":true,"columns":[{"name":"id","type":"text"},{"name":"n","type":"int"}]});
    let note = board.answer("create_table", &other.to_string()).await["note"].as_str().unwrap().to_owned();
    assert_eq!(
        note,
        "the table existed with other columns: `id` is `character varying(50)` there, not `text`; it has no column `n`; \
         it also has `price`; it also has `tags`"
    );
    let mut strict = products();
    strict["if_not_exists"] = json!(false);
    assert_eq!(board.refused("create_table", &strict.to_string()).await["code"], "conflict");
}

#[tokio::test]
async fn every_type_default_comment_and_odd_name_arrives() {
    let server = postgres::shared();
    let url = server.database();
    let board = Harness::postgres(&url);
    let types = [
        "boolean",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double precision",
        "numeric",
        "numeric(20,5)",
        "text",
        "character varying(10)",
        "character(3)",
        "bytea",
        "date",
        "time without time zone",
        "timestamp(3) without time zone",
        "timestamp with time zone",
        "interval",
        "uuid",
        "json",
        "jsonb",
        "xml",
        "inet",
        "cidr",
        "macaddr",
        "money",
        "bit(4)",
        "bit varying(8)",
        "int4range",
        "int8range",
        "numrange",
        "tsrange",
        "tstzrange",
        "daterange",
        "tsvector",
        "text[]",
        "numeric(10,2)[]",
        "time(2) with time zone",
    ];
    let columns: Vec<Value> =
        types.iter().enumerate().map(|(n, name)| json!({"name":format!("c{n}"),"type":name})).collect();
    board.answer("create_table", &json!({"table":"all_types","columns":columns}).to_string()).await;
    let kept = "SELECT string_agg(format_type(atttypid, atttypmod), ';' ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = 'all_types'::regclass AND attnum > 0";
    assert_eq!(server.psql(name_of(&url), kept), types.join(";"));
    let odd = json!({"table":"\"Odd \"\"T\"\"\"","columns":[
        {"name":"Key \"1\"","type":"bigserial"},
        {"name":"text","type":"text","default":"it's; DROP TABLE all_types","comment":"it's"},
        {"name":"n","type":"numeric(10,2)","default":1.5,"nullable":false},
        {"name":"list","type":"text[]","default":["a\"b","c,d",null]},
        {"name":"doc","type":"jsonb","default":{"a":[1]}},
        {"name":"made","type":"timestamptz","default":"now()"}],"primary_key":["Key \"1\""]});
    let made = board.answer("create_table", &odd.to_string()).await;
    let loaded = board.answer("bulk_insert", &json!({"table":made["table"],"rows":[{},{"n":2}]}).to_string()).await;
    assert_eq!(loaded["inserted"], 2);
    let read = "SELECT \"Key \"\"1\"\"\", text, n, list, doc, made > now() - interval '1 hour' FROM \"Odd \"\"T\"\"\" ORDER BY 1";
    let rest = "it's; DROP TABLE all_types";
    assert_eq!(
        server.psql(name_of(&url), read),
        format!(
            "1|{rest}|1.50|{{\"a\\\"b\",\"c,d\",NULL}}|{{\"a\": [1]}}|t\n2|{rest}|2.00|{{\"a\\\"b\",\"c,d\",NULL}}|{{\"a\": [1]}}|t"
        )
    );
    let comment = "SELECT col_description('\"Odd \"\"T\"\"\"'::regclass, 2)";
    assert_eq!(server.psql(name_of(&url), comment), "it's");
}

#[tokio::test]
async fn what_cannot_be_created_says_which_argument() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), "CREATE SCHEMA sales");
    let board = Harness::postgres(&url);
    let column = json!({"name":"id","type":"int"});
    let long = "x".repeat(64);
    for (asked, code, argument) in [
        (json!({"table":"t","columns":[{"name":"id","type":"int; drop table x"}]}), "invalid", "columns[0].type"),
        (json!({"table":"t","columns":[]}), "invalid", "columns"),
        (json!({"table":"t","columns":[column],"primary_key":["ix"]}), "invalid", "primary_key"),
        (json!({"table":"t","columns":[column, column]}), "invalid", "columns[1].name"),
        (json!({"table":"t","columns":[{"name":long,"type":"int"}]}), "invalid", "columns[0].name"),
        (json!({"table":long,"columns":[column]}), "invalid", "table"),
        (json!({"table":"sale.t","columns":[column]}), "not_found", "table"),
        (json!({"table":"t","columns":[{"name":"id","type":"int","default":"x"}]}), "invalid", "columns"),
        (
            json!({"table":"t","columns":[{"name":"d","type":"date","default":"today"}]}),
            "invalid",
            "columns[0].default",
        ),
        (json!({"table":"pg_catalog.t","columns":[column]}), "not_found", "table"),
    ] {
        let failure = board.refused("create_table", &asked.to_string()).await;
        assert_eq!(
            (failure["code"].as_str(), failure["argument"].as_str()),
            (Some(code), Some(argument)),
            "{asked} → {failure}"
        );
    }
    let near = board.refused("create_table", &json!({"table":"sale.t","columns":[column]}).to_string()).await;
    assert_eq!(near["did_you_mean"], json!(["sales"]));
    board.answer("create_table", &json!({"table":"Sales.Orders","columns":[column]}).to_string()).await;
    assert_eq!(server.psql(name_of(&url), "SELECT to_regclass('sales.orders')"), "sales.orders");
}
