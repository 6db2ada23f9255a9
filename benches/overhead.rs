//! What Callboard adds to a query or a search: `benches/run overhead`. Ours is the release binary over stdio; psql runs the same statement
//! prepared on one connection, curl the same request on one connection. Rounds are interleaved; p50 of all calls.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement that meets what it did not expect has failed"
)]

#[path = "../tests/it/support/binary.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod binary;
#[path = "../tests/it/support/engines.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod engines;
#[path = "../tests/it/support/guarded.rs"]
mod guarded;
#[path = "../tests/it/support/patience.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod patience;
#[path = "../tests/it/support/port.rs"]
mod port;
#[path = "../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod postgres;

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use binary::{Binary, Streams};

const ROUNDS: usize = 5;
const CALLS_PER_ROUND: usize = 200;

fn main() {
    let mut table = String::from("| call | ours p50 | peer p50 | ratio | target |\n|---|---|---|---|---|\n");
    sql(&mut table);
    search(&mut table);
    print!("{table}");
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/overhead.md"), table).unwrap();
}

fn sql(table: &mut String) {
    let server = postgres::shared();
    let url = server.database();
    let name = postgres::name_of(&url);
    server.psql(
        name,
        "CREATE TABLE sales (id bigint PRIMARY KEY, product text, region int, price numeric(10,2), at timestamptz);
         INSERT INTO sales SELECT i, 'product ' || i % 500, i % 50, (i % 10000) / 100.0, '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 200000) i;
         ANALYZE sales",
    );
    let mut ours = serve("DATABASE_URL", &url);
    for (what, query) in [
        ("execute_query, one row by key", "SELECT * FROM sales WHERE id = 4711"),
        ("execute_query, 100 rows sorted", "SELECT * FROM sales WHERE region = 7 ORDER BY at DESC LIMIT 100"),
        (
            "execute_query, group by over 200,000",
            "SELECT region, count(*), sum(price) FROM sales GROUP BY region ORDER BY 3 DESC",
        ),
    ] {
        let arguments = serde_json::json!({ "query": query }).to_string();
        let calls = if what.contains("200,000") { CALLS_PER_ROUND / 10 } else { CALLS_PER_ROUND };
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            mine.extend(times(calls, || drop(ours.answer("execute_query", &arguments))));
            theirs.extend(psql_prepared(server.port, name, query, calls));
        }
        row(table, what, mine, theirs);
    }
}

fn search(table: &mut String) {
    let url = format!("http://127.0.0.1:{}", engines::shared().port);
    let mut ours = serve("ELASTICSEARCH_URL", &url);
    for batch in 0..4_u32 {
        let documents: Vec<_> = (0..2_500)
            .map(|i| batch * 2_500 + i)
            .map(|i| serde_json::json!({ "id": format!("p-{i}"), "name": format!("Wireless thing number {i}"), "price": i as f64 / 100.0, "category": format!("c{}", i % 20) }))
            .collect();
        let arguments =
            serde_json::json!({ "index": "overhead", "documents": documents, "id_field": "id" }).to_string();
        ours.answer("index_documents", &arguments);
    }
    let body = r#"{"query":{"match":{"name":"wireless 4711"}},"size":10,"track_total_hits":true}"#;
    let arguments = r#"{"index":"overhead","query":{"match":{"name":"wireless 4711"}},"size":10}"#;
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.extend(times(CALLS_PER_ROUND, || drop(ours.answer("search_documents", arguments))));
        theirs.extend(curl(&format!("{}/overhead/_search", url), Some(body)));
    }
    row(table, "search_documents, 10 hits of 10,000", mine, theirs);
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.extend(times(CALLS_PER_ROUND, || {
            drop(ours.answer("get_document", r#"{"index":"overhead","id":"p-4711"}"#))
        }));
        theirs.extend(curl(&format!("{}/overhead/_doc/p-4711", url), None));
    }
    row(table, "get_document", mine, theirs);
}

fn serve(setting: &str, value: &str) -> Binary {
    let mut binary = Binary::with(Streams::Pipes, |command| {
        command.env(setting, value);
    });
    binary.initialize("2025-11-25");
    binary
}

fn times(calls: usize, mut call: impl FnMut()) -> Vec<Duration> {
    (0..calls)
        .map(|_| {
            let started = Instant::now();
            call();
            started.elapsed()
        })
        .collect()
}

/// psql's own `\timing` of a prepared statement, after one warm-up.
fn psql_prepared(port: u16, database: &str, query: &str, calls: usize) -> Vec<Duration> {
    let mut script = format!("PREPARE q AS {query};\nEXECUTE q;\n\\timing on\n");
    script.extend(std::iter::repeat_n("EXECUTE q;\n", calls));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    let output = Command::new("psql")
        .args(["-X", "-q", "-At", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string(), "-d", database, "-f"])
        .arg(file.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let times = text.lines().filter_map(|line| line.strip_prefix("Time: ")?.split(' ').next()?.parse::<f64>().ok());
    let times: Vec<Duration> = times.map(|ms| Duration::from_secs_f64(ms / 1000.0)).collect();
    assert_eq!(times.len(), calls);
    times
}

/// curl's own `time_total`, all requests of a round on one connection.
fn curl(url: &str, body: Option<&str>) -> Vec<Duration> {
    let mut command = Command::new("curl");
    command.args(["-s", "-H", "content-type: application/json", "-w", "%{stderr}%{time_total}\\n"]);
    if let Some(body) = body {
        command.args(["-d", body]);
    }
    // The first request opens the connection and does not count.
    for _ in 0..=CALLS_PER_ROUND {
        command.args(["-o", "/dev/null", url]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().skip(1).filter_map(|line| line.parse::<f64>().ok()).map(Duration::from_secs_f64).collect()
}

fn row(table: &mut String, what: &str, mut ours: Vec<Duration>, mut theirs: Vec<Duration>) {
    ours.sort();
    theirs.sort();
    let (ours, theirs) = (ours[ours.len() / 2], theirs[theirs.len() / 2]);
    let line = format!(
        "| {what} | {:.3} ms | {:.3} ms | {:.2} | ≤ 1.2 |\n",
        ours.as_secs_f64() * 1e3,
        theirs.as_secs_f64() * 1e3,
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
    table.push_str(&line);
}
