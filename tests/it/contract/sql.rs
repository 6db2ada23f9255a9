//! The contract of the port `SqlDatabase`: the same calls have the same answers on PostgreSQL and on the embedded database. Through the tools,
//! because that is where a difference would be seen.

mod load;

use serde_json::{Value, json};

use self::load::{
    a_missing_key_keeps_what_is_there_and_null_writes_null,
    a_single_value_is_the_one_element_of_a_list_and_no_list_a_single_value,
    an_aborted_load_writes_nothing_and_names_the_row_and_column, each_row_has_its_own_fault,
    every_count_is_exact_again_and_again, numbers_are_exact_or_refused,
    one_bad_row_comes_back_with_its_reason_and_the_others_stand,
};
use crate::support::{harness::Harness, postgres};

/// The suite for one database.
macro_rules! every_rule {
    ($module:ident, $board:expr, [$($rule:ident),* $(,)?]) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $rule() {
                    super::$rule(&$board).await;
                }
            )*
        }
    };
}

macro_rules! held_by {
    ($($module:ident: $board:expr),* $(,)?) => {
        $(every_rule!($module, $board, [
            a_table_is_described_as_it_was_made,
            every_row_given_is_counted_once,
            a_bad_value_has_the_same_code_and_sentence,
            one_bad_row_comes_back_with_its_reason_and_the_others_stand,
            an_aborted_load_writes_nothing_and_names_the_row_and_column,
            every_count_is_exact_again_and_again,
            a_missing_key_keeps_what_is_there_and_null_writes_null,
            a_single_value_is_the_one_element_of_a_list_and_no_list_a_single_value,
            numbers_are_exact_or_refused,
            each_row_has_its_own_fault,
            conflict_columns_are_a_unique_index,
            values_come_back_as_they_were_sent,
            rows_are_counted_by_every_operator,
            pages_follow_one_another,
            reading_cannot_write,
            a_refusal_names_the_tool_that_was_called,
            names_that_are_not_there_bring_near_ones,
            a_row_that_exists_is_a_conflict,
        ]);)*
    };
}

held_by! {
    embedded: super::Harness::embedded(),
    postgresql: super::Harness::postgres(&super::postgres::shared().database()),
}

async fn items(board: &Harness) {
    let table = json!({ "table": "items", "primary_key": ["id"], "columns": [
        { "name": "id", "type": "varchar(20)" },
        { "name": "price", "type": "numeric(10,2)" },
        { "name": "stock", "type": "integer" },
        { "name": "seen", "type": "timestamptz" },
        { "name": "tags", "type": "text[]" },
        { "name": "facts", "type": "jsonb" },
        { "name": "big", "type": "bigint" },
    ]});
    board.answer("create_table", &table.to_string()).await;
}

async fn load(board: &Harness, rows: Value, how: Value) -> Value {
    let mut arguments = json!({ "table": "items", "rows": rows });
    arguments.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
    board.answer("bulk_insert", &arguments.to_string()).await
}

async fn rows(board: &Harness, query: &str) -> Value {
    board.answer("execute_query", &json!({ "query": query }).to_string()).await["rows"].take()
}

