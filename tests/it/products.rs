//! The products, from a search index into a SQL table, as an agent does it over JSON-RPC with the real binary: every value of all 12 columns.

use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    engines::{Kind, engine, index_name},
    postgres,
};

/// What the demonstration loads too.
const PRODUCTS: &str = include_str!("../../src/cli/demo/products.json");

const FIELDS: [(&str, &str); 12] = [
    ("id", "keyword"),
    ("name", "text"),
    ("category", "keyword"),
    ("subcategory", "keyword"),
    ("price", "float"),
    ("description", "text"),
    ("stock_quantity", "integer"),
    ("created_at", "date"),
    ("ratings", "float"),
    ("reviews_count", "integer"),
    ("brand", "keyword"),
    ("tags", "keyword"),
];

const COLUMNS: [(&str, &str); 12] = [
    ("id", "varchar(50)"),
    ("name", "varchar(255)"),
    ("category", "varchar(100)"),
    ("subcategory", "varchar(100)"),
    ("price", "numeric(10,2)"),
    ("description", "text"),
    ("stock_quantity", "integer"),
    ("created_at", "timestamptz"),
    ("ratings", "numeric(3,2)"),
    ("reviews_count", "integer"),
    ("brand", "varchar(100)"),
    ("tags", "text[]"),
];

/// The mapping of the sample, for engines where one can be set.
fn mapping() -> String {
    let properties: serde_json::Map<String, Value> =
        FIELDS.iter().map(|(name, kind)| ((*name).to_owned(), json!({ "type": kind }))).collect();
    json!({"mappings": {"properties": properties}}).to_string()
}

/// What a query must answer for a document: numeric as a string with the column's digits, times in UTC.
fn row(document: &Value) -> Value {
    let decimal = |value: &Value| value.as_f64().map_or(Value::Null, |number| json!(format!("{number:.2}")));
    let time = |value: &Value| {
        let time = chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().to_utc();
        json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    };
    COLUMNS
        .iter()
        .map(|(name, kind)| match *kind {
            "timestamptz" => time(&document[*name]),
            kind if kind.starts_with("numeric") => decimal(&document[*name]),
            _ => document[*name].clone(),
        })
        .collect()
}

fn upsert(board: &mut Binary, index: &str, changed: impl Fn(&mut Vec<Value>)) -> [u64; 3] {
    let exported = board.answer("bulk_export", &json!({"index": index, "format": "ndjson"}).to_string());
    assert_eq!((&exported["count"], &exported["complete"]), (&json!(15), &json!(true)));
    let mut rows: Vec<Value> =
        exported["documents"].as_array().unwrap().iter().map(|one| one["document"].clone()).collect();
    changed(&mut rows);
    let arguments = json!({
        "table": "products", "rows": rows, "on_conflict": "update", "conflict_columns": ["id"], "on_error": "reject"
    });
    let loaded = board.answer("bulk_insert", &arguments.to_string());
    assert_eq!(loaded["rejected"], json!([]), "{loaded}");
    ["inserted", "updated", "unchanged"].map(|name| loaded[name].as_u64().unwrap())
}

