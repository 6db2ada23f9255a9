//! PostgreSQL from local binaries: one server per version for the whole test binary, a database for each test.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    guarded::{Guarded, as_user, run},
    port::Port,
};

/// A running PostgreSQL.
pub struct PostgresServer {
    _guarded: Guarded,
    _kept: Port,
    pub port: u16,
}

/// The server that most tests share: the machine's own version (15).
pub fn shared() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| PostgresServer::start(&own_bin(), ""))
}

/// A server of another major version, from `CALLBOARD_TEST_POSTGRES_<MAJOR>` (the folder with bin, lib and share).
pub fn version(major: u32) -> &'static PostgresServer {
    static SERVERS: OnceLock<Mutex<HashMap<u32, &'static PostgresServer>>> = OnceLock::new();
    let mut servers = SERVERS.get_or_init(Mutex::default).lock().unwrap();
    servers.entry(major).or_insert_with(|| {
        let name = format!("CALLBOARD_TEST_POSTGRES_{major}");
        let home = std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set; run the tests by `tests/run`"));
        Box::leak(Box::new(PostgresServer::start(&PathBuf::from(home).join("bin"), "")))
    })
}

/// The machine's own PostgreSQL.
pub fn own_bin() -> PathBuf {
    let mut versions: Vec<PathBuf> = glob("/usr/lib/postgresql");
    versions.sort();
    versions.pop().expect("no PostgreSQL in /usr/lib/postgresql; run the tests by `tests/run`").join("bin")
}

/// psql and its like: not every distribution of the server has them, and the machine's own speak to all versions. They read a lot from
/// the environment (PGOPTIONS, PGSSLMODE, PGSERVICE), none of which is meant for these servers.
fn client(name: &str) -> Command {
    let mut command = Command::new(own_bin().join(name));
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(variable, _)| variable == "PATH" || variable == "LD_LIBRARY_PATH"));
    command
}

fn glob(parent: &str) -> Vec<PathBuf> {
    std::fs::read_dir(parent).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

impl PostgresServer {
    /// Starts one that speaks TLS, with ca.pem and server.pem of `dir`, a key in PEM form, and these lines of pg_hba.conf.
    pub fn secured(bin: &std::path::Path, dir: &std::path::Path, key: &str, lines: &str) -> Self {
        std::fs::write(dir.join("server.key"), key).unwrap();
        std::fs::write(dir.join("hba"), lines).unwrap();
        run(Command::new("chmod").arg("600").arg(dir.join("server.key")));
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("-R").arg("postgres").arg(dir));
        }
        let file = |name: &str| dir.join(name).display().to_string();
        let options = format!(
            "-c ssl=on -c ssl_ca_file={} -c ssl_cert_file={} -c ssl_key_file={} -c hba_file={}",
            file("ca.pem"),
            file("server.pem"),
            file("server.key"),
            file("hba")
        );
        Self::start(bin, &options)
    }

    /// Starts a server of its own; `options` go to the command line of `postgres`.
    pub fn start(bin: &std::path::Path, options: &str) -> Self {
        let dir = Guarded::directory("postgres");
        let data = dir.join("data");
        let initdb = format!(
            "cd / && {}",
            as_user(&format!(
                "{}/initdb -A trust -U postgres --no-sync -E UTF8 --locale=C -D {}",
                bin.display(),
                data.display()
            ))
        );
        run(Command::new("sh").args(["-c", &initdb]));
        let kept = Port::take();
        let port = kept.number();
        let line = as_user(&format!(
            "{}/postgres -D {} -c unix_socket_directories= -p {port} -c listen_addresses=127.0.0.1 -c timezone=UTC -c fsync=off \
             -c max_connections=200 {options}",
            bin.display(),
            data.display(),
        ));
        let mut guarded = Guarded::start(dir, &line);
        guarded.wait_until(|| {
            client("pg_isready")
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        });
        Self { _guarded: guarded, _kept: kept, port }
    }

    /// A new database; its URL for the superuser.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Kills one of its processes, at which it ends all connections and recovers from its log.
    pub fn crash(&self) {
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1";
        let pid = rustix::process::Pid::from_raw(self.psql("postgres", sql).parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// Runs SQL as the superuser, beside Callboard.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        psql_at(self.port, database, sql)
    }
}

/// The name of the database in a URL given by [`PostgresServer::database`].
pub fn name_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// What psql prints, connected to whatever listens there.
pub fn psql_at(port: u16, database: &str, sql: &str) -> String {
    let output = client("psql")
        .args([
            "-X",
            "-q",
            "-At",
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
            "-c",
            sql,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
