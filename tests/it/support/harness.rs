//! A Callboard in this process, called as a client would.

use std::sync::Arc;

use callboard::{
    adapters::sqlite::store::RecordFile,
    app::App,
    clock::{Clock, SystemClock},
    config::{Config, DatabaseConfig, Migrate, SearchConfig, StoreConfig},
    mcp::{
        local::{Called, Local},
        server::Server,
    },
    services::idempotency::Idempotency,
    store::Store,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{answers, clock::TestClock, patience::CALL_TIME, postgres};

/// A Callboard with a data directory of its own.
pub struct Harness {
    local: Local,
    pub app: App,
    pub home: TempDir,
}

impl Harness {
    /// On the embedded stores, nothing set.
    pub fn embedded() -> Self {
        Self::with(|_| {})
    }

    /// On a PostgreSQL database.
    pub fn postgres(url: &str) -> Self {
        let database = database(url);
        Self::with(|config| config.databases = vec![database])
    }

    /// On a search engine.
    pub fn search(search: SearchConfig) -> Self {
        Self::with(|config| config.search = Some(search))
    }

    /// On the embedded stores, with a clock that the test moves.
    pub fn timed() -> (Self, Arc<TestClock>) {
        Self::timed_with(|_| {})
    }

    /// The same with settings of its own.
    pub fn timed_with(change: impl FnOnce(&mut Config)) -> (Self, Arc<TestClock>) {
        let home = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let mut config = config(home.path());
        change(&mut config);
        let app = App::with_clock(config, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        (Self { local: Local::new(Server::new(app.clone())), app, home }, clock)
    }

    /// With settings of its own.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = config(home.path());
        change(&mut config);
        let app = App::new(config).unwrap();
        Self { local: Local::new(Server::new(app.clone())), app, home }
    }

    /// Calls a tool, whatever comes of it. All calls come through here.
    pub async fn call(&self, tool: &str, arguments: &str) -> Called {
        let called = self.local.call(tool, arguments).await.unwrap();
        // A document may hold a number beyond what this parser takes.
        if let Ok(answer) = serde_json::from_str(&called.text) {
            answers::hold(tool, called.is_error, &answer);
        }
        called
    }

    /// Calls a tool that must answer.
    pub async fn answer(&self, tool: &str, arguments: &str) -> Value {
        let called = self.call(tool, arguments).await;
        assert!(!called.is_error, "{tool} {arguments}\n→ {}", called.text);
        serde_json::from_str(&called.text).unwrap()
    }

    /// The same, as the text that was answered: for what a parser would lose (digits, order).
    pub async fn answer_text(&self, tool: &str, arguments: &str) -> String {
        let called = self.call(tool, arguments).await;
        assert!(!called.is_error, "{tool} {arguments}\n→ {}", called.text);
        called.text
    }

    /// Calls a tool that must refuse; the text of the error envelope.
    pub async fn refused_text(&self, tool: &str, arguments: &str) -> String {
        let called = self.call(tool, arguments).await;
        assert!(called.is_error, "{tool} {arguments}\n→ {}", called.text);
        called.text
    }

    /// Calls a tool that may answer or refuse: whether it refused, and what it said.
    pub async fn any(&self, tool: &str, arguments: &str) -> (bool, Value) {
        let called = self.call(tool, arguments).await;
        (called.is_error, serde_json::from_str(&called.text).unwrap())
    }

    /// Calls a tool that must refuse an argument with this sentence.
    pub async fn invalid(&self, tool: &str, arguments: &str, argument: &str, message: &str) {
        let refused = self.refused(tool, arguments).await;
        let said = ["code", "argument", "message"].map(|field| refused[field].as_str().unwrap_or_default());
        assert_eq!(said, ["invalid", argument, message], "{tool} {arguments}\n→ {refused}");
    }

    /// Calls a tool that must refuse; the error envelope.
    pub async fn refused(&self, tool: &str, arguments: &str) -> Value {
        let called = self.call(tool, arguments).await;
        assert!(called.is_error, "{tool} {arguments}\n→ {}", called.text);
        serde_json::from_str(&called.text).unwrap()
    }
}

/// Settings as they are when nothing is set, but for the time of calls and statements.
pub fn config(home: &std::path::Path) -> Config {
    let mut config = Config::embedded(home);
    (config.limits.call_time, config.limits.statement_time) = (CALL_TIME, CALL_TIME);
    config
}

/// The idempotency keys of the embedded record store in a data directory.
pub fn keys(home: &std::path::Path) -> Idempotency {
    let file = RecordFile::new(home.join("callboard.db"), Migrate::Auto);
    Idempotency::new(Arc::new(Store::new(Arc::new(file))), Arc::new(SystemClock))
}

/// A database by its URL.
pub fn database(url: &str) -> DatabaseConfig {
    DatabaseConfig { name: "main".to_owned(), description: None, url: url.to_owned().into() }
}

/// A board on each record store.
pub fn boards() -> [Harness; 2] {
    let url = postgres::shared().database();
    [Harness::embedded(), Harness::with(|config| config.store = StoreConfig::Server(database(&url)))]
}
