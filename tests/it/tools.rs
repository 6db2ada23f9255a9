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
