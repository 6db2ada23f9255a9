//! Words that a reading statement may not hold, because what they name does more than read, or holds what nobody should read.
//!
//! Every name in a statement is looked up in the server's own catalog, in the transaction that the statement will run in. So functions
//! made a moment ago, quoted and Unicode-escaped spellings, attribute notation and operators are all seen, and nothing of users can be stale.
//! What the server itself ships is asked for once per version.

mod look_up;
mod words;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::future::join;
use tokio_postgres::{
    Client, Row,
    types::{Oid, ToSql, Type},
};

use self::look_up::{LOOK_UP, LOOK_UP_CALLS, SHIPPED};
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
#[derive(Debug, PartialEq, Eq)]
enum Against {
    /// Wherever it stands.
    Anywhere(&'static str),
    /// Where it can be a call of this function: users' functions have names that columns and other functions have too.
    Called(Function),
}

/// A user's function that may do more than read.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    schema: String,
    /// The search path leads to it.
    reached: bool,
    without_arguments: bool,
    with_arguments: bool,
}

impl Function {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            schema: row.try_get(3)?,
            reached: row.try_get(4)?,
            without_arguments: row.try_get(5)?,
            with_arguments: row.try_get(6)?,
        })
    }

    /// Whether `name` can be a call of it.
    fn is_meant(&self, name: &Name<'_>) -> bool {
        let found = match name.schema {
            // Each session has its own behind this name.
            Some("pg_temp") => self.schema.starts_with("pg_temp_"),
            Some(schema) => schema == self.schema,
            None => self.reached,
        };
        name.called && found && if name.bare { self.without_arguments } else { self.with_arguments }
    }
}

/// Types of the values of [`LOOK_UP_CALLS`]; [`LOOK_UP`] goes without the last.
const ASKED: [Type; 6] =
    [Type::NAME_ARRAY, Type::NAME_ARRAY, Type::NAME_ARRAY, Type::TEXT_ARRAY, Type::OID_ARRAY, Type::NAME_ARRAY];
/// SQLSTATE of the division by zero with which the look-up stops.
const STOPPED: &str = "22012";
/// What the look-up can find.
const KINDS: [&str; 6] = ["system", "function", "operator", TYPE, VIEW, KNOWN];
const KNOWN: &str = "known";
const TYPE: &str = "type";
const VIEW: &str = "view";

/// What a look at a statement's words found.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// Of users there is nothing but tables and what only reads: these objects, by their oids.
    Only(Vec<Oid>),
    /// Nothing against them.
    Harmless,
    /// Views of users are among them: [`check_views`] comes before the statement runs.
    Views,
    /// Types that have to be looked at before the statement is described, by [`check_types`]. The transaction has failed.
    Types,
}

/// Prepares the look-up where it is not yet, so that the next [`check`] leaves at once.
///
/// # Errors
/// What the server says.
pub async fn get_ready(work: &Work, statement: &Statement, access: &Access) -> Result<(), Error> {
    shipped(work).await?;
    if !hidden(statement, access).is_empty() {
        work.get_ready(look_up::SCHEMAS, &[Type::NAME_ARRAY]).await?;
    }
    let (sql, types) = asked(&called(statement));
    work.get_ready(sql, types).await
}

/// Holds a statement to what the catalog says of its words.
///
/// # Errors
/// `denied`, naming the first such word, where it stands and the setting that allows it.
pub async fn check(work: &Work, statement: &Statement, access: &Access, types_passed: bool) -> Result<Seen, Error> {
    if statement.form() == Form::Show {
        return Ok(Seen::Harmless);
    }
    let stops_at: &[&str] = if types_passed { &[] } else { &[TYPE] };
    let (found, schemas) = join(look_up(work, statement, stops_at, &[]), schemas(work, statement, access)).await;
    let found = match found {
        Err(error) if sqlstate(&error) == Some(STOPPED) => return Ok(Seen::Types),
        found => found?,
    };
    let (shipped, schemas) = (shipped(work).await?, schemas?);
    let (mut only, mut views, mut objects) = (true, false, Vec::new());
    let mut against: HashMap<String, Vec<Against>> = HashMap::new();
    let mut bad_operators = HashSet::new();
    for row in &found {
        let word: String = row.try_get(0).map_err(meaning)?;
        let kind: &str = row.try_get(1).map_err(meaning)?;
        only &= kind == KNOWN;
        match kind {
            KNOWN => objects.push(row.try_get(2).map_err(meaning)?),
            "system" => {
                let why = words::of_system(&word);
                against.entry(word).or_default().push(Against::Anywhere(why));
            }
            "function" => {
                let function = Function::read(row).map_err(meaning)?;
                against.entry(word).or_default().push(Against::Called(function));
            }
            TYPE => {}
            VIEW => views = true,
            _ => {
                bad_operators.insert(word);
            }
        }
    }
    for (operator, position) in statement.operators() {
        if bad_operators.contains(operator) && !allowed(access, operator) {
            return Err(denied(operator, words::CALLS_MORE, position));
        }
    }
    for name in statement.names() {
        if name.qualifies && schemas.contains(name.name) {
            return Err(hidden_schema(&name));
        }
        let found = against.get(name.name).map(Vec::as_slice).unwrap_or_default();
        if let Some(why) = why(&name, found, &shipped).filter(|_| !allowed(access, name.name)) {
            return Err(denied(name.name, why, name.position));
        }
    }
    Ok(match (only, views) {
        (true, _) => Seen::Only(objects),
        (false, true) => Seen::Views,
        (false, false) => Seen::Harmless,
    })
}

