//! execute_query beside the SQL servers that agents use today: `benches/run peers`. Ours is the binary that packages ship; dbhub and MCP Toolbox
//! are those of npm (versions in peers/package.json); all three over pipes with the same client, on the same database, the queries
//! interleaved in rounds. p50 is of all calls, calls per second the median of the rounds.
//!
//! The peers' `execute_sql` has no parameters, so where ours binds the key, theirs has it in the text. No key comes twice. Every server's rows are
//! compared once with what the table holds, and no answer may be a failure.

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
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Map, Value, json};
use support::{
    client::{Peer, median, program, variable},
    postgres,
};

const IN_FLIGHT: [usize; 2] = [1, 16];
const ROUNDS: usize = 7;
const WINDOW: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(1_000);

/// Rows of `sales`, and of `sold`, whose sums take about 4 ms.
const SALES: u64 = 1_000_000;
const SOLD: u64 = 30_000;
const REGIONS: u64 = 50;
/// Rows of the query for many.
const MANY: u64 = 200;

fn main() {
    let server = postgres::shared();
    let url = server.database();
    let database = postgres::name_of(&url);
    server.psql(
        database,
        &format!(
            "CREATE TABLE sales (id bigint PRIMARY KEY, product text, region int, price numeric(10,2), note text);
             INSERT INTO sales SELECT i, 'product ' || i % 500, i % {REGIONS}, (i % 10000) / 100.0, 'sold as ' || i FROM generate_series(1, {SALES}) i;
             CREATE TABLE sold AS SELECT * FROM sales WHERE id <= {SOLD}"
        ),
    );
    server.psql(database, "VACUUM ANALYZE sales, sold");
    let mut peers: Vec<(Server, Peer)> = SERVERS.map(|kind| (kind, kind.start(&url))).into();
    let (mut figures, mut ratios) = (
        String::from(
            "| query | server | p50 at 1 | calls/s at 1 | p50 at 16 | calls/s at 16 |\n|---|---|---|---|---|---|\n",
        ),
        String::from(
            "\n| ours ÷ the faster peer | p50 at 1 (target ≤ 1.0) | calls/s at 1 | p50 at 16 | calls/s at 16 (target ≥ 1.2) |\n|---|---|---|---|---|\n",
        ),
    );
    // One sequence for all: no key and no word comes twice in the run.
    let mut sequence = 0;
    for query in QUERIES {
        let measured = measure(query, &mut peers, &mut sequence);
        for ((kind, _), row) in peers.iter().zip(&measured) {
            let [one, many] = [&row[0], &row[1]];
            writeln!(
                figures,
                "| {} | {} | {:.3} ms | {:.0} | {:.2} ms | {:.0} |",
                query.name(),
                kind.name(),
                one.p50,
                one.rate,
                many.p50,
                many.rate
            )
            .unwrap();
        }
        let shown: Vec<String> = (0..IN_FLIGHT.len()).map(|level| ratio(&measured, level)).collect();
        writeln!(ratios, "| {} | {} |", query.name(), shown.join(" | ")).unwrap();
    }
    let report = format!("{}\n\n{figures}{ratios}", versions());
    print!("{report}");
    // The figures of a debug build are nobody's.
    if !cfg!(debug_assertions) {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/peers.md"), report).unwrap();
    }
}

