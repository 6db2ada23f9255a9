//! What Callboard adds to a query or a search: `benches/run overhead`. Ours is the binary that packages ship over stdio. Each is held against two
//! peers on one open connection: the bare one (psql executing a prepared statement, curl sending the bare query), and the same done with the
//! care that our answer has (a read-only transaction with a time limit around it; an order in which a cursor cannot lose its place).
//! Rounds are interleaved; p50 of all calls.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement that meets what it did not expect has failed"
)]

#[expect(dead_code, reason = "other benches use the rest")]
mod support;

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use support::{
    binary::{Binary, Streams},
    engines, postgres,
};

const ROUNDS: usize = 20;
const CALLS_PER_ROUND: usize = 50;
/// Rounds of the search engine's requests that do not count.
const WARM_ROUNDS: usize = 80;

fn main() {
    let mut table = String::from(
        "| call | ours p50 | bare peer p50 | ratio (target ≤ 1.2) | careful peer p50 | ratio |\n|---|---|---|---|---|---|\n",
    );
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
        let (mut mine, mut bare, mut careful) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            mine.extend(times(calls, || drop(ours.answer("execute_query", &arguments))));
            bare.extend(psql_prepared(server.port, name, query, &["EXECUTE q"], calls));
            careful.extend(psql_prepared(server.port, name, query, &CAREFUL, calls));
        }
        row(table, what, mine, bare, careful);
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
    let query = r#""query":{"match":{"name":"wireless 4711"}}"#;
    let arguments = format!(r#"{{"index":"overhead",{query},"size":10}}"#);
    let plain = format!(r#"{{{query},"size":10,"track_total_hits":true}}"#);
    let ordered = format!(
        r#"{{"size":11,"track_total_hits":true,"timeout":"10000ms","sort":["_score",{{"_index":"asc"}},{{"_seq_no":"asc"}}],{query}}}"#
    );
    let url = |rest: &str| format!("{url}/overhead/{rest}");
    // The engine compiles what it runs often: whoever came first would be measured against a slower engine.
    for _ in 0..WARM_ROUNDS {
        curl(&url("_search"), Some(&plain));
        curl(&url("_search"), Some(&ordered));
        curl(&url("_doc/p-4711"), None);
    }
    let (mut mine, mut bare, mut careful) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.extend(times(CALLS_PER_ROUND, || drop(ours.answer("search_documents", &arguments))));
        bare.extend(curl(&url("_search"), Some(&plain)));
        careful.extend(curl(&url("_search"), Some(&ordered)));
    }
    row(table, "search_documents, 10 hits of 10,000", mine, bare, careful);
    let (mut mine, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.extend(times(CALLS_PER_ROUND, || {
            drop(ours.answer("get_document", r#"{"index":"overhead","id":"p-4711"}"#))
        }));
        bare.extend(curl(&url("_doc/p-4711"), None));
    }
    row(table, "get_document", mine, bare.clone(), bare);
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

/// A query as somebody sends it who wants to be sure that it writes nothing and ends.
const CAREFUL: [&str; 4] = ["BEGIN READ ONLY", "SET LOCAL statement_timeout = 10000", "EXECUTE q", "ROLLBACK"];

/// psql's own `\timing` of `statements`, in which `q` is the prepared query, added up; after one warm-up.
fn psql_prepared(port: u16, database: &str, query: &str, statements: &[&str], calls: usize) -> Vec<Duration> {
    let mut script = format!("PREPARE q AS {query};\nEXECUTE q;\n\\timing on\n");
    for _ in 0..calls {
        script.extend(statements.iter().flat_map(|statement| [statement, ";\n"]));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    let output = Command::new("psql")
        .args(["-X", "-q", "-At", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string(), "-d", database, "-f"])
        .arg(file.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let times = text.lines().filter_map(|line| line.strip_prefix("Time: ")?.split(' ').next()?.parse::<f64>().ok());
    let times: Vec<f64> = times.collect();
    assert_eq!(times.len(), calls * statements.len());
    times.chunks(statements.len()).map(|call| Duration::from_secs_f64(call.iter().sum::<f64>() / 1000.0)).collect()
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

fn row(table: &mut String, what: &str, ours: Vec<Duration>, bare: Vec<Duration>, careful: Vec<Duration>) {
    let [ours, bare, careful] = [ours, bare, careful].map(p50);
    let line = format!(
        "| {what} | {ours:.3} ms | {bare:.3} ms | {:.2} | {careful:.3} ms | {:.2} |\n",
        ours / bare,
        ours / careful
    );
    table.push_str(&line);
}

/// In milliseconds.
fn p50(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}
