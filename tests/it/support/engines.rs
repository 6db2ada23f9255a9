//! Elasticsearch and OpenSearch from local distributions: one node of each for the whole test binary, an index name for each test.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use callboard::config::{Login, SearchConfig};

use super::{
    guarded::{Guarded, as_user, run},
    patience::PATIENCE,
    port::Port,
};

/// The engines that Callboard is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Elasticsearch8,
    Elasticsearch9,
    OpenSearch2,
    OpenSearch3,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Elasticsearch8, Self::Elasticsearch9, Self::OpenSearch2, Self::OpenSearch3];

    /// Where its distribution lies: the folder with `bin`.
    fn home(self) -> PathBuf {
        let name = match self {
            Self::Elasticsearch8 => "CALLBOARD_TEST_ELASTICSEARCH_8",
            Self::Elasticsearch9 => "CALLBOARD_TEST_ELASTICSEARCH_9",
            Self::OpenSearch2 => "CALLBOARD_TEST_OPENSEARCH_2",
            Self::OpenSearch3 => "CALLBOARD_TEST_OPENSEARCH_3",
        };
        PathBuf::from(std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run the tests by `tests/run`")))
    }

    pub fn is_opensearch(self) -> bool {
        matches!(self, Self::OpenSearch2 | Self::OpenSearch3)
    }

    /// As in answers: name and the beginning of its version.
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Elasticsearch8 => ("elasticsearch", "8."),
            Self::Elasticsearch9 => ("elasticsearch", "9."),
            Self::OpenSearch2 => ("opensearch", "2."),
            Self::OpenSearch3 => ("opensearch", "3."),
        }
    }

    pub fn jdk(self) -> PathBuf {
        match self {
            Self::Elasticsearch8 | Self::OpenSearch2 => jdk("CALLBOARD_TEST_JDK_17", 17, 17),
            Self::Elasticsearch9 | Self::OpenSearch3 => jdk("CALLBOARD_TEST_JDK_21", 21, 25),
        }
    }
}

/// A running node.
pub struct EngineServer {
    guarded: Guarded,
    /// For clients and for other nodes.
    _kept: [Port; 2],
    pub port: u16,
}

/// The node of a kind that all tests share.
pub fn engine(kind: Kind) -> &'static EngineServer {
    static SERVERS: [OnceLock<EngineServer>; 4] = [OnceLock::new(), OnceLock::new(), OnceLock::new(), OnceLock::new()];
    SERVERS[kind as usize].get_or_init(|| {
        let security = if kind.is_opensearch() { "" } else { "-Expack.security.enabled=false" };
        let mut server = EngineServer::start(kind, security, |_, _| {});
        let port = server.port;
        server.wait_until(|| {
            try_http(port, "GET", "/_cluster/health?wait_for_status=yellow&timeout=1s", "")
                .is_some_and(|(status, _)| status == 200)
        });
        server.warm_up();
        server
    })
}

/// The node for tests that need any real engine.
pub fn shared() -> &'static EngineServer {
    engine(Kind::Elasticsearch8)
}

