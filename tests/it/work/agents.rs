//! What an agent did, and whether it is busy.

use serde_json::{Value, json};

use super::{create, lease, park};
use crate::support::harness::boards;

#[tokio::test]
async fn what_an_agent_did_is_found_by_its_id() {
    for board in boards() {
        board.answer("register_agent", r#"{"role":"r","agent_id":"a"}"#).await;
        create(&board, json!([{"key": "one"}, {"key": "two"}])).await;
        let done = json!({"lease_token": lease(&board, "a").await, "outcome": "completed"}).to_string();
        board.answer("finish_task", &done).await;
        park(&board, &lease(&board, "a").await).await;
        board.answer("manage_lock", r#"{"action":"acquire","resource":"db","agent_id":"a"}"#).await;
        board.answer("update_agent", r#"{"agent_id":"a","metadata":{"port":1}}"#).await;
        board.answer("update_agent", r#"{"agent_id":"a","metrics":{"cpu_usage":1}}"#).await;
        board.answer("manage_lock", r#"{"action":"acquire","resource":"other","agent_id":"b"}"#).await;
        let mut kinds = Vec::new();
        let mut asked = json!({"agent_id": "a", "limit": 3});
        loop {
            let events = board.answer("get_events", &asked.to_string()).await;
            let page = events["events"].as_array().unwrap();
            kinds.extend(page.iter().map(|event| event["event_type"].as_str().unwrap().to_owned()));
            if events["next"].is_null() {
                break;
            }
            asked["after"] = events["next"].clone();
        }
        kinds.sort();
        assert_eq!(
            kinds,
            [
                "agent_registered",
                "agent_updated",
                "lock_acquired",
                "task_claimed",
                "task_claimed",
                "task_completed",
                "task_parked",
                "workflow_started",
                "workflow_waiting"
            ]
        );
        let unknown = board.refused("get_events", r#"{"agent_id":"nobody"}"#).await;
        assert_eq!(unknown["message"], "no agent `nobody`");
    }
}

#[tokio::test]
async fn who_holds_a_task_is_busy_in_every_answer() {
    for board in boards() {
        board.answer("register_agent", r#"{"role":"r","agent_id":"a"}"#).await;
        create(&board, json!([{"key": "one"}])).await;
        let held = lease(&board, "a").await;
        let status = async |tool: &str, more: &str| -> Value {
            board.answer(tool, &format!(r#"{{"agent_id":"a"{more}}}"#)).await["status"].take()
        };
        assert_eq!(status("register_agent", r#","role":"r""#).await, "busy");
        assert_eq!(status("register_agent", r#","role":"r","status":"starting""#).await, "busy");
        assert_eq!(status("update_agent", r#","metrics":{"x":1}"#).await, "busy");
        assert_eq!(status("update_agent", r#","status":"idle""#).await, "busy");
        let moved = board.refused("update_agent", r#"{"agent_id":"a","expected_version":99}"#).await;
        assert_eq!(moved["current"]["status"], "busy");
        assert_eq!(board.answer("list_agents", "{}").await["agents"][0]["status"], "busy");
        assert_eq!(status("update_agent", r#","status":"error""#).await, "error", "it says more than that it works");
        assert_eq!(status("update_agent", r#","status":"idle""#).await, "busy");
        board.answer("finish_task", &json!({"lease_token": held, "outcome": "completed"}).to_string()).await;
        assert_eq!(status("register_agent", r#","role":"r""#).await, "idle");
    }
}
