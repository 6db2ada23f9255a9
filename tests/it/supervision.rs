//! What nobody calls for: processes that are gone, agents that are lost, leases of who is heard of, one leader, sums of costs.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard::{
    adapters::sqlite::store::RecordFile,
    app::App,
    background::Background,
    changes::Changes,
    clock::{Clock, Instant},
    config::{Migrate, StoreConfig},
    domain::sessions::{Place, Process, Sight},
    error::Error,
    jobs::{Beside, Job, Jobs, LEADS, Report},
    ports::process::Processes,
    services::sessions::Sessions,
    store::Store,
};
use rusqlite::Connection;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{
    binary::Binary,
    clock::TestClock,
    harness::{self, Harness},
    patience::PATIENCE,
    postgres,
};

/// A machine on which some processes run.
struct Machine {
    own: i64,
    /// The largest number that nobody has any more.
    gone: AtomicI64,
}

fn place(machine: &str) -> Place {
    Place { machine: machine.into(), boot: format!("boot of {machine}"), space: "s".into() }
}

impl Processes for Machine {
    fn own(&self) -> Process {
        Process { place: place("here"), pid: self.own, start: self.own }
    }

    fn see(&self, other: &Place, pid: i64) -> Sight {
        match () {
            () if *other != place("here") => Sight::Hidden,
            () if pid <= self.gone.load(Ordering::SeqCst) => Sight::Nobody,
            () => Sight::Started(pid),
        }
    }
}

struct Stage {
    home: TempDir,
    store: Arc<Store>,
    clock: Arc<TestClock>,
    machine: Arc<Machine>,
    sessions: Sessions,
}

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = RecordFile::new(home.path().join("callboard.db"), Migrate::Auto);
        let store = Arc::new(Store::new(Arc::new(file)));
        let clock = Arc::new(TestClock::default());
        let machine = Arc::new(Machine { own: 1_000, gone: AtomicI64::new(0) });
        let lease_time = Duration::from_mins(15);
        let sessions = Sessions::new(
            Arc::clone(&store) as _,
            Arc::clone(&machine) as _,
            Arc::clone(&clock) as Arc<dyn Clock>,
            lease_time,
        );
        Self { home, store, clock, machine, sessions }
    }

    fn file(&self) -> Connection {
        Connection::open(self.home.path().join("callboard.db")).unwrap()
    }

    /// A sign of life and a look at the others; how many were ended.
    async fn round(&self) -> u64 {
        self.sessions.beat(self.clock.now()).await.unwrap();
        self.sessions.reap(self.clock.now()).await.unwrap().sessions
    }
}

fn leased(
    file: &Connection,
    task: &str,
    owner: &str,
    session: &str,
    lease_until: Instant,
    runs_until: Option<Instant>,
) {
    file.execute(
        "INSERT INTO task_run (task_id, queue, state, priority, sort_key, run_at, held, capability_set, fence, attempt, \
         infra_failures, open_dependencies, owner, session_id, secret, lease_until, runs_until, signals_seen, since) \
         VALUES (?1, 'default', 'leased', 5, 0, 0, 0, 0, 1, 1, 0, 0, ?2, ?3, 's', ?4, ?5, 0, 0)",
        rusqlite::params![task, owner, session, lease_until.0, runs_until.map(|until| until.0)],
    )
    .unwrap();
}

fn lease_of(file: &Connection, task: &str) -> Instant {
    file.query_row("SELECT lease_until FROM task_run WHERE task_id = ?1", [task], |row| row.get(0).map(Instant))
        .unwrap()
}

