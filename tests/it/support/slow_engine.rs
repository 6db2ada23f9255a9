//! A search engine that knows one index, `slow`, and answers searches in it only when the test says so: for calls that must be in flight.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use super::patience::PATIENCE;

/// Runs until the test ends.
pub struct SlowEngine {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    open: bool,
    /// Searches that wait.
    held: usize,
    /// Searches whose caller went away while they waited.
    abandoned: usize,
}

impl SlowEngine {
    /// Holds every search until [`SlowEngine::open`].
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // The caller may leave at any time.
                    let _ = answer(connection, &shared);
                });
            }
        });
        Self { port, state }
    }

    /// For ELASTICSEARCH_URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers what waits and all that comes.
    pub fn open(&self) {
        self.state.0.lock().unwrap().open = true;
        self.state.1.notify_all();
    }

    /// Waits until so many searches wait here.
    pub fn wait_for_held(&self, searches: usize) {
        self.wait(|state| state.held >= searches, "searches to arrive");
    }

    /// Waits until so many callers went away.
    pub fn wait_for_abandoned(&self, searches: usize) {
        self.wait(|state| state.abandoned >= searches, "callers to go away");
    }

    /// Searches that wait here now.
    pub fn held(&self) -> usize {
        self.state.0.lock().unwrap().held
    }

    fn wait(&self, reached: impl Fn(&State) -> bool, what: &str) {
        let state = self.state.0.lock().unwrap();
        let (_state, waited) = self.state.1.wait_timeout_while(state, PATIENCE, |state| !reached(state)).unwrap();
        assert!(!waited.timed_out(), "waited in vain for {what}");
    }
}

impl Drop for SlowEngine {
    fn drop(&mut self) {
        self.open();
    }
}

fn answer(connection: TcpStream, shared: &(Mutex<State>, Condvar)) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let path = path.split('?').next().unwrap_or_default();
        let body = match path {
            "/slow/_search" => {
                hold(&writer, shared);
                r#"{"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},"hits":{"total":{"value":3,"relation":"eq"},"max_score":null,"hits":[]}}"#
            }
            "/" => {
                r#"{"name":"slow","cluster_name":"slow","version":{"number":"9.2.0"},"tagline":"You Know, for Search"}"#
            }
            _ => r#"{"indices":[{"name":"slow","attributes":["open"]}],"aliases":[],"data_streams":[]}"#,
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        writer.write_all(head.as_bytes())?;
        if method != "HEAD" {
            writer.write_all(body.as_bytes())?;
        }
    }
}

fn hold(connection: &TcpStream, shared: &(Mutex<State>, Condvar)) {
    let (state, changed) = shared;
    let mut state = state.lock().unwrap();
    state.held += 1;
    changed.notify_all();
    while !state.open {
        // Looks whether the caller is still there: a closed connection reads as its end.
        let (after, _) = changed.wait_timeout(state, Duration::from_millis(10)).unwrap();
        state = after;
        connection.set_nonblocking(true).unwrap();
        let gone = matches!(connection.peek(&mut [0]), Ok(0));
        connection.set_nonblocking(false).unwrap();
        if gone {
            state.abandoned += 1;
            break;
        }
    }
    state.held -= 1;
    changed.notify_all();
}
