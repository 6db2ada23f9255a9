//! Types that are made of other types: what answers show of their values, and get_schema of themselves.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    postgres::{self, name_of},
};

const TYPES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE DOMAIN posint AS int CHECK (VALUE > 0);
    CREATE DOMAIN small AS posint CONSTRAINT is_small CHECK (VALUE < 100);
    CREATE DOMAIN moment AS timestamptz;
    CREATE DOMAIN doc AS jsonb;
    CREATE DOMAIN note AS json;
    CREATE DOMAIN amount AS numeric(10,2) DEFAULT 7 NOT NULL;
    CREATE DOMAIN word AS varchar(5);
    CREATE DOMAIN feeling AS mood;
    CREATE DOMAIN tags AS text[];
    CREATE DOMAIN bigs AS int8[];
    CREATE DOMAIN scores AS small[];
    CREATE DOMAIN blob AS bytea;
    CREATE TYPE item AS (n posint, at moment);
    CREATE TYPE parcel AS (feelings feeling[], price amount, items item[]);
    CREATE TYPE posrange AS RANGE (subtype = posint);
    CREATE TABLE made (id int PRIMARY KEY, n posint, ns posint[], ats moment[], docs doc[], amounts amount[], price amount, words word[],
        feelings feeling[], moods mood[], lists tags[], big bigs, scores scores, item item, items item[], parcels parcel[]);
";

fn board() -> Harness {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), TYPES);
    Harness::postgres(&url)
}

#[tokio::test]
async fn elements_are_shown_as_of_the_type_behind() {
    let board = board();
    for (expression, type_name, wanted) in [
        ("'{1,NULL,3}'::posint[]", "int4[]", json!([1, null, 3])),
        ("'{{1,2},{3,4}}'::small[]", "int4[]", json!([[1, 2], [3, 4]])),
        ("'{2026-01-01 10:00:00+02}'::moment[]", "timestamptz[]", json!(["2026-01-01T08:00:00.000Z"])),
        ("array['{\"a\": [1, 2]}'::doc]", "jsonb[]", json!([{"a": [1, 2]}])),
        ("array['{\"a\":  1}'::note]", "json[]", json!([{"a": 1}])),
        ("'{1.5}'::amount[]", "numeric[]", json!(["1.50"])),
        ("'{a,\"b c\"}'::word[]", "varchar[]", json!(["a", "b c"])),
        ("'{sad,happy}'::feeling[]", "mood[]", json!(["sad", "happy"])),
        ("array['\\xDEAD'::blob]", "bytea[]", json!(["3q0="])),
        ("'{\"{a,b}\",\"{c}\",NULL}'::tags[]", "text[][]", json!([["a", "b"], ["c"], null])),
        ("'{1,9007199254740993}'::bigs", "int8[]", json!([1, "9007199254740993"])),
        ("'{1,2}'::scores", "int4[]", json!([1, 2])),
        ("array['{1,2}'::scores]", "int4[][]", json!([[1, 2]])),
        ("'[1,5)'::posrange", "posrange", json!("[1,5)")),
        ("'{\"[1,5)\"}'::posrange[]", "posrange[]", json!(["[1,5)"])),
        ("array[row(1, '2026-01-01 10:00:00+00')::item]", "item[]", json!(["(1,\"2026-01-01 10:00:00+00\")"])),
    ] {
        let answer =
            board.answer("execute_query", &json!({"query": format!("select {expression} as v")}).to_string()).await;
        assert_eq!(
            (&answer["columns"], &answer["rows"]),
            (&json!([{"name": "v", "type": type_name}]), &json!([[wanted]])),
            "{expression}"
        );
    }
}

