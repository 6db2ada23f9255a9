//! Values on their way into conditions and columns: nothing is turned into another value without a word.

use serde_json::{Value, json};

use crate::support::{
    harness::Harness,
    loads::{counts, rejects},
    postgres::{self, name_of},
};

/// code, argument.
async fn refused(board: &Harness, tool: &str, arguments: &Value) -> (String, String, String) {
    let failure = board.refused(tool, &arguments.to_string()).await;
    let text = |name: &str| failure[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("argument"), text("hint"))
}

async fn first(board: &Harness, query: &str, params: Value) -> Value {
    board.answer("execute_query", &json!({"query":query,"params":params}).to_string()).await["rows"][0][0].clone()
}

async fn counted(board: &Harness, condition: Value) -> Value {
    board.answer("count_rows", &json!({"table":"calls","where":condition}).to_string()).await["count"].clone()
}

async fn calls(board: &Harness) {
    let columns = json!([{"name":"id","type":"integer"},{"name":"svc","type":"text"},{"name":"code","type":"varchar(9)"},
        {"name":"tags","type":"text[]"},{"name":"facts","type":"jsonb"}]);
    board.answer("create_table", &json!({"table":"calls","columns":columns,"primary_key":["id"]}).to_string()).await;
    let rows = json!([{"id":1,"svc":"api","code":"12345","tags":["a"],"facts":{"a":1}},
        {"id":2,"svc":"web","tags":["a","b"],"facts":[1]},{"id":3,"svc":null}]);
    board.answer("bulk_insert", &json!({"table":"calls","rows":rows}).to_string()).await;
}

