//! bulk_insert against psql's COPY + upsert and against a connection per call with psycopg2's execute_batch: `benches/run load`.
//! The 12-column products table. Rounds are interleaved; the best of each counts, because the machine is shared. The server asks for a
//! password (SCRAM, as PostgreSQL does when nothing else is said); fsync is off for all three.

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
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use callboard::{
    app::App,
    config::Config,
    mcp::{local::Local, server::Server},
};
use support::{guarded, postgres};

const SIZES: [usize; 5] = [1, 15, 100, 10_000, 100_000];
const COLUMNS: &str = "id, name, category, subcategory, price, description, stock_quantity, created_at, ratings, reviews_count, brand, tags";
const TABLE: &str =
    "DROP TABLE IF EXISTS products; CREATE TABLE products (id varchar(50) PRIMARY KEY, name varchar(255) NOT NULL,
    category varchar(100), subcategory varchar(100), price numeric(10,2), description text, stock_quantity integer,
    created_at timestamptz, ratings numeric(3,2), reviews_count integer, brand varchar(100), tags text[]); CHECKPOINT";

/// psycopg2 as the old servers used it: connect, execute_batch, commit, close. Prints the best time in ms.
const PYTHON: &str = r#"
import json, sys, time, psycopg2, psycopg2.extras
dsn, path, rounds, upsert = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "upsert"
rows = json.load(open(path))
names = list(rows[0])
sql = "INSERT INTO products (%s) VALUES (%s)" % (", ".join(names), ", ".join("%(" + n + ")s" for n in names))
if upsert:
    sql += " ON CONFLICT (id) DO UPDATE SET " + ", ".join("%s = EXCLUDED.%s" % (n, n) for n in names if n != "id")
best = 1e9
for _ in range(rounds):
    if not upsert:
        c = psycopg2.connect(dsn); c.cursor().execute("TRUNCATE products"); c.commit(); c.close()
    started = time.perf_counter()
    c = psycopg2.connect(dsn)
    psycopg2.extras.execute_batch(c.cursor(), sql, rows, page_size=100)
    c.commit()
    c.close()
    best = min(best, time.perf_counter() - started)