/// The whole flow; `types` are what the mapping must show.
fn flow(board: &mut Binary, index: &str, types: Option<&[(&str, &str)]>) {
    let products: Vec<Value> = serde_json::from_str(PRODUCTS).unwrap();
    // A message is one line.
    let documents = PRODUCTS.replace('\n', "");
    let arguments = format!(r#"{{"index":"{index}","documents":{documents},"id_field":"id"}}"#);
    assert_eq!(board.answer("index_documents", &arguments), json!({"indexed": 15, "failed": []}));

    let listed = board.answer("list_indices", &json!({ "pattern": index }).to_string());
    assert_eq!((&listed["indices"][0]["name"], &listed["indices"][0]["documents"]), (&json!(index), &json!(15)));
    let mapping = board.answer("get_mapping", &json!({ "index": index }).to_string());
    let mut fields: Vec<(&str, &str)> = mapping["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| (field["path"].as_str().unwrap(), field["type"].as_str().unwrap()))
        .collect();
    fields.sort_unstable();
    let mut wanted = FIELDS.to_vec();
    wanted.sort_unstable();
    match types {
        Some(_) => assert_eq!(fields, wanted),
        None => assert!(fields.iter().map(|field| field.0).eq(wanted.iter().map(|field| field.0)), "{fields:?}"),
    }

    let columns: Vec<Value> = COLUMNS.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    let table = json!({"table": "products", "columns": columns, "primary_key": ["id"], "if_not_exists": true});
    assert_eq!(board.answer("create_table", &table.to_string())["created"], true);
    assert_eq!(board.answer("create_table", &table.to_string())["created"], false);
    let schema = board.answer("get_schema", r#"{"table":"products"}"#);
    assert_eq!(schema["primary_key"], json!(["id"]));

    assert_eq!(upsert(board, index, |_| {}), [15, 0, 0]);
    assert_eq!(upsert(board, index, |_| {}), [0, 0, 15], "nothing has changed the second time");
    assert_eq!(board.answer("count_rows", r#"{"table":"products"}"#)["count"], 15);
    every_value(board, &products);

    let cheaper = |rows: &mut Vec<Value>| {
        rows.iter_mut().for_each(|row| {
            if row["id"] == "p-003" {
                row["price"] = json!(39.5);
            }
        })
    };
    assert_eq!(upsert(board, index, cheaper), [0, 1, 14]);
    assert_eq!(upsert(board, index, |_| {}), [0, 1, 14], "back to what the index says");
    every_value(board, &products);
}

fn every_value(board: &mut Binary, products: &[Value]) {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.0).collect();
    let query = json!({"query": format!("select {} from products order by id", names.join(", "))});
    let answer = board.answer("execute_query", &query.to_string());
    assert_eq!(answer["row_count"], 15);
    let rows = answer["rows"].as_array().unwrap();
    for (row_seen, product) in rows.iter().zip(products) {
        assert_eq!(*row_seen, row(product), "{names:?}");
    }
    let arguments = r#"{"query":"select id, price from products where price > $1 order by id","params":[1000]}"#;
    assert_eq!(board.answer("execute_query", arguments)["rows"], json!([["p-007", "1199.00"]]));
    let arguments = r#"{"table":"products","where":{"price":{"gt":50},"brand":"Acme"}}"#;
    assert_eq!(board.answer("count_rows", arguments)["count"], 0);
    let arguments = r#"{"table":"products","where":{"subcategory":{"is_null":true}}}"#;
    assert_eq!(board.answer("count_rows", arguments)["count"], 1);
}

fn from_a_real(kind: Kind) {
    let engine = engine(kind);
    let index = engine.index("products", &mapping());
    let database = postgres::shared().database();
    let url = engine.config().url.to_string();
    let mut board = Binary::with(Streams::Pipes, |command| {
        command.env("DATABASE_URL", &database).env("ELASTICSEARCH_URL", &url);
    });
    board.initialize("2025-06-18");
    let listed = board.answer("list_indices", "{}");
    let (name, version) = kind.name();
    assert_eq!(listed["engine"]["name"], name);
    assert!(listed["engine"]["version"].as_str().unwrap().starts_with(version));
    flow(&mut board, &index, Some(&FIELDS));
}

#[test]
fn on_the_embedded_stores() {
    let mut board = Binary::serve();
    flow(&mut board, "products", None);
}

#[test]
fn from_the_embedded_index_into_postgres() {
    let database = postgres::shared().database();
    let mut board = Binary::with(Streams::Pipes, |command| {
        command.env("DATABASE_URL", &database);
    });
    board.initialize("2025-06-18");
    flow(&mut board, &index_name("products"), None);
}

#[test]
fn from_elasticsearch_8_into_postgres() {
    from_a_real(Kind::Elasticsearch8);
}

#[test]
fn from_elasticsearch_9_into_postgres() {
    from_a_real(Kind::Elasticsearch9);
}

#[test]
fn from_opensearch_2_into_postgres() {
    from_a_real(Kind::OpenSearch2);
}

#[test]
fn from_opensearch_3_into_postgres() {
    from_a_real(Kind::OpenSearch3);
}