async fn conditions_take_no_structure_for_single_values(board: &Harness) {
    calls(board).await;
    for condition in [
        json!({"svc":{"eq":["api"]}}),
        json!({"svc":{"eq":{"a":1}}}),
        json!({"svc":{"ne":["api"]}}),
        json!({"svc":{"gt":["api"]}}),
        json!({"svc":{"lte":{"a":1}}}),
        json!({"svc":{"in":[["api","web"]]}}),
        json!({"svc":[["api"]]}),
        json!({"svc":["api",{"a":1}]}),
        json!({"svc":["api",null]}),
        json!({"svc":{}}),
    ] {
        let (code, argument, _) = refused(board, "count_rows", &json!({"table":"calls","where":condition})).await;
        assert_eq!((code.as_str(), argument.as_str()), ("invalid", "where.svc"), "{condition}");
    }
    for condition in [json!({"code":{"eq":["12345"]}}), json!({"id":{"eq":[1]}}), json!({"id":[[1]]})] {
        let (code, ..) = refused(board, "count_rows", &json!({"table":"calls","where":condition})).await;
        assert_eq!(code, "invalid", "{condition}");
    }
    for one in [json!(1.0), json!(10e-1)] {
        assert_eq!(counted(board, json!({"id":one})).await, 1, "{one}");
        assert_eq!(counted(board, json!({"id":{"in":[one, 2.0]}})).await, 2, "{one}");
        let found = first(board, "select count(*) from calls where id = $1", json!([one])).await;
        assert_eq!(found, 1, "{one}");
    }
    let (.., hint) = refused(board, "count_rows", &json!({"table":"calls","where":{"svc":{"eq":["api"]}}})).await;
    assert_eq!(hint, r#"`in` takes a list: {"svc": {"in": […]}}"#);
    for (condition, wanted) in [
        (json!({"svc":{"in":["api","web"]}}), 2),
        (json!({"svc":["api","other"]}), 1),
        (json!({"svc":[]}), 0),
        (json!({"svc":{"ne":"api"}}), 1),
        (json!({"code":12345}), 1),
        (json!({"tags":["a"]}), 1),
        (json!({"tags":{"eq":["a","b"]}}), 1),
        (json!({"facts":{"eq":{"a":1}}}), 1),
        (json!({"facts":{"eq":"{\"a\":1}"}}), 1),
        (json!({"facts":{"in":[{"a":1},[1]]}}), 2),
    ] {
        assert_eq!(counted(board, condition.clone()).await, wanted, "{condition}");
    }
}

#[tokio::test]
async fn conditions_take_no_structure_for_single_values_embedded() {
    conditions_take_no_structure_for_single_values(&Harness::embedded()).await;
}

#[tokio::test]
async fn conditions_take_no_structure_for_single_values_on_postgresql() {
    conditions_take_no_structure_for_single_values(&Harness::postgres(&postgres::shared().database())).await;
}

const KINDS: &str = "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN word AS text; CREATE DOMAIN raw AS bytea;
    CREATE DOMAIN doc AS jsonb;
    CREATE TABLE k (svc text, v varchar(9), c char(3), ci citext, u uuid, n name, m mood, w word, r raw, i int, p numeric, d date, b bool,
        ts timestamptz, x xml);
    INSERT INTO k VALUES ('api', 'api', 'api', 'Api', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'api', 'ok', 'api', '\\x01', 7, 1.5, '2026-01-02',
        true, '2026-01-01T10:00:00Z')";

#[tokio::test]
async fn a_list_for_a_single_parameter_is_refused_with_the_form_that_works() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(name_of(&url), KINDS);
    let board = Harness::postgres(&url);
    for (column, one) in [
        ("svc", json!("api")),
        ("v", json!("api")),
        ("c", json!("api")),
        ("ci", json!("API")),
        ("u", json!("A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("n", json!("api")),
        ("m", json!("ok")),
        ("w", json!("api")),
        ("i", json!(7)),
        ("p", json!(1.5)),
        ("d", json!("2026-01-02")),
        ("b", json!(true)),
        ("ts", json!("2026-01-01T11:00:00+01:00")),
    ] {
        for list in ["in ($1)", "not in ($1)", "= $1", "<> $1"] {
            let query = json!({"query":format!("select count(*) from k where {column} {list}"),"params":[[one]]});
            let (code, argument, hint) = refused(&board, "execute_query", &query).await;
            assert_eq!((code.as_str(), argument.as_str()), ("invalid", "params[0]"), "{query}");
            assert!(hint.contains("`= any($1)`"), "{query} {hint}");
        }
        let object = json!({"query":format!("select count(*) from k where {column} = $1"),"params":[{"a":1}]});
        assert_eq!(refused(&board, "explain_query", &object).await.1, "params[0]", "{object}");
        // The form of the hint, and a single value.
        let any = format!("select count(*) from k where {column} = any($1)");
        assert_eq!(first(&board, &any, json!([[one, null]])).await, 1, "{any}");
        assert_eq!(first(&board, &any, json!([[]])).await, 0, "{any}");
        let single = format!("select count(*) from k where {column} in ($1)");
        assert_eq!(first(&board, &single, json!([one])).await, 1, "{single}");
        let nested = json!({"query":any,"params":[[{"a":1}]]});
        assert_eq!(refused(&board, "execute_query", &nested).await.1, "params[0]", "{nested}");
    }
    for query in [
        "select count(*) from k where r in ($1)",
        "select $1::text",
        "select $1",
        "select xmlserialize(content $1 as text)",
    ] {
        let asked = json!({"query":query,"params":[["api"]]});
        assert_eq!(refused(&board, "execute_query", &asked).await.1, "params[0]", "{asked}");
    }
    for (query, params, wanted) in [
        ("select ($1::jsonb)->>'a'", json!([{"a":"x"}]), json!("x")),
        ("select $1::doc ->> 'a'", json!(["{\"a\":\"x\"}"]), json!("x")),
        ("select ($1::jsonb[])[2]->>'a'", json!([[1, "{\"a\":\"x\"}"]]), json!("x")),
        ("select jsonb_typeof($1::jsonb)", json!(["hello"]), json!("string")),
        ("select $1::text", json!([12345]), json!("12345")),
        ("select count(*) from k where svc <> all($1)", json!([["web"]]), json!(1)),
        ("select count(*) from k where svc = any($1)", json!(["[\"api\", \"web\"]"]), json!(1)),
        ("select count(*) from k where svc = any($1)", json!(["{api,web}"]), json!(1)),
    ] {
        assert_eq!(first(&board, query, params).await, wanted, "{query}");
    }
}

#[tokio::test]
async fn a_list_for_a_single_parameter_is_refused_on_the_embedded_database() {
    let board = Harness::embedded();
    calls(&board).await;
    for query in ["svc in ($1)", "svc not in ($1)", "svc = $1", "svc <> ?", "id in (?1)", "svc = lower($1)"] {
        let asked = json!({"query":format!("select count(*) from calls where {query}"),"params":[["api","web"]]});
        let (code, argument, hint) = refused(&board, "execute_query", &asked).await;
        assert_eq!((code.as_str(), argument.as_str()), ("invalid", "params[0]"), "{query}");
        assert!(hint.contains("in (select value from json_each($1))"), "{hint}");
        assert_eq!(refused(&board, "explain_query", &asked).await.1, "params[0]", "{query}");
    }
    let each = "select count(*) from calls where svc in (select value from json_each($1))";
    assert_eq!(first(&board, each, json!([["api", "web"]])).await, 2);
    assert_eq!(first(&board, "select json_extract($1, '$.a')", json!([{"a":5}])).await, 5);
    let any = json!({"query":"select count(*) from calls where svc = any($1)","params":[["api"]]});
    let (.., hint) = refused(&board, "execute_query", &any).await;
    assert!(hint.contains("in (select value from json_each($1))"), "{hint}");
}

async fn json_text_is_the_document(board: &Harness, many: usize) {
    let table = json!({"table":"d","primary_key":["id"],"columns":[{"name":"id","type":"integer"},{"name":"j","type":"json"},
        {"name":"jb","type":"jsonb"},{"name":"a","type":"jsonb[]"},{"name":"t","type":"text"}]});
    board.answer("create_table", &table.to_string()).await;
    let text = r#"{"n":9007199254740993.10,"s":"\u00fc"}"#;
    let mut rows = vec![
        json!({"id":0,"j":text,"jb":text,"a":[text,"x"],"t":text}),
        json!({"id":1,"j":"[1, 2]","jb":"hello","a":"{\"a\":1}","t":"x"}),
        json!({"id":2,"j":"null","jb":"5","a":null,"t":null}),
        json!({"id":3,"j":{"a":text},"jb":"\"{}\"","a":["a}"],"t":"{a"}),
    ];
    rows.extend((4..many).map(|id| json!({"id":id,"j":{},"jb":"{}","a":[],"t":""})));
    let load = json!({"table":"d","rows":rows});
    assert_eq!(counts(&board.answer("bulk_insert", &load.to_string()).await), [many as u64, 0, 0, 0, 0]);
    let one = json!({"table":"d","row":{"id":-1,"j":text,"jb":"[{}]"},"returning":["jb"]});
    assert_eq!(board.answer("insert_data", &one.to_string()).await["row"]["jb"], json!([{}]));
    let query = r#"{"query":"select j, jb, a, t from d where id < 4 order by id"}"#;
    let read = board.answer("execute_query", query).await["rows"].clone();
    let document: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        read,
        json!([
            [document, [{}], null, null],
            [document, document, [document, "x"], text],
            [[1, 2], "hello", [{"a":1}], "x"],
            ["null", "5", null, null],
            [{"a":text}, "\"{}\"", ["a}"], "{a"]
        ])
    );
    let exact = board.answer_text("execute_query", query).await;
    assert!(exact.contains("9007199254740993.10"), "{exact}");
    let counted = json!({"table":"d","where":{"jb":{"eq":"[{}]"}}});
    assert_eq!(board.answer("count_rows", &counted.to_string()).await["count"], 1);
}

#[tokio::test]
async fn json_text_is_the_document_embedded() {
    json_text_is_the_document(&Harness::embedded(), 4).await;
}

#[tokio::test]
async fn json_text_is_the_document_on_postgresql_by_either_way() {
    for many in [4, 600] {
        json_text_is_the_document(&Harness::postgres(&postgres::shared().database()), many).await;
    }
}

#[tokio::test]
async fn a_document_is_not_written_into_a_column_of_texts() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE EXTENSION citext; CREATE DOMAIN mail AS citext;
         CREATE TABLE t (id int PRIMARY KEY, a text, b citext, c mail, d name, e xml, f tsvector, g varchar(9), h citext[])",
    );
    let board = Harness::postgres(&url);
    let mut rows = Vec::new();
    for column in ["a", "b", "c", "d", "e", "f", "g"] {
        rows.push(json!({"id":rows.len(),column:{"x":1}}));
        rows.push(json!({"id":rows.len(),column:[1,2]}));
    }
    rows.push(json!({"id":rows.len(),"h":[{"x":1}]}));
    rows.push(json!({"id":rows.len(),"a":5,"b":"One","c":true,"h":["A","b"]}));
    let answer = board.answer("bulk_insert", &json!({"table":"t","rows":rows,"on_error":"reject"}).to_string()).await;
    assert_eq!(counts(&answer), [1, 0, 0, 0, 15], "{answer}");
    assert!(rejects(&answer).iter().all(|(_, _, code)| *code == "42804"), "{answer}");
    assert_eq!(server.psql(name_of(&url), "SELECT a, b, c, h FROM t"), "5|One|true|{A,b}");
    let (code, argument, _) = refused(&board, "insert_data", &json!({"table":"t","row":{"id":99,"b":{"x":1}}})).await;
    assert_eq!((code.as_str(), argument.as_str()), ("invalid", "row.b"));
}

