//! Writing many rows in one transaction, with exact counts and a reason for each row that was not written.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use rusqlite::{Connection, Transaction, TransactionBehavior, params_from_iter, types::Value};

use super::{
    catalog::{self, Table, quote},
    write::{self, Refusal, Values},
};
use crate::{
    adapters::sqlite::{failure, file::Call},
    domain::{
        names::nearest,
        sql::{Duplicates, Load, Loaded, OnConflict, OnError, Reject, rows},
    },
    error::{Error, Place},
};

/// Rows between two looks at whether the caller is still there.
const ROWS_BETWEEN_LOOKS: usize = 256;
/// Statements kept ready: three for each set of columns that rows bring.
const STATEMENTS_KEPT: usize = 64;

/// What became of a row.
enum Outcome {
    Inserted,
    Updated,
    Unchanged,
    Merged,
}

/// Loads rows.
pub(super) fn load(connection: &mut Connection, load: Load, call: &Call) -> Result<Loaded, Error> {
    let wrong = |error| failure::of(error, call);
    if load.rows.is_empty() {
        return Err(Error::invalid("rows", "`rows` is empty"));
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
    let table = write::writable(&transaction, &load.table, call)?;
    let key = key(&transaction, &table, &load.on_conflict, call)?;
    let rows: Vec<Result<Values, Refusal>> = load.rows.iter().map(|row| write::values(&table, row)).collect();
    let mut writer = Writer {
        last: if load.duplicates == Duplicates::Last { last_places(&rows, &key) } else { HashMap::new() },
        transaction,
        table,
        key,
        on_conflict: load.on_conflict,
        written: HashSet::new(),
        statements: HashMap::new(),
        call,
    };
    let mut loaded = Loaded { table: writer.table.full_name(), ..Loaded::default() };
    for ((position, row), given) in rows.into_iter().enumerate().zip(load.rows) {
        if position % ROWS_BETWEEN_LOOKS == 0 && call.is_over() {
            return Err(failure::over(call));
        }
        let outcome = match row {
            Ok(values) => writer.write(position, &values)?,
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(Outcome::Inserted) => loaded.inserted += 1,
            Ok(Outcome::Updated) => loaded.updated += 1,
            Ok(Outcome::Unchanged) => loaded.unchanged += 1,
            Ok(Outcome::Merged) => loaded.merged += 1,
            Err(refusal) if load.on_error == OnError::Abort => {
                return Err(refusal.into_error(&format!("rows[{position}]")));
            }
            Err(Refusal { column, code, reason, .. }) => {
                let row = rows::readable(&given);
                loaded.rejected.push(Reject { position, column, code: code.to_owned(), reason, row });
            }
        }
    }
    if call.is_over() {
        return Err(failure::over(call));
    }
    let Writer { transaction, .. } = writer;
    transaction.commit().map_err(wrong)?;
    Ok(loaded)
}

/// Places of the columns that decide whether a row is there already.
fn key(
    transaction: &Transaction<'_>,
    table: &Table,
    on_conflict: &OnConflict,
    call: &Call,
) -> Result<Vec<usize>, Error> {
    let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
    let names = match on_conflict {
        OnConflict::Update(names) if !names.is_empty() => {
            let mut exact = Vec::new();
            for (number, name) in names.iter().enumerate() {
                exact.push(table.wanted(name, format!("conflict_columns[{number}]"))?.name.clone());
            }
            exact
        }
        OnConflict::Update(_) | OnConflict::Ignore | OnConflict::Error => table.primary_key(),
    };
    if let OnConflict::Update(_) = on_conflict {
        let sets = catalog::unique_sets(transaction, table).map_err(|error| failure::of(error, call))?;
        let is_same = |set: &Vec<String>| set.len() == names.len() && names.iter().all(|name| set.contains(name));
        if names.is_empty() || !sets.iter().any(is_same) {
            let known: Vec<String> = sets.iter().map(|set| set.join(", ")).collect();
            let given = names.join(", ");
            let message = if names.is_empty() {
                format!("`{}` has no primary key to find existing rows by", table.full_name())
            } else {
                format!("no unique index of `{}` has exactly the columns {given}", table.full_name())
            };
            let hint = if known.is_empty() {
                "it has no unique index, so existing rows cannot be found; on_conflict `error` adds every row as a new one".to_owned()
            } else {
                format!("its unique columns are: ({})", known.join("), ("))
            };
            return Err(Error::invalid("conflict_columns", message)
                .did_you_mean(nearest(&given, known.iter().map(String::as_str)))
                .hint(hint)
                .place(Place { backend_code: Some("42P10".to_owned()), ..Place::default() }));
        }
    }
    Ok(names.iter().filter_map(place).collect())
}

/// A row's key as text; `None` when a part is missing or null, which equals nothing.
fn key_of(values: &Values, key: &[usize]) -> Option<String> {
    if key.is_empty() {
        return None;
    }
    let mut text = String::new();
    for place in key {
        match values.iter().find(|(given, _)| given == place)? {
            (_, Value::Null) => return None,
            (_, value) => text.push_str(&format!("{value:?}\0")),
        }
    }
    Some(text)
}

fn last_places(rows: &[Result<Values, Refusal>], key: &[usize]) -> HashMap<String, usize> {
    let keyed =
        rows.iter().enumerate().filter_map(|(position, row)| Some((key_of(row.as_ref().ok()?, key)?, position)));
    keyed.collect()
}

struct Writer<'c> {
    transaction: Transaction<'c>,
    table: Table,
    key: Vec<usize>,
    on_conflict: OnConflict,
    /// Where each key comes last, when the last row wins.
    last: HashMap<String, usize>,
    /// Keys that rows of this load have written.
    written: HashSet<String>,
    statements: HashMap<Vec<usize>, Texts>,
    call: &'c Call,
}

