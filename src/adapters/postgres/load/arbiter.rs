//! By which unique index a load finds the rows that exist, and why an index that looks right cannot serve.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use super::{
    batch::Apart,
    statement::{Conflict, Target},
};
use crate::{
    adapters::postgres::{
        catalog::{Key, Table},
        failure::meaning,
        pool::Work,
    },
    domain::{
        names::nearest,
        sql::{Duplicates, Load, OnConflict},
    },
    error::Error,
};

/// What tells rows of one call apart. A plain insert leaves it to the table's own keys.
pub(super) fn told_apart_by(table: &Table, conflict: &Conflict, duplicates: Duplicates) -> Apart {
    let of = |target: Target| Apart {
        key: target.columns,
        folding: target.folding,
        nulls_equal: target.nulls_equal,
        groups: None,
        numbered: conflict.may_number(table),
        repeated: HashMap::new(),
    };
    match (conflict, duplicates) {
        (Conflict::Update(target), _) if target.hides_keys(table) => Apart::default(),
        (Conflict::Update(target), _) => of(target.clone()),
        (Conflict::Error, Duplicates::Refuse) => Apart::default(),
        (Conflict::Ignore | Conflict::Error, _) => {
            of(table.main_key().map(|key| Target::of(table, key)).unwrap_or_default())
        }
    }
}

/// Looks the asked conflict up in the table.
pub(super) fn conflict(table: &Table, asked: &OnConflict) -> Result<Conflict, Error> {
    let names = match asked {
        OnConflict::Error => return Ok(Conflict::Error),
        OnConflict::Ignore => return Ok(Conflict::Ignore),
        OnConflict::Update(names) if names.is_empty() => {
            let primary = serving(table).find(|key| key.primary);
            return primary.map(|key| Conflict::Update(Target::of(table, key))).ok_or_else(|| {
                let message = format!("`{}` has no primary key to find existing rows by", table.shown());
                Error::invalid("conflict_columns", message).hint(unique_sets(table))
            });
        }
        OnConflict::Update(names) => names,
    };
    let wanted = wanted(table, names)?;
    let mut same: Vec<&Key> = serving(table).filter(|key| is_same(&key.columns, &wanted)).collect();
    // The one by which more rows are alike.
    same.sort_by_key(|key| (key.folding.iter().all(Option::is_none), !key.nulls_equal));
    if let Some(key) = same.first() {
        return Ok(Conflict::Update(Target::of(table, key)));
    }
    let sets: Vec<String> = serving(table).map(|key| key.columns.join(", ")).collect();
    let message = format!("no unique index of `{}` is on exactly `{}`", table.shown(), names.join(", "));
    Err(Error::invalid("conflict_columns", message)
        .did_you_mean(nearest(&names.join(", "), sets.iter().map(String::as_str)))
        .hint(unique_sets(table)))
}

/// The columns' exact names, each once.
fn wanted(table: &Table, names: &[String]) -> Result<Vec<String>, Error> {
    let mut wanted = Vec::new();
    for name in names {
        let exact = table.column(name, "conflict_columns")?.name.clone();
        if !wanted.contains(&exact) {
            wanted.push(exact);
        }
    }
    Ok(wanted)
}

fn is_same(columns: &[String], wanted: &[String]) -> bool {
    columns.len() == wanted.len() && columns.iter().all(|column| wanted.contains(column))
}

fn serving(table: &Table) -> impl Iterator<Item = &Key> {
    table.keys.iter().filter(|key| !key.temporal)
}

fn unique_sets(table: &Table) -> String {
    if serving(table).next().is_none() {
        return "it has no unique index that tells all rows apart, so existing rows cannot be found; on_conflict `error` adds every row as a \
                new one"
            .to_owned();
    }
    let sets: Vec<String> = serving(table).map(|key| format!("`{}`", key.columns.join(", "))).collect();
    format!("its unique column sets are: {}", sets.join("; "))
}

