//! The statements that write one unit. Rows come from a source `g` whose columns have the table's names and types.

use crate::adapters::postgres::catalog::{Column, Key, Table, quoted};

/// What happens to a row whose key exists, with the table looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conflict {
    Error,
    Ignore,
    Update(Target),
}

impl Conflict {
    /// The place of the column that rows may name although the database always numbers it: they are only looked for.
    pub(super) fn may_number(&self, table: &Table) -> Option<usize> {
        match self {
            Self::Error => None,
            Self::Update(target) if target.hides_keys(table) => None,
            Self::Ignore | Self::Update(_) => table.always_numbered(),
        }
    }

    /// The same, where the rows of a unit name it.
    pub(super) fn numbered(&self, table: &Table, columns: &[usize]) -> Option<usize> {
        self.may_number(table).filter(|place| columns.contains(place))
    }

    /// What happens to rows that name `columns`. Those that leave a number of their key to the database are new ones: where the sequence
    /// gives a number that is taken, the row that has it is another one.
    pub(super) fn of_rows(&self, table: &Table, columns: &[usize]) -> Self {
        let is_given =
            |place: &usize| columns.contains(place) || table.columns.get(*place).is_none_or(|column| !column.counted);
        match self {
            Self::Update(target) if !target.columns.iter().all(is_given) => Self::Error,
            other => other.clone(),
        }
    }
}

/// The unique index by which rows are found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Target {
    /// Places of its columns.
    pub(super) columns: Vec<usize>,
    /// As of [`Key::folding`](crate::adapters::postgres::catalog::Key), for the columns above.
    pub(super) folding: Vec<Option<String>>,
    pub(super) nulls_equal: bool,
    /// Of a partial index.
    pub(super) predicate: Option<String>,
    /// Row by row, a row that this transaction has written already is not written again.
    pub(super) strict: bool,
}

impl Target {
    pub(super) fn of(table: &Table, key: &Key) -> Self {
        let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
        let columns = key.columns.iter().filter_map(place).collect();
        let target = Self { columns, folding: key.folding.clone(), nulls_equal: key.nulls_equal, ..Self::default() };
        Self { strict: target.hides_keys(table), ..target }
    }

    /// Rows that name `columns` name all of it.
    pub(super) fn is_in(&self, columns: &[usize]) -> bool {
        self.columns.iter().all(|place| columns.contains(place))
    }

    /// Whether it can only be seen in the table which rows share a key.
    pub(super) fn hides_keys(&self, table: &Table) -> bool {
        let computed = |place: &usize| table.columns.get(*place).is_some_and(|column| column.generated);
        self.predicate.is_some() || self.columns.iter().any(computed)
    }

    fn inference(&self, keys: &[&Column]) -> String {
        let predicate = self.predicate.as_ref().map(|predicate| format!(" WHERE {predicate}")).unwrap_or_default();
        format!("ON CONFLICT ({}){predicate}", list(keys, ""))
    }

    /// `o` has the key of `g`.
    pub(super) fn equal(&self, table: &Table) -> String {
        let columns = self.columns.iter().filter_map(|place| table.columns.get(*place));
        let pairs = columns.zip(&self.folding).map(|(column, folding)| {
            let name = quoted(&column.name);
            let collate = folding.as_ref().map(|folding| format!(" COLLATE {folding}")).unwrap_or_default();
            match self.nulls_equal {
                true => format!("(o.{name} = g.{name}{collate} OR o.{name} IS NULL AND g.{name} IS NULL)"),
                false => format!("o.{name} = g.{name}{collate}"),
            }
        });
        pairs.collect::<Vec<_>>().join(" AND ")
    }
}

/// Left in a setting by a statement that met a row of this transaction.
pub(super) const AGAIN: &str = "callboard.again";

/// Left in a setting by a statement that met a row as it was given: where it is.
pub(super) const SAME: &str = "callboard.same";

/// Whether the row `o` was written by this transaction, in any of its subtransactions: it can be seen, and its writer has not ended.
pub(super) const OURS: &str = "pg_catalog.age(o.xmin) <= 0 AND pg_catalog.pg_xact_status((pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8 \
    - pg_catalog.age(o.xmin))::pg_catalog.text::pg_catalog.xid8) = 'in progress'";

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
    let from = rows(&named, source);
    if let Some(place) = conflict.numbered(table, columns) {
        return Statement { text: numbered(table, columns, conflict, place, &from), counts: true };
    }
    let list = list(&named, "");
    match conflict {
        Conflict::Error | Conflict::Ignore => {
            let conflict = if *conflict == Conflict::Error { "" } else { "\nON CONFLICT DO NOTHING" };
            let text = format!("-- load_insert\nINSERT INTO {target} ({list})\nSELECT {list} FROM {from}{conflict}");
            Statement { text, counts: false }
        }
        Conflict::Update(key) => update(table, columns, key, &from, source),
    }
}

