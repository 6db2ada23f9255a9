//! Failed attempts in figures.

use serde_json::json;

use super::{claim, create, fail};
use crate::support::harness::boards;

#[tokio::test]
async fn failed_attempts_of_open_workflows_are_counted() {
    for board in boards() {
        let open = create(&board, json!([{"key": "a"}, {"key": "b"}])).await["workflow_id"].clone();
        create(&board, json!([{"key": "c", "queue": "quiet"}])).await;
        for _ in 0..2 {
            let mut claimed = claim(&board, "a").await;
            // A text that looks like what is counted is none.
            let error = json!({"message": r#"{"attempt":1}, {"attempt":2}"#});
            let failed = json!({"lease_token": claimed["tasks"][0]["lease_token"].take(), "outcome": "failed", "error": error,
                                "retry_after_ms": 3_600_000});
            board.answer("finish_task", &failed.to_string()).await;
        }
        let figures = async || board.answer("get_analytics", r#"{"metric":"failures"}"#).await["rows"].take();
        let rows = figures().await;
        let row = &rows[0];
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
        assert_eq!(
            (&row["workflow_id"], &row["state"], &row["failed_attempts"], &row["completed_at"]),
            (&open, &json!("running"), &json!(2), &json!(null))
        );
        assert_eq!(row["error"], r#"{"attempt":1}, {"attempt":2}"#);
        let end = json!({"workflow_id": open, "outcome": "failed", "error": "gave up"}).to_string();
        board.answer("complete_workflow", &end).await;
        let rows = figures().await;
        assert_eq!(
            (&rows[0]["state"], &rows[0]["failed_attempts"], &rows[0]["error"]),
            (&json!("failed"), &json!(2), &json!("gave up"))
        );
    }
}

#[tokio::test]
async fn failed_attempts_of_tasks_without_a_workflow_are_counted() {
    for board in boards() {
        board.answer("enqueue_tasks", r#"{"tasks":[{"title":"lone","max_attempts":2}]}"#).await;
        let figures = async || board.answer("get_analytics", r#"{"metric":"failures"}"#).await["rows"].take();
        assert_eq!(figures().await, json!([]));
        for state in ["retry_wait", "dead"] {
            let claimed = claim(&board, "a").await["tasks"][0].take();
            fail(&board, &claimed["lease_token"], "flaky").await;
            let rows = figures().await;
            let (row, attempt) = (&rows[0], &claimed["attempt"]);
            assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
            assert_eq!((&row["task_id"], &row["workflow_id"]), (&claimed["task_id"], &json!(null)));
            assert_eq!(
                (&row["name"], &row["state"], &row["error"]),
                (&json!("lone"), &json!(state), &json!("no answer"))
            );
            assert_eq!((&row["failed_attempts"], row["completed_at"].is_string()), (attempt, state == "dead"));
        }
    }
}
