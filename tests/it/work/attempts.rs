//! What counts as an attempt, and when one begins.

use serde_json::{Value, json};

use super::{claim, create, fail, lease, manage, park, workflow};
use crate::support::harness::boards;

#[tokio::test]
async fn questions_use_up_no_attempt() {
    for board in boards() {
        let created = create(&board, json!([{"key": "a", "max_attempts": 1}])).await;
        let task = &created["tasks"][0]["task_id"];
        for _ in 0..4 {
            let claimed = claim(&board, "a").await["tasks"][0].clone();
            assert_eq!(claimed["attempt"], 1);
            park(&board, &claimed["lease_token"]).await;
            let parked = manage(&board, json!({"action": "list", "ids": [task]})).await;
            assert_eq!(parked["tasks"][0]["attempts"], 0);
            manage(&board, json!({"action": "answer", "ids": [task], "answer": 1})).await;
        }
        let claimed = claim(&board, "a").await["tasks"][0].clone();
        assert_eq!((&claimed["attempt"], &claimed["answer"]), (&json!(1), &json!(1)));
        assert_eq!(fail(&board, &claimed["lease_token"], "flaky").await["state"], "dead");
    }
}

#[tokio::test]
async fn what_is_tried_again_has_no_error_of_its_own() {
    for board in boards() {
        let created = create(&board, json!([{"key": "a", "max_attempts": 2}])).await;
        let ids = json!([created["tasks"][0]["task_id"]]);
        let shown = async || -> Value {
            let task = manage(&board, json!({"action": "list", "ids": ids})).await["tasks"][0].take();
            json!([task["state"], task["error"]["message"], task["last_error"]["message"], task["message"]])
        };
        let first = lease(&board, "a").await;
        board
            .answer("update_task", &json!({"lease_token": first, "message": "half", "progress": 0.5}).to_string())
            .await;
        fail(&board, &first, "flaky").await;
        let again = lease(&board, "a").await;
        assert_eq!(shown().await, json!(["leased", null, "no answer", "half"]));
        assert_eq!(fail(&board, &again, "flaky").await["state"], "dead");
        assert_eq!(shown().await, json!(["dead", "no answer", null, "half"]));
        // The workflow has ended: one that is paused instead lets its dead letters be tried again.
        let paused = json!({"name": "n", "tasks": [{"key": "a"}], "on_task_failure": "pause"}).to_string();
        let created = board.answer("create_workflow", &paused).await;
        let ids = json!([created["tasks"][0]["task_id"]]);
        let lost = lease(&board, "a").await;
        board
            .answer("update_task", &json!({"lease_token": lost, "message": "half", "progress": 0.5}).to_string())
            .await;
        assert_eq!(fail(&board, &lost, "invalid").await["workflow_state"], "paused");
        manage(&board, json!({"action": "retry", "ids": ids})).await;
        let task = manage(&board, json!({"action": "list", "ids": ids})).await["tasks"][0].take();
        assert_eq!(
            (&task["state"], &task["waiting_for"], &task["error"], &task["message"], &task["progress"]),
            (&json!("ready"), &json!("paused"), &json!(null), &json!(null), &json!(null))
        );
        assert_eq!(task["last_error"], json!({"code": "invalid", "message": "no answer"}));
    }
}

#[tokio::test]
async fn what_should_have_run_already_runs_at_once() {
    for board in boards() {
        create(&board, json!([{"key": "a", "run_at": "2001-01-01T00:00:00Z"}, {"key": "b", "delay_ms": 0}])).await;
        let lone = r#"{"tasks":[{"run_at":"2001-01-01T02:00:00+02:00"}]}"#;
        assert_eq!(board.answer("enqueue_tasks", lone).await["tasks"][0]["state"], "ready");
        let claimed = board.answer("claim_tasks", r#"{"agent_id":"a","max":9}"#).await;
        assert_eq!(claimed["tasks"].as_array().unwrap().len(), 3);
        for (run_at, message) in [
            ("tomorrow", "`run_at` is `tomorrow`; it takes a date and time with its zone, e.g. 2026-11-21T09:00:00Z"),
            (
                "2026-12-01",
                "`run_at` is `2026-12-01`; it takes a date and time with its zone, e.g. 2026-11-21T09:00:00Z",
            ),
            ("9999-01-01T00:00:00Z", "`run_at` is `9999-01-01T00:00:00Z`; it takes up to ten years from now"),
        ] {
            let refused = board.refused("enqueue_tasks", &json!({"tasks": [{"run_at": run_at}]}).to_string()).await;
            assert_eq!((&refused["argument"], &refused["message"]), (&json!("tasks[0].run_at"), &json!(message)));
        }
    }
}

#[tokio::test]
async fn a_paused_workflow_goes_on_to_something_or_says_why_not() {
    for board in boards() {
        let paused = json!({"name": "n", "tasks": [{"key": "a"}, {"key": "b", "depends_on": ["a"]}], "on_task_failure": "pause"});
        let id = board.answer("create_workflow", &paused.to_string()).await["workflow_id"].clone();
        assert_eq!(fail(&board, &lease(&board, "a").await, "invalid").await["workflow_state"], "paused");
        let version = workflow(&board, &id).await["version"].clone();
        let resume = json!({"workflow_id": id, "action": "resume"}).to_string();
        let refused = board.refused("control_workflow", &resume).await;
        assert_eq!(
            refused["message"],
            format!("nothing is left to do in the workflow `{}`, and 1 task is dead", id.as_str().unwrap())
        );
        assert_eq!(refused["current"], json!({"state": "paused", "version": version}));
        assert_eq!(workflow(&board, &id).await["state"], "paused");
        board.answer("complete_workflow", &json!({"workflow_id": id, "outcome": "failed"}).to_string()).await;
        let fork = board.answer("control_workflow", &json!({"workflow_id": id, "action": "fork"}).to_string()).await;
        let again = workflow(&board, &fork["fork"]["workflow_id"]).await;
        assert_eq!((&again["state"], &again["task_counts"]["open"]), (&json!("pending"), &json!(2)), "{fork} {again}");
    }
}

#[tokio::test]
async fn dead_letters_that_cannot_be_tried_again_are_not_passed_over_in_silence() {
    for board in boards() {
        let two = json!([{"key": "a"}, {"key": "b", "queue": "other"}]);
        board.answer("create_workflow", &json!({"name": "n", "tasks": two}).to_string()).await;
        fail(&board, &lease(&board, "a").await, "invalid").await;
        let open = json!({"name": "n", "tasks": two, "on_task_failure": "pause"}).to_string();
        board.answer("create_workflow", &open).await;
        fail(&board, &lease(&board, "a").await, "invalid").await;
        let retry = |filter: Value, dry_run| json!({"action": "retry", "filter": filter, "dry_run": dry_run});
        let hint = "tasks passed over because their workflow has ended: 1; control_workflow with action `fork` continues one \
                    from its completed tasks";
        for (affected, dry_run) in [(1, true), (1, false), (0, false)] {
            let answer = manage(&board, retry(json!({"state": "dead"}), dry_run)).await;
            assert_eq!((&answer["affected"], &answer["hint"]), (&json!(affected), &json!(hint)), "{answer}");
        }
        let elsewhere = manage(&board, retry(json!({"queue": "other"}), false)).await;
        assert_eq!((&elsewhere["affected"], &elsewhere["hint"]), (&json!(0), &Value::Null));
    }
}