/// An index name that no other test has.
pub fn index_name(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl EngineServer {
    /// Starts a node of its own; `options` go to its command line, `prepare` sees the distribution and the node's configuration folder.
    pub fn start(kind: Kind, options: &str, prepare: impl FnOnce(&Path, &Path)) -> Self {
        let home = kind.home();
        let dir = Guarded::directory("engine");
        let configuration = dir.join("config");
        run(Command::new("cp").arg("-r").arg(home.join("config")).arg(&configuration));
        run(Command::new("mkdir").arg(dir.join("data")).arg(dir.join("logs")));
        prepare(&home, &configuration);
        // The node runs as another user when the tests run as root.
        run(Command::new("chmod").args(["-R", "a+rwX"]).arg(&dir));
        let kept = [Port::take(), Port::take()];
        let [port, transport] = [kept[0].number(), kept[1].number()];
        let (prefix, program) =
            if kind.is_opensearch() { ("OPENSEARCH", "opensearch") } else { ("ES", "elasticsearch") };
        let line = as_user(&format!(
            "env -u JAVA_TOOL_OPTIONS -u JDK_JAVA_OPTIONS {prefix}_JAVA_HOME={} {prefix}_PATH_CONF={} {prefix}_JAVA_OPTS='-Xms400m -Xmx400m' {} \
             -Ediscovery.type=single-node -Enetwork.host=127.0.0.1 -Ehttp.port={port} -Etransport.port={transport} \
             -Epath.data={}/data -Epath.logs={}/logs -Ecluster.routing.allocation.disk.threshold_enabled=false {options}",
            kind.jdk().display(),
            configuration.display(),
            home.join("bin").join(program).display(),
            dir.display(),
            dir.display(),
        ));
        Self { guarded: Guarded::start(dir, &line), _kept: kept, port }
    }

    /// Waits until `ready` says so.
    pub fn wait_until(&mut self, ready: impl FnMut() -> bool) {
        self.guarded.wait_until(ready);
    }

    /// Each kind of request once: a virtual machine loads its code when it is first used, which on a busy machine takes it seconds, and an
    /// engine that says nothing for a second counts as one that hangs.
    fn warm_up(&self) {
        self.http("PUT", "/warm-up", "{}");
        self.http("POST", "/warm-up/_bulk?refresh=true", "{\"create\":{}}\n{\"text\":\"words\"}\n");
        for path in ["/_resolve/index/warm-up*", "/_cat/indices?format=json", "/warm-up/_mapping", "/warm-up/_count"] {
            self.http("GET", path, "");
        }
        let search = r#"{"query":{"match":{"text":"words"}},"aggs":{"by":{"terms":{"field":"text.keyword"}}},"highlight":{"fields":{"*":{}}}}"#;
        self.http("POST", "/warm-up/_search?scroll=1m", search);
        self.http("DELETE", "/_search/scroll/_all", "");
        // Some distributions refuse it.
        try_http(self.port, "HEAD", "/", "");
        self.http("DELETE", "/warm-up", "");
    }

    /// How to reach it.
    pub fn config(&self) -> SearchConfig {
        config(self.port)
    }

    /// Asks it, beside Callboard; it must agree.
    pub fn http(&self, method: &str, path: &str, body: &str) -> String {
        let (status, answer) = try_http(self.port, method, path, body).expect("the engine does not answer");
        assert!((200..300).contains(&status), "{method} {path} → {status} {answer}");
        answer
    }

    /// Creates an index with this body under a name of its own.
    pub fn index(&self, stem: &str, body: &str) -> String {
        let name = index_name(stem);
        self.http("PUT", &format!("/{name}"), body);
        name
    }
}

/// How to reach a port of this machine without login.
pub fn config(port: u16) -> SearchConfig {
    SearchConfig {
        url: format!("http://127.0.0.1:{port}").parse().unwrap(),
        login: Login::None,
        ca_file: None,
        skip_verify: false,
    }
}

/// One HTTP/1.0 exchange: status and body, or nothing when nobody answers.
pub fn try_http(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body)? } else { body.to_owned() };
    Some((head.split(' ').nth(1)?.parse().ok()?, body))
}

/// Some answers come in chunks all the same.
fn unchunked(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.push_str(after.get(..length)?);
        rest = after.get(length + 2..)?;
    }
}

/// A JDK named by a variable, else one of this machine within the versions.
fn jdk(variable: &str, lowest: u32, highest: u32) -> PathBuf {
    if let Ok(home) = std::env::var(variable) {
        return PathBuf::from(home);
    }
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten().map(|entry| entry.path());
    let homes = std::env::var("JAVA_HOME").map(PathBuf::from).into_iter().chain(installed);
    let fits = |home: &PathBuf| major(home).is_some_and(|major| (lowest..=highest).contains(&major));
    homes.into_iter().find(fits).unwrap_or_else(|| {
        panic!("no JDK of {lowest} to {highest} here and {variable} is not set; run the tests by `tests/run`")
    })
}

fn major(home: &Path) -> Option<u32> {
    let output = Command::new(home.join("bin/java")).arg("-version").output().ok()?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    words.split('"').nth(1)?.split('.').next()?.parse().ok()
}
