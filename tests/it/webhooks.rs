//! Ends of workflows are told to servers that succeed, fail, hang, send elsewhere, or talk without end.

use std::{sync::Arc, time::Duration};

use callboard::{
    adapters::webhook::HttpSender,
    domain::webhooks::{self, Hosts},
    error::Code,
    ports::webhooks::{Message, WebhookSender},
};
use rusqlite::Connection;

use crate::support::{
    clock::TestClock,
    harness::Harness,
    hook::{Hook, Reply},
    patience::PATIENCE,
};

fn local() -> Hosts {
    Hosts::parse(&["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap()
}

/// A board on which a workflow with a webhook has completed.
async fn ended(url: &str) -> (Harness, Arc<TestClock>, Connection) {
    let (board, clock) = Harness::timed_with(|config| config.webhooks.hosts = local());
    board.answer("register_agent", r#"{"role":"r"}"#).await;
    let file = Connection::open(board.home.path().join("callboard.db")).unwrap();
    file.execute_batch(&format!(
        "INSERT INTO webhook (id, workflow_id, url, secret, created_at) VALUES ('h', 'w', '{url}', 'key', 0); \
         INSERT INTO event (at, entity, entity_id, workflow_id, type, data) \
         VALUES (1780000000000000, 'workflow', 'w', 'w', 'workflow_completed', '{{\"tasks\":1}}');"
    ))
    .unwrap();
    (board, clock, file)
}

fn state(file: &Connection) -> (String, i64, Option<i64>) {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    file.query_row("SELECT state, attempt, last_status FROM webhook_delivery", [], row).unwrap()
}

#[tokio::test]
async fn an_end_is_told_once_and_signed() {
    let hook = Hook::start(&[]).await;
    let (board, clock, file) = ended(&hook.url()).await;
    for _ in 0..3 {
        board.app.jobs.run_once().await;
        clock.pass(Duration::from_mins(10));
    }
    let received = hook.received();
    let [only] = received.as_slice() else { panic!("{received:?}") };
    assert!(only.head.starts_with("POST /hook HTTP/1.1"), "{}", only.head);
    assert_eq!(only.header("x-callboard-event"), "workflow_completed");
    assert_eq!(only.header("x-callboard-timestamp"), "1780000000");
    assert_eq!(only.header("content-type"), "application/json");
    assert_eq!(only.header("x-callboard-signature"), webhooks::signature("key", "1780000000", &only.body));
    let body: serde_json::Value = serde_json::from_str(&only.body).unwrap();
    assert_eq!(body["id"], only.header("x-callboard-delivery"));
    assert_eq!(
        (&body["workflow_id"], &body["state"], &body["at"]),
        (&"w".into(), &"completed".into(), &"2026-05-28T20:26:40.000Z".into())
    );
    assert_eq!(state(&file), ("delivered".to_owned(), 1, Some(200)));
}

#[tokio::test]
async fn what_fails_is_sent_again_later_and_given_up_in_the_end() {
    let hook = Hook::start(&[Reply::Status(500), Reply::Redirect]).await;
    let (board, clock, file) = ended(&hook.url()).await;
    board.app.jobs.run_once().await;
    assert_eq!(state(&file), ("waiting".to_owned(), 1, Some(500)));
    board.app.jobs.run_once().await;
    assert_eq!(hook.received().len(), 1, "not at once");
    clock.pass(Duration::from_secs(5));
    board.app.jobs.run_once().await;
    assert_eq!(state(&file), ("waiting".to_owned(), 2, Some(302)), "nobody is sent elsewhere");
    clock.pass(Duration::from_secs(10));
    board.app.jobs.run_once().await;
    assert_eq!(state(&file), ("delivered".to_owned(), 3, Some(200)));
    assert!(hook.received().iter().all(|received| received.head.starts_with("POST /hook")));

    let refusing = Hook::start(&[Reply::Status(503); 20]).await;
    let (board, clock, file) = ended(&refusing.url()).await;
    for _ in 0..12 {
        board.app.jobs.run_once().await;
        clock.pass(Duration::from_mins(16));
    }
    assert_eq!(state(&file), ("dead".to_owned(), 8, Some(503)));
    assert_eq!(refusing.received().len(), 8);
    let dead: i64 =
        file.query_row("SELECT count(*) FROM event WHERE type = 'webhook_dead'", [], |row| row.get(0)).unwrap();
    assert_eq!(dead, 1);
}

#[tokio::test]
async fn what_may_not_be_called_is_not_called() {
    let hook = Hook::start(&[]).await;
    let (board, _clock, file) = ended(&hook.url().replace("127.0.0.1", "127.0.0.2")).await;
    board.app.jobs.run_once().await;
    assert_eq!(state(&file), ("waiting".to_owned(), 1, None));
    assert!(hook.received().is_empty());
}

/// What is told of a workflow with these tasks, each done with its result, that came to this end.
async fn told(results: &[&str], end: Option<&str>) -> serde_json::Value {
    let hook = Hook::start(&[]).await;
    let (board, _clock) = Harness::timed_with(|config| config.webhooks.hosts = local());
    let tasks: Vec<_> = (0..results.len()).map(|n| serde_json::json!({"key": format!("t{n}")})).collect();
    let workflow =
        serde_json::json!({"name": "weekly report", "type": "research", "tasks": tasks, "webhook_url": hook.url()});
    let id = board.answer("create_workflow", &workflow.to_string()).await["workflow_id"].clone();
    for result in results {
        let claimed = board.answer("claim_tasks", r#"{"agent_id":"a"}"#).await;
        let token = claimed["tasks"][0]["lease_token"].as_str().unwrap();
        let done = format!(r#"{{"lease_token":"{token}","outcome":"completed","result":{result}}}"#);
        board.answer("finish_task", &done).await;
    }
    if let Some(end) = end {
        let id = id.as_str().unwrap();
        board.answer("complete_workflow", &format!(r#"{{"workflow_id":"{id}",{end}}}"#)).await;
    }
    board.app.jobs.run_once().await;
    let received = hook.received();
    let [only] = received.as_slice() else { panic!("{received:?}") };
    let body: serde_json::Value = serde_json::from_str(&only.body).unwrap();
    assert_eq!(
        (&body["workflow_id"], &body["name"], &body["data"]["type"]),
        (&id, &"weekly report".into(), &"research".into())
    );
    assert!(only.body.len() < 70_000, "{}", only.body.len());
    body
}

#[tokio::test]
async fn an_end_is_told_with_what_came_of_it() {
    use serde_json::json;
    let parts = |body: &serde_json::Value| {
        json!([body["outcome"], body["error"], body["result"], body["task_results"], body["truncated"]])
    };
    let body = told(&[r#"{"rows":12}"#, "null"], None).await;
    assert_eq!(parts(&body), json!(["completed", null, null, {"t0": {"rows": 12}}, false]));
    let body = told(&["1.50"], Some(r#""outcome":"completed","result":{"all":3}"#)).await;
    assert_eq!(parts(&body), json!(["completed", null, {"all": 3}, {"t0": 1.50}, false]));
    let body = told(&[], Some(r#""outcome":"failed","error":"gave up","result":[1]"#)).await;
    assert_eq!(parts(&body), json!(["failed", "gave up", [1], {}, false]));
    // Together they are bounded, also when they are small as they are stored.
    let long = format!("\"{}\"", "x".repeat(40_000));
    let body = told(&[&long, &long, "7"], None).await;
    assert_eq!((&body["truncated"], &body["task_results"]["t0"].is_string()), (&json!(true), &true));
    assert_eq!((&body["task_results"]["t1"], &body["task_results"]["t2"]), (&json!(null), &json!(7)));
    let huge = format!(r#""outcome":"completed","result":"{}""#, "y".repeat(70_000));
    let body = told(&["1"], Some(&huge)).await;
    assert_eq!(parts(&body), json!(["completed", null, null, {"t0": 1}, true]));
}

fn message(url: &str, time: Duration) -> Message {
    Message { url: url.parse().unwrap(), headers: vec![], body: "{}".to_owned(), time }
}

#[tokio::test]
async fn names_that_lead_into_the_own_network_are_not_connected_to() {
    let hook = Hook::start(&[]).await;
    let url = format!("http://localhost:{}/", hook.port);
    let error = HttpSender::new(Hosts::default()).send(message(&url, PATIENCE)).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::Denied, "`localhost` has no public address"));
    assert!(hook.received().is_empty());
    // One port of a host opens no other.
    let other_port = Hosts::parse(&[format!("localhost:{}", hook.port ^ 1)]).unwrap();
    assert_eq!(HttpSender::new(other_port).send(message(&url, PATIENCE)).await.unwrap_err().code, Code::Denied);
    assert!(hook.received().is_empty());
    assert_eq!(HttpSender::new(local()).send(message(&url, PATIENCE)).await.unwrap(), 200);
}

#[tokio::test]
async fn an_exchange_comes_to_an_end() {
    let hook = Hook::start(&[Reply::Silence, Reply::Endless, Reply::Redirect]).await;
    let sender = HttpSender::new(local());
    let error = sender.send(message(&hook.url(), Duration::from_millis(300))).await.unwrap_err();
    assert_eq!(error.code, Code::Timeout);
    assert_eq!(sender.send(message(&hook.url(), PATIENCE)).await.unwrap(), 200, "an answer without an end");
    assert_eq!(sender.send(message(&hook.url(), PATIENCE)).await.unwrap(), 302);
    assert_eq!(hook.received().len(), 3);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret", nobody.local_addr().unwrap());
    drop(nobody);
    let error = sender.send(message(&url, PATIENCE)).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(!format!("{error:?}").contains("/secret"), "{error:?}");
}

#[tokio::test]
async fn who_made_a_workflow_is_told_of_its_end() {
    let hook = Hook::start(&[]).await;
    let (board, _clock) = Harness::timed_with(|config| config.webhooks.hosts = local());
    let create = serde_json::json!({"name": "n", "webhook_url": hook.url()}).to_string();
    let created = board.answer("create_workflow", &create).await;
    let secret = created["webhook_secret"].as_str().unwrap();
    board.app.jobs.run_once().await;
    assert!(hook.received().is_empty(), "it has not ended");
    let complete = serde_json::json!({"workflow_id": created["workflow_id"], "outcome": "completed"}).to_string();
    board.answer("complete_workflow", &complete).await;
    board.app.jobs.run_once().await;
    let received = hook.received();
    let [only] = received.as_slice() else { panic!("{received:?}") };
    let signature = webhooks::signature(secret, only.header("x-callboard-timestamp"), &only.body);
    assert_eq!(only.header("x-callboard-signature"), signature);
    let body: serde_json::Value = serde_json::from_str(&only.body).unwrap();
    assert_eq!((&body["workflow_id"], &body["state"]), (&created["workflow_id"], &"completed".into()));

    let elsewhere = r#"{"name":"n","webhook_url":"https://169.254.169.254/latest"}"#;
    let failure = board.refused("create_workflow", elsewhere).await;
    assert_eq!((&failure["code"], &failure["argument"]), (&"denied".into(), &"webhook_url".into()));
}

#[tokio::test]
async fn many_ends_are_told_in_one_run() {
    let hook = Hook::start(&[]).await;
    let (board, _clock) = Harness::timed_with(|config| config.webhooks.hosts = local());
    for _ in 0..50 {
        let create = serde_json::json!({"name": "n", "webhook_url": hook.url()}).to_string();
        let created = board.answer("create_workflow", &create).await;
        let complete = serde_json::json!({"workflow_id": created["workflow_id"], "outcome": "failed"}).to_string();
        board.answer("complete_workflow", &complete).await;
    }
    board.app.jobs.run_once().await;
    let received = hook.received();
    let told: std::collections::BTreeSet<&str> =
        received.iter().map(|received| received.header("x-callboard-delivery")).collect();
    assert_eq!((received.len(), told.len()), (50, 50));
}

#[tokio::test]
async fn receivers_that_hang_hold_up_no_other() {
    let hanging = Hook::start(&[Reply::Silence; 40]).await;
    let quick = Hook::start(&[]).await;
    let (board, _clock) = Harness::timed_with(|config| config.webhooks.hosts = local());
    for n in 0..40 {
        let url = if n == 39 { quick.url() } else { hanging.url() };
        let create = serde_json::json!({"name": "n", "webhook_url": url}).to_string();
        let created = board.answer("create_workflow", &create).await;
        let complete = serde_json::json!({"workflow_id": created["workflow_id"], "outcome": "failed"}).to_string();
        board.answer("complete_workflow", &complete).await;
    }
    let told = async {
        while quick.received().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = board.app.jobs.run_once() => panic!("the run ends when the last one has been given up"),
        () = told => {}
    }
    let file = Connection::open(board.home.path().join("callboard.db")).unwrap();
    let count = "SELECT count(*) FROM webhook_delivery WHERE state = 'waiting'";
    let given_up: i64 = file.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(given_up, 0, "those that hang still do");
}

#[tokio::test]
async fn one_key_signs_all_when_the_operator_sets_it() {
    let hook = Hook::start(&[]).await;
    let (board, _clock) = Harness::timed_with(|config| {
        config.webhooks.hosts = local();
        config.webhooks.secret = Some("of the operator".to_owned().into());
    });
    let create = serde_json::json!({"name": "n", "webhook_url": hook.url()}).to_string();
    let created = board.answer("create_workflow", &create).await;
    assert_eq!(created["webhook_secret"], serde_json::Value::Null);
    let cancel = serde_json::json!({"workflow_id": created["workflow_id"], "action": "cancel"}).to_string();
    board.answer("control_workflow", &cancel).await;
    board.app.jobs.run_once().await;
    let received = hook.received();
    let [only] = received.as_slice() else { panic!("{received:?}") };
    let signature = webhooks::signature("of the operator", only.header("x-callboard-timestamp"), &only.body);
    assert_eq!(only.header("x-callboard-signature"), signature);
    // It is the operator's, and stands in no record.
    for file in
        std::fs::read_dir(board.home.path()).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(15).any(|part| part == b"of the operator"), "{}", file.display());
    }
}
