//! Workflows, their tasks and the agents that do them, through tools on both record stores.

mod agents;
mod attempts;
mod attention;
mod failures;
mod versions;

use serde_json::{Value, json};

use crate::support::harness::Harness;

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
