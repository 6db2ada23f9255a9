//! Statements that are cancelled early: a request to stop that meets the server between two messages is lost, and asked again.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use crate::support::{
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
