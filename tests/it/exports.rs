//! bulk_export: what is small comes in the answer, what is large becomes a file, and either is all of it or an error.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    engines::{Kind, engine, index_name},
    harness::Harness,
};

async fn with(documents: &str) -> Harness {
    let board = Harness::embedded();
    index(&board, "things", documents).await;
    board
}

/// Every engine answers the same.
async fn on_a_real(kind: Kind) {
    let board = Harness::search(engine(kind).config());
    every_document_once(&board, &index_name("things")).await;
    exact_csv(&board, &index_name("things")).await;
    a_column_for_the_rest(&board, &index_name("things")).await;
    chosen(&board, &index_name("things")).await;
    columns_of_lists(&board, &index_name("things")).await;
    let nested = r#"{"mappings":{"properties":{"items":{"type":"nested"}}}}"#;
    columns_of_lists(&board, &engine(kind).index("nested", nested)).await;
}

#[tokio::test]
async fn on_elasticsearch_8() {
    on_a_real(Kind::Elasticsearch8).await;
}

#[tokio::test]
async fn on_elasticsearch_9() {
    on_a_real(Kind::Elasticsearch9).await;
}

#[tokio::test]
async fn on_opensearch_2() {
    on_a_real(Kind::OpenSearch2).await;
}

#[tokio::test]
async fn on_opensearch_3() {
    on_a_real(Kind::OpenSearch3).await;
}

async fn index(board: &Harness, name: &str, documents: &str) {
    let arguments = format!(r#"{{"index":"{name}","documents":{documents},"id_field":"id"}}"#);
    let answer = board.answer("index_documents", &arguments).await;
    assert_eq!(answer["failed"], json!([]), "{answer}");
}

fn many(count: usize) -> String {
    let documents: Vec<String> = (0..count)
        .map(|n| format!(r#"{{"id":"d{n:05}","n":{n},"even":{},"word":"w{}"}}"#, n % 2 == 0, n % 7))
        .collect();
    format!("[{}]", documents.join(","))
}

/// Rows of cells, by RFC 4180; no value is `None`.
fn csv(text: &str) -> Vec<Vec<Option<String>>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), None::<String>);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                let cell = cell.get_or_insert_default();
                loop {
                    match characters.next().expect("a quoted cell without an end") {
                        '"' if characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
                        '"' => break,
                        other => cell.push(other),
                    }
                }
            }
            ',' => row.push(cell.take()),
            '\r' => {
                assert_eq!(characters.next(), Some('\n'));
                row.push(cell.take());
                rows.push(std::mem::take(&mut row));
            }
            other => cell.get_or_insert_default().push(other),
        }
    }
    assert!(row.is_empty() && cell.is_none(), "the last row has no end");
    rows
}

/// The file of an answer, held to what the answer says of it.
fn file(answer: &Value) -> String {
    let text = std::fs::read_to_string(answer["path"].as_str().unwrap()).unwrap();
    assert_eq!(answer["bytes"], text.len());
    let hash: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer["sha256"], hash);
    text
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.into_iter().map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn hidden_in(folder: &Path) -> Vec<String> {
    names_in(folder).into_iter().filter(|name| name.starts_with('.')).collect()
}

