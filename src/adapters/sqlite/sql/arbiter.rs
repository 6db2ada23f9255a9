//! By which unique index a load finds the rows that exist, and which rows of one load share a key: as SQLite compares them.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Transaction, params_from_iter, types::Value};

use super::{
    catalog::{self, Table, quote},
    write::{Refusal, Values},
};
use crate::{
    adapters::sqlite::{call::Call, failure},
    domain::{
        names::nearest,
        sql::{
            Duplicates, Load, OnConflict,
            lexer::{self, Kind},
        },
    },
    error::{Error, Place},
};

/// By what rows are found and told apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// Places of its columns.
    pub places: Vec<usize>,
    /// How the index compares each of them, in quotes; none as the column does.
    pub collations: Vec<Option<String>>,
    /// Of a partial index.
    pub predicate: Option<String>,
}

impl Key {
    /// The name of its column, where it has one alone.
    pub fn alone(&self, table: &Table) -> Option<String> {
        let [place] = self.places.as_slice() else { return None };
        table.columns.get(*place).map(|column| column.name.clone())
    }

    /// The statement that looks for the row with the values of the key, for its number where rows have one.
    pub fn exists(&self, table: &Table) -> String {
        let part = self.predicate.as_ref().map(|predicate| format!(" AND ({predicate})")).unwrap_or_default();
        let condition: Vec<String> =
            self.places.iter().enumerate().map(|(at, place)| self.equals(table, *place, at + 1)).collect();
        format!(
            "-- row_exists\nSELECT {} FROM {} WHERE {}{part}",
            table.row_number().unwrap_or("1"),
            table.quoted(),
            condition.join(" AND ")
        )
    }

    /// `"a" COLLATE "NOCASE" = ?1`.
    pub fn equals(&self, table: &Table, place: usize, number: usize) -> String {
        let name = table.columns.get(place).map(|column| quote(&column.name)).unwrap_or_default();
        let at = self.places.iter().position(|known| *known == place);
        let collation = at.and_then(|at| self.collations.get(at)).and_then(Option::as_ref);
        let collation = collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        format!("{name}{collation} = ?{number}")
    }
}

struct Unique {
    name: String,
    primary: bool,
    partial: bool,
    /// None for an expression.
    columns: Vec<Option<String>>,
    collations: Vec<Option<String>>,
    /// The statement that made it; none for a constraint.
    sql: String,
}

impl Unique {
    fn names(&self) -> Option<Vec<String>> {
        self.columns.iter().cloned().collect()
    }

    fn is_on(&self, wanted: &[String]) -> bool {
        self.names().is_some_and(|names| names.len() == wanted.len() && wanted.iter().all(|name| names.contains(name)))
    }

    fn reads(&self, wanted: &[String]) -> bool {
        let Ok(tokens) = lexer::tokens(&self.sql, 10_000) else { return false };
        let named = |wanted: &String| {
            tokens.iter().any(|token| match &token.kind {
                Kind::Word(name) | Kind::Quoted(name) => name.eq_ignore_ascii_case(wanted),
                _ => false,
            })
        };
        self.columns.contains(&None) && !wanted.is_empty() && wanted.iter().all(named)
    }

    /// What stands behind WHERE.
    fn predicate(&self) -> Option<String> {
        let tokens = lexer::tokens(&self.sql, 10_000).ok()?;
        let found = tokens.iter().find(|token| token.kind == Kind::Word("where".to_owned()))?;
        Some(self.sql.get(found.end..)?.trim().to_owned()).filter(|_| self.partial)
    }
}

fn unique_indexes(connection: &Connection, table: &Table) -> rusqlite::Result<Vec<Unique>> {
    let mut found = Vec::new();
    for (name, unique, origin, partial) in catalog::index_list(connection, &table.name)? {
        if !unique {
            continue;
        }
        let mut statement = connection.prepare_cached(
            "-- index_keys\nSELECT name, coll FROM pragma_index_xinfo(?1, 'main') WHERE key = 1 ORDER BY seqno",
        )?;
        let parts: Vec<(Option<String>, Option<String>)> =
            statement.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
        let (columns, collations) = parts.into_iter().unzip();
        let sql: Option<Option<String>> = connection
            .query_row(
                "-- index_text\nSELECT sql FROM main.sqlite_schema WHERE type = 'index' AND name = ?1",
                [&name],
                |row| row.get(0),
            )
            .optional()?;
        let sql = sql.flatten().unwrap_or_default();
        found.push(Unique { name, primary: origin == "pk", partial, columns, collations, sql });
    }
    let key = table.primary_key();
    if !key.is_empty() && !found.iter().any(|index| index.primary) {
        let collations = vec![None; key.len()];
        let columns = key.into_iter().map(Some).collect();
        let name = catalog::constraint_name(&table.name, &[], "pkey");
        found.push(Unique { name, primary: true, partial: false, columns, collations, sql: String::new() });
    }
    // The primary key first, then those by which more rows are alike.
    found.sort_by_key(|index| {
        let plain = index.collations.iter().flatten().all(|name| name.eq_ignore_ascii_case("BINARY"));
        (!index.primary, plain)
    });
    Ok(found)
}

