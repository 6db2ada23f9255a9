//! The harness's own servers: what ends at its start is told at once, and nothing is left behind.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use crate::support::{
    guarded::Guarded,
    patience::{PATIENCE, SOON},
};

/// What waiting for `line` to be ready is refused with.
fn refusal(line: &str) -> String {
    let mut server = Guarded::start(Guarded::directory("guarded"), line);
    let dir = server.dir.clone();
    let started = Instant::now();
    let refused = catch_unwind(AssertUnwindSafe(|| server.wait_until(|| false))).unwrap_err();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    drop(server);
    assert!(!dir.exists(), "{} stays", dir.display());
    refused.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn a_server_that_ends_at_its_start_is_told_at_once_with_its_log() {
    assert_eq!(
        refusal("echo no such option; exit 78"),
        "ended with status 78 at its start: echo no such option; exit 78\nno such option"
    );
    // As servers are started for the tests.
    assert_eq!(refusal("exec echo gone"), "ended with status 0 at its start: exec echo gone\ngone");
    let missing = refusal("exec env /nowhere/bin/server");
    let (told, log) = missing.split_once('\n').unwrap();
    assert_eq!(told, "ended with status 127 at its start: exec env /nowhere/bin/server");
    assert!(log.contains("/nowhere/bin/server"), "{log}");
}

#[test]
fn a_server_that_runs_is_stopped_and_leaves_nothing() {
    let mut server = Guarded::start(Guarded::directory("guarded"), "echo $$ >pid; exec sleep 3600");
    let dir = server.dir.clone();
    let mut pid = None;
    server.wait_until(|| {
        let text = std::fs::read_to_string(dir.join("pid")).unwrap_or_default();
        pid = text.strip_suffix('\n').map(str::to_owned);
        pid.is_some()
    });
    drop(server);
    assert!(!dir.exists(), "{} stays", dir.display());
    let process = format!("/proc/{}", pid.unwrap());
    let started = Instant::now();
    while Path::new(&process).exists() {
        assert!(started.elapsed() < PATIENCE, "{process} runs on");
        std::thread::sleep(Duration::from_millis(5));
    }
}
