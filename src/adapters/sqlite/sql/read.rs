//! Reading: one statement, its parameters, its rows as JSON, and its plan.

use std::borrow::Cow;

use rusqlite::{Connection, Statement};

use super::{catalog, dialect, guard, operands::Operands, sheet::Sheet, sources::Sources, structure};
use crate::{
    adapters::sqlite::{call::Call, failure, functions, money},
    domain::{
        json::{self, Json},
        names::nearest,
        page::Bounds,
        sql::{Plan, Rows, Scan},
    },
    error::{Code, Error, Place},
};

/// A query to run.
pub(super) struct Asked<'a> {
    pub statement: &'a str,
    pub params: &'a [Json],
    pub bounds: Bounds,
    pub offset: u64,
}

/// Runs a query.
pub(super) fn query(connection: &Connection, asked: &Asked<'_>, call: &Call) -> Result<Rows, Error> {
    let wrong = |error| failure::of(error, call);
    guard::taken();
    let mut statement = prepare(connection, asked.statement, call)?;
    structure::check(asked.statement, asked.params)?;
    let sources = Sources::taken(connection).map_err(wrong)?;
    let operands = Operands::of(asked.statement, &sources);
    operands.check(asked.statement)?;
    // Columns have the names that were asked for, also where the statement is written otherwise.
    let mut sheet = Sheet::new(&statement, asked.statement, &sources);
    if let Some(text) = operands.rewritten(asked.statement) {
        statement = prepare(connection, &text, call)?;
    }
    bind(&mut statement, asked.params, &operands, call)?;
    functions::begin();
    let _exactly = money::Exactly::begin(sources.scale().is_some());
    let (mut bytes, mut passed, mut truncated) = (0, 0, false);
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(wrong)? {
        if passed < asked.offset {
            passed += 1;
            continue;
        }
        truncated = sheet.len() >= asked.bounds.rows_max;
        if truncated {
            break;
        }
        let more = sheet.add(row).map_err(wrong)?;
        bytes += more;
        truncated = bytes > asked.bounds.bytes_max;
        if truncated && sheet.len() == 1 {
            return Err(too_big(more - 1));
        }
        if truncated {
            sheet.pop();
            break;
        }
    }
    sheet.finish(truncated)
}

fn too_big(bytes: usize) -> Error {
    Error::new(Code::Limit, format!("one row alone has {bytes} bytes"))
        .argument("max_bytes")
        .hint("raise max_bytes, or select fewer columns or parts of them with substr()")
}

/// SQLite has no TABLE statement, no statement in parentheses, and its EXPLAIN gives machine code: the text that stands for them, and how
/// many characters longer it is.
fn spelled(text: &str) -> (Cow<'_, str>, u32) {
    let trimmed = text.trim_start();
    if trimmed.starts_with('(') {
        return (Cow::Owned(format!("SELECT * FROM {text}")), 14);
    }
    if let Some((word, rest)) = trimmed.get(..7).zip(trimmed.get(7..))
        && word.eq_ignore_ascii_case("explain")
        && !rest.trim_start().get(..5).is_some_and(|next| next.eq_ignore_ascii_case("query"))
    {
        return (Cow::Owned(format!("EXPLAIN QUERY PLAN{rest}")), 11);
    }
    match trimmed.get(..5).zip(trimmed.get(5..)) {
        Some((word, rest)) if word.eq_ignore_ascii_case("table") && rest.starts_with(char::is_whitespace) => {
            (Cow::Owned(format!("SELECT * FROM{rest}")), 8)
        }
        _ => (Cow::Borrowed(text), 0),
    }
}

fn prepare<'c>(connection: &'c Connection, text: &str, call: &Call) -> Result<Statement<'c>, Error> {
    let (spelled, longer) = spelled(text);
    let statement = connection.prepare(&spelled).map_err(|error| {
        let error = failure::of(error, call);
        let position = error.place.position.map(|position| position.saturating_sub(longer).max(1));
        let place = Place { position, ..error.place.clone() };
        let foreign = matches!(place.backend_code.as_deref(), Some("42601" | "42883" | "42703" | "42P01"));
        match dialect::foreign(text).filter(|_| foreign) {
            Some((position, hint)) => {
                let place = Place { position: Some(position), ..place };
                error.place(place).hint(format!("this database is SQLite: {hint}"))
            }
            None => explained(connection, error.place(place)),
        }
    })?;
    if let Some((position, hint)) = dialect::misread(text) {
        return Err(Error::invalid(
            "query",
            "SQLite reads a number from what is cast to this type, or leaves it as it is",
        )
        .hint(format!("this database is SQLite: {hint}"))
        .place(Place { position: Some(position), backend_code: Some("0A000".to_owned()), ..Place::default() }));
    }
    if statement.column_count() == 0 || !statement.readonly() {
        return Err(Error::new(Code::Denied, "a query only reads; this statement returns no rows")
            .argument("query")
            .hint("use insert_data or bulk_insert to write"));
    }
    Ok(statement)
}

