//! A client at the pipes of any MCP server, which keeps a number of calls in flight.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use tempfile::TempDir;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// As much of an answer as a check needs; anything else on the wire does not parse.
#[derive(Deserialize)]
pub struct Reply<'a> {
    id: u64,
    #[serde(borrow)]
    pub result: Option<Outcome<'a>>,
}

#[derive(Deserialize)]
pub struct Outcome<'a> {
    #[serde(rename = "isError", default)]
    pub failed: bool,
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    #[serde(rename = "structuredContent", borrow)]
    pub structured: Option<&'a RawValue>,
}

/// A running server.
pub struct Peer {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u64,
    _home: TempDir,
}

/// What came of a window of calls.
pub struct Load {
    pub took: Duration,
    /// From the writing of each call to the reading of its answer.
    pub latencies: Vec<Duration>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Starts `command` in a home of its own with nothing in its environment but what it brings, and shakes hands; the time until initialize is
    /// answered.
    pub fn start(name: &'static str, mut command: Command, home: TempDir) -> (Self, Duration) {
        command.env("HOME", home.path()).current_dir(home.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::with_capacity(1 << 16, child.stdout.take().unwrap());
        let mut peer = Self { name, child, input, output, next: 1, _home: home };
        let answer = peer.ask(INITIALIZE);
        let took = started.elapsed();
        assert!(answer.contains("\"protocolVersion\":\"2025-11-25\""), "{answer}");
        writeln!(peer.input, "{INITIALIZED}").unwrap();
        (peer, took)
    }

    /// The next line from the server.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "{} has gone", self.name);
        line
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        self.line()
    }

    /// One call that must succeed; the whole line of its answer. `params` are `"name":…,"arguments":…`.
    pub fn call(&mut self, params: &str) -> String {
        let answer = self.ask(&format!(r#"{{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{{{params}}}}}"#));
        let reply: Reply<'_> = serde_json::from_str(&answer).unwrap();
        assert!(reply.result.is_some_and(|result| !result.failed), "{params}\n→ {answer}");
        answer
    }

    /// Keeps `in_flight` calls under way for as long as `window`. `write` appends the params of the next call; `check` sees every answer.
    pub fn load(
        &mut self,
        in_flight: usize,
        window: Duration,
        mut write: impl FnMut(&mut Vec<u8>),
        check: impl Fn(&str, &Reply<'_>),
    ) -> Load {
        let (mut batch, mut line) = (Vec::new(), Vec::new());
        let (mut waiting, mut latencies) = (HashMap::new(), Vec::new());
        let started = Instant::now();
        loop {
            let now = Instant::now();
            if now - started < window {
                while waiting.len() < in_flight {
                    write!(batch, r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"#, self.next).unwrap();
                    write(&mut batch);
                    batch.extend_from_slice(b"}}\n");
                    waiting.insert(self.next, now);
                    self.next += 1;
                }
                self.input.write_all(&batch).unwrap();
                batch.clear();
            } else if waiting.is_empty() {
                return Load { took: started.elapsed(), latencies };
            }
            // All that came at once, before more is sent.
            loop {
                line.clear();
                assert!(self.output.read_until(b'\n', &mut line).unwrap() > 0, "{} has gone", self.name);
                let text = std::str::from_utf8(&line).unwrap();
                let reply: Reply<'_> = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
                let sent = waiting.remove(&reply.id).unwrap_or_else(|| panic!("nobody waits for {text}"));
                latencies.push(sent.elapsed());
                check(text, &reply);
                if waiting.is_empty() || !self.output.buffer().contains(&b'\n') {
                    break;
                }
            }
        }
    }

    /// CPU time of the process so far, in clock ticks.
    pub fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        // utime and stime: fields 14 and 15 of proc(5); the first two are cut off.
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// A size out of /proc/PID/status, in MB.
    pub fn memory(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Load {
    pub fn calls_per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }
}

/// A program with nothing in its environment but where programs are: where the servers of the tests are is no setting of Callboard, which
/// refuses what it does not know.
pub fn program(path: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A variable that benches/run sets.
pub fn variable(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: start with benches/run"))
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
