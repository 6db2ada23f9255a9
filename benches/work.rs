//! Workflows and tasks as agents use them, on both record stores: `benches/run work`. PostgreSQL with fsync on, against pgbench with the same
//! rows and the same number of clients; SQLite against the disk's own fdatasync. Rounds are interleaved and the best counts.

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
    io::Write,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use callboard::{
    app::App,
    config::{Config, DatabaseConfig, StoreConfig},
    mcp::{local::Local, server::Server},
};
use futures_util::future::join_all;
use serde_json::Value;
use support::{guarded, port, postgres};

const ROUND: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
const CALLERS: usize = 32;
const WORKERS: usize = 16;

/// The rows of a create_workflow with a key: workflow, its input, its event, its answer.
const CREATE: &str = "\\set a random(1, 9000000000000000000)\nBEGIN;
INSERT INTO callboard.workflow (id, name, type, state, version, created_at, changed_at, on_task_failure, needs_attention, cost_micros, tasks, tasks_open, tasks_parked, tasks_completed, tasks_dead, tasks_cancelled) VALUES ('pb_' || :a, 'n', 'bench', 'completed', 1, now(), now(), 'fail', false, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO callboard.workflow_result (workflow_id, input) VALUES ('pb_' || :a, '{\"topic\":\"x\"}');
INSERT INTO callboard.event (at, entity, entity_id, workflow_id, type, data) VALUES (now(), 'workflow', 'pb_' || :a, 'pb_' || :a, 'workflow_created', '{\"state\":\"pending\",\"version\":1,\"type\":\"bench\",\"name\":\"n\"}');
INSERT INTO callboard.idempotency (key, request_hash, answer, expires_at) VALUES ('pb_' || :a, 'hash', '{\"workflow_id\":\"x\"}', now() + interval '1 day');
END;
";

/// The same four in Redis, in one script: what a workflow is, its input, its event, its answer for a day.
const CREATE_IN_REDIS: &str = "redis.call('hset',KEYS[1],'name','n','type','bench','state','pending','version',1,'created_at',ARGV[1]) \
 redis.call('set',KEYS[2],'{\"topic\":\"x\"}') \
 redis.call('xadd','events','*','entity',KEYS[1],'type','workflow_created','data','{\"state\":\"pending\",\"version\":1,\"type\":\"bench\",\"name\":\"n\"}') \
 redis.call('set',KEYS[3],'{\"workflow_id\":\"x\"}','EX',86400)";

/// A queue in raw SQL, as the leanest ones do it: a claim and an end, one commit each.
const QUEUE: &str = "CREATE TABLE raw_queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sort_key bigint NOT NULL, state text NOT NULL, payload text,
 result text, lease_until timestamptz); CREATE INDEX raw_ready ON raw_queue (sort_key, id) WHERE state = 'ready';
 CREATE TABLE raw_event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task bigint, type text, at timestamptz);
 INSERT INTO raw_queue (sort_key, state, payload) SELECT n, 'ready', '{\"n\":1}' FROM generate_series(1, 400000) n; ANALYZE raw_queue";
const TURN: &str = "BEGIN;
WITH next AS (SELECT id FROM raw_queue WHERE state = 'ready' ORDER BY sort_key, id LIMIT 1 FOR UPDATE SKIP LOCKED) UPDATE raw_queue SET state = 'leased', lease_until = now() + interval '15 min' FROM next WHERE raw_queue.id = next.id RETURNING raw_queue.id AS task \\gset
INSERT INTO raw_event (task, type, at) VALUES (:task, 'claimed', now());
END;
BEGIN;
UPDATE raw_queue SET state = 'completed', result = '{\"rows\":12}' WHERE id = :task AND state = 'leased';
INSERT INTO raw_event (task, type, at) VALUES (:task, 'completed', now());
END;
";

struct Board(Local);

impl Board {
    fn open(home: &Path, store: StoreConfig) -> Self {
        let mut config = Config::embedded(home);
        config.store = store;
        config.limits.active_workflows_max = 10_000_000;
        Self(Local::new(Server::new(App::new(config).unwrap())))
    }