/// Statements for rows that bring the same columns.
#[derive(Clone)]
struct Texts {
    exists: String,
    update: Option<String>,
    insert: String,
}

impl Writer<'_> {
    /// Writes one row: what became of it, or why it cannot be written. The outer error ends the call.
    fn write(&mut self, position: usize, values: &Values) -> Result<Result<Outcome, Refusal>, Error> {
        let key = key_of(values, &self.key);
        if let Some(key) = &key {
            if self.last.get(key).is_some_and(|last| *last != position) {
                return Ok(Ok(Outcome::Merged));
            }
            if self.on_conflict != OnConflict::Error && self.written.contains(key) {
                return Ok(Err(self.repeated()));
            }
        }
        let texts = self.texts(values);
        let updates = matches!(self.on_conflict, OnConflict::Update(_));
        let outcome = if let (true, Some(_)) = (updates, &key)
            && self.exists(&texts, values)?
        {
            self.update(&texts, values)
        } else {
            self.insert(&texts, values)
        };
        match outcome {
            Ok(outcome) => {
                self.written.extend(key.filter(|_| self.on_conflict != OnConflict::Error));
                Ok(Ok(outcome))
            }
            Err(Failed::Row(refusal)) => Ok(Err(refusal)),
            Err(Failed::Driver(error)) => {
                write::refusal(&self.transaction, error, &self.table, values, self.call).map(Err)
            }
        }
    }

    fn repeated(&self) -> Refusal {
        Refusal {
            column: None,
            code: "21000",
            reason: "ON CONFLICT DO UPDATE command cannot affect row a second time".to_owned(),
            detail: Some(
                "an earlier row of this call has the same key; duplicates last lets the last one win".to_owned(),
            ),
            did_you_mean: Vec::new(),
        }
    }

    fn texts(&mut self, values: &Values) -> Texts {
        let places: Vec<usize> = values.iter().map(|(place, _)| *place).collect();
        match self.statements.entry(places) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => new.insert(texts(&self.table, &self.key, values, &self.on_conflict)).clone(),
        }
    }

    fn exists(&self, texts: &Texts, values: &Values) -> Result<bool, Error> {
        let wrong = |error| failure::of(error, self.call);
        let mut statement = self.transaction.prepare_cached(&texts.exists).map_err(wrong)?;
        let key =
            self.key.iter().filter_map(|place| values.iter().find(|(given, _)| given == place)).map(|(_, value)| value);
        statement.exists(params_from_iter(key)).map_err(wrong)
    }

    fn update(&self, texts: &Texts, values: &Values) -> Result<Outcome, Failed> {
        let Some(update) = &texts.update else { return Ok(Outcome::Unchanged) };
        let mut statement = self.transaction.prepare_cached(update)?;
        let changed = statement.execute(params_from_iter(values.iter().map(|(_, value)| value)))?;
        Ok(if changed > 0 { Outcome::Updated } else { Outcome::Unchanged })
    }

    fn insert(&self, texts: &Texts, values: &Values) -> Result<Outcome, Failed> {
        write::check_complete(&self.table, values).map_err(Failed::Row)?;
        let mut statement = self.transaction.prepare_cached(&texts.insert)?;
        let written = statement.execute(params_from_iter(values.iter().map(|(_, value)| value)))?;
        Ok(if written > 0 { Outcome::Inserted } else { Outcome::Unchanged })
    }
}

enum Failed {
    Row(Refusal),
    Driver(rusqlite::Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Driver(error)
    }
}

fn texts(table: &Table, key: &[usize], values: &Values, on_conflict: &OnConflict) -> Texts {
    let name = |place: &usize| table.columns.get(*place).map(|column| quote(&column.name)).unwrap_or_default();
    let condition: Vec<String> =
        key.iter().enumerate().map(|(at, place)| format!("{} = ?{}", name(place), at + 1)).collect();
    let exists = format!("-- row_exists\nSELECT 1 FROM {} WHERE {}", table.quoted(), condition.join(" AND "));
    let numbered = || values.iter().enumerate().map(|(at, (place, _))| (at + 1, place));
    let set: Vec<String> = numbered()
        .filter(|(_, place)| !key.contains(place))
        .map(|(number, place)| format!("{} = ?{number}", name(place)))
        .collect();
    let differs: Vec<String> = numbered()
        .filter(|(_, place)| !key.contains(place))
        // Without the column's own order, which may hold different texts for equal.
        .map(|(number, place)| format!("{} COLLATE BINARY IS NOT ?{number}", name(place)))
        .collect();
    let found: Vec<String> = numbered()
        .filter(|(_, place)| key.contains(place))
        .map(|(number, place)| format!("{} = ?{number}", name(place)))
        .collect();
    let update = (!set.is_empty()).then(|| {
        format!(
            "-- update_row\nUPDATE {} SET {} WHERE {} AND ({})",
            table.quoted(),
            set.join(", "),
            found.join(" AND "),
            differs.join(" OR ")
        )
    });
    let mut insert = write::insertion(table, values);
    if *on_conflict == OnConflict::Ignore {
        insert.push_str(" ON CONFLICT DO NOTHING");
    }
    Texts { exists, update, insert }
}