/// Whether the words of a statement still mean these objects and nothing else of users, and nothing stands against them. If not the transaction
/// has failed, and what is on its way behind this is refused.
///
/// # Errors
/// What the server says.
pub async fn means_only(work: &Work, statement: &Statement, objects: &[Oid]) -> Result<bool, Error> {
    match look_up(work, statement, &KINDS, objects).await {
        Ok(found) => Ok(found.is_empty()),
        Err(error) if sqlstate(&error) == Some(STOPPED) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Holds the types of a statement, and what they are made of, to what the catalog says of them.
///
/// # Errors
/// `denied`, as [`check`].
pub async fn check_types(work: &Work, statement: &Statement, access: &Access) -> Result<(), Error> {
    let (names, types) = (names(statement), types(statement));
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&names, Type::NAME_ARRAY), (&types, Type::NAME_ARRAY), (&access.functions, Type::TEXT_ARRAY)];
    refuse_first(statement, access, &work.ask(&look_up::TYPES, &asked).await?)
}

/// Holds the views of a statement, and those in them, to what the catalog says of the functions they call.
///
/// # Errors
/// `denied`, as [`check`].
pub async fn check_views(work: &Work, statement: &Statement, access: &Access) -> Result<(), Error> {
    let names = names(statement);
    let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&names, Type::NAME_ARRAY), (&access.functions, Type::TEXT_ARRAY)];
    refuse_first(statement, access, &work.ask(&look_up::VIEWS, &asked).await?)
}

fn refuse_first(statement: &Statement, access: &Access, found: &[Row]) -> Result<(), Error> {
    let found: Vec<String> = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(meaning)?;
    let first =
        statement.names().find(|name| found.iter().any(|found| found == name.name) && !allowed(access, name.name));
    first.map_or(Ok(()), |name| Err(denied(name.name, words::CALLS_MORE, name.position)))
}

fn allowed(access: &Access, word: &str) -> bool {
    access.functions.iter().any(|allowed| allowed == word)
}

fn names(statement: &Statement) -> Vec<&str> {
    let names: HashSet<&str> =
        statement.names().filter(|name| !words::is_grammar(name)).map(|name| name.name).collect();
    names.into_iter().collect()
}

fn types(statement: &Statement) -> Vec<&str> {
    statement.names().filter(|name| name.types).map(|name| name.name).collect()
}

/// Names that may be called.
fn called(statement: &Statement) -> Vec<&str> {
    statement.names().filter(|name| name.called && !words::is_grammar(name)).map(|name| name.name).collect()
}

/// The look-up of a statement that calls these, with the types of its values.
fn asked(called: &[&str]) -> (&'static str, &'static [Type]) {
    match called {
        [] => (&LOOK_UP, &ASKED[..5]),
        _ => (&LOOK_UP_CALLS, &ASKED),
    }
}

async fn look_up(work: &Work, statement: &Statement, stops_at: &[&str], known: &[Oid]) -> Result<Vec<Row>, Error> {
    let (names, types, called) = (names(statement), types(statement), called(statement));
    let operators: HashSet<&str> = statement.operators().map(|(operator, _)| operator).collect();
    let operators: Vec<&str> = operators.into_iter().collect();
    let values: [&(dyn ToSql + Sync); 6] = [&names, &operators, &types, &stops_at, &known, &called];
    let (sql, types) = asked(&called);
    let values: Vec<_> = values.into_iter().zip(types.iter().cloned()).collect();
    work.ask(sql, &values).await
}

/// Functions that the server ships and that may do more than read. They change with its version only.
async fn shipped(work: &Work) -> Result<Arc<HashSet<String>>, Error> {
    if let Some(known) = work.server().shipped() {
        return Ok(known);
    }
    let rows = work.query_typed(&SHIPPED, &[]).await.map_err(meaning)?;
    let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(meaning)?;
    let names = Arc::new(names);
    work.server().keep_shipped(&names);
    Ok(names)
}

/// Names before a point that this server may not use if they are schemas.
pub fn hidden<'a>(statement: &'a Statement, access: &Access) -> Vec<&'a str> {
    let qualifying = statement.names().filter(|name| name.qualifies).map(|name| name.name);
    qualifying.filter(|name| !system_schema(name) && !access.schemas.allow(name)).collect()
}

/// Those of them that are.
async fn schemas(work: &Work, statement: &Statement, access: &Access) -> Result<HashSet<String>, Error> {
    let names = hidden(statement, access);
    if names.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = work.ask(look_up::SCHEMAS, &[(&names, Type::NAME_ARRAY)]).await?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(meaning)
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
    // pg_catalog comes before them where it is not named.
    let path: Vec<String> = allowed.map(|schema| super::catalog::quoted(schema)).collect();
    Ok(Some(path.join(", ")))
}

fn system_schema(name: &str) -> bool {
    matches!(name, "pg_catalog" | "information_schema")
}

fn why(name: &Name<'_>, found: &[Against], shipped: &HashSet<String>) -> Option<&'static str> {
    if name.name == "current_setting" && name.called {
        let harmless = name.argument.is_some_and(words::is_harmless_setting);
        return (!harmless).then_some(words::HOLDS_SECRETS);
    }
    let shipped = || shipped.contains(name.name).then(|| words::of_system(name.name));
    words::always(name.name).or_else(shipped).or_else(|| {
        found.iter().find_map(|against| match against {
            Against::Anywhere(why) => Some(*why),
            Against::Called(function) if function.is_meant(name) => Some(words::MORE_THAN_READS),
            Against::Called(_) => None,
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
    Error::new(Code::Denied, format!("this server may not use the schema `{}`", name.name))
        .argument("query")
        .hint("CALLBOARD_SCHEMAS names the allowed schemas")
        .place(Place { position: Some(name.position), ..Place::default() })
}
