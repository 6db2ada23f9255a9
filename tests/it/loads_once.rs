//! The real binary is killed at any moment of a load with an idempotency key: the repeat of the load ends with each row there exactly once,
//! and with the answer of the first call where one came. `CALLBOARD_TEST_CRASHES` sets how often.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    chance::Chance,
    postgres,
};

/// Where loads go: a folder for the embedded stores, and a database beside it.
struct Place {
    home: tempfile::TempDir,
    url: Option<String>,
}

impl Place {
    fn serve(&self) -> Binary {
        let mut binary = Binary::with(Streams::Pipes, |command| {
            command.env("CALLBOARD_DATA_DIR", self.home.path());
            if let Some(url) = &self.url {
                command.env("DATABASE_URL", url);
            }
        });
        binary.initialize("2025-06-18");
        binary
    }
}

/// A tool that loads, and how to count what it loaded.
struct Loading {
    tool: &'static str,
    /// Of a load, by its number.
    call: fn(usize) -> Value,
    /// The tool that counts, and its arguments; the number of rows of a load, by its number.
    count: (&'static str, fn(usize) -> Value),
    rows: usize,
}

const ROWS: Loading = Loading {
    tool: "bulk_insert",
    call: |load| {
        let rows: Vec<Value> = (0..10_000).map(|n| json!({"load": load, "n": n})).collect();
        json!({"table": "loaded", "rows": rows, "idempotency_key": format!("load-{load}")})
    },
    count: ("count_rows", |load| json!({"table": "loaded", "where": {"load": load}})),
    rows: 10_000,
};

const DOCUMENTS: Loading = Loading {
    tool: "index_documents",
    call: |load| {
        let documents: Vec<Value> = (0..5_000).map(|n| json!({"load": load, "n": n})).collect();
        json!({"index": "loaded", "documents": documents, "idempotency_key": format!("load-{load}")})
    },
    count: ("count_documents", |load| json!({"index": "loaded", "query": {"term": {"load": load}}})),
    rows: 5_000,
};

/// The answer of a call that is repeated while its first attempt is still at work.
fn repeated(server: &mut Binary, tool: &str, call: &str) -> Value {
    loop {
        let result = server.call(tool, call);
        let answer: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        if result["isError"] != true {
            return answer;
        }
        assert_eq!((&answer["code"], &answer["argument"]), (&json!("busy"), &json!("idempotency_key")), "{answer}");
    }
}

fn happens_once(place: &Place, loading: &Loading, kills: usize, seed: u64) {
    let mut server = place.serve();
    if loading.tool == "bulk_insert" {
        let columns = json!([{"name": "load", "type": "integer"}, {"name": "n", "type": "integer"}]);
        server.answer("create_table", &json!({"table": "loaded", "columns": columns}).to_string());
    }
    let started = Instant::now();
    server.answer(loading.tool, &(loading.call)(0).to_string());
    let whole = started.elapsed();
    let (mut chance, mut answered) = (Chance::new(seed), 0);
    for load in 1..=kills {
        // From the first moment to a little after the end.
        let moment = whole.mul_f64(chance.below(1_000) as f64 / 800.0).max(Duration::from_micros(1));
        let call = (loading.call)(load).to_string();
        let first = server.call_for(loading.tool, &call, moment);
        answered += usize::from(first.is_some());
        server.signal(Signal::KILL);
        server.wait();
        server = place.serve();
        let again = repeated(&mut server, loading.tool, &call);
        if let Some(first) = first {
            assert_eq!(first["structuredContent"], again, "load {load}");
        }
        assert_eq!(server.answer(loading.tool, &call), again, "load {load}");
        let done = again.get("inserted").or(again.get("indexed"));
        assert_eq!(done, Some(&json!(loading.rows)), "load {load}: {again}");
        let count = server.answer(loading.count.0, &(loading.count.1)(load).to_string());
        assert_eq!(count["count"], loading.rows, "load {load}");
    }
    assert!(answered < kills, "no kill came before the end");
}

fn kills(usual: usize) -> usize {
    std::env::var("CALLBOARD_TEST_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn a_load_into_the_embedded_database_happens_once() {
    let place = Place { home: tempfile::tempdir().unwrap(), url: None };
    happens_once(&place, &ROWS, kills(20), 1);
}

#[test]
fn a_load_into_postgresql_happens_once() {
    let place = Place { home: tempfile::tempdir().unwrap(), url: Some(postgres::shared().database()) };
    happens_once(&place, &ROWS, kills(20), 2);
}

#[test]
fn documents_are_indexed_once() {
    let place = Place { home: tempfile::tempdir().unwrap(), url: None };
    happens_once(&place, &DOCUMENTS, kills(10), 3);
}