fn key(table: &Table, index: &Unique) -> Key {
    let place = |name: &Option<String>| table.columns.iter().position(|column| Some(&column.name) == name.as_ref());
    Key {
        places: index.columns.iter().filter_map(place).collect(),
        collations: index.collations.iter().map(|name| name.as_deref().map(quote)).collect(),
        predicate: index.predicate(),
    }
}

/// The keys that tell all rows apart: the primary key first.
pub(super) fn keys(transaction: &Transaction<'_>, table: &Table) -> rusqlite::Result<Vec<Key>> {
    let whole = |index: &&Unique| !index.partial && index.names().is_some();
    Ok(unique_indexes(transaction, table)?.iter().filter(whole).map(|index| key(table, index)).collect())
}

/// What decides whether a row is there already.
///
/// # Errors
/// `invalid` about `conflict_columns`, with what stands in the way of an index that looks right.
pub(super) fn find(transaction: &Transaction<'_>, table: &Table, load: &Load, call: &Call) -> Result<Key, Error> {
    let indexes = unique_indexes(transaction, table).map_err(|error| failure::of(error, call))?;
    let OnConflict::Update(asked) = &load.on_conflict else {
        let primary = indexes.iter().find(|index| index.primary);
        let only = || match indexes.as_slice() {
            [index] if !index.partial && index.names().is_some() => Some(index),
            _ => None,
        };
        return Ok(primary.or_else(only).map(|index| key(table, index)).unwrap_or_default());
    };
    let mut names: Vec<String> = Vec::new();
    for (number, name) in asked.iter().enumerate() {
        let exact = &table.wanted(name, format!("conflict_columns[{number}]"))?.name;
        if !names.contains(exact) {
            names.push(exact.clone());
        }
    }
    let whole = |index: &&Unique| !index.partial && if names.is_empty() { index.primary } else { index.is_on(&names) };
    if let Some(index) = indexes.iter().find(whole) {
        return Ok(key(table, index));
    }
    let partial: Vec<&Unique> = indexes.iter().filter(|index| index.partial && index.is_on(&names)).collect();
    match partial.as_slice() {
        [index] if load.duplicates == Duplicates::Last => {
            let message = format!(
                "the unique index `{}` is partial, so which rows of a call share a key is only known when they are written",
                index.name
            );
            Err(Error::invalid("duplicates", message).hint("leave `duplicates` out, and send each key once"))
        }
        [index] if table.row_number().is_some() && index.predicate().is_some() => Ok(key(table, index)),
        _ => Err(refusal(table, &indexes, &names)),
    }
}

fn refusal(table: &Table, indexes: &[Unique], names: &[String]) -> Error {
    let given = names.join(", ");
    let reasons: Vec<String> = indexes
        .iter()
        .filter_map(|index| {
            let name = &index.name;
            let definition = index.sql.split_once('(').map(|(_, rest)| format!("({rest}")).unwrap_or_default();
            if index.reads(names) {
                Some(format!("the unique index `{name}` is on an expression {definition}, not on columns alone"))
            } else if index.partial && index.is_on(names) && table.row_number().is_none() {
                Some(format!("the unique index `{name}` is partial {definition}, and the table has no row numbers"))
            } else if index.partial && index.is_on(names) {
                Some(format!("the unique index `{name}` is partial {definition}, and not the only such one"))
            } else {
                None
            }
        })
        .collect();
    let message = if !reasons.is_empty() {
        format!("existing rows cannot be found by `{given}` of `{}`: {}", table.full_name(), reasons.join("; "))
    } else if names.is_empty() {
        format!("`{}` has no primary key to find existing rows by", table.full_name())
    } else {
        format!("no unique index of `{}` has exactly the columns {given}", table.full_name())
    };
    let mut known: Vec<String> = Vec::new();
    for index in indexes.iter().filter(|index| !index.partial) {
        let set = index.names().map(|names| names.join(", "));
        known.extend(set.filter(|set| !known.contains(set)));
    }
    let hint = if known.is_empty() {
        "it has no unique index that tells all rows apart, so existing rows cannot be found; on_conflict `error` adds every row as a new one"
            .to_owned()
    } else {
        format!("its unique columns are: ({})", known.join("), ("))
    };
    Error::invalid("conflict_columns", message)
        .did_you_mean(nearest(&given, known.iter().map(String::as_str)))
        .hint(hint)
        .place(Place { backend_code: Some("42P10".to_owned()), ..Place::default() })
}

