//! Loading: what is exact, what is refused and why.

use serde_json::{Value, json};

use super::rows;
use crate::support::{
    harness::Harness,
    loads::{counts, rejects},
};

async fn products(board: &Harness) {
    let columns = json!([
        {"name":"id","type":"varchar(50)"}, {"name":"name","type":"varchar(255)"}, {"name":"price","type":"numeric(10,2)"},
        {"name":"stock_quantity","type":"integer","default":7}, {"name":"created_at","type":"timestamptz"},
        {"name":"brand","type":"varchar(100)"}, {"name":"tags","type":"text[]"}, {"name":"extra","type":"jsonb"}]);
    let table = json!({"table":"products","columns":columns,"primary_key":["id"]});
    assert_eq!(board.answer("create_table", &table.to_string()).await["created"], true);
}

async fn load(board: &Harness, arguments: Value) -> Value {
    board.answer("bulk_insert", &arguments.to_string()).await
}

pub(super) async fn one_bad_row_comes_back_with_its_reason_and_the_others_stand(board: &Harness) {
    products(board).await;
    let given = json!([{"id":"p-001","price":29.99,"tags":["usb"]},{"id":"p-002","price":"free"}]);
    let how =
        json!({"table":"products","rows":given,"on_conflict":"update","conflict_columns":["id"],"on_error":"reject"});
    let answer = load(board, how).await;
    assert_eq!(counts(&answer), [1, 0, 0, 0, 1]);
    assert_eq!(
        answer["rejected"][0],
        json!({"position":1,"column":"price","code":"22P02",
               "reason":"invalid input syntax for type numeric: \"free\"","row":{"id":"p-002","price":"free"}})
    );
    assert_eq!(
        rows(board, "select id, price, tags, stock_quantity from products").await,
        json!([["p-001", "29.99", ["usb"], 7]])
    );
}

pub(super) async fn a_single_value_is_the_one_element_of_a_list_and_no_list_a_single_value(board: &Harness) {
    products(board).await;
    let given = json!([{"id":"a","tags":"usb","price":2.5},{"id":"b","tags":5,"extra":[1]},{"id":"c","tags":[]},
                       {"id":"d","tags":null},{"id":"e","price":[1,2]},{"id":"f","price":[]},{"id":"g","tags":{"a":1}},{"id":["h"]},{"id":"i","price":[2.5]},{"id":"j","price":[null]}]);
    let answer = load(board, json!({"table":"products","rows":given,"on_error":"reject"})).await;
    assert_eq!(counts(&answer), [4, 0, 0, 0, 6], "{answer}");
    let wanted = [(4, "price"), (5, "price"), (6, "tags"), (7, "id"), (8, "price"), (9, "price")];
    assert_eq!(rejects(&answer), wanted.map(|(position, column)| (position, column, "42804")));
    assert_eq!(
        rows(board, "select id, tags, price, extra from products order by id").await,
        json!([["a", ["usb"], "2.50", null], ["b", ["5"], null, [1]], ["c", [], null, null], ["d", null, null, null]])
    );
}

