//! `callboard demo`, started as a person starts it.

use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{binary::Binary, engines, port::Port, postgres};

fn run(home: &TempDir, arguments: &[&str], set: &[(&str, &str)]) -> Output {
    Binary::command(home).args(arguments).envs(set.iter().copied()).output().unwrap()
}

/// What it printed; it must end well.
fn good(home: &TempDir, arguments: &[&str], set: &[(&str, &str)]) -> String {
    let output = run(home, arguments, set);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn call(home: &TempDir, tool: &str, arguments: &Value) -> Value {
    serde_json::from_str(&good(home, &["call", tool, &arguments.to_string()], &[])).unwrap()
}

/// The tools of the steps, in their order.
fn steps(text: &str) -> Vec<&str> {
    let numbered = |line: &&str| line.get(..4).is_some_and(|start| start.trim().parse::<u32>().is_ok());
    text.lines().filter(numbered).map(|line| line.split_whitespace().nth(1).unwrap()).collect()
}

const STEPS: [&str; 24] = [
    "index_documents",
    "list_indices",
    "get_mapping",
    "create_table",
    "get_schema",
    "bulk_export",
    "bulk_insert",
    "count_rows",
    "execute_query",
    "bulk_export",
    "bulk_insert",
    // The second act.
    "create_workflow",
    "claim_tasks",
    "claim_tasks",
    "finish_task",
    "claim_tasks",
    "finish_task",
    "finish_task",
    "claim_tasks",
    "finish_task",
    "claim_tasks",
    "finish_task",
    "get_orchestration_status",
    "get_events",
];

#[test]
fn with_nothing_set_it_does_the_main_job_and_leaves_it_there() {
    let home = tempfile::tempdir().unwrap();
    let text = good(&home, &["demo"], &[]);
    assert_eq!(steps(&text), STEPS);
    assert!(text.contains("→ 15 inserted, 0 updated, 0 unchanged, 0 rejected"), "{text}");
    assert!(text.contains("→ 0 inserted, 0 updated, 15 unchanged, 0 rejected"), "{text}");
    assert!(text.lines().any(|line| line.contains("p-001  Wireless Mouse") && line.contains("29.99")), "{text}");
    assert!(text.contains("→ lease_lost: ") && text.contains("→ completed, 4 of 4 tasks"), "{text}");
    assert!(text.lines().any(|line| line.contains("lease_expired") && line.contains("sales")), "{text}");
    assert_eq!(call(&home, "list_workflows", &json!({}))["workflows"][0]["state"], "completed");
    assert_eq!(call(&home, "count_rows", &json!({"table": "products"}))["count"], 15);
    assert_eq!(call(&home, "count_documents", &json!({"index": "products"}))["count"], 15);
}

#[test]
fn again_it_finds_its_own_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    good(&home, &["demo"], &[]);
    let text = good(&home, &["demo"], &[]);
    assert_eq!(steps(&text), STEPS);
    assert_eq!(text.matches("→ 0 inserted, 0 updated, 15 unchanged, 0 rejected").count(), 2, "{text}");
    let text = good(&home, &["demo", "--reset"], &[]);
    assert!(text.contains("→ 15 inserted, 0 updated, 0 unchanged, 0 rejected"), "{text}");
}

#[test]
fn what_is_called_products_and_is_not_its_own_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    call(&home, "index_documents", &json!({"index": "products", "documents": [{"id": "mine"}], "id_field": "id"}));
    call(&home, "create_table", &json!({"table": "products", "columns": [{"name": "id", "type": "text"}]}));
    for arguments in [&["demo"][..], &["demo", "--reset"]] {
        let text = good(&home, arguments, &[]);
        assert_eq!(steps(&text), STEPS);
        assert_eq!(call(&home, "count_documents", &json!({"index": "products"}))["count"], 1);
        assert_eq!(call(&home, "count_rows", &json!({"table": "products"}))["count"], 0);
        assert_eq!(call(&home, "count_rows", &json!({"table": "callboard_demo_products"}))["count"], 15);
    }
}

#[test]
fn it_plays_on_real_backends_when_they_are_set() {
    let home = tempfile::tempdir().unwrap();
    let database = postgres::shared().database();
    let engine = engines::shared().config().url.to_string();
    let text = good(&home, &["demo"], &[("DATABASE_URL", &database), ("ELASTICSEARCH_URL", &engine)]);
    assert_eq!(steps(&text), STEPS);
    assert!(text.contains("search: elasticsearch 8.") && text.contains("sql:    postgresql 1"), "{text}");
    let sql = "select count(*), sum(price) from products";
    assert_eq!(postgres::shared().psql(postgres::name_of(&database), sql), "15|2478.02");
}

#[test]
fn a_step_that_fails_is_shown_and_told_by_the_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let output = run(&home, &["demo"], &[("CALLBOARD_READ_ONLY", "true")]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("failed: ")).expect("the envelope");
    assert_eq!(serde_json::from_str::<Value>(line).unwrap()["code"], "denied");

    let port = Port::take();
    let nobody = format!("http://127.0.0.1:{}", port.number());
    let output = run(&home, &["demo"], &[("ELASTICSEARCH_URL", &nobody)]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
}
