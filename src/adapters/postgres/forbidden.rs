//! Words that a reading statement may not hold, because what they name does more than read, or holds what nobody should read.
//!
//! Every name in a statement is looked up in the server's own catalog, in the transaction that the statement will run in. So functions
//! made a moment ago, quoted and Unicode-escaped spellings, attribute notation and operators are all seen, and nothing can be stale.

mod look_up;
mod words;

use std::collections::{HashMap, HashSet};

use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use self::look_up::LOOK_UP;
use super::{
    failure::{meaning, sqlstate},
    pool::Work,
};
use crate::{
    config::Access,
    domain::sql::guard::{Form, Name, Statement},
    error::{Code, Error, Place},
};

/// What stands against a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
    /// Wherever it stands.
    Anywhere(&'static str),
    /// Where it can be a call: users' functions have names that columns have too.
    Called(&'static str),
    /// It is a schema.
    Schema,
}

/// Types of the values of [`LOOK_UP`].
const ASKED: [Type; 6] =
    [Type::NAME_ARRAY, Type::NAME_ARRAY, Type::NAME_ARRAY, Type::TEXT_ARRAY, Type::NAME_ARRAY, Type::BOOL];
/// SQLSTATE of the division by zero with which the look-up stops at a type.
const STOPPED: &str = "22012";

/// Prepares the look-up where it is not yet, so that the next [`check`] leaves at once.
///
/// # Errors
/// What the server says.
pub async fn get_ready(work: &Work) -> Result<(), Error> {
    work.get_ready(LOOK_UP, &ASKED).await
}

/// Holds a statement to what the catalog says of its words.
///
/// # Errors
/// `denied`, naming the first such word, where it stands and the setting that allows it.
pub async fn check(work: &Work, statement: &Statement, access: &Access) -> Result<(), Error> {
    if statement.form() == Form::Show {
        return Ok(());
    }
    let found = match look_up(work, statement, access, true).await {
        Err(error) if sqlstate(&error) == Some(STOPPED) => {
            work.batch_execute("-- forbidden_again\nROLLBACK; BEGIN READ ONLY").await.map_err(meaning)?;
            look_up(work, statement, access, false).await
        }
        found => found,
    }?;
    let mut against: HashMap<String, Vec<Against>> = HashMap::new();
    let mut bad_operators = HashSet::new();
    for row in &found {
        let word: String = row.try_get(0).map_err(meaning)?;
        let kind: &str = row.try_get(1).map_err(meaning)?;
        match kind {
            "system" => against.entry(word).or_default().push(Against::Anywhere(words::MORE_THAN_READS)),
            "function" => against.entry(word).or_default().push(Against::Called(words::MORE_THAN_READS)),
            "type" | "view" => against.entry(word).or_default().push(Against::Anywhere(words::CALLS_MORE)),
            "schema" => against.entry(word).or_default().push(Against::Schema),
            _ => {
                bad_operators.insert(word);
            }
        }
    }
    let allowed = |word: &str| access.functions.iter().any(|allowed| allowed == word);
    for (operator, position) in statement.operators() {
        if bad_operators.contains(operator) && !allowed(operator) {
            return Err(denied(operator, words::CALLS_MORE, position));
        }
    }
    for name in statement.names() {
        let found = against.get(name.name).map(Vec::as_slice).unwrap_or_default();
        if found.contains(&Against::Schema)
            && name.qualifies
            && !system_schema(name.name)
            && !access.schemas.allow(name.name)
        {
            return Err(hidden_schema(&name));
        }
        if let Some(why) = why(&name, found).filter(|_| !allowed(name.name)) {
            return Err(denied(name.name, why, name.position));
        }
    }
    Ok(())
}

async fn look_up(work: &Work, statement: &Statement, access: &Access, stop: bool) -> Result<Vec<Row>, Error> {
    let names: HashSet<&str> = statement.names().map(|name| name.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let operators: HashSet<&str> = statement.operators().map(|(operator, _)| operator).collect();
    let operators: Vec<&str> = operators.into_iter().collect();
    let types: Vec<&str> = statement.names().filter(|name| name.types).map(|name| name.name).collect();
    let harmless = &words::HARMLESS[..];
    let values: [&(dyn ToSql + Sync); 6] = [&names, &operators, &harmless, &access.functions, &types, &stop];
    let values: Vec<_> = values.into_iter().zip(ASKED).collect();
    work.ask(LOOK_UP, &values).await
}

/// Schemas that this server may use, as a search path for unqualified names; `None` when all may be used.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn search_path(client: &Client, access: &Access) -> Result<Option<String>, Error> {
    let rows = client
        .query_typed("-- search_path\nSELECT pg_catalog.unnest(pg_catalog.current_schemas(false))::text", &[])
        .await
        .map_err(meaning)?;
    let schemas: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    if schemas.iter().all(|schema| access.schemas.allow(schema)) {
        return Ok(None);
    }
    let allowed = schemas.iter().filter(|schema| access.schemas.allow(schema));
    let mut path: Vec<String> = allowed.map(|schema| super::catalog::quoted(schema)).collect();
    path.push("pg_catalog".to_owned());
    Ok(Some(path.join(", ")))
}

fn system_schema(name: &str) -> bool {
    matches!(name, "pg_catalog" | "information_schema")
}

fn why(name: &Name<'_>, found: &[Against]) -> Option<&'static str> {
    if name.name == "current_setting" && name.called {
        let harmless = name.argument.is_some_and(words::is_harmless_setting);
        return (!harmless).then_some(words::HOLDS_SECRETS);
    }
    words::always(name.name).or_else(|| {
        found.iter().find_map(|against| match against {
            Against::Anywhere(why) => Some(*why),
            Against::Called(why) if name.called => Some(*why),
            Against::Called(_) | Against::Schema => None,
        })
    })
}

fn denied(word: &str, why: &str, position: u32) -> Error {
    Error::new(Code::Denied, format!("`{word}` is not allowed in a query: {why}"))
        .argument("query")
        .hint(format!("if it is harmless here, the operator can add `{word}` to CALLBOARD_ALLOW_FUNCTIONS"))
        .place(Place { position: Some(position), ..Place::default() })
}

fn hidden_schema(name: &Name<'_>) -> Error {
    Error::new(Code::Denied, format!("schema `{}` is outside what this server may use", name.name))
        .argument("query")
        .hint("CALLBOARD_SCHEMAS names the allowed schemas")
        .place(Place { position: Some(name.position), ..Place::default() })
}
