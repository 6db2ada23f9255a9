//! Whatever a tool does, its caller gets an answer and the server stays.

use std::{
    sync::{Arc, Barrier},
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
    ports::{
        attempts::{Attempt, Settled, Settles},
        sql::SqlDatabase,
    },
    services::sql::{Database, Sql},
};
use serde_json::Value;

use crate::support::harness::{config, keys};

/// A database whose code is wrong in three ways: counting panics, listing and inserting never end, describing keeps its thread until it is
/// let go on.
struct Wrong(Arc<Gate>);

struct Gate {
    entered: Barrier,
    go_on: Barrier,
}

#[async_trait::async_trait]
impl Settles for Wrong {
    async fn settle(&self, _: &str, _: Option<&str>) -> Result<Settled, Error> {
        unreachable!()
    }
}

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
        self.0.entered.wait();
        self.0.go_on.wait();
        std::future::pending().await
    }
    async fn load(&self, _: &Load, _: Option<&dyn Attempt>) -> Result<Loaded, Error> {
        unreachable!()
    }
    async fn insert(&self, _: &NewRow, _: Option<&dyn Attempt>) -> Result<WrittenRow, Error> {
        std::future::pending().await
    }
    async fn create_table(&self, _: &NewTable, _: Option<&dyn Attempt>) -> Result<CreatedTable, Error> {
        unreachable!()
    }
    fn product(&self) -> String {
        "a wrong one".to_owned()
    }
    async fn status(&self) -> BackendStatus {
        unreachable!()
    }
}

fn wrong_board(limits: Limits) -> (Local, Arc<Gate>, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let mut config = config(home.path());
    config.limits = limits;
    let mut app = App::new(config).unwrap();
    let gate = Arc::new(Gate { entered: Barrier::new(2), go_on: Barrier::new(2) });
    let database: Arc<dyn SqlDatabase> = Arc::new(Wrong(Arc::clone(&gate)));
    let database =
        Database { name: "main".to_owned(), description: None, reads: Arc::clone(&database), writes: database };
    app.sql = Sql::new(vec![database], Arc::new(Access::default()), limits, keys(home.path()));
    app.background = Background::default();
    (Local::new(Server::new(app)), gate, home)
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_nothing() {
    let (board, _, _home) = wrong_board(Limits::default());
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
    let (board, _, _home) = wrong_board(Limits { call_time, ..Limits::default() });
    let started = Instant::now();
    let called = board.call("list_tables", "{}").await.unwrap();
    let failure: Value = serde_json::from_str(&called.text).unwrap();
    assert_eq!((&failure["code"], &failure["retryable"]), (&"timeout".into(), &true.into()), "{failure}");
    assert!(started.elapsed() >= call_time, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_a_turn_counts_too() {
    let call_time = Duration::from_secs(1);
    let limits = Limits { call_time, calls_in_flight_max: 1, calls_waiting_max: 1, ..Limits::default() };
    let (board, gate, _home) = wrong_board(limits);
    let board = Arc::new(board);
    let first = {
        let board = Arc::clone(&board);
        tokio::spawn(async move { board.call("get_schema", r#"{"table":"t"}"#).await })
    };
    tokio::task::block_in_place(|| gate.entered.wait());
    // The first call stays at work past the ends of the others.
    let others = futures_util::future::join(board.call("list_tables", "{}"), board.call("list_tables", "{}"));
    let (second, third) = others.await;
    tokio::task::block_in_place(|| gate.go_on.wait());
    let first = first.await.unwrap();
    let told = [first, second, third].map(|called| {
        let failure: Value = serde_json::from_str(&called.unwrap().text).unwrap();
        ["code", "message"].map(|name| failure[name].as_str().unwrap().to_owned())
    });
    assert_eq!(told[0][0], "timeout");
    assert_eq!(told[1], ["busy", "the call waited too long for its turn"]);
    assert_eq!(told[2], ["busy", "too many calls are already waiting"]);
}