async fn a_table_is_described_as_it_was_made(board: &Harness) {
    items(board).await;
    let schema = board.answer("get_schema", r#"{"table":"items"}"#).await;
    let columns: Vec<(&str, &str, bool)> = schema["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            (column["name"].as_str().unwrap(), column["type"].as_str().unwrap(), column["nullable"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(
        columns,
        [
            ("id", "character varying(20)", false),
            ("price", "numeric(10,2)", true),
            ("stock", "integer", true),
            ("seen", "timestamp with time zone", true),
            ("tags", "text[]", true),
            ("facts", "jsonb", true),
            ("big", "bigint", true),
        ]
    );
    assert_eq!(schema["primary_key"], json!(["id"]));
    assert_eq!(schema["kind"], "table");
}

async fn every_row_given_is_counted_once(board: &Harness) {
    items(board).await;
    let first = load(board, json!([{ "id": "a", "price": 1 }, { "id": "b", "price": 2 }]), json!({})).await;
    assert_eq!(first["inserted"], 2);
    let given = json!([
        { "id": "a", "price": 1 }, { "id": "b", "price": 3 }, { "id": "c", "price": 4 }, { "id": "c", "price": 5 },
        { "id": "d", "price": "free" }
    ]);
    let how =
        json!({ "on_conflict": "update", "conflict_columns": ["id"], "on_error": "reject", "duplicates": "last" });
    let counts = load(board, given, how).await;
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert_eq!(
        [count("inserted"), count("updated"), count("unchanged"), count("merged"), count("rejected_count")],
        [1, 1, 1, 1, 1],
        "{counts}"
    );
    assert_eq!(
        rows(board, "select id, price from items order by id").await,
        json!([["a", "1.00"], ["b", "3.00"], ["c", "5.00"]])
    );
}

async fn a_bad_value_has_the_same_code_and_sentence(board: &Harness) {
    items(board).await;
    let given = json!([
        { "id": "1", "price": "free" }, { "id": "2", "stock": 2_147_483_648_u64 }, { "id": "3", "stock": "many" },
        { "id": null }, { "id": "much too long for twenty characters" }, { "id": "6", "colour": 1 }, { "id": "7" }
    ]);
    let answer = load(board, given, json!({ "on_error": "reject" })).await;
    let rejects: Vec<(u64, &str, Value)> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| {
            (reject["position"].as_u64().unwrap(), reject["code"].as_str().unwrap(), reject["column"].clone())
        })
        .collect();
    assert_eq!(
        rejects,
        [
            (0, "22P02", json!("price")),
            (1, "22003", json!("stock")),
            (2, "22P02", json!("stock")),
            (3, "23502", json!("id")),
            (4, "22001", json!("id")),
            (5, "42703", json!("colour")),
        ],
        "{answer}"
    );
    assert_eq!(answer["rejected"][0]["reason"], "invalid input syntax for type numeric: \"free\"");
    assert_eq!(answer["rejected"][0]["row"], json!({ "id": "1", "price": "free" }));
    assert_eq!(answer["inserted"], 1);
}

async fn conflict_columns_are_a_unique_index(board: &Harness) {
    items(board).await;
    let arguments =
        json!({ "table": "items", "rows": [{ "id": "a" }], "on_conflict": "update", "conflict_columns": ["stock"] });
    let failure = board.refused("bulk_insert", &arguments.to_string()).await;
    assert_eq!((&failure["code"], &failure["argument"]), (&json!("invalid"), &json!("conflict_columns")));
}

