//! The statements that write one unit. Rows come from a source `g` whose columns have the table's names and types.

use crate::adapters::postgres::catalog::{Column, Table, quoted};

/// What happens to a row whose key exists, with the table looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conflict {
    Error,
    Ignore,
    /// Places of the key's columns.
    Update(Vec<usize>),
}

/// A statement and how it tells what it did.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) text: String,
    /// It answers one row: inserted, updated. Otherwise every row it touched was inserted.
    pub(super) counts: bool,
}

/// Where rows come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// A JSON array in $1.
    Recordset,
    /// The same, for a transaction in which [`catalog::look`](crate::adapters::postgres::catalog::look) has just read the description in $2.
    /// Anywhere else the statement fails by a division by zero.
    Described,
    /// One JSON object, in an expression.
    Record(&'a str),
    /// A table.
    Staging(&'a str),
}

/// Builds the statement for rows that name `columns`.
pub(super) fn write(table: &Table, columns: &[usize], conflict: &Conflict, source: Source<'_>) -> Statement {
    let named: Vec<&Column> = columns.iter().filter_map(|place| table.columns.get(*place)).collect();
    if named.is_empty() {
        let conflict = if *conflict == Conflict::Error { "" } else { " ON CONFLICT DO NOTHING" };
        let text = format!("-- load_defaults\nINSERT INTO {} DEFAULT VALUES{conflict}", table.quoted());
        return Statement { text, counts: false };
    }
    let target = table.quoted();
    let list = list(&named, "");
    let from = rows(&named, source);
    match conflict {
        Conflict::Error | Conflict::Ignore => {
            let conflict = if *conflict == Conflict::Error { "" } else { "\nON CONFLICT DO NOTHING" };
            let text = format!("-- load_insert\nINSERT INTO {target} ({list})\nSELECT {list} FROM {from}{conflict}");
            Statement { text, counts: false }
        }
        Conflict::Update(key) => update(table, columns, key, &from, matches!(source, Source::Staging(_))),
    }
}

fn update(table: &Table, columns: &[usize], key: &[usize], from: &str, many: bool) -> Statement {
    let pick = |wanted: &dyn Fn(&usize) -> bool, places: &[usize]| -> Vec<&Column> {
        places.iter().filter(|place| wanted(place)).filter_map(|place| table.columns.get(*place)).collect()
    };
    let all = |_: &usize| true;
    let keys = pick(&all, key);
    let named = pick(&all, columns);
    let values = pick(&|place: &usize| !key.contains(place), columns);
    let target = table.quoted();
    let list_all = list(&named, "");
    if values.is_empty() {
        let keys = list(&keys, "");
        let text = format!(
            "-- load_insert_keys\nINSERT INTO {target} ({list_all})\nSELECT {list_all} FROM {from}\nON CONFLICT ({keys}) DO NOTHING"
        );
        return Statement { text, counts: false };
    }
    let sets: Vec<String> = values.iter().map(|column| format!("{0} = EXCLUDED.{0}", quoted(&column.name))).collect();
    let action = format!(
        "ON CONFLICT ({}) DO UPDATE SET {}\nWHERE {}",
        list(&keys, ""),
        sets.join(", "),
        differs(&values, "o.", "EXCLUDED.")
    );
    let has_key = key.iter().all(|place| columns.contains(place));
    let missing = |place: usize, column: &Column| !column.nullable && !column.has_default && !columns.contains(&place);
    let partial = table.columns.iter().enumerate().any(|(place, column)| missing(place, column));
    let same = equal(&keys);
    let inserted = |select: &str| {
        format!("INSERT INTO {target} AS o ({list_all})\n{select}\n{action}\nRETURNING (o.xmax = 0) AS fresh")
    };
    let fresh = "pg_catalog.count(*) FILTER (WHERE fresh), pg_catalog.count(*) FILTER (WHERE NOT fresh)";
    let text = if has_key && (partial || table.kind != 'r') {
        partial_update(&target, from, &named, &values, &same, &action)
    } else if has_key && many {
        let given = list(&named, "g.");
        let changed = differs(&values, "o.", "g.");
        let first = keys.first().map(|column| quoted(&column.name)).unwrap_or_default();
        let select =
            format!("SELECT {given} FROM {from} LEFT JOIN {target} o ON {same}\nWHERE o.{first} IS NULL OR {changed}");
        format!("-- load_upsert_changed\nWITH written AS (\n{}\n)\nSELECT {fresh} FROM written", inserted(&select))
    } else {
        let select = format!("SELECT {list_all} FROM {from}");
        format!("-- load_upsert\nWITH written AS (\n{}\n)\nSELECT {fresh} FROM written", inserted(&select))
    };
    Statement { text, counts: true }
}

/// A row that names not all columns it would need as a new row can still change an old one: PostgreSQL checks NOT NULL before it looks for
/// the conflict. Also for partitioned tables, which do not say which rows were new.
fn partial_update(target: &str, from: &str, named: &[&Column], values: &[&Column], same: &str, action: &str) -> String {
    let list_all = list(named, "");
    let given = list(named, "g.");
    let changed = differs(values, "o.", "g.");
    let sets: Vec<String> = values.iter().map(|column| format!("{0} = g.{0}", quoted(&column.name))).collect();
    format!(
        "-- load_update_or_insert\nWITH given AS MATERIALIZED (SELECT {list_all} FROM {from}),\n\
         changed AS (UPDATE {target} AS o SET {} FROM given g WHERE {same} AND {changed} RETURNING 1),\n\
         fresh AS (INSERT INTO {target} AS o ({list_all})\nSELECT {given} FROM given g WHERE NOT EXISTS (SELECT 1 FROM {target} o WHERE {same})\n\
         {action}\nRETURNING 1)\n\
         SELECT (SELECT pg_catalog.count(*) FROM fresh), (SELECT pg_catalog.count(*) FROM changed)",
        sets.join(", ")
    )
}

fn rows(named: &[&Column], source: Source<'_>) -> String {
    let typed = || {
        let typed: Vec<String> =
            named.iter().map(|column| format!("{} {}", quoted(&column.name), column.type_name)).collect();
        typed.join(", ")
    };
    match source {
        Source::Recordset => format!("pg_catalog.json_to_recordset($1::pg_catalog.json) AS g ({})", typed()),
        Source::Described => format!(
            "pg_catalog.json_to_recordset($1::pg_catalog.json) AS g ({})\n\
             WHERE 1 = 1 / (COALESCE(pg_catalog.current_setting('callboard.table', true), '') = $2)::pg_catalog.int4",
            typed()
        ),
        Source::Record(expression) => format!("pg_catalog.json_to_record({expression}) AS g ({})", typed()),
        Source::Staging(table) => format!("{table} AS g"),
    }
}

/// `"a", "b"`.
pub(super) fn list(columns: &[&Column], prefix: &str) -> String {
    columns.iter().map(|column| format!("{prefix}{}", quoted(&column.name))).collect::<Vec<_>>().join(", ")
}

fn equal(keys: &[&Column]) -> String {
    let pairs: Vec<String> = keys.iter().map(|column| format!("o.{0} = g.{0}", quoted(&column.name))).collect();
    pairs.join(" AND ")
}

/// Compares the bytes that are kept: works for every type, and sees 1.50 in place of 1.5 and `A` in place of `a`.
fn differs(columns: &[&Column], old: &str, new: &str) -> String {
    // Without the casts PostgreSQL takes it for a comparison column by column.
    format!(
        "ROW({})::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW({})::pg_catalog.record",
        list(columns, old),
        list(columns, new)
    )
}
