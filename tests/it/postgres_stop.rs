//! Statements that are cancelled early: a request to stop that meets the server between two messages is lost, and asked again.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use crate::support::{
    binary::{Binary, Streams},
    harness::Harness,
    patience::{A_SECOND, PATIENCE},
    postgres::{self, PostgresServer, name_of},
};

const SLOW: &str = "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000) b";

fn running(server: &PostgresServer, url: &str) -> String {
    server.psql(
        "postgres",
        &format!("select count(*) from pg_stat_activity where datname = '{}' and state = 'active'", name_of(url)),
    )
}

async fn assert_stops(server: &PostgresServer, url: &str, what: &str) {
    let dropped = Instant::now();
    while running(server, url) != "0" {
        assert!(dropped.elapsed() < A_SECOND, "{what}: still running after {:?}", dropped.elapsed());
        tokio::task::yield_now().await;
    }
}

async fn stops_on(server: &PostgresServer) {
    let url = server.database();
    server.psql(name_of(&url), &format!("CREATE VIEW slow AS {SLOW}"));
    let calls =
        [("execute_query", json!({"query": SLOW}).to_string()), ("count_rows", json!({"table": "slow"}).to_string())];
    for (tool, arguments) in &calls {
        for after in 0..20 {
            let board = Harness::postgres(&url);
            let called = timeout(Duration::from_millis(after), board.call(tool, arguments)).await;
            assert!(called.is_err(), "{tool}");
            assert_stops(server, &url, &format!("{tool} after {after} ms")).await;
        }
        for _ in 0..8 {
            let board = Harness::postgres(&url);
            {
                let call = board.call(tool, arguments);
                tokio::pin!(call);
                let begun = Instant::now();
                while running(server, &url) == "0" {
                    assert!(begun.elapsed() < PATIENCE, "it never ran");
                    assert!(timeout(Duration::from_millis(1), &mut call).await.is_err(), "{tool}");
                }
            }
            assert_stops(server, &url, tool).await;
        }
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_early_stops_within_a_second() {
    stops_on(postgres::shared()).await;
}

#[tokio::test]
async fn on_the_oldest_and_the_newest_server_too() {
    for major in [13, 18] {
        stops_on(postgres::version(major)).await;
    }
}

#[tokio::test]
async fn a_query_stops_within_a_second_of_its_time_limit() {
    for server in [postgres::version(13), postgres::shared(), postgres::version(18)] {
        let url = server.database();
        for limit in [1, 5, 20, 300] {
            let board = Harness::postgres(&url);
            let refused =
                board.refused("execute_query", &json!({"query": SLOW, "timeout_ms": limit}).to_string()).await;
            assert_eq!(refused["code"], "timeout", "{limit} ms: {refused}");
            assert_stops(server, &url, &format!("limit of {limit} ms")).await;
        }
    }
}

/// The binary with a slow query that the server is at.
async fn at_work(server: &PostgresServer, url: &str) -> Binary {
    let mut binary = Binary::with(Streams::Pipes, |command| {
        command.env("DATABASE_URL", url);
    });
    binary.initialize("2025-06-18");
    let call = json!({"name": "execute_query", "arguments": {"query": SLOW}});
    binary.send(&json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": call}).to_string());
    let begun = Instant::now();
    while running(server, url) == "0" {
        assert!(begun.elapsed() < PATIENCE, "it never ran: {}", binary.stderr());
        tokio::task::yield_now().await;
    }
    binary
}

#[tokio::test]
async fn a_query_stops_within_a_second_of_its_clients_word() {
    for server in [postgres::version(13), postgres::shared(), postgres::version(18)] {
        let url = server.database();
        for _ in 0..4 {
            let mut binary = at_work(server, &url).await;
            binary.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"slow"}}"#);
            assert_stops(server, &url, "cancelled by the client").await;
        }
    }
}

/// The server gives running calls a few seconds when its client has gone, and leaves none behind.
#[tokio::test]
async fn a_query_does_not_outlive_the_server_whose_client_has_gone() {
    let server = postgres::shared();
    let url = server.database();
    let mut binary = at_work(server, &url).await;
    binary.end_input();
    let (status, _) = binary.wait();
    assert!(status.success(), "{}", binary.stderr());
    assert_stops(server, &url, "the client has gone").await;
}
