//! Servers that cannot outlive the tests: a small shell waits on a pipe that closes when this process ends, however it ends, then stops the
//! server and removes its directory. A server that ends by itself leaves its status in a file, and its log, until then.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::patience::START;

/// The file in a server's directory that says with which status it has ended.
const ENDED: &str = "ended";

/// A running server with a directory of its own.
pub struct Guarded {
    shell: Child,
    pub dir: PathBuf,
    line: String,
}

impl Guarded {
    /// Makes a directory for a server, writable for every user.
    pub fn directory(name: &str) -> PathBuf {
        let dir = tempfile::Builder::new().prefix(&format!("callboard-{name}-")).tempdir().unwrap().keep();
        run(Command::new("chmod").arg("777").arg(&dir));
        dir
    }

    /// Starts `line` (a shell command) in `dir`, its output going to `dir/log`.
    pub fn start(dir: PathBuf, line: &str) -> Self {
        let log = File::create(dir.join("log")).unwrap();
        // What runs beside it reads nothing, unless it is told to. A server that waits for its clients before it ends is killed.
        let script = format!(
            "exec 3<&0\n\
             {{ {line}\n}} 3<&- & server=$!\n\
             {{ cat <&3 >/dev/null; [ -e '{ended}' ] || kill $server;\n\
                left=20; while [ ! -e '{ended}' ] && [ $left -gt 0 ]; do sleep 0.1; left=$((left - 1)); done\n\
                [ -e '{ended}' ] || kill -KILL $server; }} 2>/dev/null & guard=$!\n\
             wait $server; echo $? >'{ended}.new' && mv '{ended}.new' '{ended}'\n\
             wait $guard; rm -rf '{dir}'",
            ended = dir.join(ENDED).display(),
            dir = dir.display()
        );
        let shell = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { shell, dir, line: line.to_owned() }
    }

    /// Waits until `ready` says so; panics with the command line and the log when the server ends before or takes far too long.
    pub fn wait_until(&mut self, mut ready: impl FnMut() -> bool) {
        let started = Instant::now();
        while !ready() {
            let log = || tail(&self.dir.join("log"));
            if let Ok(status) = std::fs::read_to_string(self.dir.join(ENDED)) {
                panic!("ended with status {} at its start: {}\n{}", status.trim(), self.line, log());
            }
            if started.elapsed() > START {
                panic!("not ready after {:?}: {}\n{}", started.elapsed(), self.line, log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().ok();
    }
}

/// Runs a command to its end; panics with its words when it fails.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `command` as a user that servers accept to run as, when the tests run as root.
pub fn as_user(command: &str) -> String {
    if rustix::process::geteuid().is_root() {
        format!("exec runuser -u postgres -- {command}")
    } else {
        format!("exec {command}")
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
