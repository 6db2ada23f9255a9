//! Which database and which search engine answer, in the descriptions of their tools: their dialects differ.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool};
use serde_json::{Value, json};

use crate::{app::App, domain::catalogue, services::sql::Database};

/// Tools that take SQL as text.
const SQL_TEXT: [&str; 2] = ["execute_query", "explain_query"];

/// Adds what is known now; waits for nobody.
pub fn name(tools: &mut [Tool], app: &App) {
    let databases = app.sql.databases();
    let engine = app.search.product();
    for tool in tools {
        if SQL_TEXT.contains(&tool.name.as_ref()) {
            match databases {
                [only] => add(tool, &format!("The database is {}.", only.reads.product())),
                several => {
                    add(tool, &format!("Databases: {}.", listed(several)));
                    describe_argument(tool, &listed(several));
                }
            }
        } else if catalogue::find(&tool.name).is_some_and(|row| row.group == "search") {
            add(tool, &format!("The engine is {engine}."));
        }
    }
}

/// `main (default): PostgreSQL 16.4; logs: PostgreSQL`.
fn listed(databases: &[Database]) -> String {
    let one = |(at, database): (usize, &Database)| {
        let default = if at == 0 { " (default)" } else { "" };
        format!("{}{default}: {}", database.name, database.reads.product())
    };
    databases.iter().enumerate().map(one).collect::<Vec<_>>().join("; ")
}

fn add(tool: &mut Tool, sentence: &str) {
    let before = tool.description.take().unwrap_or_default();
    tool.description = Some(format!("{before} {sentence}").into());
}

fn describe_argument(tool: &mut Tool, description: &str) {
    let mut schema = JsonObject::clone(&tool.input_schema);
    if let Some(Value::Object(argument)) = schema.get_mut("properties").and_then(|all| all.get_mut("database")) {
        argument.insert("description".to_owned(), json!(description));
    }
    tool.input_schema = Arc::new(schema);
}