#[tokio::test]
async fn a_process_that_is_gone_is_ended_at_once_and_one_that_is_silent_after_45_seconds() {
    let stage = Stage::new();
    stage.sessions.current().await.unwrap();
    let now = stage.clock.now();
    for (id, place, pid) in [("dead", place("here"), 7), ("alive", place("here"), 8), ("far", place("there"), 7)] {
        stage.store.begin_session(id, &Process { place, pid, start: pid }, now).await.unwrap();
        leased(&stage.file(), &format!("task of {id}"), id, id, now.after(Duration::from_mins(10)), None);
    }
    assert_eq!(stage.round().await, 0);
    stage.machine.gone.store(7, Ordering::SeqCst);
    assert_eq!(stage.round().await, 1);
    assert_eq!(lease_of(&stage.file(), "task of dead"), now);
    assert_eq!(lease_of(&stage.file(), "task of far"), now.after(Duration::from_mins(10)));
    // This process listens all the time; the others say nothing.
    let mut ended = Vec::new();
    for _ in 0..5 {
        stage.clock.pass(Duration::from_secs(9));
        ended.push(stage.round().await);
    }
    assert_eq!(ended, [0, 0, 0, 0, 2]);
    assert_eq!(lease_of(&stage.file(), "task of far"), now.after(Duration::from_secs(45)));
}

#[tokio::test]
async fn who_was_away_itself_takes_nobody_to_be_gone() {
    let stage = Stage::new();
    stage.sessions.current().await.unwrap();
    let far = Process { place: place("there"), pid: 7, start: 7 };
    stage.store.begin_session("far", &far, stage.clock.now()).await.unwrap();
    assert_eq!(stage.round().await, 0);
    // The store was away, or the machine slept.
    stage.clock.pass(Duration::from_hours(1));
    for _ in 0..4 {
        assert_eq!(stage.round().await, 0);
        stage.clock.pass(Duration::from_secs(10));
    }
    stage.clock.pass(Duration::from_secs(5));
    assert_eq!(stage.round().await, 1);
}

#[tokio::test]
async fn an_orderly_end_leaves_a_minute() {
    let stage = Stage::new();
    let id = stage.sessions.current().await.unwrap();
    assert_eq!(stage.sessions.current().await.unwrap(), id);
    let now = stage.clock.now();
    leased(&stage.file(), "long", "a", &id, now.after(Duration::from_mins(10)), None);
    leased(&stage.file(), "short", "a", &id, now.after(Duration::from_secs(5)), None);
    stage.sessions.end().await.unwrap();
    // A job that was about to say that it is there comes too late.
    stage.sessions.beat(now.after(Duration::from_secs(1))).await.unwrap();
    assert_eq!(lease_of(&stage.file(), "long"), now.after(Duration::from_mins(1)));
    assert_eq!(lease_of(&stage.file(), "short"), now.after(Duration::from_secs(5)));
    assert!(stage.store.open_sessions().await.unwrap().is_empty());
}

#[tokio::test]
async fn calls_of_an_agent_renew_what_it_holds_but_never_beyond_its_end() {
    let stage = Stage::new();
    let id = stage.sessions.current().await.unwrap();
    let now = stage.clock.now();
    let soon = now.after(Duration::from_secs(30));
    let limit = now.after(Duration::from_mins(2));
    for (task, owner, runs_until) in [("t1", "a", None), ("t2", "a", Some(limit)), ("t3", "b", None), ("t4", "c", None)]
    {
        leased(&stage.file(), task, owner, &id, soon, runs_until);
    }
    stage.sessions.heard(Some("a"), None);
    stage.sessions.heard(None, Some("t4.1.s"));
    stage.round().await;
    let renewed = now.after(Duration::from_mins(15));
    let leases: Vec<Instant> = ["t1", "t2", "t3", "t4"].map(|task| lease_of(&stage.file(), task)).into();
    assert_eq!(leases, [renewed, limit, soon, renewed]);
    // Calls that name nobody are those of the only agent that there is.
    stage.clock.pass(Duration::from_mins(1));
    stage.sessions.heard(None, None);
    stage.round().await;
    assert_eq!(lease_of(&stage.file(), "t1"), renewed.after(Duration::from_mins(1)));
    stage.sessions.heard(Some("b"), None);
    stage.round().await;
    stage.clock.pass(Duration::from_mins(1));
    stage.sessions.heard(None, None);
    stage.round().await;
    assert_eq!(lease_of(&stage.file(), "t1"), renewed.after(Duration::from_mins(1)), "there are two");
}