fn update(table: &Table, columns: &[usize], key: &Target, from: &str, source: Source<'_>) -> Statement {
    let pick = |wanted: &dyn Fn(&usize) -> bool, places: &[usize]| -> Vec<&Column> {
        places.iter().filter(|place| wanted(place)).filter_map(|place| table.columns.get(*place)).collect()
    };
    let all = |_: &usize| true;
    let keys = pick(&all, &key.columns);
    let named = pick(&all, columns);
    let values = pick(&|place: &usize| !key.columns.contains(place), columns);
    let target = table.quoted();
    let list_all = list(&named, "");
    let (same, inference) = (key.equal(table), key.inference(&keys));
    let has_key = key.is_in(columns);
    if values.is_empty() {
        let text = format!(
            "-- load_insert_keys\nINSERT INTO {target} ({list_all})\nSELECT {list_all} FROM {from}\n{inference} DO NOTHING"
        );
        return Statement { text, counts: false };
    }
    let sets: Vec<String> = values.iter().map(|column| format!("{0} = EXCLUDED.{0}", quoted(&column.name))).collect();
    let changes = differs(&values, "o.", "EXCLUDED.");
    let one_by_one = matches!(source, Source::Record(_));
    let changes = match key.strict && one_by_one && table.kind == 'r' {
        true => format!(
            "CASE WHEN {OURS} OR o.ctid = ANY (callboard_seen) THEN pg_catalog.set_config('{AGAIN}', 'yes', true) IS NULL\n\
             WHEN {changes} THEN true ELSE pg_catalog.set_config('{SAME}', o.ctid::pg_catalog.text, true) IS NULL END"
        ),
        false => changes,
    };
    let action = format!("{inference} DO UPDATE SET {}\nWHERE {changes}", sets.join(", "));
    let missing = |place: usize, column: &Column| !column.nullable && !column.has_default && !columns.contains(&place);
    let partial = table.columns.iter().enumerate().any(|(place, column)| missing(place, column));
    let inserted = |select: &str| {
        format!("INSERT INTO {target} AS o ({list_all})\n{select}\n{action}\nRETURNING (o.xmax = 0) AS fresh")
    };
    let fresh = "pg_catalog.count(*) FILTER (WHERE fresh), pg_catalog.count(*) FILTER (WHERE NOT fresh)";
    let joined = has_key && key.predicate.is_none();
    let text = if joined && (partial || table.kind != 'r') {
        partial_update(&target, from, &named, &values, &same, &action)
    } else if joined && !key.nulls_equal && matches!(source, Source::Staging(_)) {
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

/// Rows that name what the database always numbers itself can only be those that are there: a new row of that number would collide with
/// one that the sequence numbers later. The third count is of those that are not there.
fn numbered(table: &Table, columns: &[usize], conflict: &Conflict, place: usize, from: &str) -> String {
    let pick = |wanted: &dyn Fn(&usize) -> bool| -> Vec<&Column> {
        columns.iter().filter(|place| wanted(place)).filter_map(|place| table.columns.get(*place)).collect()
    };
    let (values, conditions) = match conflict {
        Conflict::Update(key) => {
            let number = pick(&|other| *other == place && !key.columns.contains(other));
            let number = number.iter().map(|column| format!(" AND o.{0} = g.{0}", quoted(&column.name)));
            let same = key.is_in(columns).then(|| key.equal(table) + &number.collect::<String>());
            (pick(&|other| *other != place && !key.columns.contains(other)), same.into_iter().collect())
        }
        _ => {
            let keys = table.keys.iter().map(|key| Target::of(table, key)).filter(|key| key.is_in(columns));
            (Vec::new(), keys.map(|key| format!("({})", key.equal(table))).collect::<Vec<_>>())
        }
    };
    let same = if conditions.is_empty() { "false".to_owned() } else { conditions.join(" OR ") };
    let (target, list_all) = (table.quoted(), list(&pick(&|_| true), ""));
    let missing =
        format!("(SELECT pg_catalog.count(*) FROM given g WHERE NOT EXISTS (SELECT 1 FROM {target} o WHERE {same}))");
    let given = format!("-- load_update_numbered\nWITH given AS MATERIALIZED (SELECT {list_all} FROM {from})");
    if values.is_empty() {
        return format!("{given}\nSELECT 0::pg_catalog.int8, 0::pg_catalog.int8, {missing}");
    }
    let changed = differs(&values, "o.", "g.");
    let sets: Vec<String> = values.iter().map(|column| format!("{0} = g.{0}", quoted(&column.name))).collect();
    format!(
        "{given},\nchanged AS (UPDATE {target} AS o SET {} FROM given g WHERE {same} AND {changed} RETURNING 1)\n\
         SELECT 0::pg_catalog.int8, (SELECT pg_catalog.count(*) FROM changed), {missing}",
        sets.join(", ")
    )
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

pub(super) fn rows(named: &[&Column], source: Source<'_>) -> String {
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

/// Compares the bytes that are kept: works for every type, and sees 1.50 in place of 1.5 and `A` in place of `a`.
fn differs(columns: &[&Column], old: &str, new: &str) -> String {
    // Without the casts PostgreSQL takes it for a comparison column by column.
    format!(
        "ROW({})::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW({})::pg_catalog.record",
        list(columns, old),
        list(columns, new)
    )
}
