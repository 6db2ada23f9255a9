//! Durable transitions, four rows each, on both record stores: `benches/run records`. PostgreSQL with fsync on against pgbench writing the
//! same rows with 32 clients; SQLite against Python's sqlite3, one commit each; one caller against the disk's own fdatasync. Rounds are
//! interleaved; the best of each counts, because the machine is shared.

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
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{
    adapters::{postgres::store::RecordServer, sqlite::store::RecordFile},
    background::Background,
    changes::{Interest, Topic},
    clock::{Clock, SystemClock},
    config::{DatabaseConfig, Migrate},
    domain::idempotency::{Key, Repeat},
    error::Error,
    store::{Backend, Sql, Store, Transaction, idempotency::once},
};
use futures_util::future::{BoxFuture, join_all, try_join3};
use support::{guarded, postgres};

const CALLERS: [usize; 4] = [1, 16, 32, 64];
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 8;

const TABLES: [&str; 3] = [
    "-- bench_tables\nCREATE TABLE bench_workflow (id text PRIMARY KEY NOT NULL, name text NOT NULL, type text NOT NULL, state text NOT NULL, \
     version bigint NOT NULL, created_at timestamptz NOT NULL, changed_at timestamptz NOT NULL)",
    "-- bench_tables\nCREATE TABLE bench_result (workflow_id text PRIMARY KEY NOT NULL, input text)",
    "-- bench_tables\nCREATE TABLE bench_event (id text PRIMARY KEY NOT NULL, at timestamptz NOT NULL, entity text NOT NULL, workflow_id text, \
     type text NOT NULL, data text)",
];

const WORKFLOW: &str = "-- bench_workflow\nINSERT INTO bench_workflow (id, name, type, state, version, created_at, changed_at) \
                        VALUES ($1, $2, 'research', 'pending', 1, $3, $3)";
const RESULT: &str = "-- bench_result\nINSERT INTO bench_result (workflow_id, input) VALUES ($1, $2)";
const EVENT: &str = "-- bench_event\nINSERT INTO bench_event (id, at, entity, workflow_id, type, data) VALUES ($1, $2, 'workflow', $3, 'created', $4)";
const INPUT: &str = r#"{"topic":"what durable transitions cost","sources":["a","b","c"],"depth":3}"#;

/// The same four rows, as pgbench and Python write them.
const PGBENCH: &str = "\\set a random(1, 9000000000000000000)\n\\set b random(1, 9000000000000000000)\nBEGIN;
INSERT INTO callboard.bench_workflow (id, name, type, state, version, created_at, changed_at) VALUES ('wf_' || :a || '_' || :b, 'a workflow', 'research', 'pending', 1, now(), now());
INSERT INTO callboard.bench_result (workflow_id, input) VALUES ('wf_' || :a || '_' || :b, '{\"topic\":\"what durable transitions cost\",\"sources\":[\"a\",\"b\",\"c\"],\"depth\":3}');
INSERT INTO callboard.bench_event (id, at, entity, workflow_id, type, data) VALUES ('ev_' || :a || '_' || :b, now(), 'workflow', 'wf_' || :a || '_' || :b, 'created', '{\"topic\":\"what durable transitions cost\",\"sources\":[\"a\",\"b\",\"c\"],\"depth\":3}');
INSERT INTO callboard.idempotency (key, request_hash, answer, expires_at) VALUES ('key_' || :a || '_' || :b, 'hash', '\"wf\"', now() + interval '1 day');
END;
";

const PYTHON: &str = r#"
import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode = WAL"); c.execute("PRAGMA synchronous = FULL")
c.execute("CREATE TABLE IF NOT EXISTS w (id text PRIMARY KEY NOT NULL, name text NOT NULL, type text NOT NULL, state text NOT NULL, version bigint NOT NULL, created_at bigint NOT NULL, changed_at bigint NOT NULL)")
c.execute("CREATE TABLE IF NOT EXISTS r (workflow_id text PRIMARY KEY NOT NULL, input text)")
c.execute("CREATE TABLE IF NOT EXISTS e (id text PRIMARY KEY NOT NULL, at bigint NOT NULL, entity text NOT NULL, workflow_id text, type text NOT NULL, data text)")
c.execute("CREATE TABLE IF NOT EXISTS i (key text PRIMARY KEY NOT NULL, request_hash text NOT NULL, answer text, expires_at bigint NOT NULL)")
c.execute("CREATE INDEX IF NOT EXISTS ix ON i (expires_at)")
text = '{"topic":"what durable transitions cost","sources":["a","b","c"],"depth":3}'
n, started = 0, time.perf_counter()
while time.perf_counter() - started < float(sys.argv[2]):
    k = sys.argv[3] + "_%09d" % n
    c.execute("BEGIN IMMEDIATE")
    c.execute("SELECT request_hash, answer FROM i WHERE key = ?", ("key_" + k,)).fetchone()
    c.execute("INSERT INTO w VALUES (?, ?, 'research', 'pending', 1, ?, ?)", ("wf_" + k, "a workflow", n, n))
    c.execute("INSERT INTO r VALUES (?, ?)", ("wf_" + k, text))
    c.execute("INSERT INTO e VALUES (?, ?, 'workflow', ?, 'created', ?)", ("ev_" + k, n, "wf_" + k, text))
    c.execute("INSERT INTO i VALUES (?, 'hash', ?, ?)", ("key_" + k, '"wf"', n))
    c.execute("COMMIT")
    n += 1
