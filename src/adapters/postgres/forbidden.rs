//! Words that a reading statement may not hold, because what they name does more than read, or holds what nobody should read.
//!
//! Every name in a statement is looked up in the server's own catalog, in the transaction that the statement will run in. So functions
//! made a moment ago, quoted and Unicode-escaped spellings, attribute notation and operators are all seen, and nothing can be stale.

mod words;

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Client, types::Type};

use super::{failure::meaning, pool::Work};
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

/// Every part starts from an index over names or from what is not part of every database: there are thousands of functions, and none of
/// the operators and casts that every database has is risky.
const LOOK_UP: &str = "-- forbidden_words
WITH risky AS NOT MATERIALIZED (
    SELECT p.oid, p.proname, p.pronamespace = 'pg_catalog'::regnamespace AS system, p.prorettype, p.proargtypes
    FROM pg_catalog.pg_proc p
    WHERE (p.provolatile = 'v' OR p.prosecdef)
      AND NOT (p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY ($3 /* harmless */))
)
SELECT r.proname::text, CASE WHEN r.system THEN 'system' ELSE 'function' END
FROM risky r
WHERE r.proname = ANY ($1 /* names */)
  AND r.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'tsm_handler'::regtype)
  AND NOT 'internal'::regtype = ANY (r.proargtypes)
UNION ALL
SELECT p.proname::text, 'function'
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
WHERE p.proname = ANY ($1)
  AND EXISTS (SELECT FROM risky r WHERE r.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn))
UNION ALL
SELECT o.oprname::text, 'operator'
FROM pg_catalog.pg_operator o
JOIN risky r ON r.oid = o.oprcode
WHERE o.oprname = ANY ($2 /* operators */)
  AND o.oid >= 16384
  -- A new one whose name every database has is only suspect between types that every database has.
  AND (o.oprleft < 16384 AND o.oprright < 16384
       OR NOT EXISTS (SELECT FROM pg_catalog.pg_operator b WHERE b.oprname = o.oprname AND b.oid < 16384))
UNION ALL
SELECT t.typname::text, 'type'
FROM pg_catalog.pg_type t
WHERE t.typname = ANY ($1) AND t.oid >= 16384
  AND (EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN risky r ON r.oid = c.castfunc
               WHERE c.oid >= 16384 AND t.oid IN (c.castsource, c.casttarget))
    OR t.typtype = 'd' AND EXISTS (SELECT FROM pg_catalog.pg_constraint c
               JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = c.oid
                AND d.refclassid = 'pg_catalog.pg_proc'::regclass
               JOIN risky r ON r.oid = d.refobjid
               WHERE c.contypid = t.oid))
UNION ALL
SELECT n.nspname::text, 'schema'
FROM pg_catalog.pg_namespace n
WHERE n.nspname = ANY ($1)";

/// Prepares the look-up where it is not yet, so that the next [`check`] leaves at once.
///
/// # Errors
/// What the server says.
pub async fn get_ready(work: &Work) -> Result<(), Error> {
    work.get_ready(LOOK_UP, &[Type::NAME_ARRAY, Type::NAME_ARRAY, Type::NAME_ARRAY]).await
}

/// Holds a statement to what the catalog says of its words.
///
/// # Errors
/// `denied`, naming the first such word, where it stands and the setting that allows it.
pub async fn check(work: &Work, statement: &Statement, access: &Access) -> Result<(), Error> {
    if statement.form() == Form::Show {
        return Ok(());
    }
    let names: HashSet<&str> = statement.names().map(|name| name.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let operators: HashSet<&str> = statement.operators().map(|(operator, _)| operator).collect();
    let operators: Vec<&str> = operators.into_iter().filter(|operator| operator.len() < 64).collect();
    let found = work
        .ask(
            LOOK_UP,
            &[(&names, Type::NAME_ARRAY), (&operators, Type::NAME_ARRAY), (&&words::HARMLESS[..], Type::NAME_ARRAY)],
        )
        .await?;
    let mut against: HashMap<String, Vec<Against>> = HashMap::new();
    let mut bad_operators = HashSet::new();
    for row in &found {
        let word: String = row.try_get(0).map_err(meaning)?;
        let kind: &str = row.try_get(1).map_err(meaning)?;
        match kind {
            "system" => against.entry(word).or_default().push(Against::Anywhere(words::MORE_THAN_READS)),
            "function" => against.entry(word).or_default().push(Against::Called(words::MORE_THAN_READS)),
            "type" => against.entry(word).or_default().push(Against::Anywhere(words::CALLS_MORE)),
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