print(best * 1000)
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let home = guarded::Guarded::directory("load");
    let server = with_password(&home);
    let url = server.database().replace("postgres@", "app:secret@");
    let mut config = Config::embedded(&home);
    config.databases =
        vec![callboard::config::DatabaseConfig { name: "main".to_owned(), description: None, url: url.clone().into() }];
    config.limits.load_bytes_max = 256 << 20;
    config.limits.call_time = std::time::Duration::from_secs(600);
    let database = postgres::name_of(&url);
    let board = Local::new(Server::new(App::new(config).unwrap()));
    let python = python(&home);
    let mut table = String::from(
        "| rows | what | bulk_insert | psql COPY + upsert | ratio to COPY (target ≥ 0.6 at 100,000) | connection per call | times faster (target ≥ 8 at 15) |\n|---|---|---|---|---|---|---|\n",
    );
    for size in SIZES {
        for upsert in [false, true] {
            let rounds = if size <= 100 { 40 } else { 4 };
            let files = Files::new(&home, size);
            let (mut ours, mut copy) = (f64::MAX, f64::MAX);
            server.psql(database, TABLE);
            for round in 0..rounds {
                for (version, which) in [(round * 2, true), (round * 2 + 1, false)] {
                    if !upsert {
                        server.psql(database, "TRUNCATE products");
                    }
                    let rows = files.write(version);
                    if which {
                        ours = ours.min(bulk_insert(&board, &rows, upsert).await);
                    } else {
                        copy = copy.min(psql(server.port, database, &files, upsert));
                    }
                }
            }
            let peer = python.as_ref().filter(|_| size <= 10_000).map(|python| {
                files.write(999);
                let dsn = format!("host=127.0.0.1 port={} user=app password=secret dbname={database}", server.port);
                let output = Command::new(python)
                    .args(["-c", PYTHON, &dsn])
                    .arg(&files.json)
                    .args([rounds.min(20).to_string().as_str(), if upsert { "upsert" } else { "insert" }])
                    .output()
                    .unwrap();
                let text = String::from_utf8_lossy(&output.stdout);
                text.trim().parse::<f64>().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
            });
            let (batch, faster) = match peer {
                Some(ms) => (format!("{ms:.2} ms"), format!("{:.1}", ms / ours)),
                None => ("–".to_owned(), "–".to_owned()),
            };
            let what = if upsert { "upsert" } else { "insert" };
            let line = format!(
                "| {size} | {what} | {ours:.2} ms | {copy:.2} ms | {:.2} | {batch} | {faster} |\n",
                copy / ours
            );
            print!("{line}");
            table.push_str(&line);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/load.md");
    fs::write(path, table).unwrap();
    fs::remove_dir_all(home).unwrap();
}

fn with_password(home: &Path) -> postgres::PostgresServer {
    let rules = home.join("hba");
    fs::write(&rules, "host all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n").unwrap();
    let server = postgres::PostgresServer::start(&postgres::own_bin(), &format!("-c hba_file={}", rules.display()));
    server.psql("postgres", "CREATE ROLE app LOGIN SUPERUSER PASSWORD 'secret'");
    server
}

/// The same rows for all three.
struct Files {
    size: usize,
    json: PathBuf,
    tsv: PathBuf,
}

impl Files {
    fn new(home: &Path, size: usize) -> Self {
        Self { size, json: home.join("rows.json"), tsv: home.join("rows.tsv") }
    }

    /// Rows whose values differ from version to version, so that every upsert writes.
    fn write(&self, version: usize) -> String {
        let (mut json, mut tsv) = (String::from("["), String::new());
        for n in 0..self.size {
            let comma = if n > 0 { "," } else { "" };
            let (price, day, text) =
                (n % 5_000 + version, n % 28 + 1, "A sturdy thing for every day. ".repeat(n % 5 + 1));
            json.push_str(&format!(
                r#"{comma}{{"id":"p-{n:07}","name":"Product {n}","category":"electronics","subcategory":"audio","price":{price}.25,"description":"{text}","stock_quantity":{n},"created_at":"2026-01-{day:02}T10:00:00Z","ratings":4.5,"reviews_count":{version},"brand":"Acme","tags":["usb","office"]}}"#
            ));
            tsv.push_str(&format!(
                "p-{n:07}\tProduct {n}\telectronics\taudio\t{price}.25\t{text}\t{n}\t2026-01-{day:02}T10:00:00Z\t4.5\t{version}\tAcme\t{{usb,office}}\n"
            ));
        }
        json.push(']');
        fs::write(&self.json, &json).unwrap();
        fs::write(&self.tsv, tsv).unwrap();
        json
    }
}

async fn bulk_insert(board: &Local, rows: &str, upsert: bool) -> f64 {
    let conflict = if upsert { r#","on_conflict":"update""# } else { "" };
    let arguments = format!(r#"{{"table":"products","rows":{rows}{conflict}}}"#);
    let started = Instant::now();
    let called = board.call("bulk_insert", &arguments).await.unwrap();
    let elapsed = started.elapsed().as_secs_f64() * 1e3;
    assert!(!called.is_error, "{}", called.text);
    elapsed
}

/// psql's own times: COPY into a staging table, INSERT … SELECT … ON CONFLICT, COMMIT. Connecting does not count.
fn psql(port: u16, database: &str, files: &Files, upsert: bool) -> f64 {
    let sets: Vec<String> = COLUMNS.split(", ").skip(1).map(|name| format!("{name} = EXCLUDED.{name}")).collect();
    let conflict = if upsert { format!(" ON CONFLICT (id) DO UPDATE SET {}", sets.join(", ")) } else { String::new() };
    let script = format!(
        "\\timing on\nBEGIN;\nCREATE TEMP TABLE staging (LIKE products) ON COMMIT DROP;\n\\copy staging from '{}'\n\
         INSERT INTO products ({COLUMNS}) SELECT {COLUMNS} FROM staging{conflict};\nCOMMIT;\n",
        files.tsv.display()
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    let output = Command::new("psql")
        .args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-p",
            &port.to_string(),
            "-d",
            database,
            "-f",
        ])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.strip_prefix("Time: ")?.split(' ').next()?.parse::<f64>().ok()).sum()
}

/// A Python with psycopg2, where one can be made.
fn python(home: &Path) -> Option<PathBuf> {
    let folder = home.join("python");
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).output().ok()?.status.success();
    let pip =
        |folder: &Path| Command::new(folder.join("bin/pip")).args(["install", "-q", "psycopg2-binary"]).output().ok();
    let installed = made && pip(&folder)?.status.success();
    if !installed {
        eprintln!("no psycopg2: the connection per call is left out");
    }
    installed.then(|| folder.join("bin/python"))
}