#[tokio::test]
async fn a_bad_value_of_an_extension_is_told_with_its_column() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE TABLE t (id int PRIMARY KEY, h hstore, l ltree)",
    );
    let board = Harness::postgres(&url);
    for (row, argument) in
        [(json!({"id":1,"h":"=>"}), "row.h"), (json!({"id":1,"h":"a"}), "row.h"), (json!({"id":1,"l":"a..b"}), "row.l")]
    {
        let call = json!({"table":"t","row":row}).to_string();
        let answer = board.refused("insert_data", &call).await;
        assert_eq!(
            (&answer["code"], &answer["argument"], &answer["backend_code"], &answer["hint"]),
            (&json!("invalid"), &json!(argument), &json!("42601"), &json!("get_schema shows what the columns take")),
            "{answer}"
        );
        assert!(
            answer["message"].as_str().unwrap().starts_with(&format!("`{argument}` cannot be written: ")),
            "{answer}"
        );
    }
    let rows = json!([{"id":1,"h":"a=>1"}, {"id":2,"h":"=>"}, {"id":3,"l":"a.b"}, {"id":4,"l":"a..b"}]);
    let answer = board.answer("bulk_insert", &json!({"table":"t","rows":rows,"on_error":"reject"}).to_string()).await;
    assert_eq!(counts(&answer), [2, 0, 0, 0, 2], "{answer}");
    assert_eq!(rejects(&answer), [(1, "h", "42601"), (3, "l", "42601")]);
}