pub(super) async fn an_aborted_load_writes_nothing_and_names_the_row_and_column(board: &Harness) {
    products(board).await;
    let given = json!([{"id":"p-001","price":1},{"id":"p-002","price":"free"}]);
    let failure = board.refused("bulk_insert", &json!({"table":"products","rows":given}).to_string()).await;
    assert_eq!((&failure["code"], &failure["argument"]), (&json!("invalid"), &json!("rows[1].price")));
    assert_eq!(failure["backend_code"], "22P02");
    assert!(
        failure["message"].as_str().unwrap().contains("invalid input syntax for type numeric: \"free\""),
        "{failure}"
    );
    assert_eq!(board.answer("count_rows", r#"{"table":"products"}"#).await["count"], 0);
}

pub(super) async fn every_count_is_exact_again_and_again(board: &Harness) {
    products(board).await;
    let row = |n: u32, price: &str| json!({"id":format!("p-{n}"),"name":"n","price":price,"tags":["a","b"],"created_at":"2026-01-01T10:00:00Z","extra":{"a": n}});
    let upsert = |given: Vec<Value>| json!({"table":"products","rows":given,"on_conflict":"update"});
    let first = load(board, upsert((0..20).map(|n| row(n, "1.50")).collect())).await;
    assert_eq!(counts(&first), [20, 0, 0, 0, 0]);
    let same = load(board, upsert((0..20).map(|n| row(n, "1.5")).collect())).await;
    assert_eq!(counts(&same), [0, 0, 20, 0, 0], "the same again");
    let mixed = load(board, upsert((10..30).map(|n| row(n, if n < 15 { "2" } else { "1.50" })).collect())).await;
    assert_eq!(counts(&mixed), [10, 5, 5, 0, 0]);
    let ignored = json!({"table":"products","rows":[row(1,"9"),row(99,"9")],"on_conflict":"ignore"});
    assert_eq!(counts(&load(board, ignored).await), [1, 0, 1, 0, 0]);
    assert_eq!(
        rows(board, "select price, count(*) from products group by price order by price").await,
        json!([["1.50", 25], ["2.00", 5], ["9.00", 1]])
    );
}

pub(super) async fn a_missing_key_keeps_what_is_there_and_null_writes_null(board: &Harness) {
    products(board).await;
    let given = json!([{"id":"a","name":"A","brand":"Acme","price":1},{"id":"b","name":"B","brand":"Acme","price":2}]);
    load(board, json!({"table":"products","rows":given})).await;
    let given = json!([{"id":"a","price":5},{"id":"b","brand":null},{"id":"c","name":"C"}]);
    let answer = load(board, json!({"table":"products","rows":given,"on_conflict":"update"})).await;
    assert_eq!(counts(&answer), [1, 2, 0, 0, 0]);
    assert_eq!(
        rows(board, "select id, name, brand, price, stock_quantity from products order by id").await,
        json!([["a", "A", "Acme", "5.00", 7], ["b", "B", null, "2.00", 7], ["c", "C", null, null, 7]])
    );
}

pub(super) async fn numbers_are_exact_or_refused(board: &Harness) {
    let columns = r#"[{"name":"id","type":"int"},{"name":"big","type":"bigint"},{"name":"whole","type":"integer"},{"name":"exact","type":"numeric"},
        {"name":"wide","type":"numeric(38,10)"},{"name":"money","type":"numeric(10,2)"},{"name":"share","type":"double precision"}]"#;
    board.answer("create_table", &format!(r#"{{"table":"n","columns":{columns},"primary_key":["id"]}}"#)).await;
    let given = r#"[{"id":1,"big":9007199254740993,"exact":0.12345678901234567890123456789,"money":29.990,"whole":12.0},
        {"id":2,"whole":12.7},{"id":3,"money":29.999},{"id":4,"whole":3000000000},{"id":5,"money":123456789},
        {"id":6,"share":9007199254740993},{"id":7,"big":"9007199254740993","share":0.1,"exact":1e30,"wide":12345678901234567890.1234567891},
        {"id":8,"wide":9.5},{"id":9,"wide":"10"}]"#;
    let answer = board.answer("bulk_insert", &format!(r#"{{"table":"n","rows":{given},"on_error":"reject"}}"#)).await;
    assert_eq!(
        rejects(&answer),
        [
            (1, "whole", "22P02"),
            (2, "money", "22003"),
            (3, "whole", "22003"),
            (4, "money", "22003"),
            (5, "share", "22003"),
        ]
    );
    assert_eq!(answer["rejected"][0]["reason"], "invalid input syntax for type integer: \"12.7\"");
    assert_eq!(
        rows(board, "select id, big, whole, exact, money, share from n where id < 8 order by id").await,
        json!([
            [1, "9007199254740993", 12, "0.12345678901234567890123456789", "29.99", null],
            [7, "9007199254740993", null, "1000000000000000000000000000000", null, 0.1]
        ])
    );
    // Numbers order as numbers, also when some are too long for a double.
    assert_eq!(
        rows(board, "select wide from n where wide is not null order by wide").await,
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

pub(super) async fn each_row_has_its_own_fault(board: &Harness) {
    let columns = json!([{"name":"id","type":"varchar(50)"},{"name":"name","type":"varchar(255)","nullable":false},
        {"name":"created_at","type":"timestamptz"},{"name":"tags","type":"text[]"},{"name":"key","type":"uuid"}]);
    board.answer("create_table", &json!({"table":"p","columns":columns,"primary_key":["id"]}).to_string()).await;
    board.answer("insert_data", r#"{"table":"p","row":{"id":"there","name":"x"}}"#).await;
    let given = r#"[{"id":"ok","name":"fine"},{"id":"there","name":"x"},{"id":"a"},{"id":"b","name":null},
        {"id":"c","name":"c","pric":1},{"id":"d","name":"nul \u0000"},{"id":"e","name":7},{"id":"k","name":"half \ud800"},
        {"id":"f","name":"f","created_at":"2024-13-01T00:00:00Z"},{"id":"g","name":"g","tags":{"a":1}},
        {"id":"0123456789012345678901234567890123456789012345678901234567890","name":"long"},{"id":"ok","name":"again"},
        {"id":"h","name":"h","name":"twice"},{"id":"i","name":{"x":1}},{"id":"j","name":"j","key":"no"},{"name":"nobody"}]"#;
    let answer = board.answer("bulk_insert", &format!(r#"{{"table":"p","rows":{given},"on_error":"reject"}}"#)).await;
    assert_eq!(
        rejects(&answer),
        [
            (1, "-", "23505"),
            (2, "name", "23502"),
            (3, "name", "23502"),
            (4, "pric", "42703"),
            (5, "name", "22021"),
            (7, "name", "22P05"),
            (8, "created_at", "22008"),
            (9, "tags", "42804"),
            (10, "id", "22001"),
            (11, "id", "21000"),
            (12, "name", "42701"),
            (13, "name", "42804"),
            (14, "key", "22P02"),
            (15, "id", "23502"),
        ]
    );
    assert_eq!(counts(&answer), [2, 0, 0, 0, 14]);
    // The row given back is JSON that every reader takes.
    assert_eq!(answer["rejected"][5]["row"]["name"], "half \u{fffd}");
    assert_eq!(answer["rejected"][0]["reason"], "duplicate key value violates unique constraint \"p_pkey\"");
    assert_eq!(answer["rejected"][3]["reason"], "column \"pric\" of relation \"p\" does not exist");
    assert_eq!(rows(board, "select id from p order by id").await, json!([["e"], ["ok"], ["there"]]));
}
