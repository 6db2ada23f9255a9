//! Which database and which search engine answer, as tools/list says it.

use serde_json::{Value, json};

use crate::support::{
    binary::{Binary, Streams},
    postgres::{self, name_of},
};

fn tool(board: &mut Binary, name: &str) -> Value {
    let list = board.request("tools/list", &json!({}));
    let tools = list["result"]["tools"].as_array().unwrap();
    tools.iter().find(|tool| tool["name"] == name).unwrap().clone()
}

/// The sentence that a tool's description ends with.
fn last_sentence(board: &mut Binary, name: &str) -> String {
    let description = tool(board, name)["description"].as_str().unwrap().to_owned();
    description.trim_end_matches('.').rsplit_once(". ").unwrap().1.to_owned()
}

fn with(variables: &[(&str, &str)]) -> Binary {
    let mut board = Binary::with(Streams::Pipes, |command| {
        command.env("CALLBOARD_STORE_URL", "embedded").envs(variables.iter().copied());
    });
    board.initialize("2025-06-18");
    board
}

#[test]
fn the_embedded_stores_are_named() {
    let mut board = Binary::serve();
    let (version, _) = rusqlite::version().rsplit_once('.').unwrap();
    for name in ["execute_query", "explain_query"] {
        assert_eq!(last_sentence(&mut board, name), format!("The database is SQLite {version}, embedded"));
    }
    for name in ["search_documents", "get_document", "list_indices", "get_mapping", "count_documents"] {
        assert_eq!(last_sentence(&mut board, name), "The engine is the embedded index");
    }
    assert_eq!(tool(&mut board, "execute_query")["inputSchema"]["properties"].get("database"), None);
}

#[test]
fn postgresql_has_a_version_once_a_connection_told_it_and_nobody_waits_for_it() {
    let url = postgres::shared().database();
    let version =
        postgres::shared().psql(name_of(&url), "SELECT split_part(current_setting('server_version'), ' ', 1)");
    let mut board = with(&[("DATABASE_URL", &url), ("ELASTICSEARCH_URL", "http://127.0.0.1:1")]);
    assert_eq!(last_sentence(&mut board, "execute_query"), "The database is PostgreSQL");
    assert_eq!(last_sentence(&mut board, "search_documents"), "The engine is Elasticsearch or OpenSearch");
    board.answer("execute_query", r#"{"query":"select 1"}"#);
    assert_eq!(last_sentence(&mut board, "execute_query"), format!("The database is PostgreSQL {}", version.trim()));
}

#[test]
fn each_of_several_databases_is_named() {
    let url = postgres::shared().database();
    let mut board = with(&[("DATABASE_URL", &url), ("DATABASE_URL_LOGS", "postgres://u@127.0.0.1:1/x")]);
    let named = "main (default): PostgreSQL; logs: PostgreSQL";
    for name in ["execute_query", "explain_query"] {
        assert_eq!(last_sentence(&mut board, name), format!("Databases: {named}"));
        assert_eq!(tool(&mut board, name)["inputSchema"]["properties"]["database"]["description"], named);
    }
}