    async fn call(&self, tool: &str, arguments: &str) -> Value {
        let called = self.0.call(tool, arguments).await.unwrap();
        assert!(!called.is_error, "{tool} {arguments}\n→ {}", called.text);
        serde_json::from_str(&called.text).unwrap()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let home = guarded::Guarded::directory("work");
    let server = postgres::PostgresServer::start(&postgres::own_bin(), "-c fsync=on");
    let url = server.database();
    let name = postgres::name_of(&url);
    let settings = || DatabaseConfig { name: "store".to_owned(), description: None, url: url.clone().into() };
    let boards = [
        ("PostgreSQL", Board::open(&home.join("p"), StoreConfig::Server(settings()))),
        ("SQLite", Board::open(&home.join("s"), StoreConfig::Embedded)),
    ];
    for (_, board) in &boards {
        board.call("create_workflow", r#"{"name":"first"}"#).await;
    }
    server.psql(name, QUEUE);
    let mut table = String::from("| measure | store | value | against |\n|---|---|---|---|\n");
    // Some of them alone, to try something out, are not kept.
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let asked = |part: &str| only.is_empty() || only.iter().any(|one| one == part);
    if asked("creates") {
        creates(&mut table, &boards, &server, name, &home).await;
    }
    if asked("turns") {
        turns(&mut table, &boards, &server, name, &home).await;
    }
    if asked("wakes") {
        wakes(&mut table, &home, &settings).await;
    }
    if asked("history") {
        history(&mut table, &boards[0].1, &server, name).await;
    }
    drop(boards);
    if asked("glances") {
        glances(&mut table, &server, &home).await;
    }
    print!("{table}");
    if !only.is_empty() {
        return;
    }
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/work.md"), table).unwrap();
    fs::remove_dir_all(home).unwrap();
}

/// Calls a second, and how long the middle one took in ms.
async fn create(board: &Board, callers: usize, round: usize) -> (f64, f64) {
    let started = Instant::now();
    let caller = |caller: usize| async move {
        let mut took = Vec::new();
        while started.elapsed() < ROUND {
            let begun = Instant::now();
            let key = format!("{round}-{callers}-{caller}-{}", took.len());
            let call = format!(r#"{{"name":"n","type":"bench","input":{{"topic":"x"}},"idempotency_key":"{key}"}}"#);
            board.call("create_workflow", &call).await;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        took
    };
    let mut took: Vec<f64> = join_all((0..callers).map(caller)).await.concat();
    took.sort_by(f64::total_cmp);
    (took.len() as f64 / started.elapsed().as_secs_f64(), took[took.len() / 2])
}

async fn creates(
    table: &mut String,
    boards: &[(&str, Board)],
    server: &postgres::PostgresServer,
    name: &str,
    home: &Path,
) {
    let (mut many, mut one, mut peer, mut sync) = ([0.0_f64; 2], [f64::MAX; 2], 0.0_f64, f64::MAX);
    let (redis, port) = redis();
    let mut always = 0.0_f64;
    for round in 0..ROUNDS {
        sync = sync.min(fdatasync(home));
        always = always.max(redis_benchmark(port.number()));
        peer = peer.max(pgbench(server.port, name, CREATE, CALLERS, home));
        for (place, (_, board)) in boards.iter().enumerate() {
            many[place] = many[place].max(create(board, CALLERS, round).await.0);
            one[place] = one[place].min(create(board, 1, round).await.1);
        }
    }
    drop(redis);
    for (place, (store, _)) in boards.iter().enumerate() {
        let against = match place {
            0 => format!("{:.2} of pgbench's {peer:.0}/s (target ≥ 0.8)", many[0] / peer),
            _ => format!("{:.2} of pgbench's {peer:.0}/s", many[1] / peer),
        };
        let bound = 1.3 * sync + 0.3;
        table.push_str(&format!(
            "| create_workflow, {CALLERS} callers | {store} | {:.0}/s | {against} |\n",
            many[place]
        ));
        table.push_str(&format!(
            "| the same | {store} | {:.0}/s | {:.2} of {always:.0}/s of Redis, appendfsync always, the same four in one script (target ≥ 1.4) |\n",
            many[place],
            many[place] / always
        ));
        table.push_str(&format!(
            "| create_workflow, one caller | {store} | {:.2} ms | 1.3 fdatasync + 0.3 ms = {bound:.2} ms |\n",
            one[place]
        ));
    }
}

/// Claims and ends of single tasks, turns a second.
async fn turn(board: &Board) -> f64 {
    let tasks = 100 * WORKERS;
    for _ in 0..tasks / 100 {
        let hundred = vec![r#"{"queue":"bench","input":{"n":1}}"#; 100].join(",");
        board.call("enqueue_tasks", &format!(r#"{{"tasks":[{hundred}]}}"#)).await;
    }
    let started = Instant::now();
    let worker = |worker: usize| async move {
        let mut done = 0;
        loop {
            let claim = format!(r#"{{"agent_id":"w{worker}","queues":["bench"]}}"#);
            let claimed = board.call("claim_tasks", &claim).await;
            let Some(task) = claimed["tasks"].get(0) else { return done };
            let token = &task["lease_token"];
            let finish = format!(r#"{{"lease_token":{token},"outcome":"completed","result":{{"rows":12}}}}"#);
            board.call("finish_task", &finish).await;
            done += 1;
        }
    };
    let done: usize = join_all((0..WORKERS).map(worker)).await.into_iter().sum();
    assert_eq!(done, tasks);
    done as f64 / started.elapsed().as_secs_f64()
}

async fn turns(
    table: &mut String,
    boards: &[(&str, Board)],
    server: &postgres::PostgresServer,
    name: &str,
    home: &Path,
) {
    let (mut ours, mut raw) = ([0.0_f64; 2], 0.0_f64);
    for _ in 0..ROUNDS {
        raw = raw.max(pgbench(server.port, name, TURN, WORKERS, home));
        for (place, (_, board)) in boards.iter().enumerate() {
            ours[place] = ours[place].max(turn(board).await);
        }
    }
    for (place, (store, _)) in boards.iter().enumerate() {
        let target = if place == 0 { " (target ≥ 0.7)" } else { "" };
        table.push_str(&format!(
            "| claim + finish, {WORKERS} workers | {store} | {:.0}/s | {:.2} of raw SQL's {raw:.0}/s on PostgreSQL{target} |\n",
            ours[place],
            ours[place] / raw
        ));
    }
}

/// From the call of an enqueue to the answer of a claim that waited for it, 95th of 100, in ms.
async fn wake(from: &Board, to: &Board) -> f64 {
    let mut took = Vec::new();
    for _ in 0..100 {
        let waiting = async {
            let claimed = to.call("claim_tasks", r#"{"agent_id":"w","queues":["wake"],"wait_ms":20000}"#).await;
            let at = Instant::now();
            let token = claimed["tasks"][0]["lease_token"].clone();
            to.call("finish_task", &format!(r#"{{"lease_token":{token},"outcome":"completed"}}"#)).await;
            at
        };
        let enqueue = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let at = Instant::now();
            from.call("enqueue_tasks", r#"{"tasks":[{"queue":"wake"}]}"#).await;
            at
        };
        let (answered, enqueued) = tokio::join!(waiting, enqueue);
        took.push(answered.duration_since(enqueued).as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    took[94]
}

async fn wakes(table: &mut String, home: &Path, settings: &dyn Fn() -> DatabaseConfig) {
    let sync = fdatasync(home);
    for (store, across, open) in [
        (
            "PostgreSQL",
            50.0,
            Box::new(|| Board::open(&home.join("pw"), StoreConfig::Server(settings()))) as Box<dyn Fn() -> Board>,
        ),
        ("SQLite", 250.0, Box::new(|| Board::open(&home.join("sw"), StoreConfig::Embedded))),
    ] {
        let (one, other) = (open(), open());
        let (same, apart) = (wake(&one, &one).await, wake(&one, &other).await);
        table.push_str(&format!(
            "| enqueue → waiting claim, p95, one server | {store} | {same:.1} ms | fdatasync + 10 ms = {:.1} ms |\n",
            sync + 10.0
        ));
        table.push_str(&format!("| the same across servers | {store} | {apart:.1} ms | {across:.0} ms |\n"));
    }
}

/// Claims with a million finished tasks behind them.
async fn history(table: &mut String, board: &Board, server: &postgres::PostgresServer, name: &str) {
    let empty = turn(board).await.max(turn(board).await);
    server.psql(
        name,
        "INSERT INTO callboard.task (id, errors, capabilities, max_attempts, on_dependency_failure, queue, priority, cost_micros, redrive_count, \
         created_at, completed_at, ended, fence, attempt, input, result) SELECT 'tk_old' || n, '[]', '[]', 5, 'cancel', 'bench', 5, 0, 0, now(), now(), \
         'completed', 1, 1, '{\"n\":1}', '\\x007b7d' FROM generate_series(1, 1000000) n",
    );
    // As the server itself does before long, and would do in the middle of the measurement.
    server.psql(name, "VACUUM ANALYZE callboard.task");
    let full = turn(board).await.max(turn(board).await);
    table.push_str(&format!(
        "| claim + finish with 1,000,000 finished tasks | PostgreSQL | {full:.0}/s | {:.2} of {empty:.0}/s with few |\n",
        full / empty
    ));
    server.psql(
        name,
        "INSERT INTO callboard.task_run (task_id, queue, state, priority, sort_key, run_at, held, capability_set, fence, attempt, infra_failures, \
         open_dependencies, signals_seen, since) SELECT 'tk_plan' || n, 'plan', 'ready', 5, n, now(), false, 0, 0, 0, 0, 0, 0, now() \
         FROM generate_series(1, 10000) n; ANALYZE callboard.task_run",
    );
    let plan = server.psql(
        name,
        "SET search_path = callboard; EXPLAIN (COSTS off) SELECT sort_key, task_id FROM task_run WHERE state = 'ready' AND NOT held AND queue = 'plan' \
         AND capability_set = ANY('{0}') ORDER BY sort_key, task_id LIMIT 1 FOR UPDATE SKIP LOCKED",
    );
    table.push_str(&format!("| plan of a claim | PostgreSQL | `{}` | |\n", plan.replace('\n', " / ")));
    server.psql(name, "DELETE FROM callboard.task_run WHERE queue = 'plan'");
}

/// Everything at a glance and one workflow, with 500 open workflows and 10,000 open tasks.
async fn glances(table: &mut String, server: &postgres::PostgresServer, home: &Path) {
    // Stores of their own: nothing else is kept in them.
    let settings = DatabaseConfig { name: "store".to_owned(), description: None, url: server.database().into() };
    let boards = [
        ("PostgreSQL", Board::open(&home.join("pg"), StoreConfig::Server(settings))),
        ("SQLite", Board::open(&home.join("sg"), StoreConfig::Embedded)),
    ];
    for (store, board) in &boards {
        let tasks = vec![r#"{"queue":"glance"}"#; 20].join(",");
        let mut last = Value::Null;
        for _ in 0..500 {
            last = board.call("create_workflow", &format!(r#"{{"name":"w","tasks":[{tasks}]}}"#)).await;
        }
        let one = format!(r#"{{"workflow_id":{}}}"#, last["workflow_id"]);
        for (what, arguments) in [("one workflow", one.as_str()), ("everything", "{}")] {
            let mut took = Vec::new();
            for _ in 0..500 {
                let begun = Instant::now();
                board.call("get_orchestration_status", arguments).await;
                took.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            took.sort_by(f64::total_cmp);
            table.push_str(&format!(
                "| status of {what}, p99, 500 open workflows and 10,000 tasks | {store} | {:.1} ms | 5 ms |\n",
                took[494]
            ));
        }
    }
}

/// The middle of 300 appends of 8 KiB, in ms.
fn fdatasync(home: &Path) -> f64 {
    let mut file = fs::File::create(home.join("sync")).unwrap();
    let mut took: Vec<f64> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[7_u8; 8_192]).unwrap();
            file.sync_data().unwrap();
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[150]
}

/// A server that answers when what it was told is on disk.
fn redis() -> (guarded::Guarded, port::Port) {
    let (dir, port) = (guarded::Guarded::directory("redis"), port::Port::take());
    let number = port.number();
    let line = format!(
        "redis-server --port {number} --bind 127.0.0.1 --dir . --save '' --appendonly yes --appendfsync always"
    );
    let mut server = guarded::Guarded::start(dir, &line);
    server.wait_until(|| std::net::TcpStream::connect(("127.0.0.1", number)).is_ok());
    (server, port)
}

/// Scripts a second, with as many clients.
fn redis_benchmark(port: u16) -> f64 {
    let output = Command::new("redis-benchmark")
        .args(["-p", &port.to_string(), "-c", &CALLERS.to_string(), "-n", "60000", "-r", "1000000000", "-q", "eval"])
        .args([CREATE_IN_REDIS, "3", "wf:__rand_int__", "input:__rand_int__", "key:__rand_int__", "1795"])
        .output()
        .expect("redis-benchmark, of the package redis-server or redis-tools");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.split(['\r', '\n']).rfind(|line| line.contains(" requests per second"));
    let rate = last.and_then(|line| line.split(" requests per second").next()?.rsplit(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn pgbench(port: u16, database: &str, script: &str, clients: usize, home: &Path) -> f64 {
    let path = home.join("pgbench.sql");
    fs::write(&path, script).unwrap();
    let output = Command::new(postgres::own_bin().join("pgbench"))
        .args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
        .args(["-c", &clients.to_string(), "-j", "2", "-T", &ROUND.as_secs().to_string(), "-f"])
        .arg(&path)
        .arg(database)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}