async fn values_come_back_as_they_were_sent(board: &Harness) {
    items(board).await;
    let row = r#"{"id":"ä'\"","price":12345678.90,"stock":-3,"seen":"2026-01-01T11:00:00.5+01:00","tags":["a,b","{}",null],"facts":{"n":1.50,"x":[true,null]},"big":9007199254740993}"#;
    board.answer("insert_data", &format!(r#"{{"table":"items","row":{row}}}"#)).await;
    let answer = board.answer_text("execute_query", r#"{"query":"select * from items"}"#).await;
    let (_, rows) = answer.split_once("\"rows\":").unwrap();
    assert!(rows.starts_with(r#"[["ä'\"","12345678.90",-3,"2026-01-01T10:00:00.500Z",["a,b","{}",null],{"#), "{rows}");
    assert!(rows.ends_with(r#","9007199254740993"]]}"#), "{rows}");
    assert!(rows.contains("1.50"), "{rows}");
}

async fn rows_are_counted_by_every_operator(board: &Harness) {
    items(board).await;
    let given = json!([
        { "id": "apple", "price": 1, "stock": 5, "tags": ["a", "b"] }, { "id": "banana", "price": 2.5 }, { "id": "Cherry", "price": 10, "stock": 0 }
    ]);
    load(board, given, json!({})).await;
    for (condition, count) in [
        (json!({ "id": "apple" }), 1),
        (json!({ "price": { "eq": 2.50 } }), 1),
        (json!({ "price": { "ne": 1 } }), 2),
        (json!({ "price": { "gt": 2 } }), 2),
        (json!({ "price": { "gte": 10 } }), 1),
        (json!({ "price": { "lt": 10, "gt": 1 } }), 1),
        (json!({ "price": { "lte": "2.5" } }), 2),
        (json!({ "id": { "in": ["apple", "Cherry", "none"] } }), 2),
        (json!({ "id": { "like": "%an%" } }), 1),
        (json!({ "id": { "ilike": "c%" } }), 1),
        (json!({ "stock": { "is_null": true } }), 1),
        (json!({ "stock": { "is_null": false } }), 2),
        (json!({ "stock": null }), 1),
        (json!({ "tags": ["a", "b"] }), 1),
        (json!({ "tags": { "eq": ["a", "b"] } }), 1),
        (json!({ "tags": ["b"] }), 0),
    ] {
        let arguments = json!({ "table": "items", "where": condition });
        assert_eq!(board.answer("count_rows", &arguments.to_string()).await["count"], count, "{condition}");
    }
    let failure = board.refused("count_rows", r#"{"table":"items","where":{"prise":1}}"#).await;
    assert_eq!(failure["did_you_mean"][0], "price");
}

async fn pages_follow_one_another(board: &Harness) {
    items(board).await;
    let given: Vec<Value> = (0..7).map(|n| json!({ "id": format!("i{n}") })).collect();
    load(board, json!(given), json!({})).await;
    let mut arguments = json!({ "query": "select id from items order by id", "max_rows": 3 });
    let mut seen = Vec::new();
    loop {
        let answer = board.answer("execute_query", &arguments.to_string()).await;
        seen.extend(answer["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()));
        assert_eq!(answer["truncated"], !answer["next"].is_null());
        if answer["next"].is_null() {
            break;
        }
        arguments["cursor"] = answer["next"].clone();
    }
    assert_eq!(seen, ["i0", "i1", "i2", "i3", "i4", "i5", "i6"]);
}

async fn reading_cannot_write(board: &Harness) {
    items(board).await;
    for query in ["delete from items", "drop table items", "insert into items (id) values ('x')", "select 1; select 2"]
    {
        let failure = board.refused("execute_query", &json!({ "query": query }).to_string()).await;
        assert_eq!((&failure["code"], &failure["argument"]), (&json!("denied"), &json!("query")), "{query}");
    }
}

async fn a_refusal_names_the_tool_that_was_called(board: &Harness) {
    for (tool, rule) in [
        ("execute_query", "`execute_query` only reads"),
        ("explain_query", "`explain_query` only explains queries that read"),
    ] {
        let failure = board.refused(tool, r#"{"query":"delete from items"}"#).await;
        assert_eq!(failure["message"], format!("{rule}; this statement starts with `delete`"));
        // What only the database itself knows to refuse names no other tool.
        let failure = board.refused(tool, r#"{"query":"select load_extension('x'), pg_sleep(1)"}"#).await;
        assert_eq!(failure["code"], "denied", "{failure}");
        assert!(!failure["message"].as_str().unwrap().contains("_query"), "{failure}");
    }
}

async fn names_that_are_not_there_bring_near_ones(board: &Harness) {
    items(board).await;
    for (tool, arguments) in [
        ("get_schema", json!({ "table": "item" })),
        ("count_rows", json!({ "table": "itmes" })),
        ("insert_data", json!({ "table": "item", "row": { "id": "x" } })),
        ("execute_query", json!({ "query": "select * from item" })),
    ] {
        let failure = board.refused(tool, &arguments.to_string()).await;
        assert_eq!(failure["did_you_mean"][0], "items", "{tool} {failure}");
    }
}

async fn a_row_that_exists_is_a_conflict(board: &Harness) {
    items(board).await;
    let insert = r#"{"table":"items","row":{"id":"a"},"returning":["id","price"]}"#;
    assert_eq!(board.answer("insert_data", insert).await["row"], json!({ "id": "a", "price": null }));
    let failure = board.refused("insert_data", insert).await;
    assert_eq!((&failure["code"], &failure["backend_code"]), (&json!("conflict"), &json!("23505")));
}
