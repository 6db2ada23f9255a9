//! What orchestrators are shown of their workflows.

use serde_json::json;

use crate::support::harness::Harness;

#[tokio::test]
async fn a_status_shows_the_newest_events() {
    let board = Harness::embedded();
    let tasks: Vec<_> = (0..120).map(|n| json!({"key": n.to_string()})).collect();
    let created = board.answer("create_workflow", &json!({"name": "n", "tasks": tasks}).to_string()).await;
    let id = &created["workflow_id"];
    board.answer("control_workflow", &json!({"workflow_id": id, "action": "pause"}).to_string()).await;
    let asked = json!({"workflow_id": id, "include": ["events"]}).to_string();
    let status = board.answer("get_orchestration_status", &asked).await;
    let events = status["events"].as_array().unwrap();
    assert_eq!(events.len(), 100);
    assert!(events.is_sorted_by_key(|event| event["seq"].as_i64()), "oldest first");
    assert_eq!(events[99]["event_type"], "workflow_paused");
}