/// Adds the names that may have been meant.
fn explained(connection: &Connection, error: Error) -> Error {
    let name = |prefix| {
        error.message.strip_prefix(prefix).map(|name: &str| name.split('.').next_back().unwrap_or(name).to_owned())
    };
    let (given, known) = if let Some(given) = name("no such table: ") {
        (given, catalog::names(connection))
    } else if let Some(given) = name("no such column: ") {
        (given, catalog::column_names(connection))
    } else {
        return error;
    };
    let known = known.unwrap_or_default();
    let near = nearest(&given, known.iter().map(String::as_str));
    error.did_you_mean(near)
}

/// Binds values to `$1`, `?1` and plain `?`.
fn bind(statement: &mut Statement<'_>, params: &[Json], operands: &Operands, call: &Call) -> Result<(), Error> {
    let mut places = Vec::new();
    for index in 1..=statement.parameter_count() {
        let number = match statement.parameter_name(index) {
            None => index,
            Some(name) => {
                name.get(1..).and_then(|number| number.parse::<usize>().ok()).filter(|number| *number > 0).ok_or_else(
                    || {
                        Error::invalid("query", format!("`{name}` is not a parameter"))
                            .hint("write parameters as $1, $2, …")
                    },
                )?
            }
        };
        places.push((index, number));
    }
    let wanted = places.iter().map(|(_, number)| *number).max().unwrap_or(0);
    if wanted != params.len() {
        let noun = if wanted == 1 { "parameter" } else { "parameters" };
        return Err(Error::invalid(
            "params",
            format!("the statement takes {wanted} {noun}; `params` holds {}", params.len()),
        ));
    }
    for (index, number) in places {
        let Some(param) = params.get(number - 1) else { continue };
        let value = operands.value(number, param.get())?;
        statement.raw_bind_parameter(index, value).map_err(|error| failure::of(error, call))?;
    }
    Ok(())
}

/// Says how a query would be run.
pub(super) fn explain(connection: &Connection, text: &str, params: &[Json], call: &Call) -> Result<Plan, Error> {
    let wrong = |error| failure::of(error, call);
    structure::check(text, params)?;
    // The statement itself must be one that can run.
    bind(&mut prepare(connection, text, call)?, params, &Operands::default(), call)?;
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", spelled(text).0)).map_err(wrong)?;
    let mut steps = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(wrong)? {
        let (id, parent, detail): (i64, i64, String) =
            (row.get(0).map_err(wrong)?, row.get(1).map_err(wrong)?, row.get(3).map_err(wrong)?);
        steps.push((id, parent, detail));
    }
    let lower = text.to_lowercase();
    let is_conditional =
        [" where ", "\nwhere ", " join ", "\njoin ", " where(", " where\n"].iter().any(|word| lower.contains(word));
    let counted = catalog::has_statistics(connection).map_err(wrong)?;
    let mut scans = Vec::new();
    for (_, _, detail) in &steps {
        let Some(table) = detail.strip_prefix("SCAN ").filter(|_| is_conditional) else { continue };
        let table = table.split(' ').next().unwrap_or_default().to_owned();
        if table.is_empty() || table.starts_with('(') || table == "CONSTANT" {
            continue;
        }
        let rows = if counted { catalog::estimated_rows(connection, &table).map_err(wrong)? } else { None };
        scans.push(Scan { table, estimated_rows: rows.map(|rows| rows as f64), filter: None });
    }
    #[derive(serde::Serialize)]
    struct Step<'a> {
        id: i64,
        parent: i64,
        detail: &'a str,
    }
    let plan: Vec<Step<'_>> =
        steps.iter().map(|(id, parent, detail)| Step { id: *id, parent: *parent, detail }).collect();
    Ok(Plan { plan: json::of(&plan), cost: None, estimated_rows: None, scans })
}
