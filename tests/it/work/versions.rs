//! What moves the version of a workflow, and what does not.

use serde_json::{Value, json};

use super::{create, lease, workflow};
use crate::support::harness::{Harness, boards};

#[tokio::test]
async fn a_claim_is_news_of_its_workflow() {
    for board in boards() {
        let id = create(&board, json!([{"key": "a"}, {"key": "b"}, {"key": "c"}])).await["workflow_id"].clone();
        lease(&board, "a").await;
        let version = workflow(&board, &id).await["version"].clone();
        let waits = json!({"workflow_id": id, "since_version": version, "wait_ms": 20_000}).to_string();
        let (news, _) = tokio::join!(board.answer("get_orchestration_status", &waits), async {
            while *board.app.locks.waiting().borrow() == 0 {
                tokio::task::yield_now().await;
            }
            lease(&board, "b").await
        });
        assert_eq!(news["unchanged"], Value::Null);
        let newer = &news["workflow"]["version"];
        assert!(newer.as_i64() > version.as_i64(), "{news}");
        // Who decided on what it was before is refused, and told the version that is shown.
        let pause =
            |version: &Value| json!({"workflow_id": id, "action": "pause", "expected_version": version}).to_string();
        let refused = board.refused("control_workflow", &pause(&version)).await;
        assert_eq!((&refused["code"], &refused["current"]["version"]), (&json!("conflict"), newer));
        let paused = board.answer("control_workflow", &pause(newer)).await;
        assert_eq!(paused["version"], workflow(&board, &id).await["version"]);
        let events = board.answer("get_events", &json!({"workflow_id": id}).to_string()).await;
        let last = events["events"].as_array().unwrap().last().unwrap();
        assert_eq!(last["event_data"]["version"], paused["version"]);
    }
}

#[tokio::test]
async fn what_has_no_effect_says_what_helps() {
    let board = Harness::embedded();
    let refused = async |id: &Value, action: &str| -> Value {
        let asked = json!({"workflow_id": id, "action": action}).to_string();
        board.refused("control_workflow", &asked).await["hint"].take()
    };
    let id = create(&board, json!([{"key": "a"}])).await["workflow_id"].take();
    let open = "action `fork` takes a workflow that has ended; this one is still open";
    assert_eq!(refused(&id, "fork").await, open);
    let goes_on = "it goes on by itself; get_orchestration_status shows what its tasks wait for";
    assert_eq!(refused(&id, "resume").await, goes_on);
    let held = lease(&board, "a").await;
    assert_eq!(refused(&id, "start").await, goes_on);
    let control = async |action: &str| {
        board.answer("control_workflow", &json!({"workflow_id": id, "action": action}).to_string()).await
    };
    control("pause").await;
    assert_eq!(refused(&id, "pause").await, "action `resume` makes it go on");
    assert_eq!(refused(&id, "fork").await, open);
    control("resume").await;
    control("cancel").await;
    let leaves = "it ends once its workers have let go of their tasks, after a minute at the latest; action `fork` continues \
                  from it then";
    assert_eq!(refused(&id, "resume").await, leaves);
    board.answer("finish_task", &json!({"lease_token": held, "outcome": "released"}).to_string()).await;
    let forks =
        "an ended workflow stays ended; action `fork` creates a new one that continues from its completed tasks";
    assert_eq!(refused(&id, "resume").await, forks);
}