fn versions() -> String {
    let package: Value = serde_json::from_str(include_str!("peers/package.json")).unwrap();
    let named: Vec<String> = package["dependencies"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap()))
        .collect();
    format!("Peers: {}. The machine's own PostgreSQL, fsync off.", named.join(", "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Callboard,
    Dbhub,
    Toolbox,
}

const SERVERS: [Server; 3] = [Server::Callboard, Server::Dbhub, Server::Toolbox];

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Callboard => "Callboard",
            Self::Dbhub => "dbhub",
            Self::Toolbox => "MCP Toolbox",
        }
    }

    fn start(self, url: &str) -> Peer {
        let home = tempfile::tempdir().unwrap();
        let command = match self {
            Self::Callboard => {
                let mut command = program(env!("CARGO_BIN_EXE_callboard"));
                command.args(["serve", "--data-dir"]).arg(home.path().join("data")).env("DATABASE_URL", url);
                command
            }
            Self::Dbhub => {
                let mut command = node("@bytebase/dbhub/dist/index.js");
                command.args(["--transport", "stdio", "--dsn"]);
                // It wants a password; the server asks for none.
                command.arg(url.replace("postgres@", "postgres:none@") + "?sslmode=disable");
                command
            }
            Self::Toolbox => {
                let mut command = node("@toolbox-sdk/server/bin/run.js");
                let (address, database) = url.rsplit_once('/').unwrap();
                command.args(["--prebuilt", "postgres", "--stdio", "--disable-version-check"]);
                command.env("POSTGRES_HOST", "127.0.0.1").env("POSTGRES_PORT", address.rsplit_once(':').unwrap().1);
                command.env("POSTGRES_DATABASE", database).env("POSTGRES_USER", "postgres");
                command.env("POSTGRES_PASSWORD", "none");
                command
            }
        };
        Peer::start(self.name(), command, home).0
    }

    /// The rows of an answer, as objects.
    fn rows(self, line: &str) -> Vec<Map<String, Value>> {
        let answer: Value = serde_json::from_str(line).unwrap();
        let result = &answer["result"];
        let text = |content: &Value| serde_json::from_str::<Value>(content["text"].as_str().unwrap()).unwrap();
        let object = |row: &Value| row.as_object().unwrap().clone();
        match self {
            Self::Callboard => {
                let answer = &result["structuredContent"];
                assert_eq!(answer, &text(&result["content"][0]));
                let names: Vec<&str> = answer["columns"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|column| column["name"].as_str().unwrap())
                    .collect();
                let rows = answer["rows"].as_array().unwrap().iter();
                rows.map(|row| {
                    names
                        .iter()
                        .zip(row.as_array().unwrap())
                        .map(|(name, value)| ((*name).to_owned(), value.clone()))
                        .collect()
                })
                .collect()
            }
            Self::Dbhub => {
                let answer = text(&result["content"][0]);
                answer["data"]["statements"][0]["rows"].as_array().unwrap().iter().map(object).collect()
            }
            // A part of the content for each row.
            Self::Toolbox => result["content"].as_array().unwrap().iter().map(|row| object(&text(row))).collect(),
        }
    }
}

/// A script of an installed package.
fn node(script: &str) -> Command {
    let clients = PathBuf::from(variable("CALLBOARD_TEST_NODE_MODULES"));
    let mut command = program(clients.parent().unwrap().join("node"));
    command.arg(PathBuf::from(variable("CALLBOARD_BENCH_PEERS")).join(script));
    command
}

/// What is asked of all.
#[derive(Clone, Copy)]
enum Query {
    /// One row by its key, bound as a parameter where the server has them.
    Bound,
    /// One row by its key, which stands in the text.
    Written,
    /// The same, and no two texts have the same words.
    NewWords,
    Many,
    Sums,
}

const QUERIES: [Query; 5] = [Query::Bound, Query::Written, Query::NewWords, Query::Many, Query::Sums];

