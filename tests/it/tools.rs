//! The surface as a client sees it, whatever the tool.

use crate::support::harness::Harness;

#[tokio::test]
async fn an_unknown_argument_is_named_with_its_nearest() {
    let board = Harness::embedded();
    let failure = board.refused("count_rows", r#"{"tabel":"x"}"#).await;
    assert_eq!(failure["code"], "invalid");
    assert_eq!(failure["argument"], "tabel");
    assert_eq!(failure["did_you_mean"][0], "table");
}

#[tokio::test]
async fn an_unknown_tool_is_named_with_its_nearest() {
    let board = Harness::embedded();
    let failure = board.refused("search_document", "{}").await;
    assert_eq!(failure["code"], "not_found");
    assert_eq!(failure["did_you_mean"][0], "search_documents");
}

#[tokio::test]
async fn the_core_is_what_an_agent_needs_to_take_part_in_work() {
    let board = crate::support::harness::Harness::with(|config| {
        config.toolsets = callboard::config::Toolsets::new(Some(vec!["core".to_owned()]));
    });
    let made = board.answer("create_workflow", r#"{"name":"w","tasks":[{"key":"a"}]}"#).await;
    let claimed = board.answer("claim_tasks", r#"{"agent_id":"a"}"#).await;
    assert_eq!(claimed["tasks"][0]["workflow_id"], made["workflow_id"]);
    let refused = board.refused("list_workflows", "{}").await;
    assert_eq!(refused["code"], "not_found", "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains("CALLBOARD_TOOLSETS"), "{refused}");
}
