//! What every store of webhook messages must do.

use std::{sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    store::{Store, webhooks::Outcome},
};

use super::records;
use crate::support::postgres;

const NOW: Instant = Instant(1_780_000_000_000_000);

fn at(seconds: u64) -> Instant {
    NOW.after(Duration::from_secs(seconds))
}

/// Two workflows have ended and one goes on; two webhooks, one of a workflow that has ended.
const ROWS: &str = "INSERT INTO event (at, entity, entity_id, workflow_id, type, data) VALUES
    (NOW, 'workflow', 'w1', 'w1', 'workflow_started', NULL),
    (NOW, 'workflow', 'w1', 'w1', 'workflow_completed', '{\"tasks\": 2}'),
    (NOW, 'workflow', 'w2', 'w2', 'workflow_started', NULL),
    (NOW, 'workflow', 'w3', 'w3', 'workflow_failed', NULL);
    INSERT INTO webhook (id, workflow_id, url, secret, created_at) VALUES
    ('h1', 'w1', 'https://example.com/1', 's1', NOW), ('h2', 'w2', 'https://example.com/2', 's2', NOW);";

async fn holds(store: Arc<Store>, other_process: Arc<Store>, run: impl Fn(&str)) {
    // Opened before rows are written into it.
    assert_eq!(store.fan_out(NOW).await.unwrap(), 0);
    run(ROWS);
    // Each is made once, whoever does it how often; also before and after the events are settled.
    let both = tokio::join!(store.fan_out(NOW), other_process.fan_out(NOW));
    assert_eq!(both.0.unwrap() + both.1.unwrap(), 1);
    assert_eq!(store.fan_out(at(1_000)).await.unwrap() + store.fan_out(at(1_001)).await.unwrap(), 0);

    // One sender at a time; who is killed has not sent it.
    let taken = store.take_due_deliveries(at(1), at(31), 10).await.unwrap();
    let [first] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!((first.url.as_str(), first.secret.as_str(), first.attempt), ("https://example.com/1", "s1", 1));
    assert_eq!((first.kind.as_str(), first.workflow_id.as_str()), ("workflow_completed", "w1"));
    let body: serde_json::Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!((&body["type"], &body["state"]), (&"workflow_completed".into(), &"completed".into()));
    assert_eq!((&body["id"], &body["data"]["tasks"]), (&first.id.as_str().into(), &2.into()));
    assert!(other_process.take_due_deliveries(at(30), at(60), 10).await.unwrap().is_empty());
    let again = other_process.take_due_deliveries(at(31), at(61), 10).await.unwrap();
    assert_eq!((again[0].id.as_str(), again[0].attempt), (first.id.as_str(), 2));
    let failed = || Outcome::Again { at: at(100), status: Some(500), error: "status 500".into() };
    assert!(!store.settle_delivery(first, failed(), at(40)).await.unwrap(), "it came too late");
    assert!(store.settle_delivery(&again[0], failed(), at(40)).await.unwrap());
    assert!(store.take_due_deliveries(at(99), at(130), 10).await.unwrap().is_empty());
    let third = store.take_due_deliveries(at(100), at(130), 10).await.unwrap();
    assert_eq!(third[0].attempt, 3);
    assert!(store.settle_delivery(&third[0], Outcome::Delivered { status: 200 }, at(101)).await.unwrap());
    assert!(store.take_due_deliveries(at(9_999), at(10_000), 10).await.unwrap().is_empty());

    // What is seen late has a smaller number than what was seen before.
    run("INSERT INTO event (seq, at, entity, entity_id, workflow_id, type) OVERRIDING SYSTEM VALUE VALUES \
         (1000, NOW, 'workflow', 'w2', 'w2', 'workflow_cancelled');");
    assert_eq!(store.fan_out(at(10)).await.unwrap(), 1);
    run("INSERT INTO event (seq, at, entity, entity_id, workflow_id, type) OVERRIDING SYSTEM VALUE VALUES \
         (999, NOW, 'workflow', 'w1', 'w1', 'workflow_timed_out');");
    assert_eq!(store.fan_out(at(20)).await.unwrap(), 1);
}

#[tokio::test]
async fn sqlite() {
    let home = tempfile::tempdir().unwrap();
    let open = records::in_file(home.path());
    let path = home.path().join("callboard.db");
    let run = |sql: &str| {
        let sql = sql.replace("NOW", &NOW.0.to_string()).replace(" OVERRIDING SYSTEM VALUE", "");
        rusqlite::Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    };
    holds(Arc::new(Store::new(open())), Arc::new(Store::new(open())), run).await;
}

#[tokio::test]
async fn postgresql() {
    let server = postgres::shared();
    let url = server.database();
    let open = records::on_postgres(&url);
    let run = |sql: &str| {
        let time = format!("to_timestamp({})", NOW.0 / 1_000_000);
        let sql = sql.replace("NOW", &time);
        server.psql(postgres::name_of(&url), &format!("SET search_path = callboard; {sql}"));
    };
    holds(Arc::new(Store::new(open())), Arc::new(Store::new(open())), run).await;
}
