//! An export of many documents from a real engine by the real binary: complete, exact, and in bounded memory.

use std::{
    fmt::Write,
    io::{BufRead, BufReader},
};

use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    engines::{self, EngineServer},
};

const DOCUMENTS: usize = 20_000;
/// What an export may need beside what the process needs at rest, whatever the number of documents: a few pages of a few megabytes.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

/// The text of a document, which must come back byte for byte.
fn document(n: usize) -> String {
    let filler = char::from(b'a' + u8::try_from(n % 26).unwrap()).to_string().repeat(2_000 + n % 1_000);
    format!(r#"{{"id":"d{n:06}","n":{n},"price":{}.50,"word":"žluťoučký \u00e9","filler":"{filler}"}}"#, n % 1_000)
}

/// An index with all of them in two shards.
fn indexed(engine: &EngineServer) -> String {
    let mapping = r#"{"settings":{"number_of_shards":2,"number_of_replicas":0},"mappings":{"dynamic":false,"properties":{"n":{"type":"long"}}}}"#;
    let index = engine.index("many", mapping);
    for batch in (0..DOCUMENTS).collect::<Vec<_>>().chunks(2_000) {
        let mut lines = String::new();
        for n in batch {
            writeln!(lines, "{{\"index\":{{\"_id\":\"d{n:06}\"}}}}\n{}", document(*n)).unwrap();
        }
        engine.http("POST", &format!("/{index}/_bulk"), &lines);
    }
    engine.http("POST", &format!("/{index}/_refresh"), "");
    index
}

#[test]
fn twenty_thousand_documents_are_exported_exactly_in_bounded_memory() {
    let engine = engines::shared();
    let index = indexed(engine);
    let url = engine.config().url.to_string();
    let mut board = Binary::with(Streams::Pipes, |command| {
        command.env("ELASTICSEARCH_URL", &url);
    });
    board.initialize("2025-06-18");
    let few = json!({"index": index, "query": {"range": {"n": {"lt": 5}}}});
    assert_eq!(board.answer("bulk_export", &few.to_string())["count"], 5);
    let before = board.peak_kib();
    let exported = board.answer("bulk_export", &json!({ "index": index }).to_string());
    let after = board.peak_kib();
    assert_eq!((&exported["count"], &exported["complete"]), (&json!(DOCUMENTS), &json!(true)));
    assert!(
        after < before + GROWTH_KIB_MAX,
        "{before} KiB before, {after} KiB at the most, {} bytes",
        exported["bytes"]
    );

    let file = BufReader::new(std::fs::File::open(exported["path"].as_str().unwrap()).unwrap());
    let mut seen = vec![false; DOCUMENTS];
    for line in file.lines() {
        let line = line.unwrap();
        let n = serde_json::from_str::<Value>(&line).unwrap()["document"]["n"].as_u64().unwrap() as usize;
        assert!(!std::mem::replace(&mut seen[n], true), "{n} comes twice");
        assert!(line.contains(&document(n)), "{line}\nis not\n{}", document(n));
    }
    assert!(seen.into_iter().all(|seen| seen));
}