#[tokio::test]
async fn a_small_result_is_in_the_answer_byte_for_byte() {
    let board = with(r#"[{"id":"a","n":1.10,"long":12345678901234567890.5},{"id":"b","n":2}]"#).await;
    let text = board.answer_text("bulk_export", r#"{"index":"things"}"#).await;
    assert!(text.contains(r#""document":{"id":"a","n":1.10,"long":12345678901234567890.5}"#), "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["count"], &answer["complete"]), (&json!(2), &json!(true)));
    assert_eq!(answer["documents"][0]["_id"], "a");
    assert_eq!(answer.get("path"), None);
}

#[tokio::test]
async fn a_large_result_becomes_a_file_with_every_document_once() {
    every_document_once(&Harness::embedded(), "things").await;
}

async fn every_document_once(board: &Harness, things: &str) {
    index(board, things, &many(700)).await;
    let answer = board.answer("bulk_export", &format!(r#"{{"index":"{things}","format":"ndjson"}}"#)).await;
    assert_eq!((&answer["count"], &answer["complete"]), (&json!(700), &json!(true)));
    assert_eq!(answer.get("documents"), None);
    let uri = answer["resource_uri"].as_str().unwrap();
    assert!(answer["path"].as_str().unwrap().ends_with(&format!("{}.ndjson", uri.strip_prefix("export://").unwrap())));
    let text = file(&answer);
    let mut seen: Vec<u64> = text
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["_index"], things);
            assert_eq!(line["_id"], line["document"]["id"]);
            line["document"]["n"].as_u64().unwrap()
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..700).collect::<Vec<_>>());
    assert_eq!(names_in(&board.home.path().join("exports")).len(), 1, "nothing but the file is left");
}

#[tokio::test]
async fn a_result_of_few_but_large_documents_becomes_a_file_too() {
    let long = "x".repeat(9_000);
    let documents = format!(r#"[{{"id":"a","t":"{long}"}},{{"id":"b","t":"{long}"}},{{"id":"c","t":"{long}"}}]"#);
    let board = with(&documents).await;
    let answer = board.answer("bulk_export", r#"{"index":"things"}"#).await;
    assert_eq!(file(&answer).lines().count(), 3);
    let inline = board.answer("bulk_export", r#"{"index":"things","destination":"inline"}"#).await;
    assert_eq!(inline["documents"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn csv_holds_every_value_exactly() {
    exact_csv(&Harness::embedded(), "things").await;
}

async fn exact_csv(board: &Harness, things: &str) {
    let document = r#"{"id":"a","name":"Quote \" comma, and\nline","price":29.90,"none":null,"empty":"","tags":["x","y"],"deep":{"er":true},"formula":"=1+1","word":"日本 ☔"}"#;
    index(board, things, &format!("[{document}]")).await;
    let answer = board.answer("bulk_export", &format!(r#"{{"index":"{things}","format":"csv"}}"#)).await;
    let rows = csv(answer["csv"].as_str().unwrap());
    let header: Vec<&str> = rows[0].iter().map(|cell| cell.as_deref().unwrap()).collect();
    assert_eq!(header[0], "_id");
    let cell = |name: &str| rows[1][header.iter().position(|column| *column == name).unwrap()].as_deref();
    assert_eq!(cell("_id"), Some("a"));
    assert_eq!(cell("name"), Some("Quote \" comma, and\nline"));
    assert_eq!(cell("price"), Some("29.90"));
    assert_eq!(cell("empty"), Some(""));
    assert_eq!(cell("tags"), Some(r#"["x","y"]"#));
    assert_eq!(cell("deep.er"), Some("true"));
    assert_eq!(cell("formula"), Some("=1+1"));
    assert_eq!(cell("word"), Some("日本 ☔"));
    assert!(!header.contains(&"_extra") && !header.contains(&"_index"));
}

#[tokio::test]
async fn a_csv_file_gets_a_last_column_for_what_has_no_column() {
    a_column_for_the_rest(&Harness::embedded(), "things").await;
}

async fn a_column_for_the_rest(board: &Harness, things: &str) {
    let mut documents = many(400);
    documents.truncate(documents.len() - 1);
    documents.push_str(r#",{"id":"z","n":1,"list":[]}]"#);
    index(board, things, &documents).await;
    let answer = board.answer("bulk_export", &format!(r#"{{"index":"{things}","format":"csv"}}"#)).await;
    assert_eq!(answer["count"], 401);
    let rows = csv(&file(&answer));
    assert_eq!(rows.len(), 402);
    assert_eq!(rows[0].last().unwrap().as_deref(), Some("_extra"));
    let last = rows.iter().find(|row| row[0].as_deref() == Some("z")).unwrap();
    assert_eq!(last.last().unwrap().as_deref(), Some(r#"{"list":[]}"#));
    assert_eq!(hidden_in(&board.home.path().join("exports")), [""; 0], "the first attempt leaves nothing");
}

#[tokio::test]
async fn a_list_of_objects_fills_the_columns_of_its_members() {
    columns_of_lists(&Harness::embedded(), "things").await;
}

async fn columns_of_lists(board: &Harness, things: &str) {
    let documents = r#"[{"id":"a","items":{"name":"A","q":1}},{"id":"b","items":[{"name":"B","q":2},{"name":"C"}]}]"#;
    index(board, things, documents).await;
    let answer = board.answer("bulk_export", &format!(r#"{{"index":"{things}","format":"csv"}}"#)).await;
    let mut lines: Vec<&str> = answer["csv"].as_str().unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["_id,id,items.name,items.q", "a,a,A,1", r#"b,b,"[""B"",""C""]",[2]"#], "{things}");
}

#[tokio::test]
async fn query_text_and_fields_choose_what_is_exported() {
    chosen(&Harness::embedded(), "things").await;
}

async fn chosen(board: &Harness, things: &str) {
    index(board, things, &many(50)).await;
    let arguments = format!(r#"{{"index":"{things}","query":{{"range":{{"n":{{"gte":45}}}}}},"fields":["n"]}}"#);
    let answer = board.answer("bulk_export", &arguments).await;
    let mut documents: Vec<String> =
        answer["documents"].as_array().unwrap().iter().map(|one| one["document"].to_string()).collect();
    documents.sort();
    assert_eq!(documents, [45, 46, 47, 48, 49].map(|n| format!(r#"{{"n":{n}}}"#)));
    let arguments = format!(r#"{{"index":"{things}","text":"w3","format":"csv","fields":["wo*"]}}"#);
    let rows = csv(board.answer("bulk_export", &arguments).await["csv"].as_str().unwrap());
    assert_eq!(rows[0], [Some("_id".to_owned()), Some("word".to_owned())]);
    assert_eq!(rows.len(), 1 + 7);
}

#[tokio::test]
async fn several_indices_say_where_each_document_is_from() {
    let board = with(r#"[{"id":"a","n":1}]"#).await;
    index(&board, "thing-two", r#"[{"id":"a","m":2}]"#).await;
    let answer = board.answer("bulk_export", r#"{"index":"thing*","format":"csv"}"#).await;
    let mut rows = csv(answer["csv"].as_str().unwrap());
    let header: Vec<String> = rows.remove(0).into_iter().map(Option::unwrap).collect();
    assert_eq!(header[..2], ["_id", "_index"]);
    let mut from: Vec<String> = rows.into_iter().map(|row| row[1].clone().unwrap()).collect();
    from.sort();
    assert_eq!(from, ["thing-two", "things"]);
}

#[tokio::test]
async fn nothing_found_is_an_answer_and_no_index_is_not() {
    let board = with(r#"[{"id":"a","n":1}]"#).await;
    let answer = board.answer("bulk_export", r#"{"index":"things","query":{"term":{"n":7}}}"#).await;
    assert_eq!((&answer["count"], &answer["documents"]), (&json!(0), &json!([])));
    let failure = board.refused("bulk_export", r#"{"index":"thing"}"#).await;
    assert_eq!((&failure["code"], &failure["did_you_mean"]), (&json!("not_found"), &json!(["things"])));
    assert!(names_in(&board.home.path().join("exports")).is_empty());
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let board = with(&many(300)).await;
    for (arguments, argument, code) in [
        (r#"{"index":"things","fields":[""]}"#, "fields", "invalid"),
        (r#"{"index":"things","format":"xml"}"#, "format", "invalid"),
        (r#"{"index":"a/../etc"}"#, "index", "invalid"),
        (r#"{"index":".secret"}"#, "index", "denied"),
        (r#"{"index":"things","text":"a","query":{"match_all":{}}}"#, "text", "invalid"),
    ] {
        let failure = board.refused("bulk_export", arguments).await;
        assert_eq!((&failure["argument"], &failure["code"]), (&json!(argument), &json!(code)), "{arguments} {failure}");
    }
    let board = Harness::with(|config| config.limits.rows_max = 100);
    index(&board, "things", &many(300)).await;
    let failure = board.refused("bulk_export", r#"{"index":"things","destination":"inline"}"#).await;
    assert_eq!((&failure["argument"], &failure["code"]), (&json!("destination"), &json!("limit")));
}