#[tokio::test]
async fn values_go_in_as_they_come_out() {
    let board = board();
    let row = json!({"id": 1, "n": 5, "ns": [1, null], "ats": ["2026-01-01T10:00:00.000Z"], "docs": [{"a": 1}], "amounts": ["1.50"],
        "price": "2.00", "words": ["a"], "feelings": ["sad"], "moods": ["happy"], "big": [1, "9007199254740993"], "scores": [7]});
    let insert = json!({"table": "made", "row": row, "returning": ["n", "ns", "ats", "docs", "amounts", "price", "words", "feelings",
        "moods", "big", "scores", "id"]});
    assert_eq!(board.answer("insert_data", &insert.to_string()).await["row"], row);
    for (place, value) in [
        ("ns", json!([1, null])),
        ("ats", json!(["2026-01-01T10:00:00.000Z"])),
        ("docs", json!([{"a": 1}])),
        ("amounts", json!(["1.50"])),
        ("feelings", json!(["sad"])),
        ("big", json!([1, "9007199254740993"])),
        ("scores", json!([7])),
        ("n", json!(5)),
    ] {
        let query = json!({"query": format!("select {place} from made where {place} = $1"), "params": [value]});
        assert_eq!(board.answer("execute_query", &query.to_string()).await["rows"], json!([[value]]), "{place}");
    }
    for (place, value) in [("n", json!(5)), ("scores", json!([7])), ("price", json!("2.00"))] {
        let count = json!({"table": "made", "where": {(place): {"eq": value}}});
        assert_eq!(board.answer("count_rows", &count.to_string()).await["count"], 1, "{place}");
    }
    for (of, value) in
        [("tags[]", json!([["a", "b"], ["c"]])), ("scores[]", json!([[1], [2, 3]])), ("doc[]", json!([[1], {"a": 2}]))]
    {
        let query = json!({"query": format!("select $1::{of}"), "params": [value]});
        assert_eq!(board.answer("execute_query", &query.to_string()).await["rows"], json!([[value]]), "{of}");
    }
    let refused = board.refused("execute_query", r#"{"query":"select $1::posint[]","params":[[-1]]}"#).await;
    assert_eq!((&refused["code"], &refused["backend_code"]), (&json!("invalid"), &json!("23514")));
}

#[tokio::test]
async fn a_schema_shows_what_types_are_made_of() {
    let schema = board().answer("get_schema", r#"{"table":"made"}"#).await;
    let shown: Vec<Value> = schema["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            let mut column = column.as_object().unwrap().clone();
            for known in ["identity", "generated", "comment"] {
                assert_eq!(column.remove(known), Some(Value::Null));
            }
            Value::Object(column)
        })
        .collect();
    let positive = json!({"name": "posint_check", "definition": "VALUE > 0"});
    let small = json!({"name": "is_small", "definition": "VALUE::integer < 100"});
    let item = |before: &str| {
        [
            json!({"name": format!("{before}n"), "type": "posint", "base_type": "integer", "checks": [positive]}),
            json!({"name": format!("{before}at"), "type": "moment", "base_type": "timestamp with time zone"}),
        ]
    };
    let fields = item("");
    let mut of_parcel = vec![
        json!({"name": "feelings", "type": "feeling[]", "enum_labels": ["sad", "happy"], "base_type": "mood[]"}),
        json!({"name": "price", "type": "amount", "base_type": "numeric(10,2)"}),
        json!({"name": "items", "type": "item[]"}),
    ];
    of_parcel.extend(item("items."));
    let column = |name: &str, of: &str, more: Value| {
        let mut column = json!({"name": name, "type": of, "nullable": true, "default": null});
        column.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        column
    };
    assert_eq!(
        shown,
        [
            column("id", "integer", json!({"nullable": false})),
            column("n", "posint", json!({"base_type": "integer", "checks": [positive]})),
            column("ns", "posint[]", json!({"base_type": "integer[]", "checks": [positive]})),
            column("ats", "moment[]", json!({"base_type": "timestamp with time zone[]"})),
            column("docs", "doc[]", json!({"base_type": "jsonb[]"})),
            column("amounts", "amount[]", json!({"base_type": "numeric(10,2)[]"})),
            column("price", "amount", json!({"base_type": "numeric(10,2)", "nullable": false, "default": "7"})),
            column("words", "word[]", json!({"base_type": "character varying(5)[]"})),
            column("feelings", "feeling[]", json!({"base_type": "mood[]", "enum_labels": ["sad", "happy"]})),
            column("moods", "mood[]", json!({"enum_labels": ["sad", "happy"]})),
            column("lists", "tags[]", json!({"base_type": "text[][]"})),
            column("big", "bigs", json!({"base_type": "bigint[]"})),
            column("scores", "scores", json!({"base_type": "integer[]", "checks": [small, positive]})),
            column("item", "item", json!({"fields": fields})),
            column("items", "item[]", json!({"fields": fields})),
            column("parcels", "parcel[]", json!({"fields": of_parcel})),
        ]
    );
}
