//! What the protocol costs: `benches/run stdio`. The release binary, servers of the TypeScript and the Python SDK, and a bare echo of lines,
//! each over pipes with the same client. Rounds are interleaved; the median counts. Every reply must have the right id and content.
//!
//! The peers' tool does no work. Ours are two calls: one that is refused before it reaches a backend, and one that counts the rows of a
//! small embedded table. The client parses every reply, so what it costs bounds the echo.

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
    io::{BufRead, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::value::RawValue;
use tempfile::TempDir;

use support::client::{Load, Peer, Reply, median, program, variable};

const IN_FLIGHT: [usize; 3] = [1, 16, 64];
const ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_millis(700);
const WARM_UP: Duration = Duration::from_millis(1_000);
const STARTS: usize = 20;
/// Peers that need half a second and more.
const SLOW_STARTS: usize = 8;
const ECHO: &str = "--echo-lines";

fn main() {
    if std::env::args().any(|argument| argument == ECHO) {
        return echo();
    }
    let mut report = about();
    let kinds = [Kind::Echo, Kind::Refused, Kind::Count, Kind::TypeScript, Kind::Python];
    let lines = throughput(&kinds);
    report.push_str(&calls_table(&lines));
    report.push_str(&starts_table());
    report.push_str(&ratios_table(&lines));
    print!("{report}");
    // The figures of a debug build are nobody's.
    if !cfg!(debug_assertions) {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/stdio.md"), report).unwrap();
    }
}

/// The peer that does nothing but give lines back, one write for each.
fn echo() {
    let mut input = std::io::stdin().lock();
    let mut output = fs::File::from(rustix::io::dup(std::io::stdout()).unwrap());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).unwrap() > 0 {
        output.write_all(&line).unwrap();
        line.clear();
    }
}

