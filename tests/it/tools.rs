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

#[tokio::test]
async fn a_value_of_the_wrong_kind_is_told_what_is_accepted() {
    let board = Harness::embedded();
    for (tool, call, argument, message) in [
        ("bulk_export", r#"{"index":"x","format":5}"#, "format", "`format` is `5`; it takes ndjson, csv"),
        (
            "bulk_export",
            r#"{"index":"x","destination":[1]}"#,
            "destination",
            "`destination` is `[1]`; it takes auto, inline, file",
        ),
        (
            "bulk_insert",
            r#"{"table":"t","rows":[{}],"on_error":true}"#,
            "on_error",
            "`on_error` is `true`; it takes abort, reject",
        ),
        ("bulk_insert", r#"{"table":"t","rows":[{},{},7]}"#, "rows", "`rows[2]` takes an object"),
        ("index_documents", r#"{"index":"x","documents":[{},"y"]}"#, "documents", "`documents[1]` takes an object"),
    ] {
        board.invalid(tool, call, argument, message).await;
    }
}
