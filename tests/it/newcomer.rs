//! What somebody meets who uses the board for the first time, through tools on both record stores: who is stuck and why, what failed, and
//! who did what.

use serde_json::{Value, json};

use crate::support::harness::{Harness, boards};

async fn create(board: &Harness, tasks: Value) -> Value {
    let workflow = json!({"name": "n", "tasks": tasks, "on_task_failure": "continue"});
    board.answer("create_workflow", &workflow.to_string()).await
}

async fn claim(board: &Harness, agent: &str) -> Value {
    board.answer("claim_tasks", &json!({"agent_id": agent}).to_string()).await
}

/// Claims the one task there is; its lease.
async fn lease(board: &Harness, agent: &str) -> Value {
    claim(board, agent).await["tasks"][0]["lease_token"].clone()
}

async fn park(board: &Harness, lease: &Value) {
    board.answer("update_task", &json!({"lease_token": lease, "need_input": "which?"}).to_string()).await;
}

async fn fail(board: &Harness, lease: &Value, code: &str) -> Value {
    let error = json!({"code": code, "message": "no answer"});
    let failed = json!({"lease_token": lease, "outcome": "failed", "error": error, "retry_after_ms": 0});
    board.answer("finish_task", &failed.to_string()).await
}

async fn manage(board: &Harness, arguments: Value) -> Value {
    board.answer("manage_tasks", &arguments.to_string()).await
}

async fn workflow(board: &Harness, id: &Value) -> Value {
    board.answer("get_orchestration_status", &json!({"workflow_id": id}).to_string()).await["workflow"].clone()
}

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
