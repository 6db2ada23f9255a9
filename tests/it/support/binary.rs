//! The real binary with a client of the tests at its standard streams.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::patience::{CALL_TIME, PATIENCE};

/// What the host hands to its server.
#[derive(Clone, Copy, Debug)]
pub enum Streams {
    /// As Python and Rust hosts do.
    Pipes,
    /// As Node hosts do.
    Sockets,
}

/// A running Callboard.
pub struct Binary {
    pub child: Child,
    pub home: TempDir,
    stdin: Option<Box<dyn Write + Send>>,
    lines: mpsc::Receiver<String>,
    /// Read while waiting for something else.
    aside: VecDeque<Value>,
    errors: Arc<Mutex<String>>,
    next: i64,
}

impl Binary {
    /// `callboard serve` over pipes with nothing set, greeted.
    pub fn serve() -> Self {
        let mut binary = Self::with(Streams::Pipes, |_| {});
        binary.initialize("2025-06-18");
        binary
    }

    /// Another one on the same data directory, greeted.
    pub fn beside(&self) -> Self {
        let data = self.home.path().join("data");
        let mut binary = Self::with(Streams::Pipes, |command| {
            command.env("CALLBOARD_DATA_DIR", data);
        });
        binary.initialize("2025-06-18");
        binary
    }

    /// `callboard serve`, not greeted; `change` sets what else the process needs.
    pub fn with(streams: Streams, change: impl FnOnce(&mut Command)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Self::command(&home);
        command.arg("serve");
        change(&mut command);
        let (input, output): (Box<dyn Write + Send>, Box<dyn Read + Send>);
        let mut child;
        match streams {
            Streams::Pipes => {
                child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                input = Box::new(child.stdin.take().unwrap());
                output = Box::new(child.stdout.take().unwrap());
            }
            Streams::Sockets => {
                let (ours_in, theirs_in) = UnixStream::pair().unwrap();
                let (ours_out, theirs_out) = UnixStream::pair().unwrap();
                command.stdin(OwnedFd::from(theirs_in)).stdout(OwnedFd::from(theirs_out)).stderr(Stdio::piped());
                child = command.spawn().unwrap();
                // The command holds their ends; the server must see the end of ours.
                drop(command);
                input = Box::new(ours_in);
                output = Box::new(ours_out);
            }
        }
        let errors = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let kept = Arc::clone(&errors);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, home, stdin: Some(input), lines, aside: VecDeque::new(), errors, next: 1_000 }
    }

    /// The binary with an environment of its own and `home` as data directory.
    pub fn command(home: &TempDir) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
        command.env_clear().env("HOME", home.path()).env("CALLBOARD_DATA_DIR", home.path().join("data"));
        for kept in ["PATH", "TMPDIR", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command.env("CALLBOARD_CALL_TIMEOUT_MS", CALL_TIME.as_millis().to_string()).current_dir(home.path());
        command
    }

    /// Shakes hands in an older revision; the answer.
    pub fn initialize(&mut self, revision: &str) -> Value {
        let client = json!({"name": "tests", "version": "1"});
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client});
        let answer = self.request("initialize", &params);
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        answer
    }

    /// Sends one line.
    pub fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Sends bytes as they are. An error (the server has gone) shows when the answer is missing.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin was ended");
        let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
    }

    /// The next line from the server. Every line must be JSON-RPC.
    pub fn message(&mut self) -> Value {
        self.aside.pop_front().unwrap_or_else(|| self.fresh())
    }

    fn fresh(&mut self) -> Value {
        let line =
            self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer; stderr:\n{}", self.stderr()));
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("stdout carries {line:?}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        message
    }

    /// The message that has this id, whatever comes before it.
    pub fn answer_to(&mut self, id: &Value) -> Value {
        if let Some(at) = self.aside.iter().position(|message| &message["id"] == id) {
            return self.aside.remove(at).unwrap();
        }
        loop {
            let message = self.fresh();
            if &message["id"] == id {
                return message;
            }
            self.aside.push_back(message);
        }
    }

    /// Calls a tool and waits for its answer no longer than this; the result.
    pub fn call_for(&mut self, tool: &str, arguments: &str, wait: Duration) -> Option<Value> {
        self.next += 1;
        let id = self.next;
        self.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
        ));
        let line = self.lines.recv_timeout(wait).ok()?;
        Some(serde_json::from_str::<Value>(&line).unwrap()["result"].take())
    }

    /// All that still comes until the server closes stdout.
    pub fn rest(&mut self) -> Vec<Value> {
        let mut rest: Vec<Value> = self.aside.drain(..).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => rest.push(serde_json::from_str(&line).unwrap()),
                Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("stdout stays open; stderr:\n{}", self.stderr()),
            }
        }
    }

    /// What a server said before it was killed, the line it was at perhaps not to its end.
    pub fn rest_of_killed(&mut self) -> Vec<Value> {
        let rest: Vec<Value> = self.aside.drain(..).collect();
        rest.into_iter().chain(self.lines.iter().filter_map(|line| serde_json::from_str(&line).ok())).collect()
    }

    /// Sends a request with an id of its own; the whole answer.
    pub fn request(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        self.answer_to(&json!(id))
    }

    /// Calls a tool with arguments as JSON text; the result.
    pub fn call(&mut self, tool: &str, arguments: &str) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
        ));
        let answer = self.answer_to(&json!(id));
        assert!(answer["result"].is_object(), "{tool} {arguments}\n→ {answer}");
        answer["result"].clone()
    }

    /// Calls a tool that must answer; its JSON.
    pub fn answer(&mut self, tool: &str, arguments: &str) -> Value {
        let result = self.call(tool, arguments);
        assert_ne!(result["isError"], true, "{tool} {arguments}\n→ {result}");
        serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
    }

    /// Calls a tool that must refuse; the error envelope.
    pub fn refused(&mut self, tool: &str, arguments: &str) -> Value {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool} {arguments}\n→ {result}");
        serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
    }

    /// Closes stdin.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process; how long that took.
    pub fn wait(&mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, started.elapsed());
            }
            assert!(started.elapsed() < PATIENCE, "the process stays; stderr:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the server wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory("VmRSS")
    }

    /// The most resident memory that there ever was, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.memory("VmHWM")
    }

    fn memory(&self, kind: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(kind)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