/// Values in a list of one for columns that hold single ones.
const ONE: [(&str, &str); 11] = [
    ("int", r#"[7]"#),
    ("numeric(6,2)", r#"["12.50"]"#),
    ("text", r#"["api"]"#),
    ("varchar(9)", r#"[null]"#),
    ("boolean", r#"[true]"#),
    ("date", r#"["2026-01-02"]"#),
    ("timestamptz", r#"["2026-01-02T10:00:00Z"]"#),
    ("uuid", r#"["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]"#),
    ("bytea", r#"["AQ=="]"#),
    ("interval", r#"[1]"#),
    ("int4range", r#"[1,5]"#),
];

async fn a_list_of_one_is_no_single_value(board: &Harness, column: &str, list: &str, many: usize) {
    let list: Value = serde_json::from_str(list).unwrap();
    let mut rows: Vec<Value> = (0..many).map(|id| json!({"id":id})).collect();
    rows[1]["v"] = list.clone();
    let load = json!({"table":"t","rows":rows});
    let (code, argument, hint) = refused(board, "bulk_insert", &load).await;
    assert_eq!((code.as_str(), argument.as_str()), ("invalid", "rows[1].v"), "{column} {list}");
    assert!(hint.contains("without brackets"), "{hint}");
    let load = json!({"table":"t","rows":rows,"on_error":"reject"});
    let answer = board.answer("bulk_insert", &load.to_string()).await;
    assert_eq!(rejects(&answer), [(1, "v", "42804")], "{column} {list}");
    let row = json!({"table":"t","row":{"id":-1,"v":list}});
    assert_eq!(refused(board, "insert_data", &row).await.1, "row.v", "{column} {list}");
}

#[tokio::test]
async fn a_list_of_one_is_no_single_value_on_postgresql() {
    let server = postgres::shared();
    let url = server.database();
    let board = Harness::postgres(&url);
    for (column, list) in ONE {
        for many in [3, 600] {
            server.psql(
                name_of(&url),
                &format!("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, v {column})"),
            );
            a_list_of_one_is_no_single_value(&board, column, list, many).await;
        }
    }
}

#[tokio::test]
async fn a_list_of_one_is_no_single_value_embedded() {
    for (column, list) in ONE {
        let board = Harness::embedded();
        let table =
            json!({"table":"t","primary_key":["id"],"columns":[{"name":"id","type":"int"},{"name":"v","type":column}]});
        board.answer("create_table", &table.to_string()).await;
        a_list_of_one_is_no_single_value(&board, column, list, 3).await;
    }
}

/// `columns` hold documents, those of `lists` many.
async fn a_text_that_begins_as_json_and_is_none_is_refused(
    board: &Harness,
    columns: &[&str],
    lists: &[&str],
    many: usize,
) {
    for (text, place) in [
        (r#"{"a":1,}"#, "line 1, character 8"),
        ("[1, 2", "line 1, character 5"),
        ("{\n \"\u{fc}\": x}", "line 2, character 7"),
        (" {a: 1}", "line 1, character 3"),
    ] {
        for (column, value) in
            columns.iter().map(|column| (column, json!(text))).chain(lists.iter().map(|list| (list, json!([1, text]))))
        {
            let mut rows: Vec<Value> = (0..many).map(|id| json!({"id":id})).collect();
            rows[1][*column] = value.clone();
            let load = json!({"table":"d","rows":rows});
            let failure = board.refused("bulk_insert", &load.to_string()).await;
            assert_eq!(
                (&failure["code"], &failure["argument"]),
                (&json!("invalid"), &json!(format!("rows[1].{column}")))
            );
            assert!(failure["message"].as_str().unwrap().contains(place), "{column} {text}: {failure}");
            let one = json!({"table":"d","row":{"id":-1,*column:value}});
            let failure = board.refused("insert_data", &one.to_string()).await;
            assert_eq!(failure["argument"], format!("row.{column}"), "{failure}");
            assert!(failure["message"].as_str().unwrap().contains(place), "{column} {text}: {failure}");
        }
    }
    let counted = json!({"table":"d","where":{columns[0]:{"eq":"{\"a\":1,}"}}});
    let failure = board.refused("count_rows", &counted.to_string()).await;
    assert_eq!(failure["argument"], format!("where.{}", columns[0]), "{failure}");
    assert!(failure["message"].as_str().unwrap().contains("line 1, character 8"), "{failure}");
}

#[tokio::test]
async fn a_text_that_begins_as_json_and_is_none_is_refused_on_postgresql() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE DOMAIN doc AS jsonb; CREATE DOMAIN docs AS json[];
         CREATE TABLE d (id int PRIMARY KEY, jb jsonb, j json, o doc, a jsonb[], s docs, os doc[])",
    );
    let board = Harness::postgres(&url);
    for many in [3, 600] {
        let (columns, lists) = (["jb", "j", "o"], ["a", "s", "os"]);
        a_text_that_begins_as_json_and_is_none_is_refused(&board, &columns, &lists, many).await;
    }
    for query in ["select $1::jsonb", "select $1::json", "select $1::doc", "select ($1::jsonb[])[1]"] {
        let text = r#"{"a":1,}"#;
        let params = if query.contains("[]") { json!([[text]]) } else { json!([text]) };
        let failure = board.refused("execute_query", &json!({"query":query,"params":params}).to_string()).await;
        assert_eq!((&failure["code"], &failure["argument"]), (&json!("invalid"), &json!("params[0]")), "{query}");
        assert!(failure["message"].as_str().unwrap().contains("line 1, character 8"), "{failure}");
    }
}

#[tokio::test]
async fn a_text_that_begins_as_json_and_is_none_is_refused_embedded() {
    let board = Harness::embedded();
    let table = json!({"table":"d","primary_key":["id"],"columns":[{"name":"id","type":"int"},{"name":"jb","type":"jsonb"},
        {"name":"j","type":"json"},{"name":"a","type":"jsonb[]"}]});
    board.answer("create_table", &table.to_string()).await;
    a_text_that_begins_as_json_and_is_none_is_refused(&board, &["jb", "j"], &["a"], 3).await;
}

#[tokio::test]
async fn an_array_of_a_domain_holds_what_the_type_behind_it_holds() {
    let server = postgres::shared();
    let url = server.database();
    server.psql(
        name_of(&url),
        "CREATE DOMAIN raw AS bytea; CREATE DOMAIN price AS numeric(6,2); CREATE DOMAIN doc AS jsonb;
         CREATE TABLE t (id int PRIMARY KEY, r raw[], p price[], d doc[])",
    );
    let board = Harness::postgres(&url);
    for many in [2, 600] {
        let row = |id| json!({"id":id,"r":["AQ==",null],"p":[1.5,"2"],"d":["{\"a\":1}","x"]});
        let rows: Vec<Value> = (0..many).map(row).collect();
        let load = json!({"table":"t","rows":rows,"on_conflict":"update"});
        assert_eq!(counts(&board.answer("bulk_insert", &load.to_string()).await)[4], 0);
        let kept = r#"{"\\x01",NULL}|{1.50,2.00}|{"{\"a\": 1}","\"x\""}"#;
        assert_eq!(server.psql(name_of(&url), "SELECT r, p, d FROM t WHERE id = 1"), kept, "{many} rows");
        let fine = json!({"table":"t","rows":[{"id":1,"p":[1.005]}],"on_conflict":"update"});
        assert_eq!(refused(&board, "bulk_insert", &fine).await.1, "rows[0].p", "{many} rows");
    }
}
