//! Exported files as resources, read part by part from the real binary; tables and indices as resources.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use callboard::{adapters::export_folder::ExportFolder, clock::SystemClock, ids, ports::exports::ExportStore};
use serde_json::{Value, json};

use crate::support::binary::{Binary, Streams};

/// Makes a file as bulk_export does; its uri.
async fn export(board: &Binary, extension: &'static str, text: &str) -> String {
    let folder = ExportFolder::new(board.home.path().join("data/exports"), Arc::new(SystemClock));
    let id = ids::new(ids::Kind::Export);
    let mut file = folder.create(&id, extension).await.unwrap();
    file.append(text.as_bytes().to_vec()).await.unwrap();
    file.finish().await.unwrap();
    format!("export://{id}")
}

fn read(board: &mut Binary, uri: &str) -> Value {
    let answer = board.request("resources/read", &json!({ "uri": uri }));
    let contents = answer["result"]["contents"].as_array().unwrap_or_else(|| panic!("{uri}: {answer}"));
    assert_eq!(contents.len(), 1);
    contents[0].clone()
}

fn refused(board: &mut Binary, uri: &str) -> Value {
    let answer = board.request("resources/read", &json!({ "uri": uri }));
    assert!(answer["error"].is_object(), "{uri}: {answer}");
    answer["error"].clone()
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("{{\"_id\":\"{n}\",\"document\":{{\"name\":\"žluťoučký {n}\"}}}}\n")).collect()
}

#[tokio::test]
async fn a_small_export_is_read_at_once() {
    let mut board = Binary::serve();
    let text = lines(3);
    let uri = export(&board, "ndjson", &text).await;
    let part = read(&mut board, &uri);
    assert_eq!(part["uri"], uri);
    assert_eq!(part["mimeType"], "application/x-ndjson");
    assert_eq!(part["text"], text);
    assert_eq!(part["_meta"], json!({"offset": 0, "bytes_total": text.len(), "next": null}));
}

#[tokio::test]
async fn the_parts_of_a_large_export_are_whole_lines_and_make_up_the_file() {
    let mut board = Binary::serve();
    let text = lines(5_000);
    let uri = export(&board, "csv", &text).await;
    let (mut next, mut parts, mut joined) = (json!(uri), 0, String::new());
    while let Some(uri) = next.as_str() {
        let part = read(&mut board, uri);
        let piece = part["text"].as_str().unwrap();
        assert!(piece.ends_with('\n') && piece.len() <= 64 << 10);
        assert_eq!(part["mimeType"], "text/csv");
        assert_eq!(part["_meta"]["offset"], joined.len());
        // The uri of a part reads the same part again.
        assert_eq!(read(&mut board, part["uri"].as_str().unwrap())["text"], *piece);
        joined.push_str(piece);
        next = part["_meta"]["next"].clone();
        parts += 1;
    }
    assert!(joined == text, "{} bytes instead of {}", joined.len(), text.len());
    assert!(parts > 2);
}

#[tokio::test]
async fn any_range_can_be_read() {
    let mut board = Binary::serve();
    let uri = export(&board, "ndjson", "aé\nlonger line\n").await;
    assert_eq!(read(&mut board, &format!("{uri}?offset=4&length=7"))["text"], "longer ");
    assert_eq!(read(&mut board, &format!("{uri}?length=6"))["text"], "aé\n", "cut at the end of a line");
    assert_eq!(read(&mut board, &format!("{uri}?length=2"))["text"], "a", "cut between two characters");
    let inside = read(&mut board, &format!("{uri}?offset=2&length=3"));
    assert_eq!(STANDARD.decode(inside["blob"].as_str().unwrap()).unwrap(), "aé\n".as_bytes()[2..4]);
    let end = read(&mut board, &format!("{uri}?offset=16"));
    assert_eq!((&end["text"], &end["_meta"]["next"]), (&json!(""), &Value::Null));
}

