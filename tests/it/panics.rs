//! Whatever a tool does, its caller gets an answer and the server stays.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use callboard::{
    app::App,
    background::Background,
    config::{Access, Limits},
    domain::{
        ops::BackendStatus,
        sql::{
            Condition, Load, Loaded, NewRow, Plan, Read, Rows, TableFilter, TableName, TableSummary, WrittenRow,
            table::{CreatedTable, NewTable, TableSchema},
        },
    },
    error::Error,
    mcp::{local::Local, server::Server},
    ports::sql::SqlDatabase,
    services::sql::{Database, Sql},
};
use serde_json::Value;

use crate::support::harness::config;

/// A database whose code is wrong in two ways: counting panics, listing and inserting never end.
struct Wrong;

#[async_trait::async_trait]
impl SqlDatabase for Wrong {
    async fn count(&self, _: &TableName, _: &[Condition]) -> Result<u64, Error> {
        panic!("a bug with a secret in it");
    }
    async fn tables(&self, _: &TableFilter) -> Result<Vec<TableSummary>, Error> {
        std::future::pending().await
    }
    async fn query(&self, _: &Read) -> Result<Rows, Error> {
        unreachable!()
    }
    async fn explain(&self, _: &Read) -> Result<Plan, Error> {
        unreachable!()
    }
    async fn table(&self, _: &TableName) -> Result<TableSchema, Error> {
        unreachable!()
    }
    async fn load(&self, _: &Load) -> Result<Loaded, Error> {
        unreachable!()
    }
    async fn insert(&self, _: &NewRow) -> Result<WrittenRow, Error> {
        std::future::pending().await
    }
    async fn create_table(&self, _: &NewTable) -> Result<CreatedTable, Error> {
        unreachable!()
    }
    fn product(&self) -> String {
        "a wrong one".to_owned()
    }
    async fn status(&self) -> BackendStatus {
        unreachable!()
    }
}

fn wrong_board(limits: Limits) -> (Local, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let mut config = config(home.path());
    config.limits = limits;
    let mut app = App::new(config).unwrap();
    let database: Arc<dyn SqlDatabase> = Arc::new(Wrong);
    let database =
        Database { name: "main".to_owned(), description: None, reads: Arc::clone(&database), writes: database };
    app.sql = Sql::new(vec![database], Arc::new(Access::default()), limits);
    app.background = Background::default();
    (Local::new(Server::new(app)), home)
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_nothing() {
    let (board, _home) = wrong_board(Limits::default());
    for _ in 0..200 {
        let called = board.call("count_rows", r#"{"table":"t"}"#).await.unwrap();
        assert!(called.is_error);
        let failure: Value = serde_json::from_str(&called.text).unwrap();
        assert_eq!(failure["code"], "internal", "{failure}");
        assert!(failure["request_id"].as_str().unwrap().starts_with("rq_"));
        assert!(!called.text.contains("secret"), "{failure}");
    }
    // More panics than there are permits: none was lost.
    let called = board.call("no_such_tool", "{}").await.unwrap();
    assert!(called.text.contains("not_found"), "{}", called.text);
}

#[tokio::test]
async fn a_call_without_end_is_ended_at_its_deadline() {
    let call_time = Duration::from_millis(300);
    let (board, _home) = wrong_board(Limits { call_time, ..Limits::default() });
    let started = Instant::now();
    let called = board.call("list_tables", "{}").await.unwrap();
    let failure: Value = serde_json::from_str(&called.text).unwrap();
    assert_eq!((&failure["code"], &failure["retryable"]), (&"timeout".into(), &true.into()), "{failure}");
    assert!(started.elapsed() >= call_time, "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_wait_for_a_turn_counts_too() {
    let call_time = Duration::from_secs(1);
    let limits = Limits { call_time, calls_in_flight_max: 1, calls_waiting_max: 1, ..Limits::default() };
    let (board, home) = wrong_board(limits);
    // The first call stays at work past the ends of the others: its key cannot be written down while somebody else holds the file.
    let keyed = r#"{"table":"t","row":{"a":1},"idempotency_key":"k"}"#;
    board.call("insert_data", &keyed.replace("\"k\"", "\"makes the file\"")).await.unwrap();
    let mut file = rusqlite::Connection::open(home.path().join("callboard.db")).unwrap();
    let held = file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let first = board.call("insert_data", keyed);
    let waiting = async {
        let others = futures_util::future::join(board.call("list_tables", "{}"), board.call("list_tables", "{}")).await;
        drop(held);
        others
    };
    let (first, (second, third)) = futures_util::future::join(first, waiting).await;
    let told = [first, second, third].map(|called| {
        let failure: Value = serde_json::from_str(&called.unwrap().text).unwrap();
        ["code", "message"].map(|name| failure[name].as_str().unwrap().to_owned())
    });
    assert_eq!(told[0][0], "timeout");
    assert_eq!(told[1], ["busy", "the call waited too long for its turn"]);
    assert_eq!(told[2], ["busy", "too many calls are already waiting"]);
}
