//! Agents through tools, on the embedded record store.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{binary::Binary, harness::Harness};

#[tokio::test]
async fn an_agent_is_registered_seen_and_changed() {
    let (board, _clock) = Harness::timed();
    let first =
        board.answer("register_agent", r#"{"role":"writer","agent_id":"agent-1","capabilities":["writing"]}"#).await;
    let token = first["agent_token"].as_str().unwrap();
    assert_eq!(token.len(), 32);
    assert_eq!(first, json!({"agent_id":"agent-1","agent_token":token,"version":1,"status":"idle"}));
    let unnamed = board.answer("register_agent", r#"{"type":"reader","status":"created"}"#).await;
    assert!(unnamed["agent_id"].as_str().unwrap().starts_with("ag_") && unnamed["status"] == "starting", "{unnamed}");

    let metrics =
        r#"{"agent_id":"agent-1","status":"terminated","metrics":{"memory_usage":12.50},"expected_version":1}"#;
    let updated = board.answer("update_agent", metrics).await;
    assert_eq!(updated, json!({"agent_id":"agent-1","version":2,"status":"stopped"}));
    let listed = board.answer_text("list_agents", r#"{"role":"writer"}"#).await;
    assert_eq!(
        listed,
        concat!(
            r#"{"counts":{"starting":1,"stopped":1,"total":2},"next":null,"untrusted":true,"agents":["#,
            r#"{"agent_id":"agent-1","role":"writer","status":"stopped","version":2,"capabilities":["writing"],"#,
            r#""last_heartbeat":"2026-05-28T20:26:40.000Z","started_at":"2026-05-28T20:26:40.000Z","current_task_id":null,"#,
            r#""current_tasks":[],"task_count":0,"success_rate":null,"average_response_time":null,"metrics":{"memory_usage":12.50}}]}"#
        )
    );
}

#[tokio::test]
async fn an_agent_that_holds_a_task_is_busy_and_shows_it() {
    let (board, clock) = Harness::timed();
    board.answer("enqueue_tasks", r#"{"tasks":[{"title":"one"}]}"#).await;
    let claimed = board.answer("claim_tasks", r#"{"agent_id":"a"}"#).await;
    let listed = board.answer("list_agents", r#"{"status":"busy"}"#).await;
    let agent = &listed["agents"][0];
    assert_eq!((&agent["agent_id"], &agent["role"]), (&json!("a"), &json!("agent")), "registered by its claim");
    assert_eq!(agent["current_task_id"], claimed["tasks"][0]["task_id"]);
    assert_eq!(agent["current_tasks"][0]["lease_until"], claimed["tasks"][0]["lease_until"]);
    clock.pass(Duration::from_millis(2_500));
    let finish = json!({"lease_token": claimed["tasks"][0]["lease_token"], "outcome": "completed"}).to_string();
    board.answer("finish_task", &finish).await;
    let listed = board.answer("list_agents", r#"{"status":"idle"}"#).await;
    let agent = &listed["agents"][0];
    assert_eq!((&agent["current_task_id"], &agent["task_count"]), (&Value::Null, &json!(1)));
    assert_eq!((&agent["success_rate"], &agent["average_response_time"]), (&json!(1.0), &json!(2.5)));
}

#[tokio::test]
async fn that_an_agent_is_not_well_is_written_down() {
    let board = Harness::embedded();
    board.answer("register_agent", r#"{"role":"r","agent_id":"a"}"#).await;
    for report in [r#""metrics":{"degraded":true}"#, r#""status":"error""#, r#""metrics":{"cpu_usage":1}"#] {
        board
            .answer(
                "update_agent",
                &format!(r#"{{"agent_id":"a","status":"idle",{report}}}"#)
                    .replace(r#""status":"idle","status""#, r#""status""#),
            )
            .await;
    }
    let file = rusqlite::Connection::open(board.home.path().join("callboard.db")).unwrap();
    let mut found = file.prepare("SELECT type FROM event WHERE entity = 'agent' ORDER BY seq").unwrap();
    let kinds: Vec<String> = found.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(kinds, ["agent_registered", "agent_degraded", "agent_degraded", "agent_changed"]);
}

#[tokio::test]
async fn a_change_on_an_old_version_is_told_what_stands() {
    let board = Harness::embedded();
    board.answer("register_agent", r#"{"role":"writer","agent_id":"a"}"#).await;
    board.answer("update_agent", r#"{"agent_id":"a","status":"busy"}"#).await;
    let failure = board.refused("update_agent", r#"{"agent_id":"a","status":"idle","expected_version":1}"#).await;
    assert_eq!(
        (&failure["code"], &failure["argument"], &failure["current"]),
        (&json!("conflict"), &json!("expected_version"), &json!({"status":"busy","version":2}))
    );
    let failure = board.refused("update_agent", r#"{"agent_id":"aa"}"#).await;
    assert_eq!((&failure["code"], &failure["did_you_mean"]), (&json!("not_found"), &json!(["a"])));
}

#[tokio::test]
async fn pages_hold_together() {
    let board = Harness::embedded();
    for number in 0..7 {
        board.answer("register_agent", &json!({"role": "r", "agent_id": format!("a{number}")}).to_string()).await;
    }
    let (mut cursor, mut seen) = (Value::Null, Vec::new());
    loop {
        let page = board.answer("list_agents", &json!({"limit": 3, "cursor": cursor}).to_string()).await;
        assert_eq!(page["counts"]["total"], 7);
        seen.extend(
            page["agents"].as_array().unwrap().iter().map(|agent| agent["agent_id"].as_str().unwrap().to_owned()),
        );
        cursor = page["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, ["a0", "a1", "a2", "a3", "a4", "a5", "a6"]);
    let page = board.answer("list_agents", r#"{"limit":3}"#).await;
    let other = json!({"limit": 3, "role": "r", "cursor": page["next"]}).to_string();
    assert_eq!(board.refused("list_agents", &other).await["argument"], "cursor");
}

#[tokio::test]
async fn a_key_gives_the_same_agent() {
    let board = Harness::embedded();
    let call = r#"{"role":"writer","idempotency_key":"k"}"#;
    let first = board.answer("register_agent", call).await;
    assert_eq!(board.answer("register_agent", call).await, first);
    assert_eq!(board.answer("list_agents", "{}").await["counts"]["total"], 1);
    assert_eq!(board.refused("register_agent", r#"{"role":"r","idempotency_key":"k"}"#).await["code"], "conflict");
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let board = Harness::embedded();
    let many = json!({"role": "r", "capabilities": (0..101).map(|n| n.to_string()).collect::<Vec<_>>()}).to_string();
    let large = json!({"role": "r", "metadata": {"x": "y".repeat(70_000)}}).to_string();
    for (arguments, argument) in [
        ("{}", "role"),
        (r#"{"role":" "}"#, "role"),
        (r#"{"role":"r","agent_id":"a\nb"}"#, "agent_id"),
        (r#"{"role":"r","capabilities":["a",""]}"#, "capabilities[1]"),
        (r#"{"role":"r","metadata":[1]}"#, "metadata"),
        (&many, "capabilities"),
        (&large, "metadata"),
    ] {
        let failure = board.refused("register_agent", arguments).await;
        assert_eq!((&failure["code"], failure["argument"].as_str()), (&json!("invalid"), Some(argument)), "{failure}");
    }
    let failure = board.refused("list_agents", r#"{"status":"runing"}"#).await;
    assert_eq!(failure["argument"], "status");
    let read_only = Harness::with(|config| config.access.read_only = true);
    assert_eq!(read_only.refused("register_agent", r#"{"role":"r"}"#).await["code"], "denied");
}

#[test]
fn another_process_takes_a_name_only_with_its_token_or_after_its_end() {
    let mut first = Binary::serve();
    let mut second = first.beside();
    let registered = first.answer("register_agent", r#"{"role":"writer","agent_id":"a"}"#);
    for _ in 0..2 {
        let failure = second.refused("register_agent", r#"{"role":"writer","agent_id":"a"}"#);
        assert_eq!((&failure["code"], &failure["argument"]), (&json!("conflict"), &json!("agent_id")), "{failure}");
        assert!(failure["hint"].as_str().unwrap().contains("agent_token"), "{failure}");
        assert_eq!(failure["current"]["status"], "idle");
    }
    let wrong = second.refused("register_agent", r#"{"role":"writer","agent_id":"a","agent_token":"x"}"#);
    assert_eq!(wrong["argument"], "agent_token");
    let again = json!({"role": "editor", "agent_id": "a", "agent_token": registered["agent_token"]}).to_string();
    assert_eq!(second.answer("register_agent", &again)["version"], 2);
    // Its end is known at once, and then the name is free.
    second.end_input();
    second.wait();
    let listed = first.answer("list_agents", "{}");
    assert_eq!(listed["agents"][0]["status"], "lost", "{listed}");
    assert_eq!(first.answer("register_agent", r#"{"role":"writer","agent_id":"a"}"#)["version"], 4);
}