#[tokio::test]
async fn exports_are_listed_the_newest_first_and_page_by_page() {
    let mut board = Binary::serve();
    let none = board.request("resources/list", &json!({}));
    assert_eq!(none["result"]["resources"], json!([]));
    let mut made = Vec::new();
    for n in 0..130 {
        made.push(export(&board, if n % 2 == 0 { "csv" } else { "ndjson" }, "x\n").await);
    }
    made.reverse();
    let (mut listed, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let params = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
        let answer = board.request("resources/list", &params)["result"].clone();
        for resource in answer["resources"].as_array().unwrap() {
            assert_eq!(resource["size"], 2);
            listed.push(resource["uri"].as_str().unwrap().to_owned());
        }
        cursor = answer["nextCursor"].clone();
        pages += 1;
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!((listed, pages), (made, 2));
    let templates = board.request("resources/templates/list", &json!({}))["result"].clone();
    assert_eq!(templates["resourceTemplates"][0]["uriTemplate"], "export://{id}{?offset,length}");
}

#[tokio::test]
async fn what_is_no_export_is_not_found_and_leads_nowhere() {
    let mut board = Binary::serve();
    std::fs::create_dir_all(board.home.path().join("data/exports")).unwrap();
    std::fs::write(board.home.path().join("data/secret.ndjson"), "secret").unwrap();
    for uri in [
        "export://ex_00000000000000000000000000000000",
        "export://../secret",
        "export://ex_%2e%2e%2fsecret",
        "export:///etc/passwd",
        "file:///etc/passwd",
        "export://",
        "",
    ] {
        assert_eq!(refused(&mut board, uri)["code"], -32002, "{uri}");
    }
    let newer = json!({
        "uri": "export://ex_00000000000000000000000000000000",
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    let mut fresh = Binary::with(Streams::Pipes, |_| {});
    assert_eq!(fresh.request("resources/read", &newer)["error"]["code"], -32602);
}

#[tokio::test]
async fn a_wrong_range_is_named() {
    let mut board = Binary::serve();
    let uri = export(&board, "ndjson", "abc\n").await;
    for (range, argument) in [
        ("?offset=-1", "offset"),
        ("?offset=5", "offset"),
        ("?length=0", "length"),
        ("?length=99999999", "length"),
        ("?length=x", "length"),
        ("?lenght=5", "uri"),
    ] {
        let error = refused(&mut board, &format!("{uri}{range}"));
        assert_eq!((&error["code"], &error["data"]["argument"]), (&json!(-32602), &json!(argument)), "{range} {error}");
    }
}

/// A tool's answer as its one text block.
fn answer(board: &mut Binary, tool: &str, arguments: &Value) -> String {
    let answer = board.request("tools/call", &json!({ "name": tool, "arguments": arguments }))["result"].clone();
    assert_ne!(answer["isError"], true, "{answer}");
    answer["content"][0]["text"].as_str().unwrap().to_owned()
}

fn make(board: &mut Binary, table: &str, column: &str) {
    answer(board, "create_table", &json!({"table": table, "columns": [{"name": column, "type": "text"}]}));
}

#[test]
fn a_table_is_read_as_get_schema_describes_it() {
    let mut board = Binary::serve();
    make(&mut board, "products", "id");
    make(&mut board, "\"Odd Name\"", "hi\u{202e}dden");
    for (uri, table) in [
        ("schema://products", "products"),
        ("schema://public.products", "public.products"),
        ("schema://%22Odd%20Name%22", "\"Odd Name\""),
        ("schema://\"Odd Name\"", "\"Odd Name\""),
    ] {
        let contents = read(&mut board, uri);
        assert_eq!((&contents["uri"], &contents["mimeType"]), (&json!(uri), &json!("application/json")));
        assert_eq!(contents["text"], answer(&mut board, "get_schema", &json!({ "table": table })), "{uri}");
    }
    // Cleaned as answers are.
    let odd = read(&mut board, "schema://%22Odd%20Name%22")["text"].as_str().unwrap().to_owned();
    assert!(odd.starts_with("{\"removed_characters\":1,") && odd.contains("\"hidden\""), "{odd}");
}

#[test]
fn an_index_is_read_as_get_mapping_describes_it() {
    let mut board = Binary::serve();
    answer(&mut board, "index_documents", &json!({"index": "notes", "documents": [{"a": 1, "b": "x"}]}));
    let contents = read(&mut board, "mapping://notes");
    assert_eq!((&contents["uri"], &contents["mimeType"]), (&json!("mapping://notes"), &json!("application/json")));
    assert_eq!(contents["text"], answer(&mut board, "get_mapping", &json!({ "index": "notes" })));
}

#[test]
fn a_description_that_is_not_there_brings_near_names() {
    let mut board = Binary::serve();
    make(&mut board, "pro\u{202e}ducts", "id");
    answer(&mut board, "index_documents", &json!({"index": "notes", "documents": [{"a": 1}]}));
    for (uri, near) in [("schema://produts", "pro\u{fffd}ducts"), ("mapping://note", "notes")] {
        let error = refused(&mut board, uri);
        assert_eq!(error["code"], -32002, "{error}");
        let data = &error["data"];
        assert_eq!((&data["uri"], &data["code"]), (&json!(uri), &json!("not_found")), "{error}");
        assert_eq!(data["did_you_mean"], json!([near.replace('\u{fffd}', "")]), "{error}");
        assert!(data["request_id"].as_str().unwrap().starts_with("rq_"), "{error}");
    }
    for uri in ["schema://a.b.c", "schema://", "mapping://a,b", "schema://products?x=1", "schema://%ff"] {
        assert_eq!(refused(&mut board, uri)["code"], -32602, "{uri}");
    }
}

#[test]
fn descriptions_are_bound_by_the_settings_of_their_tools() {
    let mut board = Binary::with(Streams::Pipes, |command| {
        command.env("CALLBOARD_TOOLSETS", "search").env("CALLBOARD_INDICES", "notes");
    });
    board.initialize("2025-06-18");
    let templates = |board: &mut Binary| -> Vec<String> {
        let listed = board.request("resources/templates/list", &json!({}))["result"]["resourceTemplates"].clone();
        let listed = listed.as_array().unwrap().iter();
        listed.map(|template| template["uriTemplate"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(templates(&mut board), ["export://{id}{?offset,length}", "mapping://{index}"]);
    assert_eq!(refused(&mut board, "schema://products")["code"], -32002);
    assert_eq!(refused(&mut board, "mapping://others")["data"]["code"], "denied");
    let mut board = Binary::serve();
    assert_eq!(templates(&mut board), ["export://{id}{?offset,length}", "schema://{table}", "mapping://{index}"]);
}