/// All unique indexes and exclusion constraints of a table, also those that [`Table::keys`] leaves out.
const INDEXES: &str = "-- table_unique_indexes
SELECT k.relname::text, i.indisprimary, i.indisvalid AND i.indisready, i.indimmediate, i.indisexclusion,
    pg_catalog.pg_get_expr(i.indpred, i.indrelid), i.indexprs IS NOT NULL,
    pg_catalog.pg_get_indexdef(i.indexrelid),
    ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS p (number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.number
        WHERE p.place <= i.indnkeyatts ORDER BY p.place),
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
          AND d.refobjid = i.indrelid AND d.refobjsubid > 0 ORDER BY a.attnum),
    COALESCE(pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct', 'false')::bool
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
WHERE i.indrelid = $1 /* table */ AND (i.indisunique OR i.indisexclusion)
ORDER BY k.relname";

struct Index {
    name: String,
    primary: bool,
    valid: bool,
    immediate: bool,
    exclusion: bool,
    predicate: Option<String>,
    of_expressions: bool,
    definition: String,
    columns: Vec<String>,
    /// Also those that its expressions and its predicate read.
    used: Vec<String>,
    nulls_equal: bool,
}

impl Index {
    fn is_meant(&self, wanted: &[String]) -> bool {
        match (wanted.is_empty(), self.of_expressions) {
            (true, _) => self.primary,
            (false, true) => wanted.iter().all(|name| self.used.contains(name) || self.columns.contains(name)),
            (false, false) => is_same(&self.columns, wanted),
        }
    }

    /// A partial index that can serve.
    fn serves(&self, table: &Table) -> bool {
        self.predicate.is_some()
            && self.valid
            && self.immediate
            && !self.exclusion
            && !self.of_expressions
            && table.kind == 'r'
    }

    fn why_not(&self, table: &Table) -> String {
        let name = &self.name;
        let definition = self.definition.split_once(" USING ").map_or("", |(_, definition)| definition);
        if self.exclusion {
            format!("`{name}` is an exclusion constraint, and rows are found by unique indexes only")
        } else if !self.valid {
            format!("the unique index `{name}` is invalid, as its building did not end; the operator can run REINDEX")
        } else if !self.immediate {
            format!("the unique constraint `{name}` is deferrable, and ON CONFLICT takes none of those")
        } else if self.of_expressions {
            format!("the unique index `{name}` is on an expression ({definition}), not on columns alone")
        } else if table.kind != 'r' {
            format!("the unique index `{name}` is partial ({definition}), which serves only in plain tables")
        } else {
            format!("the unique index `{name}` is partial ({definition}), and not the only such one")
        }
    }
}

/// The one partial index that is on the asked columns, or the refusal with what stands in the way of those that look right.
pub(super) async fn other(client: &Work, table: &Table, load: &Load, refused: Error) -> Result<Conflict, Error> {
    let OnConflict::Update(names) = &load.on_conflict else { return Err(refused) };
    let Ok(wanted) = wanted(table, names) else { return Err(refused) };
    let indexes = indexes(client, table).await?;
    let meant: Vec<&Index> = indexes.iter().filter(|index| index.is_meant(&wanted)).collect();
    let serving: Vec<&&Index> = meant.iter().filter(|index| index.serves(table)).collect();
    if let [index] = serving.as_slice() {
        if load.duplicates == Duplicates::Last {
            let message = format!(
                "the unique index `{}` is partial, so which rows of a call share a key is only known when they are written",
                index.name
            );
            return Err(Error::invalid("duplicates", message).hint("leave `duplicates` out, and send each key once"));
        }
        let key = Key {
            name: index.name.clone(),
            primary: false,
            folding: vec![None; index.columns.len()],
            columns: index.columns.clone(),
            nulls_equal: index.nulls_equal,
            temporal: false,
        };
        let target = Target { predicate: index.predicate.clone(), strict: true, ..Target::of(table, &key) };
        return Ok(Conflict::Update(target));
    }
    let reasons: Vec<String> = meant.iter().map(|index| index.why_not(table)).collect();
    if reasons.is_empty() {
        return Err(refused);
    }
    let asked = match names.is_empty() {
        true => format!("the primary key of `{}`", table.shown()),
        false => format!("`{}` of `{}`", names.join(", "), table.shown()),
    };
    let message = format!("existing rows cannot be found by {asked}: {}", reasons.join("; "));
    Err(Error::invalid("conflict_columns", message).hint(unique_sets(table)))
}

async fn indexes(client: &Work, table: &Table) -> Result<Vec<Index>, Error> {
    let rows = client.query_typed(INDEXES, &[(&table.oid, Type::OID)]).await.map_err(meaning)?;
    let read = |row: &tokio_postgres::Row| -> Result<Index, tokio_postgres::Error> {
        Ok(Index {
            name: row.try_get(0)?,
            primary: row.try_get(1)?,
            valid: row.try_get(2)?,
            immediate: row.try_get(3)?,
            exclusion: row.try_get(4)?,
            predicate: row.try_get(5)?,
            of_expressions: row.try_get(6)?,
            definition: row.try_get(7)?,
            columns: row.try_get(8)?,
            used: row.try_get(9)?,
            nulls_equal: row.try_get(10)?,
        })
    };
    rows.iter().map(|row| read(row).map_err(meaning)).collect()
}