impl Query {
    fn name(self) -> &'static str {
        match self {
            Self::Bound => "one row by key; ours binds `$1`, the peers have no parameters",
            Self::Written => "one row by key, the key in the text",
            Self::NewWords => "one row by key, the words of every text new",
            Self::Many => "200 rows from a key in the text",
            Self::Sums => "group by over 30,000 rows",
        }
    }

    /// The key of a number in the sequence; none comes twice before all have.
    fn key(sequence: u64) -> u64 {
        sequence * 7_919 % (SALES - MANY) + 1
    }

    fn text(self, sequence: u64) -> String {
        let key = Self::key(sequence);
        match self {
            Self::Bound | Self::Written => format!("SELECT * FROM sales WHERE id = {key}"),
            Self::NewWords => format!(
                "SELECT id, product AS product_{sequence}, region, price, note FROM sales AS s_{sequence} WHERE s_{sequence}.id = {key}"
            ),
            Self::Many => format!("SELECT * FROM sales WHERE id >= {key} ORDER BY id LIMIT {MANY}"),
            Self::Sums => "SELECT region, count(*), sum(price) FROM sold GROUP BY region ORDER BY region".to_owned(),
        }
    }

    /// The params of the call.
    fn call(self, server: Server, sequence: u64) -> String {
        let (tool, arguments) = match (server, self) {
            (Server::Callboard, Self::Bound) => (
                "execute_query",
                json!({ "query": "SELECT * FROM sales WHERE id = $1", "params": [Self::key(sequence).to_string()] }),
            ),
            (Server::Callboard, _) => ("execute_query", json!({ "query": self.text(sequence) })),
            _ => ("execute_sql", json!({ "sql": self.text(sequence) })),
        };
        format!(r#""name":"{tool}","arguments":{arguments}"#)
    }

    /// Asserts that these are the rows, however the server writes values.
    fn check(self, sequence: u64, rows: &[Map<String, Value>]) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let number = |value: &Value| text(value).parse::<f64>().unwrap();
        let key = Self::key(sequence);
        let ids = match self {
            Self::Sums => {
                assert_eq!(rows.len() as u64, REGIONS);
                for (region, row) in (0..).zip(rows) {
                    let cents: u64 = (1..=SOLD).filter(|id| id % REGIONS == region).map(|id| id % 10_000).sum();
                    assert_eq!(number(&row["region"]), region as f64);
                    assert_eq!(number(&row["count"]), (SOLD / REGIONS) as f64);
                    assert_eq!((number(&row["sum"]) * 100.0).round(), cents as f64);
                }
                return;
            }
            Self::Many => key..key + MANY,
            _ => key..key + 1,
        };
        assert_eq!(rows.len() as u64, ids.end - ids.start);
        for (id, row) in ids.zip(rows) {
            let product = row.iter().find(|(name, _)| name.starts_with("product")).unwrap().1;
            assert_eq!(number(&row["id"]), id as f64);
            assert_eq!(text(product), format!("product {}", id % 500));
            assert_eq!(number(&row["region"]), (id % REGIONS) as f64);
            assert_eq!((number(&row["price"]) * 100.0).round(), (id % 10_000) as f64);
            assert_eq!(text(&row["note"]), format!("sold as {id}"));
        }
    }
}

struct Measured {
    /// In milliseconds, of all calls.
    p50: f64,
    /// Calls per second, the median of the rounds.
    rate: f64,
}

/// For each server, at each number in flight.
fn measure(query: Query, peers: &mut [(Server, Peer)], sequence: &mut u64) -> Vec<Vec<Measured>> {
    for (kind, peer) in peers.iter_mut() {
        *sequence += 1;
        query.check(*sequence, &kind.rows(&peer.call(&query.call(*kind, *sequence))));
        load(query, *kind, peer, IN_FLIGHT[1], WARM_UP, sequence);
    }
    let mut latencies = vec![vec![Vec::new(); IN_FLIGHT.len()]; peers.len()];
    let mut rates = latencies.clone();
    for _ in 0..ROUNDS {
        for (level, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            for (at, (kind, peer)) in peers.iter_mut().enumerate() {
                let load = load(query, *kind, peer, in_flight, WINDOW, sequence);
                rates[at][level].push(load.calls_per_second());
                latencies[at][level].extend(load.latencies.iter().map(|time| time.as_secs_f64() * 1e3));
            }
        }
    }
    let measured = |(times, rates): (Vec<f64>, Vec<f64>)| Measured { p50: median(times), rate: median(rates) };
    latencies
        .into_iter()
        .zip(rates)
        .map(|(times, rates)| times.into_iter().zip(rates).map(measured).collect())
        .collect()
}

fn load(
    query: Query,
    kind: Server,
    peer: &mut Peer,
    in_flight: usize,
    window: Duration,
    sequence: &mut u64,
) -> support::client::Load {
    let write = |batch: &mut Vec<u8>| {
        *sequence += 1;
        batch.extend_from_slice(query.call(kind, *sequence).as_bytes());
    };
    peer.load(in_flight, window, write, |line, reply| {
        assert!(reply.result.as_ref().is_some_and(|result| !result.failed), "{line}");
    })
}

/// Ours over the faster peer: p50 and calls per second.
fn ratio(measured: &[Vec<Measured>], level: usize) -> String {
    let of_all = |figure: fn(&Measured) -> f64| measured.iter().map(|row| figure(&row[level])).collect::<Vec<_>>();
    let (times, rates) = (of_all(|one| one.p50), of_all(|one| one.rate));
    let time = times[0] / times[1..].iter().copied().fold(f64::INFINITY, f64::min);
    let rate = rates[0] / rates[1..].iter().copied().fold(0.0, f64::max);
    format!("{time:.2} | {rate:.2}")
}
