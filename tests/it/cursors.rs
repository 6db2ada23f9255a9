//! Where the rest of a list begins is a token: one that was changed is refused, and never leads to another page or to an empty one.

use serde_json::{Value, json};

use crate::support::harness::Harness;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Lists of which a page leaves a rest.
const LISTS: [(&str, &str); 8] = [
    ("list_workflows", r#"{"limit":1}"#),
    ("manage_tasks", r#"{"action":"list","limit":1}"#),
    ("get_analytics", r#"{"metric":"throughput","group_by":"type","limit":1}"#),
    ("list_agents", r#"{"limit":1}"#),
    ("list_tables", r#"{"limit":1}"#),
    ("execute_query", r#"{"query":"select 1 union all select 2 union all select 3","max_rows":1}"#),
    ("list_indices", r#"{"limit":1}"#),
    ("search_documents", r#"{"index":"i1","sort":[{"n":"asc"}],"size":1}"#),
];

async fn filled() -> Harness {
    let board = Harness::embedded();
    for n in 0..3 {
        let documents = json!([{"n": 1}, {"n": 2}, {"n": 3}]);
        for (tool, arguments) in [
            ("create_workflow", json!({"name": "w", "type": n.to_string(), "tasks": [{"key": "a"}]})),
            ("register_agent", json!({"role": "r", "agent_id": n.to_string()})),
            ("create_table", json!({"table": format!("t{n}"), "columns": [{"name": "a", "type": "integer"}]})),
            ("index_documents", json!({"index": format!("i{n}"), "documents": documents, "refresh": true})),
        ] {
            board.answer(tool, &arguments.to_string()).await;
        }
    }
    let claimed = board.answer("claim_tasks", r#"{"agent_id":"0","max":3}"#).await;
    for task in claimed["tasks"].as_array().unwrap() {
        let done = json!({"lease_token": task["lease_token"], "outcome": "completed"});
        board.answer("finish_task", &done.to_string()).await;
    }
    board
}

/// The neighbours of a character: of the place in a token these are other places.
fn others(letter: u8) -> Vec<u8> {
    let at = ALPHABET.iter().position(|known| *known == letter).unwrap_or_default();
    vec![ALPHABET[(at + 1) % 64], ALPHABET[(at + 4) % 64], ALPHABET[(at + 63) % 64]]
}

#[tokio::test]
async fn a_token_that_was_changed_is_refused() {
    let board = filled().await;
    for (tool, arguments) in LISTS {
        let mut asked: Value = serde_json::from_str(arguments).unwrap();
        let next = board.answer(tool, arguments).await["next"].clone();
        let (argument, token) = match next["search_after"][0].as_str() {
            Some(token) => ("search_after", token.to_owned()),
            None => ("cursor", next.as_str().unwrap_or_else(|| panic!("{tool}: {next}")).to_owned()),
        };
        let pass = |token: &str| if argument == "cursor" { json!(token) } else { json!([token]) };
        asked[argument] = pass(&token);
        board.answer(tool, &asked.to_string()).await;
        for at in 0..token.len() {
            for other in others(token.as_bytes()[at]) {
                let mut changed = token.clone().into_bytes();
                changed[at] = other;
                asked[argument] = pass(&String::from_utf8(changed).unwrap());
                let refused = board.refused(tool, &asked.to_string()).await;
                let said = [&refused["code"], &refused["argument"]];
                assert_eq!(said, ["invalid", argument], "{tool} {asked}\n→ {refused}");
            }
        }
    }
}
