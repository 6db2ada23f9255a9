//! What orchestrators are shown of their workflows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

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

/// A workflow whose tasks carry a lot; its id.
async fn heavy(board: &Harness, tasks: usize, bytes: usize) -> Value {
    let large = "x".repeat(bytes);
    let rows: Vec<_> = (0..tasks).map(|n| json!({"key": n.to_string(), "title": "t".repeat(1_000)})).collect();
    let created = board.answer("create_workflow", &json!({"name": "n", "tasks": rows}).to_string()).await;
    let claimed = board.answer("claim_tasks", r#"{"agent_id":"a","max":100}"#).await;
    for (n, task) in claimed["tasks"].as_array().unwrap().iter().enumerate() {
        let token = &task["lease_token"];
        if n % 2 == 0 {
            let done = json!({"lease_token": token, "outcome": "completed", "result": large});
            board.answer("finish_task", &done.to_string()).await;
        } else {
            board.answer("update_task", &json!({"lease_token": token, "need_input": large}).to_string()).await;
        }
    }
    created["workflow_id"].clone()
}

/// More than the largest answer, for what stands around its rows.
const AROUND: usize = 4_000;

#[tokio::test]
async fn no_answer_about_a_workflow_is_larger_than_an_answer_may_be() {
    let board = Harness::embedded();
    // Events are shown in any case, and by themselves they are few bytes.
    let most = board.app.limits.bytes_max + board.app.limits.bytes_default;
    let id = heavy(&board, 100, 300_000).await;
    let ask = async |arguments: Value| {
        let text = board.answer_text("get_orchestration_status", &arguments.to_string()).await;
        assert!(text.len() <= most + AROUND, "{} bytes: {arguments}", text.len());
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let all = ask(json!({"workflow_id": id, "include": ["tasks", "results", "events"]})).await;
    assert_eq!((all["tasks"].as_array().unwrap().len(), &all["truncated"]), (100, &json!(true)));
    assert!(all["hint"].is_string());
    let (first, last) = (&all["tasks"][0], &all["tasks"][98]);
    assert_eq!((first["result"].as_str().map(str::len), &first["left_out"]), (Some(300_000), &Value::Null));
    assert_eq!((&last["result"], &last["left_out"]), (&Value::Null, &json!(["result"])));
    // What was left out is shown when only it is asked for.
    let one = ask(json!({"task_id": last["task_id"]})).await;
    assert_eq!((one["task"]["result"].as_str().map(str::len), &one["truncated"]), (Some(300_000), &Value::Null));
    // What is large keeps no row from being shown.
    let large = heavy(&board, 40, 1_000_000).await;
    let rows = ask(json!({"workflow_id": large, "include": ["tasks"]})).await;
    assert_eq!(rows["tasks"].as_array().unwrap().len(), 40);
    assert_eq!(rows["tasks"][1]["left_out"], json!(["question"]));
    // Nothing is cut without a word, and nothing small is cut.
    let rows = ask(json!({"workflow_id": id})).await;
    assert!(rows["truncated"].is_null() && rows["hint"].is_null());
}

/// All rows of a list, page by page, each page within its bounds; how many pages it took.
async fn pages(board: &Harness, tool: &str, asked: &Value, rows: &str, id: &str) -> (BTreeSet<String>, usize) {
    let most = if asked["limit"].is_null() { board.app.limits.bytes_default } else { board.app.limits.bytes_max };
    let (mut seen, mut asked) = (BTreeSet::new(), asked.clone());
    for page in 1.. {
        let text = board.answer_text(tool, &asked.to_string()).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let given = answer[rows].as_array().unwrap();
        assert!(text.len() <= most + AROUND || given.len() == 1, "{} bytes: {tool} {asked}", text.len());
        assert!(!given.is_empty() || answer["next"].is_null());
        for row in given {
            assert!(seen.insert(row[id].to_string()), "twice: {row}");
        }
        if answer["next"].is_null() {
            return (seen, page);
        }
        asked["cursor"] = answer["next"].clone();
    }
    unreachable!()
}

#[tokio::test]
async fn every_list_is_cut_to_what_an_answer_may_hold_and_goes_on() {
    let board = Harness::embedded();
    let id = heavy(&board, 100, 30_000).await;
    for n in 0..70 {
        let name = format!("{n}{}", "n".repeat(190));
        let created = board.answer("create_workflow", &json!({"name": name, "type": n.to_string()}).to_string()).await;
        let end = json!({"workflow_id": created["workflow_id"], "outcome": "failed", "error": "e".repeat(4_000)});
        board.answer("complete_workflow", &end.to_string()).await;
        let told = json!({"role": "r", "agent_id": format!("agent {n:02}"), "metadata": {"m": "x".repeat(20_000)}});
        board.answer("register_agent", &told.to_string()).await;
    }
    for (tool, asked, rows, row_id, count) in [
        ("manage_tasks", json!({"action": "list", "filter": {"workflow_id": id}}), "tasks", "task_id", 100),
        ("manage_tasks", json!({"action": "list", "filter": {"state": "parked"}}), "tasks", "task_id", 50),
        ("list_workflows", json!({}), "workflows", "workflow_id", 71),
        ("list_agents", json!({}), "agents", "agent_id", 71),
        ("get_analytics", json!({"metric": "failures"}), "rows", "workflow_id", 70),
        ("get_analytics", json!({"metric": "duration"}), "rows", "type", 70),
        // Made, 100 enqueued, 100 claimed, started, 100 ended or parked, waiting.
        ("get_events", json!({"workflow_id": id}), "events", "seq", 303),
    ] {
        let (seen, few) = pages(&board, tool, &asked, rows, row_id).await;
        assert_eq!(seen.len(), count, "{tool} {asked}");
        let mut more = asked.clone();
        more["limit"] = json!(500);
        let (again, fewer) = pages(&board, tool, &more, rows, row_id).await;
        assert_eq!(seen, again, "{tool} {asked}");
        assert!(few > fewer, "{tool} {asked}: {few} pages, {fewer} with a limit");
    }
}

#[tokio::test]
async fn the_history_of_what_is_not_there_names_the_argument() {
    let board = Harness::embedded();
    for (argument, id, what) in [
        ("workflow_id", "wf_x", "workflow"),
        ("task_id", "tk_x", "task"),
        ("task_id", "wf_x", "workflow"),
        ("agent_id", "x", "agent"),
    ] {
        let refused = board.refused("get_events", &json!({argument: id}).to_string()).await;
        let message = format!("no {what} `{id}`");
        assert_eq!((&refused["code"], &refused["argument"]), (&json!("not_found"), &json!(argument)));
        assert_eq!(refused["message"], message);
    }
}

#[tokio::test]
async fn what_is_wrong_inside_a_list_is_named_by_its_place() {
    let board = Harness::embedded();
    for (task, message) in [
        (json!({"priority": 10}), "`tasks[1].priority` is 10; it takes 0 to 9"),
        (json!({"delay_ms": -1}), "`tasks[1].delay_ms` is -1; it takes 0 or more"),
        (
            json!({"on_dependency_failure": "x"}),
            "`tasks[1].on_dependency_failure` is `x`; it takes cancel, continue, park",
        ),
        (json!({"depends_on": "a"}), "`tasks[1].depends_on` takes a list, not string \"a\""),
        (json!({"depends_on": ["a", 5]}), "`tasks[1].depends_on[1]` takes a string, not integer `5`"),
        (json!({"prioritty": 1}), "no member `tasks[1].prioritty`"),
        (json!("a"), "`tasks[1]` takes an object, not string \"a\""),
    ] {
        for tool in ["create_workflow", "enqueue_tasks"] {
            let mut asked = json!({"tasks": [{"key": "a"}, task]});
            if tool == "create_workflow" {
                asked["name"] = json!("n");
            }
            for asked in [asked.clone(), json!({"name": "n", "tasks": asked["tasks"].to_string()})] {
                if tool == "enqueue_tasks" && asked["name"].is_string() {
                    continue;
                }
                let refused = board.refused(tool, &asked.to_string()).await;
                assert_eq!((refused["argument"].as_str(), refused["message"].as_str()), (Some("tasks"), Some(message)));
            }
        }
    }
    let near = board.refused("enqueue_tasks", r#"{"tasks":[{"prioritty":1}]}"#).await;
    assert_eq!(near["did_you_mean"], json!(["priority"]));
    let filter = board.refused("manage_tasks", r#"{"action":"list","filter":{"stat":"dead"}}"#).await;
    assert_eq!((&filter["argument"], &filter["did_you_mean"]), (&json!("filter"), &json!(["state"])));
}

#[tokio::test]
async fn a_workflow_goes_by_its_older_name_everywhere() {
    let board = Harness::embedded();
    let id = board.answer("create_workflow", r#"{"task":"n","orchestrator_type":"t"}"#).await["workflow_id"].clone();
    board.answer("enqueue_tasks", &json!({"task_id": id, "tasks": [{"key": "a"}]}).to_string()).await;
    board.answer("control_workflow", &json!({"task_id": id, "action": "start"}).to_string()).await;
    assert_eq!(board.answer("get_events", &json!({"task_id": id}).to_string()).await["events"][0]["entity_id"], id);
    let status = board.answer("get_orchestration_status", &json!({"task_id": id}).to_string()).await;
    assert_eq!((&status["workflow"]["task_id"], &status["workflow"]["type"]), (&id, &json!("t")));
    let ended = board.answer("complete_workflow", &json!({"task_id": id, "outcome": "cancelled"}).to_string()).await;
    assert_eq!(ended["state"], "cancelled");
}

#[tokio::test]
async fn who_waits_for_an_end_is_shown_all_that_was_asked_for() {
    let board = Harness::embedded();
    let created = board.answer("create_workflow", r#"{"name":"n","tasks":[{"key":"a","input":[1]}]}"#).await;
    let id = &created["workflow_id"];
    let claimed = board.answer("claim_tasks", r#"{"agent_id":"a"}"#).await;
    let waits = json!({"workflow_id": id, "include": ["tasks", "results", "events"], "wait_ms": 20_000}).to_string();
    let token = &claimed["tasks"][0]["lease_token"];
    let finish = json!({"lease_token": token, "outcome": "completed", "result": "done"}).to_string();
    let (status, _) = tokio::join!(board.answer("get_orchestration_status", &waits), async {
        while *board.app.locks.waiting().borrow() == 0 {
            tokio::task::yield_now().await;
        }
        board.answer("finish_task", &finish).await
    });
    assert_eq!((&status["workflow"]["state"], &status["unchanged"]), (&json!("completed"), &json!(null)));
    let task = &status["tasks"][0];
    assert_eq!((&task["state"], &task["input"], &task["result"]), (&json!("completed"), &json!([1]), &json!("done")));
    let last = status["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["event_type"], "workflow_completed");
    // Nothing newer is known when the time is up, and that is said.
    let knows =
        json!({"workflow_id": id, "since_version": status["workflow"]["version"], "wait_ms": 1, "include": ["tasks"]});
    let status = board.answer("get_orchestration_status", &knows.to_string()).await;
    assert_eq!((&status["unchanged"], &status["tasks"][0]["key"]), (&json!(true), &json!("a")));
}

#[tokio::test]
async fn the_total_cost_is_that_of_all_reports() {
    let board = Harness::embedded();
    board.answer("create_workflow", r#"{"name":"n","tasks":[{"key":"a"}]}"#).await;
    let claimed = board.answer("claim_tasks", r#"{"agent_id":"a"}"#).await;
    let cost = json!({"lease_token": claimed["tasks"][0]["lease_token"], "cost": {"usd": 0.5}});
    board.answer("update_task", &cost.to_string()).await;
    for group_by in ["nothing", "type", "day", "agent"] {
        let asked = json!({"metric": "cost", "group_by": group_by}).to_string();
        let figures = board.answer("get_analytics", &asked).await;
        let costs: Vec<_> = figures["rows"].as_array().unwrap().iter().map(|row| &row["cost_usd"]).collect();
        assert_eq!(costs, [&json!(0.5)], "{group_by}");
    }
}

#[tokio::test]
async fn what_came_of_a_workflow_is_shown_with_its_time_cost_and_agents() {
    let (board, clock) = Harness::timed();
    let created =
        board.answer("create_workflow", r#"{"name":"n","tasks":[{"key":"a"},{"key":"b"},{"key":"c"}]}"#).await;
    for agent in ["one", "two", "two"] {
        let claimed = board.answer("claim_tasks", &json!({"agent_id": agent}).to_string()).await;
        clock.pass(std::time::Duration::from_millis(500));
        let token = &claimed["tasks"][0]["lease_token"];
        let finish = json!({"lease_token": token, "outcome": "completed", "cost": {"usd": 0.25}});
        board.answer("finish_task", &finish.to_string()).await;
    }
    let result = json!({"workflow_id": created["workflow_id"], "outcome": "completed", "result": {"all": 3}});
    board.answer("complete_workflow", &result.to_string()).await;
    let asked = json!({"workflow_id": created["workflow_id"], "include": ["results"]}).to_string();
    let workflow = board.answer("get_orchestration_status", &asked).await["workflow"].clone();
    let shown = ["result", "execution_time", "total_cost", "agent_count"].map(|name| workflow[name].clone());
    assert_eq!(shown, [json!({"all": 3}), json!(1.5), json!(0.75), json!(2)]);
}

#[tokio::test]
async fn a_key_that_is_nearly_one_is_told_the_right_one() {
    let board = Harness::embedded();
    let tasks = json!([{"key": "collect"}, {"key": "collate", "depends_on": ["colect"]}]);
    let created = board.answer("create_workflow", r#"{"name":"n","tasks":[{"key":"compare"}]}"#).await;
    let id = &created["workflow_id"];
    for (tool, arguments, argument) in [
        ("create_workflow", json!({"name": "n", "tasks": tasks}), "tasks[1].depends_on"),
        ("enqueue_tasks", json!({"tasks": tasks}), "tasks[1].depends_on"),
        ("enqueue_tasks", json!({"workflow_id": id, "tasks": tasks}), "tasks"),
    ] {
        let refused = board.refused(tool, &arguments.to_string()).await;
        assert_eq!(
            (&refused["argument"], &refused["did_you_mean"]),
            (&json!(argument), &json!(["collect"])),
            "{refused}"
        );
    }
}
