//! Who is stuck, and why.

use serde_json::{Value, json};

use super::{claim, create, lease, manage, park, workflow};
use crate::support::harness::boards;

#[tokio::test]
async fn who_is_stuck_is_said_everywhere() {
    for board in boards() {
        let created = create(
            &board,
            json!([
                {"key": "asks", "priority": 9},
                {"key": "gpu", "required_capabilities": ["gpu", "cuda"], "priority": 8},
                {"key": "later", "delay_ms": 3_600_000},
                {"key": "after", "depends_on": ["asks"]},
                {"key": "free"},
            ]),
        )
        .await;
        let id = &created["workflow_id"];
        assert_eq!(workflow(&board, id).await["needs_attention"], true, "nobody has gpu");
        park(&board, &lease(&board, "a").await).await;
        let of_workflow = json!({"action": "list", "filter": {"workflow_id": id}});
        let said = async || -> Vec<Value> {
            let tasks = manage(&board, of_workflow.clone()).await["tasks"].take();
            tasks.as_array().unwrap().iter().map(|task| task["waiting_for"].clone()).collect()
        };
        assert_eq!(said().await, ["question", "capability", "run_at", "dependency", "nothing"]);
        let counts = json!({"question": 1, "capability": 1, "run_at": 1, "dependency": 1, "nothing": 1});
        let seen = workflow(&board, id).await;
        assert_eq!((&seen["waiting_for"], &seen["needs_attention"]), (&counts, &json!(true)));
        let listed = board.answer("list_workflows", "{}").await;
        assert_eq!(listed["workflows"][0]["waiting_for"], counts);
        let task = manage(&board, of_workflow.clone()).await["tasks"][1].clone();
        assert_eq!(task["required_capabilities"], json!(["cuda", "gpu"]));
        let asked = json!({"task_id": task["task_id"]}).to_string();
        assert_eq!(board.answer("get_orchestration_status", &asked).await["task"]["waiting_for"], "capability");
        let glance = board.answer("get_orchestration_status", "{}").await;
        let all = json!({"question": 1, "capability": 1, "dependency": 1, "run_at": 1, "paused": 0, "nothing": 1});
        assert_eq!((&glance["waiting_for"], &glance["needs_attention"]), (&all, &json!(1)));
        assert_eq!(glance["missing_capabilities"], json!([["cuda", "gpu"]]));

        // Its worker has one, and nobody is left: an empty claim says why.
        let held = lease(&board, "a").await;
        assert_eq!(said().await[4], Value::Null, "it is worked on");
        let empty = claim(&board, "b").await;
        let next = &empty["waiting"]["next_run_at"];
        assert!(next.is_string(), "{empty}");
        let lacking = json!({"tasks": 1, "missing": ["cuda", "gpu"]});
        assert_eq!(
            empty["waiting"],
            json!({"capability": lacking, "question": 1, "dependency": 1, "run_at": 1, "next_run_at": next, "leased": 1})
        );
        assert!(empty["hint"].as_str().unwrap().contains("register_agent"), "{empty}");
        let elsewhere = board.answer("claim_tasks", r#"{"agent_id":"b","queues":["other","none"]}"#).await;
        assert_eq!((&elsewhere["waiting"], &elsewhere["tasks"]), (&json!({}), &json!([])));
        let here = board.answer("claim_tasks", r#"{"agent_id":"b","queues":["default"]}"#).await;
        assert_eq!(here["waiting"], empty["waiting"]);

        // Half of what is needed is not enough; who is gone does not count.
        for (capabilities, status, stands) in [
            (json!(["gpu"]), "idle", "capability"),
            (json!(["gpu", "cuda"]), "stopped", "capability"),
            (json!(["cuda", "x", "gpu"]), "idle", "nothing"),
        ] {
            let told = json!({"role": "r", "agent_id": "able", "capabilities": capabilities, "status": status});
            board.answer("register_agent", &told.to_string()).await;
            assert_eq!(said().await[1], stands, "{told}");
        }
        let empty = claim(&board, "b").await;
        assert_eq!(empty["waiting"]["capability"], lacking, "`b` cannot, whoever else can");
        assert_eq!(workflow(&board, id).await["needs_attention"], true, "the question waits");
        let answer = json!({"action": "answer", "ids": [created["tasks"][0]["task_id"]], "answer": "this"});
        manage(&board, answer).await;
        let seen = workflow(&board, id).await;
        assert_eq!(seen["needs_attention"], false, "{seen}");
        board.answer("control_workflow", &json!({"workflow_id": id, "action": "pause"}).to_string()).await;
        assert_eq!(said().await, [json!("paused"), json!("paused"), json!("run_at"), json!("dependency"), Value::Null]);
        assert_eq!(claim(&board, "b").await["waiting"]["paused"], 2);
        let released = json!({"lease_token": held, "outcome": "released"});
        board.answer("finish_task", &released.to_string()).await;
        assert_eq!(claim(&board, "b").await["waiting"]["paused"], 3);
    }
}

#[tokio::test]
async fn a_workflow_whose_tasks_all_wait_for_answers_waits() {
    for board in boards() {
        let id = create(&board, json!([{"key": "a"}, {"key": "b", "depends_on": ["a"]}])).await["workflow_id"].clone();
        park(&board, &lease(&board, "a").await).await;
        let seen = workflow(&board, &id).await;
        assert_eq!((&seen["state"], &seen["needs_attention"]), (&json!("waiting"), &json!(true)));
        assert_eq!(seen["waiting_for"], json!({"question": 1, "dependency": 1}));
    }
}

#[tokio::test]
async fn tasks_without_a_workflow_that_are_stuck_need_attention() {
    for board in boards() {
        let attention = async || board.answer("get_orchestration_status", "{}").await["needs_attention"].take();
        board.answer("enqueue_tasks", r#"{"tasks":[{"title":"asks"},{"required_capabilities":["gpu"]}]}"#).await;
        assert_eq!(attention().await, 1, "nobody has gpu");
        park(&board, &lease(&board, "a").await).await;
        assert_eq!(attention().await, 2, "a question waits, too");
        board.answer("register_agent", r#"{"role":"r","agent_id":"able","capabilities":["gpu"]}"#).await;
        assert_eq!(attention().await, 1);
    }
}