/// What is called, of whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Echo,
    Refused,
    Count,
    TypeScript,
    Python,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Echo => "bare line echo",
            Self::Refused => "Callboard, a refused call (no backend)",
            Self::Count => "Callboard, count_rows of 3 rows (embedded)",
            Self::TypeScript => "TypeScript SDK",
            Self::Python => "Python SDK",
        }
    }

    fn command(self, home: &TempDir) -> Command {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
        match self {
            Self::Echo => {
                let mut command = program(std::env::current_exe().unwrap());
                command.arg(ECHO);
                command
            }
            Self::Refused | Self::Count => {
                let mut command = program(env!("CARGO_BIN_EXE_callboard"));
                command.args(["serve", "--data-dir"]).arg(home.path().join("data"));
                command
            }
            Self::TypeScript => {
                let modules = PathBuf::from(variable("CALLBOARD_TEST_NODE_MODULES"));
                let mut command = program(modules.parent().unwrap().join("node"));
                command.arg(peers.join("typescript.mjs")).arg(modules);
                command
            }
            Self::Python => {
                let mut command = program(variable("CALLBOARD_TEST_PYTHON"));
                command.arg(peers.join("python.py"));
                command
            }
        }
    }

    /// The name and arguments of the call; a text of 100 bytes in each.
    fn call(self) -> String {
        match self {
            Self::Count => r#""name":"count_rows","arguments":{"table":"things"}"#.to_owned(),
            Self::Refused => {
                format!(r#""name":"execute_query","arguments":{{"query":"delete from things where {:a<75}"}}"#, "")
            }
            _ => format!(r#""name":"measure_text","arguments":{{"text":"{:a<100}"}}"#, ""),
        }
    }

    fn check(self, line: &str, reply: &Reply<'_>) {
        let Some(result) = &reply.result else {
            assert!(self == Self::Echo, "{line}");
            return;
        };
        let structured = result.structured.map_or("", RawValue::get);
        let (failed, part) = match self {
            Self::Refused => (true, r#""code":"denied""#),
            Self::Count => (false, r#""count":3"#),
            _ => (false, r#""length":100"#),
        };
        assert!(result.failed == failed && structured.contains(part), "{line}");
    }
}

/// A server of this kind, greeted; how long its start took.
fn start(kind: Kind, change: impl FnOnce(&mut Command)) -> (Peer, Duration) {
    let home = tempfile::tempdir().unwrap();
    let mut command = kind.command(&home);
    change(&mut command);
    let (mut peer, took) = Peer::start(kind.name(), command, home);
    if kind == Kind::Echo {
        // The notification comes back too.
        peer.line();
    }
    (peer, took)
}

/// The table that is counted.
fn fill(peer: &mut Peer) {
    peer.call(r#""name":"create_table","arguments":{"table":"things","columns":[{"name":"id","type":"bigint"}],"primary_key":["id"]}"#);
    peer.call(r#""name":"bulk_insert","arguments":{"table":"things","rows":[{"id":1},{"id":2},{"id":3}]}"#);
}

fn load(kind: Kind, peer: &mut Peer, in_flight: usize, window: Duration) -> Load {
    let call = kind.call();
    let write = |batch: &mut Vec<u8>| batch.extend_from_slice(call.as_bytes());
    peer.load(in_flight, window, write, |line, reply| kind.check(line, reply))
}

/// What was measured of one kind of call.
struct Line {
    kind: Kind,
    /// Calls per second, the median of the rounds, for each number in flight.
    rates: Vec<f64>,
    /// Microseconds of CPU for a call, over all rounds.
    cpu: Vec<f64>,
    idle: f64,
    peak: f64,
}

fn throughput(kinds: &[Kind]) -> Vec<Line> {
    let tick = 1e6 / clock_ticks();
    let mut peers: Vec<(Kind, Peer)> = kinds.iter().map(|kind| (*kind, start(*kind, |_| {}).0)).collect();
    // Until what a start leaves behind is done.
    std::thread::sleep(Duration::from_millis(500));
    let idle: Vec<f64> = peers.iter().map(|(_, peer)| peer.memory("VmRSS")).collect();
    for (kind, peer) in &mut peers {
        if *kind == Kind::Count {
            fill(peer);
        }
        load(*kind, peer, 16, WARM_UP);
    }
    let mut rates = vec![vec![Vec::new(); IN_FLIGHT.len()]; peers.len()];
    let mut spent = vec![[(0, 0); IN_FLIGHT.len()]; peers.len()];
    for _ in 0..ROUNDS {
        for (level, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            for (at, (kind, peer)) in peers.iter_mut().enumerate() {
                let before = peer.ticks();
                let load = load(*kind, peer, in_flight, WINDOW);
                rates[at][level].push(load.calls_per_second());
                spent[at][level].0 += peer.ticks() - before;
                spent[at][level].1 += load.latencies.len();
            }
        }
    }
    peers
        .iter()
        .zip(rates)
        .zip(spent)
        .zip(idle)
        .map(|((((kind, peer), rates), spent), idle)| Line {
            kind: *kind,
            rates: rates.into_iter().map(median).collect(),
            cpu: spent.iter().map(|(ticks, calls)| *ticks as f64 * tick / *calls as f64).collect(),
            idle,
            peak: peer.memory("VmHWM"),
        })
        .collect()
}

fn clock_ticks() -> f64 {
    let output = Command::new("getconf").arg("CLK_TCK").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

fn about() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output().unwrap();
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    format!(
        "{}, {} processors, load {} at the start. Over pipes, revision 2025-11-25, median of {ROUNDS} interleaved rounds of {} ms.\n\n",
        String::from_utf8_lossy(&date.stdout).trim(),
        std::thread::available_parallelism().unwrap(),
        load.split(' ').next().unwrap(),
        WINDOW.as_millis()
    )
}

fn calls_table(lines: &[Line]) -> String {
    let mut table = String::from(
        "| server | 1 in flight /s | 16 /s | 64 /s | CPU per call at 1 / 16 / 64 | resident idle | peak |\n|---|---|---|---|---|---|---|\n",
    );
    for line in lines {
        let rates: Vec<String> = line.rates.iter().map(|rate| format!("{rate:.0}")).collect();
        let cpu: Vec<String> = line.cpu.iter().map(|cpu| format!("{cpu:.1}")).collect();
        let (name, rates, cpu) = (line.kind.name(), rates.join(" | "), cpu.join(" / "));
        writeln!(table, "| {name} | {rates} | {cpu} µs | {:.1} MB | {:.1} MB |", line.idle, line.peak).unwrap();
    }
    table.push_str("\nThe peers' tool gives a text of 100 bytes back with its length. Callboard's refused call carries as much and answers with an error envelope; count_rows also asks SQLite.\n");
    table
}

/// Start of the process until initialize is answered, each time with an empty data directory.
fn starts_table() -> String {
    let names = [
        "bare line echo",
        "Callboard, no backend set",
        "Callboard, DATABASE_URL and ELASTICSEARCH_URL lead to closed ports",
        "TypeScript SDK",
        "Python SDK",
    ];
    let mut times = vec![Vec::new(); names.len()];
    for round in 0..STARTS {
        let (database, search) = (closed_port(), closed_port());
        let down = |command: &mut Command| {
            command.env("DATABASE_URL", format!("postgres://someone:secret@127.0.0.1:{database}/shop"));
            command.env("ELASTICSEARCH_URL", format!("http://127.0.0.1:{search}"));
        };
        times[0].push(start(Kind::Echo, |_| {}).1);
        times[1].push(start(Kind::Count, |_| {}).1);
        times[2].push(start(Kind::Count, down).1);
        if round < SLOW_STARTS {
            times[3].push(start(Kind::TypeScript, |_| {}).1);
            times[4].push(start(Kind::Python, |_| {}).1);
        }
    }
    let mut table = String::from(
        "\n| start to initialize answered | starts | min | median | median above the echo | target |\n|---|---|---|---|---|---|\n",
    );
    let mut floor = 0.0;
    for (at, (name, times)) in names.into_iter().zip(times).enumerate() {
        let starts = times.len();
        let times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        let (least, middle) = (times.iter().copied().fold(f64::INFINITY, f64::min), median(times));
        if at == 0 {
            floor = middle;
        }
        let target = if name.starts_with("Callboard") { "≤ 10 ms; ≤ 5 ms above" } else { "" };
        let above = middle - floor;
        writeln!(table, "| {name} | {starts} | {least:.1} ms | {middle:.1} ms | {above:.1} ms | {target} |").unwrap();
    }
    table
}

/// A port that nobody listens at.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ratios_table(lines: &[Line]) -> String {
    let of = |kind: Kind| lines.iter().find(|line| line.kind == kind).expect("every kind is measured");
    let mut table = String::from("\n| measure | 1 in flight | 16 | 64 | target |\n|---|---|---|---|---|\n");
    for ours in [Kind::Refused, Kind::Count] {
        for (peer, target) in [(Kind::Echo, ""), (Kind::TypeScript, "≥ 2"), (Kind::Python, "≥ 50")] {
            let ratio = |level: usize| of(ours).rates[level] / of(peer).rates[level];
            let shown: Vec<String> = (0..IN_FLIGHT.len()).map(|level| format!("{:.2}", ratio(level))).collect();
            let (ours, peer, shown) = (ours.name(), peer.name(), shown.join(" | "));
            writeln!(table, "| calls/s: {ours} ÷ {peer} | {shown} | {target} |").unwrap();
        }
    }
    writeln!(table, "| resident idle | {:.1} MB | | | ≤ 12 MB |", of(Kind::Refused).idle).unwrap();
    table
}