print(n / (time.perf_counter() - started))
"#;

struct Create {
    id: String,
    key: Key,
    event: String,
}

fn create<'a>(session: &'a Transaction<'a>, asked: &'a Create) -> BoxFuture<'a, Result<Result<String, Repeat>, Error>> {
    let now = SystemClock.now();
    Box::pin(once(session, Some(&asked.key), now, async move {
        let id = asked.id.as_str();
        try_join3(
            session.execute(Sql::both(WORKFLOW), &[id.into(), "a workflow".into(), now.into()]),
            session.execute(Sql::both(RESULT), &[id.into(), INPUT.into()]),
            session.execute(Sql::both(EVENT), &[asked.event.as_str().into(), now.into(), id.into(), INPUT.into()]),
        )
        .await?;
        Ok(Ok(asked.id.clone()))
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let home = guarded::Guarded::directory("records");
    let server = postgres::PostgresServer::start(&postgres::own_bin(), "-c fsync=on");
    let url = server.database();
    let settings = DatabaseConfig { name: "store".to_owned(), description: None, url: url.clone().into() };
    let server_store = || {
        let (clock, changes) = (Arc::default(), Arc::default());
        Arc::new(RecordServer::new(&settings, Migrate::Auto, clock, changes, Background::default()).unwrap())
    };
    let file_store = || Arc::new(RecordFile::new(home.join("callboard.db"), Migrate::Auto));
    let (on_server, in_file) = (opened(server_store()).await, opened(file_store()).await);
    let wakes = [wake(&on_server, &Store::new(server_store())).await, wake(&in_file, &Store::new(file_store())).await];

    let (mut sync, mut pgbench_best, mut python_best) = (f64::MAX, [0.0_f64; 2], 0.0_f64);
    let mut best = [[(0.0_f64, f64::MAX); CALLERS.len()]; 2];
    for round in 0..ROUNDS {
        sync = sync.min(fdatasync(&home));
        for (place, clients) in [1, 32].into_iter().enumerate() {
            pgbench_best[place] =
                pgbench_best[place].max(pgbench(server.port, postgres::name_of(&url), clients, &home));
        }
        python_best = python_best.max(python(&home, round));
        for (which, store) in [&on_server, &in_file].into_iter().enumerate() {
            for (place, callers) in CALLERS.into_iter().enumerate() {
                let (rate, middle) = transitions(store, callers).await;
                let (best_rate, best_middle) = &mut best[which][place];
                (*best_rate, *best_middle) = (best_rate.max(rate), best_middle.min(middle));
            }
        }
    }
    let mut table = String::from("| what | transitions/s | middle of one | against |\n|---|---|---|---|\n");
    for (which, name) in ["PostgreSQL", "SQLite"].into_iter().enumerate() {
        for (place, callers) in CALLERS.into_iter().enumerate() {
            let (rate, middle) = best[which][place];
            let against = match (which, callers) {
                (0, 32) => format!("{:.2} of pgbench with 32 clients (target ≥ 0.8)", rate / pgbench_best[1]),
                (0, 1) => format!("1.3 fdatasync + 0.3 ms = {:.2} ms", 1.3 * sync + 0.3),
                (1, 1) => format!("{:.2} of python sqlite3 (target ≥ 1.0)", rate / python_best),
                _ => String::new(),
            };
            table.push_str(&format!("| {name}, {callers} callers | {rate:.0} | {middle:.2} ms | {against} |\n"));
        }
    }
    table.push_str(&format!("| pgbench, 1 client | {:.0} | {:.2} ms | |\n", pgbench_best[0], 1e3 / pgbench_best[0]));
    table.push_str(&format!("| pgbench, 32 clients | {:.0} | | |\n", pgbench_best[1]));
    table
        .push_str(&format!("| python sqlite3, one commit each | {python_best:.0} | {:.2} ms | |\n", 1e3 / python_best));
    for (name, (middle, late)) in ["PostgreSQL", "SQLite"].into_iter().zip(wakes) {
        table.push_str(&format!("| {name}: from a transition asked for to a waiting process woken | | {middle:.2} ms, p95 {late:.2} ms | fdatasync + 10 ms = {:.2} ms |\n", sync + 10.0));
    }
    table.push_str(&format!("| fdatasync of 8 KiB appended | {:.0} | {sync:.2} ms | |\n", 1e3 / sync));
    print!("{table}");
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/records.md"), table).unwrap();
    drop(in_file);
    fs::remove_dir_all(home).unwrap();
}

async fn opened(backend: Arc<dyn Backend>) -> Store {
    let records = Store::new(backend);
    let made = records.transact((), |session, ()| {
        Box::pin(async move {
            for table in TABLES {
                session.execute(Sql::both(table), &[]).await?;
            }
            Ok(())
        })
    });
    made.await.unwrap();
    records
}

/// From the call in one process to the wake-up in another, in ms: the middle, and p95.
async fn wake(writes: &Store, waits: &Store) -> (f64, f64) {
    let mut took = Vec::new();
    for n in 0..120 {
        let topic = Topic::Queue(format!("queue-{n}"));
        let watch = waits.changes().watch(vec![Interest::AnyQueue]);
        let looked = waits.read((), |session, ()| {
            Box::pin(async move {
                session.query(Sql::both("-- bench_look\nSELECT count(*) FROM bench_event"), &[]).await.map(drop)
            })
        });
        looked.await.unwrap();
        tokio::time::sleep(Duration::from_millis(5 + n % 7)).await;
        let begun = Instant::now();
        let asked = (topic, format!("wake-{n}"));
        let write = writes.transact(asked, |session, (topic, id)| {
            Box::pin(async move {
                session.touch(topic.clone());
                session.execute(Sql::both(RESULT), &[id.as_str().into(), INPUT.into()]).await.map(drop)
            })
        });
        let (written, ()) = tokio::join!(write, watch.changed());
        written.unwrap();
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    // The first are those in which the process begins to listen.
    let mut took = took.split_off(20);
    took.sort_by(f64::total_cmp);
    (took[took.len() / 2], took[took.len() * 95 / 100])
}

/// How many a second, and how long the middle one took, in ms.
async fn transitions(records: &Store, callers: usize) -> (f64, f64) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let started = Instant::now();
    let caller = || async {
        let mut took = Vec::new();
        while started.elapsed() < ROUND {
            let begun = Instant::now();
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let key = Key { key: format!("key_{n:012}"), request_hash: "hash".to_owned() };
            let asked = Create { id: format!("wf_{n:012}"), key, event: format!("ev_{n:012}") };
            records.transact(asked, create).await.unwrap().unwrap();
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        took
    };
    let mut took: Vec<f64> = join_all((0..callers).map(|_| caller())).await.concat();
    let rate = took.len() as f64 / started.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    (rate, took[took.len() / 2])
}

/// The middle of 300, in ms.
fn fdatasync(home: &Path) -> f64 {
    let mut file = fs::File::create(home.join("sync")).unwrap();
    let block = [7_u8; 8_192];
    let mut took: Vec<f64> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&block).unwrap();
            file.sync_data().unwrap();
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[150]
}

fn pgbench(port: u16, database: &str, clients: usize, home: &Path) -> f64 {
    let script = home.join("pgbench.sql");
    fs::write(&script, PGBENCH).unwrap();
    let output = Command::new(postgres::own_bin().join("pgbench"))
        .args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
        .args(["-c", &clients.to_string(), "-j", &clients.min(2).to_string()])
        .args(["-T", &ROUND.as_secs().to_string(), "-f"])
        .arg(&script)
        .arg(database)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    // On a machine with too much else to do not one may have come through in this round.
    rate.unwrap_or_default()
}

fn python(home: &Path, round: usize) -> f64 {
    let output = Command::new("python3")
        .args(["-c", PYTHON])
        .arg(home.join("python.db"))
        .args([&ROUND.as_secs().to_string(), &round.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}
