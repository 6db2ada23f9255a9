//! Calls that cannot be meant: each is told what is wrong with which argument, and changes nothing.

use callboard::config::Limits;
use serde_json::{Value, json};

use crate::support::harness::Harness;

/// Everything that a call could have written.
fn rows(board: &Harness) -> Vec<String> {
    let file = rusqlite::Connection::open(board.home.path().join("callboard.db")).unwrap();
    let tables = [
        "workflow",
        "workflow_result",
        "task",
        "task_run",
        "task_dependency",
        "capability_set",
        "signal",
        "event",
        "cost",
        "webhook",
        "idempotency",
        "agent",
    ];
    let count = |table: &&str| {
        let rows: i64 = file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        format!("{table} {rows}")
    };
    let versions: String = file
        .query_row(
            "SELECT group_concat(id || state || version || changed_at) FROM (SELECT * FROM workflow ORDER BY id)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let runs: String = file
        .query_row("SELECT group_concat(task_id || state || fence || lease_until) FROM (SELECT * FROM task_run WHERE lease_until IS NOT NULL ORDER BY task_id)", [], |row| row.get(0))
        .unwrap();
    tables.iter().map(count).chain([versions, runs]).collect()
}

/// A running workflow with a leased, a ready, and a blocked task; one that has ended; and the tokens.
struct Scene {
    board: Harness,
    running: String,
    ended: String,
    leased: String,
    ready: String,
    completed: String,
    token: String,
    stale: String,
}

impl Scene {
    async fn new() -> Self {
        let board = Harness::with(|config| config.limits = Limits { payload_bytes_max: 100_000, ..config.limits });
        let ended = board.answer("create_workflow", r#"{"name":"ended","tasks":[{"key":"a"}]}"#).await;
        let claimed = board.answer("claim_tasks", r#"{"agent_id":"one"}"#).await["tasks"][0].clone();
        let stale = claimed["lease_token"].as_str().unwrap().to_owned();
        board.answer("finish_task", &json!({"lease_token": stale, "outcome": "completed"}).to_string()).await;
        let tasks = json!([{"key": "a"}, {"key": "b"}, {"key": "c", "depends_on": ["b"]}]);
        let running = board.answer("create_workflow", &json!({"name": "running", "tasks": tasks}).to_string()).await;
        let leased = board.answer("claim_tasks", r#"{"agent_id":"one"}"#).await["tasks"][0].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            running: text(&running["workflow_id"]),
            ended: text(&ended["workflow_id"]),
            leased: text(&leased["task_id"]),
            ready: text(&running["tasks"][1]["task_id"]),
            completed: text(&ended["tasks"][0]["task_id"]),
            token: text(&leased["lease_token"]),
            stale,
            board,
        }
    }

    /// Each call is refused with the code and names the argument, and nothing is changed.
    async fn refuses(&self, calls: Vec<(&str, Value, &str, &str)>) {
        let before = rows(&self.board);
        let mut wrong = Vec::new();
        for (tool, arguments, code, argument) in calls {
            let text = arguments.to_string();
            let shown: String = text.chars().take(200).collect();
            let (refused, failure) = self.board.any(tool, &text).await;
            let named = failure["argument"].as_str().unwrap_or("-");
            if !refused || failure["code"] != code || named != argument {
                let failure: String = failure.to_string().chars().take(400).collect();
                wrong.push(format!("{tool} {shown}\n  is to be {code} {argument}\n  → {failure}"));
            }
            let answer = failure.to_string();
            if answer.len() > 4_000 {
                wrong.push(format!("{tool} {shown}\n  → {} bytes of answer", answer.len()));
            }
            if rows(&self.board) != before {
                wrong.push(format!("{tool} {shown}\n  has changed something"));
                break;
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Names that nothing has, and that do no harm where they are looked for.
fn strange() -> Vec<String> {
    [
        "",
        " ",
        "wf_none",
        "a'b\"c`d;--",
        "../../etc/passwd",
        "a/b.c:d*>",
        "%",
        "_",
        "a\nb",
        "\u{202e}kt_",
        "ü漢😀",
        "$1",
        "?1",
        "{}",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect()
}

#[tokio::test]
async fn ids_of_nothing() {
    let scene = Scene::new().await;
    let mut calls = Vec::new();
    for id in strange() {
        calls.push(("control_workflow", json!({"workflow_id": id, "action": "pause"}), "not_found", "workflow_id"));
        calls.push(("complete_workflow", json!({"workflow_id": id, "outcome": "failed"}), "not_found", "workflow_id"));
        // An optional one that is empty is as if left out.
        if !id.trim().is_empty() {
            calls.push(("get_orchestration_status", json!({"workflow_id": id}), "not_found", "workflow_id"));
            calls.push(("enqueue_tasks", json!({"workflow_id": id, "tasks": [{}]}), "not_found", "workflow_id"));
            calls.push(("create_workflow", json!({"name": "n", "parent_id": id}), "not_found", "parent_id"));
        }
        calls.push(("manage_tasks", json!({"action": "cancel", "ids": [id, scene.ready]}), "not_found", "ids"));
        calls.push(("finish_task", json!({"lease_token": id, "outcome": "completed"}), "invalid", "lease_token"));
        calls.push(("update_task", json!({"lease_token": id}), "invalid", "lease_token"));
    }
    scene.refuses(calls).await;
    // With NUL, which no store can keep, and longer than any id is.
    let mut calls = Vec::new();
    for id in ["a\0b".to_owned(), "x".repeat(1 << 20)] {
        calls.push(("control_workflow", json!({"workflow_id": id, "action": "pause"}), "invalid", "workflow_id"));
        calls.push(("complete_workflow", json!({"workflow_id": id, "outcome": "failed"}), "invalid", "workflow_id"));
        calls.push(("get_orchestration_status", json!({"workflow_id": id}), "invalid", "workflow_id"));
        calls.push(("get_events", json!({"workflow_id": id}), "invalid", "workflow_id"));
        calls.push(("enqueue_tasks", json!({"workflow_id": id, "tasks": [{}]}), "invalid", "workflow_id"));
        calls.push(("create_workflow", json!({"name": "n", "parent_id": id}), "invalid", "parent_id"));
        calls.push(("manage_tasks", json!({"action": "cancel", "ids": [id]}), "invalid", "ids"));
        calls.push(("manage_tasks", json!({"action": "cancel", "filter": {"queue": id}}), "invalid", "filter"));
        calls.push(("finish_task", json!({"lease_token": id, "outcome": "completed"}), "invalid", "lease_token"));
        calls.push((
            "create_workflow",
            json!({"name": "n", "tasks": [{"depends_on": [id]}]}),
            "invalid",
            "tasks[0].depends_on",
        ));
        calls.push((
            "enqueue_tasks",
            json!({"workflow_id": scene.running, "tasks": [{"depends_on": [id]}]}),
            "invalid",
            "tasks",
        ));
        calls.push(("list_workflows", json!({"state": id}), "invalid", "state"));
        calls.push(("get_analytics", json!({"metric": "cost", "window": id}), "invalid", "window"));
    }
    scene.refuses(calls).await;
}

#[tokio::test]
async fn names_that_nobody_could_read() {
    let scene = Scene::new().await;
    let mut calls = Vec::new();
    for name in
        ["", " ", "a\0b", "a\nb", "\u{202e}gnp.exe", "a\u{200b}b", " a", &"x".repeat(1 << 20), &"漢".repeat(201)]
    {
        calls.push(("create_workflow", json!({"name": name}), "invalid", "name"));
        // An optional one that is empty is as if left out.
        let optional = !name.trim().is_empty();
        if optional {
            calls.push(("create_workflow", json!({"name": "n", "type": name}), "invalid", "type"));
        }
        for field in ["key", "queue"].into_iter().filter(|_| optional) {
            calls.push((
                "create_workflow",
                json!({"name": "n", "tasks": [{}, {field: name}]}),
                "invalid",
                if field == "key" { "tasks[1].key" } else { "tasks[1].queue" },
            ));
        }
        calls.push((
            "enqueue_tasks",
            json!({"tasks": [{"required_capabilities": ["a", name]}]}),
            "invalid",
            "tasks[0].required_capabilities[1]",
        ));
        calls.push(("claim_tasks", json!({"agent_id": name}), "invalid", "agent_id"));
        calls.push(("claim_tasks", json!({"agent_id": "a", "queues": [name]}), "invalid", "queues[0]"));
        calls.push((
            "control_workflow",
            json!({"workflow_id": scene.running, "action": "signal", "signal": name}),
            "invalid",
            "signal",
        ));
    }
    for text in ["a\0b", &"x".repeat(1 << 20)] {
        calls.push(("create_workflow", json!({"name": "n", "tasks": [{"title": text}]}), "invalid", "tasks[0].title"));
        calls.push((
            "create_workflow",
            json!({"name": "n", "tasks": [{"description": text}]}),
            "invalid",
            "tasks[0].description",
        ));
        calls.push((
            "control_workflow",
            json!({"workflow_id": scene.running, "action": "pause", "reason": text}),
            "invalid",
            "reason",
        ));
        calls.push((
            "complete_workflow",
            json!({"workflow_id": scene.running, "outcome": "failed", "error": text}),
            "invalid",
            "error",
        ));
        calls.push(("update_task", json!({"lease_token": scene.token, "message": text}), "invalid", "message"));
        let error = json!({"message": text});
        calls.push((
            "finish_task",
            json!({"lease_token": scene.token, "outcome": "failed", "error": error}),
            "invalid",
            "error",
        ));
    }
    scene.refuses(calls).await;
}

#[tokio::test]
async fn graphs_that_cannot_be() {
    let scene = Scene::new().await;
    let chain = |length: usize| -> Vec<Value> {
        let link = |n: usize| json!({"key": n.to_string(), "depends_on": if n == 0 { vec![] } else { vec![(n - 1).to_string()] }});
        (0..length).map(link).collect()
    };
    let new = |tasks: Value| json!({"name": "n", "tasks": tasks});
    let many: Vec<Value> = (0..1_001).map(|n| json!({"key": n.to_string()})).collect();
    let into = |tasks: Value| json!({"workflow_id": scene.running, "tasks": tasks});
    scene
        .refuses(vec![
            ("create_workflow", new(json!([{"key": "a", "depends_on": ["a"]}])), "invalid", "tasks"),
            (
                "create_workflow",
                new(json!([{"key": "a", "depends_on": ["b"]}, {"key": "b", "depends_on": ["a"]}])),
                "invalid",
                "tasks",
            ),
            ("create_workflow", new(json!([{"key": "a"}, {"key": "a"}])), "invalid", "tasks[1].key"),
            ("create_workflow", new(json!([{"key": "a", "depends_on": ["x"]}])), "invalid", "tasks[0].depends_on"),
            ("create_workflow", new(json!([{}, {"depends_on": ["\u{0}0"]}])), "invalid", "tasks[1].depends_on"),
            ("create_workflow", new(json!(many)), "limit", "tasks"),
            ("create_workflow", new(json!(chain(101))), "limit", "tasks"),
            ("enqueue_tasks", into(json!([{"key": "a"}])), "conflict", "tasks"),
            ("enqueue_tasks", into(json!([{"depends_on": ["nobody"]}])), "invalid", "tasks"),
            ("enqueue_tasks", into(json!([{"depends_on": [scene.completed]}])), "invalid", "tasks"),
            ("enqueue_tasks", into(json!([{"depends_on": ["a\u{0}"]}])), "invalid", "tasks"),
            ("enqueue_tasks", into(json!([{"key": "x", "depends_on": ["x"]}])), "invalid", "tasks"),
            ("enqueue_tasks", into(json!(many[..101])), "invalid", "tasks"),
            ("enqueue_tasks", into(json!([])), "invalid", "tasks"),
            ("enqueue_tasks", json!({"tasks": [{"depends_on": ["a"]}]}), "invalid", "tasks[0].depends_on"),
        ])
        .await;
    scene.board.answer("create_workflow", &new(json!(chain(100))).to_string()).await;
    scene.board.answer("create_workflow", &new(json!(many[..1_000])).to_string()).await;
}

#[tokio::test]
async fn numbers_and_times_that_cannot_be() {
    let scene = Scene::new().await;
    let mut calls = vec![
        ("create_workflow", json!({"name": "n", "budget_usd": 0}), "invalid", "budget_usd"),
        ("create_workflow", json!({"name": "n", "budget_usd": -1}), "invalid", "budget_usd"),
        ("create_workflow", json!({"name": "n", "budget_usd": 0.0000001}), "invalid", "budget_usd"),
        ("create_workflow", json!({"name": "n", "budget_usd": 1e300}), "invalid", "budget_usd"),
        ("create_workflow", json!({"name": "n", "deadline_ms": 0}), "invalid", "deadline_ms"),
        ("create_workflow", json!({"name": "n", "deadline_ms": -5}), "invalid", "deadline_ms"),
        ("create_workflow", json!({"name": "n", "deadline_ms": u64::MAX}), "invalid", "deadline_ms"),
        ("claim_tasks", json!({"agent_id": "a", "max": 0}), "invalid", "max"),
        ("claim_tasks", json!({"agent_id": "a", "max": 101}), "invalid", "max"),
        ("claim_tasks", json!({"agent_id": "a", "wait_ms": 20_001}), "invalid", "wait_ms"),
        ("update_task", json!({"lease_token": scene.token, "progress": 1.5}), "invalid", "progress"),
        ("update_task", json!({"lease_token": scene.token, "progress": -0.1}), "invalid", "progress"),
        ("update_task", json!({"lease_token": scene.token, "cost": {"usd": -1}}), "invalid", "cost"),
        (
            "update_task",
            json!({"lease_token": scene.token, "cost": {"input_tokens": 1_000_000_000_001_u64}}),
            "invalid",
            "cost.input_tokens",
        ),
        (
            "finish_task",
            json!({"lease_token": scene.token, "outcome": "failed", "retry_after_ms": 86_400_001}),
            "invalid",
            "retry_after_ms",
        ),
        (
            "manage_tasks",
            json!({"action": "reprioritize", "ids": [scene.ready], "priority": 10}),
            "invalid",
            "priority",
        ),
        ("manage_tasks", json!({"action": "reprioritize", "ids": [scene.ready]}), "invalid", "priority"),
        ("manage_tasks", json!({"action": "cancel", "filter": {"state": "ready"}, "limit": 0}), "invalid", "limit"),
    ];
    for (field, value) in [
        ("run_at", json!("9999-01-01T00:00:00Z")),
        ("run_at", json!("tomorrow")),
        ("delay_ms", json!(u64::MAX)),
        ("max_attempts", json!(0)),
        ("max_attempts", json!(101)),
        ("max_runtime_ms", json!(0)),
    ] {
        let argument = format!("tasks[0].{field}");
        let argument: &'static str = argument.leak();
        calls.push(("create_workflow", json!({"name": "n", "tasks": [{field: value}]}), "invalid", argument));
    }
    calls.push((
        "enqueue_tasks",
        json!({"tasks": [{"run_at": "2099-01-01T00:00:00Z", "delay_ms": 5}]}),
        "invalid",
        "tasks[0].run_at",
    ));
    scene.refuses(calls).await;
}

#[tokio::test]
async fn payloads_that_are_too_large() {
    let scene = Scene::new().await;
    let huge = "x".repeat(100_000);
    let running = &scene.running;
    scene
        .refuses(vec![
            ("create_workflow", json!({"name": "n", "input": huge}), "limit", "input"),
            ("create_workflow", json!({"name": "n", "tasks": [{"input": huge}]}), "limit", "tasks[0].input"),
            ("enqueue_tasks", json!({"tasks": [{"input": huge}]}), "limit", "tasks[0].input"),
            ("update_task", json!({"lease_token": scene.token, "checkpoint": huge}), "limit", "checkpoint"),
            ("update_task", json!({"lease_token": scene.token, "need_input": huge}), "limit", "need_input"),
            (
                "finish_task",
                json!({"lease_token": scene.token, "outcome": "completed", "result": huge}),
                "limit",
                "result",
            ),
            ("manage_tasks", json!({"action": "answer", "ids": [scene.ready], "answer": huge}), "limit", "answer"),
            (
                "complete_workflow",
                json!({"workflow_id": running, "outcome": "failed", "result": huge}),
                "limit",
                "result",
            ),
            (
                "control_workflow",
                json!({"workflow_id": running, "action": "signal", "signal": "s", "payload": huge}),
                "limit",
                "payload",
            ),
        ])
        .await;
}

#[tokio::test]
async fn what_does_not_fit_the_state() {
    let scene = Scene::new().await;
    let (running, ended) = (&scene.running, &scene.ended);
    let other_secret = format!("{}x", scene.token);
    let other_fence = scene.token.replacen(".1.", ".2.", 1);
    assert_ne!(other_fence, scene.token);
    let mut calls = vec![
        ("finish_task", json!({"lease_token": scene.stale, "outcome": "completed"}), "lease_lost", "lease_token"),
        ("finish_task", json!({"lease_token": other_secret, "outcome": "completed"}), "lease_lost", "lease_token"),
        ("finish_task", json!({"lease_token": other_fence, "outcome": "released"}), "lease_lost", "lease_token"),
        ("update_task", json!({"lease_token": scene.stale, "progress": 0.5}), "lease_lost", "lease_token"),
        ("update_task", json!({"lease_token": other_secret, "need_input": "?"}), "lease_lost", "lease_token"),
        ("complete_workflow", json!({"workflow_id": running, "outcome": "completed"}), "conflict", "outcome"),
        ("complete_workflow", json!({"workflow_id": ended, "outcome": "failed"}), "conflict", "workflow_id"),
        (
            "complete_workflow",
            json!({"workflow_id": running, "outcome": "failed", "expected_version": 99}),
            "conflict",
            "expected_version",
        ),
        (
            "control_workflow",
            json!({"workflow_id": running, "action": "pause", "expected_version": 99}),
            "conflict",
            "expected_version",
        ),
        ("control_workflow", json!({"workflow_id": running, "action": "fork"}), "conflict", "action"),
        ("control_workflow", json!({"workflow_id": running, "action": "resume"}), "conflict", "action"),
        ("control_workflow", json!({"workflow_id": running, "action": "signal"}), "invalid", "signal"),
        ("control_workflow", json!({"workflow_id": running, "action": "pause", "signal": "s"}), "invalid", "signal"),
        ("enqueue_tasks", json!({"workflow_id": ended, "tasks": [{}]}), "conflict", "workflow_id"),
        ("manage_tasks", json!({"action": "retry", "ids": [scene.ready, scene.completed]}), "conflict", "ids"),
        ("manage_tasks", json!({"action": "cancel", "ids": [scene.ready, scene.completed]}), "conflict", "ids"),
        ("manage_tasks", json!({"action": "answer", "ids": [scene.leased], "answer": 1}), "conflict", "ids"),
        ("manage_tasks", json!({"action": "cancel"}), "invalid", "ids"),
        (
            "manage_tasks",
            json!({"action": "cancel", "ids": [scene.ready], "filter": {"state": "ready"}}),
            "invalid",
            "filter",
        ),
        ("manage_tasks", json!({"action": "cancel", "filter": {"state": "sleeping"}}), "invalid", "filter.state"),
    ];
    for action in ["start", "pause", "resume", "cancel"] {
        calls.push(("control_workflow", json!({"workflow_id": ended, "action": action}), "conflict", "action"));
    }
    scene.refuses(calls).await;
    // Counting is no change.
    let before = rows(&scene.board);
    for filter in [json!({"state": "ready"}), json!({"workflow_id": scene.running})] {
        let dry = json!({"action": "cancel", "filter": filter, "dry_run": true});
        let counted = scene.board.answer("manage_tasks", &dry.to_string()).await;
        assert!(counted["affected"].as_u64().unwrap() > 0, "{counted}");
    }
    assert_eq!(rows(&scene.board), before);
}
