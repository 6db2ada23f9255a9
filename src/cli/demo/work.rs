//! The second act: two agents share the work of a workflow, one of them falls silent, and nothing is lost.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    list, number,
    stage::{End, Stage},
    text,
};
use crate::{cli::output, ids};

/// How long the first task may take.
const RUNTIME: Duration = Duration::from_millis(150);

/// Plays it.
pub(super) async fn play(stage: &mut Stage) -> Result<(), End> {
    output::line(
        "Part two: two agents share a workflow of four tasks. Ada goes silent while she holds a task, and Ben takes it over.\n",
    );
    for (agent, capabilities) in [("ada", json!(["writing"])), ("ben", json!([]))] {
        let arguments = json!({"role": "demo", "agent_id": name(agent), "capabilities": capabilities}).to_string();
        if let Err(taken) = stage.ask("register_agent", &arguments).await? {
            // From an earlier demonstration: it is known, with the same capabilities.
            if text(&read(&taken)?, "code") != "conflict" {
                return Err(End::Refused(taken));
            }
        }
    }
    // A queue of its own, so that no task of anybody else's or of an earlier time is claimed.
    let queue = ids::new(ids::Kind::Document);
    let queue = format!("demo-{}", queue.get(..12).unwrap_or_default());
    let workflow_id = create(stage, &queue).await?;
    let ada = claim(stage, &queue, "ada", "sales").await?;
    let ben = claim(stage, &queue, "ben", "stock").await?;
    finish(stage, "ben", &ben, &json!({"low": ["USB-C Hub"]})).await?;

    output::line(&format!("Ada makes no call for {} ms, longer than her task may run.\n", RUNTIME.as_millis()));
    tokio::time::sleep(RUNTIME + Duration::from_millis(50)).await;
    let ben = claim(stage, &queue, "ben", "sales").await?;
    let late = json!({"lease_token": ada, "outcome": "completed", "result": {"total": 0}}).to_string();
    let shown = r#"{"lease_token":"… ada's old …","outcome":"completed"}"#;
    let refusal = stage.refused("finish_task", &late, shown).await?;
    if text(&refusal, "code") != "lease_lost" {
        return Err(End::Unexpected(format!("a lost lease was refused as {refusal}")));
    }
    finish(stage, "ben", &ben, &json!({"total": 4217})).await?;

    let ada = claim(stage, &queue, "ada", "write").await?;
    finish(stage, "ada", &ada, &json!({"pages": 3})).await?;
    let ben = claim(stage, &queue, "ben", "publish").await?;
    finish(stage, "ben", &ben, &json!({"url": "https://example.com/report"})).await?;
    history(stage, &workflow_id).await
}

fn name(agent: &str) -> String {
    format!("demo-{agent}")
}

async fn create(stage: &mut Stage, queue: &str) -> Result<String, End> {
    let runtime_ms = u64::try_from(RUNTIME.as_millis()).unwrap_or_default();
    let arguments = json!({
        "name": "weekly report",
        "type": "demo",
        "tasks": [
            {"key": "sales", "queue": queue, "priority": "high", "max_runtime_ms": runtime_ms},
            {"key": "stock", "queue": queue},
            {"key": "write", "queue": queue, "depends_on": ["sales", "stock"], "required_capabilities": ["writing"]},
            {"key": "publish", "queue": queue, "depends_on": ["write"]},
        ],
    })
    .to_string();
    let told = |answer: &Value| {
        let task = |task: &Value| format!("{} {}", text(task, "key"), text(task, "state"));
        let tasks = list(answer, "tasks").iter().map(task).collect::<Vec<_>>().join(", ");
        format!("{} {}: {tasks}", text(answer, "workflow_id"), text(answer, "state"))
    };
    let created = stage.plain("create_workflow", &arguments, told).await?;
    Ok(text(&created, "workflow_id").to_owned())
}

/// An agent claims the next task, which must be this one; its lease.
async fn claim(stage: &mut Stage, queue: &str, agent: &str, wanted: &str) -> Result<String, End> {
    let arguments = json!({"agent_id": name(agent), "queues": [queue]}).to_string();
    let told = |answer: &Value| match list(answer, "tasks").first() {
        Some(task) => format!("{}, attempt {}{}", text(task, "key"), number(task, "attempt"), given(task)),
        None => "nothing".to_owned(),
    };
    let claimed = stage.plain("claim_tasks", &arguments, told).await?;
    match list(&claimed, "tasks").first() {
        Some(task) if text(task, "key") == wanted => Ok(text(task, "lease_token").to_owned()),
        _ => Err(End::Unexpected(format!("{agent} was to get `{wanted}` and got {claimed}"))),
    }
}

fn given(task: &Value) -> String {
    match task.get("dependency_results").and_then(Value::as_object) {
        Some(results) if !results.is_empty() => {
            format!(", with the results of {}", results.keys().cloned().collect::<Vec<_>>().join(" and "))
        }
        _ => String::new(),
    }
}

async fn finish(stage: &mut Stage, agent: &str, lease: &str, result: &Value) -> Result<(), End> {
    let arguments = json!({"lease_token": lease, "outcome": "completed", "result": result}).to_string();
    let shown = format!(r#"{{"lease_token":"… {agent}'s …","outcome":"completed","result":{result}}}"#);
    let told = |answer: &Value| {
        let unblocked = list(answer, "unblocked").len();
        format!("{}, {unblocked} unblocked; the workflow is {}", text(answer, "state"), text(answer, "workflow_state"))
    };
    stage.step("finish_task", &arguments, &shown, told).await.map(drop)
}

async fn history(stage: &mut Stage, workflow_id: &str) -> Result<(), End> {
    let arguments = json!({"workflow_id": workflow_id}).to_string();
    let told = |answer: &Value| {
        let workflow = answer.get("workflow").unwrap_or(&Value::Null);
        let counts = workflow.get("task_counts").unwrap_or(&Value::Null);
        format!("{}, {} of {} tasks", text(workflow, "state"), number(counts, "completed"), number(counts, "total"))
    };
    let status = stage.plain("get_orchestration_status", &arguments, told).await?;
    let state = status.pointer("/workflow/state").and_then(Value::as_str);
    if state != Some("completed") {
        return Err(End::Unexpected(format!("the workflow is {}", state.unwrap_or("gone"))));
    }
    let of_workflow = json!({"action": "list", "filter": {"workflow_id": workflow_id}}).to_string();
    let tasks = stage.ask("manage_tasks", &of_workflow).await?.map_err(End::Refused)?;
    let events =
        stage.plain("get_events", &arguments, |answer| format!("{} events", list(answer, "events").len())).await?;
    for event in list(&events, "events") {
        let id = text(event, "entity_id");
        let task = list(&tasks, "tasks").iter().find(|task| text(task, "task_id") == id);
        let what = task.map_or("the workflow", |task| text(task, "key"));
        let time = text(event, "timestamp").get(11..23).unwrap_or_default();
        let actor = event.get("actor").and_then(Value::as_str).unwrap_or_default();
        output::line(format!("    {time}  {:<22} {what:<14} {actor}", text(event, "event_type")).trim_end());
    }
    Ok(())
}

fn read(envelope: &str) -> Result<Value, End> {
    serde_json::from_str(envelope).map_err(|error| End::Unexpected(format!("an answer cannot be read: {error}")))
}