/// Rows that share another key than `main` with an earlier one.
pub(super) fn repeated(
    transaction: &Transaction<'_>,
    table: &Table,
    main: &Key,
    rows: &[Result<Values, Refusal>],
) -> rusqlite::Result<HashMap<usize, Option<String>>> {
    let mut repeated = HashMap::new();
    for key in keys(transaction, table)?.iter().filter(|key| *key != main) {
        let mut seen = HashSet::new();
        let groups = groups(transaction, table, key, rows)?;
        let again = groups.into_iter().enumerate().filter(|(_, group)| group.is_some_and(|group| !seen.insert(group)));
        repeated.extend(again.map(|(position, _)| (position, key.alone(table))));
    }
    Ok(repeated)
}

/// For each row a number that rows with the same key share; none for a key with a part that is missing or null, which equals nothing.
pub(super) fn groups(
    transaction: &Transaction<'_>,
    table: &Table,
    key: &Key,
    rows: &[Result<Values, Refusal>],
) -> rusqlite::Result<Vec<Option<i64>>> {
    let mut groups = vec![None; rows.len()];
    if key.places.is_empty() || key.predicate.is_some() || rows.len() < 2 {
        return Ok(groups);
    }
    let named = |what: &dyn Fn(usize) -> String| (0..key.places.len()).map(what).collect::<Vec<_>>().join(", ");
    let columns = named(&|at| {
        let declared = key.places.get(at).and_then(|place| table.columns.get(*place)).map(|column| &column.declared);
        let collation = key.collations.get(at).and_then(Option::as_ref);
        let collation = collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        format!("k{at} {}{collation}", declared.map_or("", |declared| affinity(declared)))
    });
    transaction.execute_batch(&format!(
        "-- keys_given\nCREATE TEMP TABLE callboard_keys (position INTEGER PRIMARY KEY, {columns})"
    ))?;
    {
        let places = named(&|at| format!("?{}", at + 2));
        let mut insert =
            transaction.prepare(&format!("-- key_given\nINSERT INTO temp.callboard_keys VALUES (?1, {places})"))?;
        for (position, row) in rows.iter().enumerate() {
            let Ok(values) = row else { continue };
            let part = |place: &usize| {
                values.iter().find(|(given, value)| given == place && *value != Value::Null).map(|(_, value)| value)
            };
            let Some(parts) = key.places.iter().map(part).collect::<Option<Vec<&Value>>>() else { continue };
            let position = Value::Integer(i64::try_from(position).unwrap_or(i64::MAX));
            insert.execute(params_from_iter(std::iter::once(&position).chain(parts)))?;
        }
        let order = named(&|at| format!("k{at}"));
        let mut ask = transaction.prepare(&format!(
            "-- keys_alike\nSELECT position, dense_rank() OVER (ORDER BY {order}) FROM temp.callboard_keys"
        ))?;
        let mut found = ask.query([])?;
        while let Some(row) = found.next()? {
            let position: i64 = row.get(0)?;
            if let Some(group) = groups.get_mut(usize::try_from(position).unwrap_or(usize::MAX)) {
                *group = Some(row.get(1)?);
            }
        }
    }
    transaction.execute_batch("-- keys_done\nDROP TABLE temp.callboard_keys")?;
    Ok(groups)
}

/// What SQLite makes of values in a column of this type, by its own rule.
fn affinity(declared: &str) -> &'static str {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if has(&["INT"]) {
        "INTEGER"
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        "TEXT"
    } else if has(&["BLOB"]) || declared.is_empty() {
        "BLOB"
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        "REAL"
    } else {
        "NUMERIC"
    }
}