#[tokio::test]
async fn agents_are_lost_when_nothing_is_heard_and_back_with_their_next_call() {
    let (board, clock) = Harness::timed();
    // Not by a tool: every call here is one of the only agent.
    let status = async || board.app.agents.list(Default::default()).await.unwrap().agents[0].status.as_str();
    board.answer("register_agent", r#"{"role":"r","agent_id":"a"}"#).await;
    board.app.jobs.run_once().await;
    clock.pass(Duration::from_mins(14));
    board.app.jobs.run_once().await;
    assert_eq!(status().await, "idle");
    clock.pass(Duration::from_mins(1));
    board.app.jobs.run_once().await;
    assert_eq!(status().await, "lost");
    board.answer("manage_lock", r#"{"action":"inspect","resource":"x","agent_id":"a"}"#).await;
    board.app.jobs.run_once().await;
    assert_eq!(status().await, "idle");
}

#[tokio::test]
async fn a_killed_process_is_found_and_what_it_held_is_free() {
    let mut server = Binary::serve();
    server.answer("register_agent", r#"{"role":"r","agent_id":"a"}"#);
    server.answer("manage_lock", r#"{"action":"acquire","resource":"db","agent_id":"a","ttl_ms":3600000}"#);
    let app = App::new(harness::config(&server.home.path().join("data"))).unwrap();
    app.jobs.run_once().await;
    assert!(app.sessions.current().await.is_ok());
    let lost = |list: callboard::services::agents::AgentList| list.agents[0].status.as_str();
    assert_eq!(lost(app.agents.list(Default::default()).await.unwrap()), "idle");
    server.signal(Signal::KILL);
    server.wait();
    app.jobs.run_once().await;
    assert_eq!(lost(app.agents.list(Default::default()).await.unwrap()), "lost");
    let inspect = callboard::services::locks::LockRequest {
        action: callboard::services::locks::Action::Inspect,
        resource: "db".into(),
        agent_id: None,
        ttl_ms: None,
        wait_ms: None,
        token: None,
        key: None,
    };
    let seen = app.locks.manage(inspect).await.unwrap();
    assert!(matches!(seen, callboard::services::locks::LockAnswer::Free), "{seen:?}");
}

#[tokio::test]
async fn a_task_of_a_killed_process_is_claimed_by_another_at_once() {
    let mut server = Binary::serve();
    server.answer("enqueue_tasks", r#"{"tasks":[{"key":"one"}]}"#);
    let first = server.answer("claim_tasks", r#"{"agent_id":"a"}"#);
    let mut other = server.beside();
    assert_eq!(other.answer("claim_tasks", r#"{"agent_id":"b"}"#)["tasks"].as_array().unwrap().len(), 0);
    server.signal(Signal::KILL);
    server.wait();
    let app = App::new(harness::config(&server.home.path().join("data"))).unwrap();
    app.jobs.run_once().await;
    let second = other.answer("claim_tasks", r#"{"agent_id":"b"}"#);
    assert_eq!(second["tasks"][0]["task_id"], first["tasks"][0]["task_id"]);
    // What the first one held proves nothing any more.
    let late = serde_json::json!({"lease_token": first["tasks"][0]["lease_token"], "outcome": "completed"}).to_string();
    assert_eq!(other.refused("finish_task", &late)["code"], "lease_lost");
}

#[test]
fn a_process_that_is_asked_to_stop_says_so() {
    let mut server = Binary::serve();
    server.answer("register_agent", r#"{"role":"r","agent_id":"a"}"#);
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
    let file = Connection::open(server.home.path().join("data").join("callboard.db")).unwrap();
    let ended = "SELECT count(*) FROM session WHERE ended_at IS NOT NULL";
    assert_eq!(file.query_row(ended, [], |row| row.get::<_, i64>(0)), Ok(1));
    let told = "SELECT data FROM event WHERE type = 'session_ended'";
    let data: String = file.query_row(told, [], |row| row.get(0)).unwrap();
    assert_eq!(data, r#"{"reason":"stopped","grace_ms":60000,"leases":0,"locks":0,"agents":1}"#);
}

#[test]
fn jobs_run_beside_the_calls_of_a_server() {
    let mut server = Binary::serve();
    server.answer("manage_lock", r#"{"action":"acquire","resource":"db","ttl_ms":1000}"#);
    let file = Connection::open(server.home.path().join("data").join("callboard.db")).unwrap();
    let expired = "SELECT count(*) FROM event WHERE type = 'lock_expired'";
    let begun = std::time::Instant::now();
    while file.query_row(expired, [], |row| row.get::<_, i64>(0)) != Ok(1) {
        assert!(begun.elapsed() < PATIENCE, "{}", server.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_lone_call_binds_nothing_to_its_process() {
    let home = tempfile::tempdir().unwrap();
    let call = |tool: &str, arguments: &str| {
        let output = Binary::command(&home).args(["call", tool, arguments]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert!(call("get_server_info", "{}")["version"].is_string());
    assert!(!home.path().join("data").join("callboard.db").exists(), "nothing is made for a look");
    call("enqueue_tasks", r#"{"tasks":[{"key":"one"}]}"#);
    let claimed = call("claim_tasks", r#"{"agent_id":"a"}"#);
    let update = serde_json::json!({"lease_token": claimed["tasks"][0]["lease_token"], "progress": 0.5}).to_string();
    assert_eq!(call("update_task", &update)["cancel_requested"], false);
    assert_eq!(call("register_agent", r#"{"role":"r","agent_id":"a"}"#)["code"], "conflict");
}

#[tokio::test]
async fn costs_are_summed_up_by_day_once() {
    let (board, _clock) = Harness::timed();
    board.answer("register_agent", r#"{"role":"r"}"#).await;
    let file = Connection::open(board.home.path().join("callboard.db")).unwrap();
    for round in 1..=2 {
        for n in 0..1_500 {
            file.execute(
                "INSERT INTO cost (at, day, type, agent_id, model, cost_micros, input_tokens, output_tokens) \
                 VALUES (0, ?1, 't', 'a', 'm', 10, 2, 1)",
                [format!("2026-05-{:02}", 1 + n % 3)],
            )
            .unwrap();
        }
        for _ in 0..2 {
            board.app.jobs.run_once().await;
        }
        let sums: (i64, i64, i64, i64, i64) = file
            .query_row(
                "SELECT count(*), sum(cost_micros), sum(input_tokens), sum(output_tokens), sum(reports) FROM cost_daily",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
            )
            .unwrap();
        assert_eq!(sums, (3, round * 15_000, round * 3_000, round * 1_500, round * 1_500));
        let left: i64 = file.query_row("SELECT count(*) FROM cost", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day() {
    let (board, clock) = Harness::timed();
    board.answer("register_agent", r#"{"role":"r","agent_id":"a","idempotency_key":"k"}"#).await;
    let file = Connection::open(board.home.path().join("callboard.db")).unwrap();
    let keys = || file.query_row("SELECT count(*) FROM idempotency", [], |row| row.get::<_, i64>(0)).unwrap();
    clock.pass(Duration::from_hours(23));
    board.app.jobs.run_once().await;
    assert_eq!(keys(), 1);
    clock.pass(Duration::from_hours(1));
    board.app.jobs.run_once().await;
    assert_eq!(keys(), 0);
}

#[tokio::test]
async fn every_job_can_be_done_on_both_stores() {
    let url = postgres::shared().database();
    let server = Harness::with(|config| config.store = StoreConfig::Server(harness::database(&url)));
    for board in [Harness::embedded(), server] {
        board.answer("register_agent", r#"{"role":"r"}"#).await;
        board.answer("create_workflow", r#"{"name":"n","tasks":[{"key":"a"}]}"#).await;
        board.app.jobs.run_once().await;
        assert_eq!(board.app.jobs.failing(), BTreeSet::new());
    }
}

#[tokio::test]
async fn nothing_is_written_while_there_is_nothing_to_do() {
    let (board, clock) = Harness::timed();
    let app = App::with_clock(harness::config(board.home.path()), clock).unwrap();
    app.agents.list(Default::default()).await.unwrap();
    let file = Connection::open(board.home.path().join("callboard.db")).unwrap();
    let version = || file.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = version();
    for _ in 0..3 {
        assert_eq!(app.jobs.run_once().await, 0);
    }
    assert_eq!(version(), before);
}

/// Finds something to do as long as it is told so.
struct Counted {
    left: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
}

#[async_trait::async_trait]
impl Job for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn every(&self) -> Duration {
        Duration::ZERO
    }

    async fn run_once(&self, _now: Instant) -> Result<Report, Error> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        self.done.fetch_add(u64::from(left.is_ok()), Ordering::SeqCst);
        Ok(Report { changed: u64::from(left.is_ok()) })
    }
}

/// Fails in a way that nobody has thought of.
struct Faulty;

#[async_trait::async_trait]
impl Job for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn every(&self) -> Duration {
        Duration::ZERO
    }

    async fn run_once(&self, _now: Instant) -> Result<Report, Error> {
        panic!("as asked for")
    }
}

#[tokio::test]
async fn a_job_that_panics_keeps_no_other_from_being_done() {
    let stage = Stage::new();
    let (left, done) = (Arc::new(AtomicU64::new(2)), Arc::new(AtomicU64::new(0)));
    let counted = Counted { left, done: Arc::clone(&done) };
    let beside = Beside { background: Background::default(), something_is_kept: true };
    let clock = Arc::clone(&stage.clock) as Arc<dyn Clock>;
    let jobs: Vec<Arc<dyn Job>> = vec![Arc::new(Faulty), Arc::new(counted)];
    let jobs = Jobs::new(jobs, Arc::clone(&stage.store) as _, clock, Arc::default(), beside);
    for rounds in 1..=2 {
        jobs.run_once().await;
        assert_eq!((done.load(Ordering::SeqCst), jobs.failing()), (rounds, BTreeSet::from(["faulty"])));
    }
}

#[tokio::test]
async fn one_process_leads_and_another_takes_over_when_it_stops() {
    let stage = Stage::new();
    let left = Arc::new(AtomicU64::new(100));
    let member = || {
        let done = Arc::new(AtomicU64::new(0));
        let job: Arc<dyn Job> = Arc::new(Counted { left: Arc::clone(&left), done: Arc::clone(&done) });
        let clock = Arc::clone(&stage.clock) as Arc<dyn Clock>;
        let changes = Arc::new(Changes::default());
        let store = Arc::clone(&stage.store) as _;
        let beside = Beside { background: Background::default(), something_is_kept: true };
        (Jobs::new(vec![job], store, clock, changes, beside), done)
    };
    let ((one, by_one), (two, by_two)) = (member(), member());
    for _ in 0..5 {
        one.run_once().await;
        two.run_once().await;
        stage.clock.pass(Duration::from_secs(5));
    }
    assert_eq!((by_one.load(Ordering::SeqCst), by_two.load(Ordering::SeqCst)), (5, 0));
    // The first is killed: the second waits no longer than the first had said that it leads.
    two.run_once().await;
    assert_eq!(by_two.load(Ordering::SeqCst), 0);
    stage.clock.pass(LEADS - Duration::from_secs(5));
    two.run_once().await;
    one.run_once().await;
    assert_eq!((by_one.load(Ordering::SeqCst), by_two.load(Ordering::SeqCst)), (5, 1));
    // When there is nothing to do nobody leads, and who finds something first does.
    left.store(0, Ordering::SeqCst);
    stage.clock.pass(LEADS);
    two.run_once().await;
    left.store(100, Ordering::SeqCst);
    one.run_once().await;
    assert_eq!(by_one.load(Ordering::SeqCst), 6);
    // At a clean end the other one takes over at once, also when a round was still running.
    one.end().await.unwrap();
    one.run_once().await;
    two.run_once().await;
    assert_eq!((by_one.load(Ordering::SeqCst), by_two.load(Ordering::SeqCst)), (7, 2));
}
