//! Writing many rows in one transaction, with exact counts and a reason for each row that was not written.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params_from_iter, types::Value};

use super::{
    arbiter::{self, Key},
    attempts,
    catalog::{Table, quote},
    write::{self, Refusal, Values},
};
use crate::{
    adapters::sqlite::{call::Call, failure},
    domain::sql::{Duplicates, Load, Loaded, OnConflict, OnError, Reject, hints, rows},
    error::Error,
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
pub(super) fn load(
    connection: &mut Connection,
    load: Load,
    attempt: Option<&str>,
    call: &Call,
) -> Result<Loaded, Error> {
    let wrong = |error| failure::of(error, call);
    if load.rows.is_empty() {
        return Err(Error::invalid("rows", "`rows` is empty"));
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
    let table = write::writable(&transaction, &load.table, call)?;
    let key = arbiter::find(&transaction, &table, &load, call)?;
    let rows: Vec<Result<Values, Refusal>> = load.rows.iter().map(|row| write::values(&table, row)).collect();
    let apart = load.on_conflict != OnConflict::Error || load.duplicates == Duplicates::Last;
    let groups = if apart { arbiter::groups(&transaction, &table, &key, &rows).map_err(wrong)? } else { Vec::new() };
    let repeated = match (&load.on_conflict, load.duplicates) {
        (OnConflict::Ignore, Duplicates::Refuse) => {
            arbiter::repeated(&transaction, &table, &key, &rows).map_err(wrong)?
        }
        _ => HashMap::new(),
    };
    let mut last = HashMap::new();
    if load.duplicates == Duplicates::Last {
        last.extend(groups.iter().enumerate().filter_map(|(position, group)| Some(((*group)?, position))));
    }
    let mut writer = Writer {
        groups,
        last,
        repeated,
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
    attempts::keep(&transaction, attempt, &loaded, call)?;
    transaction.commit().map_err(wrong)?;
    Ok(loaded)
}

struct Writer<'c> {
    transaction: Transaction<'c>,
    table: Table,
    key: Key,
    on_conflict: OnConflict,
    /// Of each row a number that alike keys share.
    groups: Vec<Option<i64>>,
    /// Where each key comes last, when the last row wins.
    last: HashMap<i64, usize>,
    /// Rows that share another key with an earlier one, and the key's column where it has one alone.
    repeated: HashMap<usize, Option<String>>,
    /// Keys that rows of this load have written; of a partial index, and where rows are only added, the numbers of those rows.
    written: HashSet<i64>,
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
        let group = self.groups.get(position).copied().flatten();
        if let Some(group) = &group {
            if self.last.get(group).is_some_and(|last| *last != position) {
                return Ok(Ok(Outcome::Merged));
            }
            if self.on_conflict != OnConflict::Error && self.written.contains(group) {
                return Ok(Err(self.of_main_key()));
            }
        }
        if let Some(column) = self.repeated.get(&position) {
            return Ok(Err(repeated(column.clone(), None)));
        }
        let texts = self.texts(values);
        let outcome = if self.key.predicate.is_some() {
            self.write_part(&texts, values)
        } else if matches!(self.on_conflict, OnConflict::Update(_))
            && self.existing(&self.key, &texts.exists, values)?.is_some()
        {
            self.update(&texts, values)
        } else {
            self.insert(&texts, values)
        };
        match outcome {
            Ok(outcome) => {
                self.written.extend(match self.on_conflict {
                    OnConflict::Error => Some(self.transaction.last_insert_rowid()),
                    _ => group,
                });
                Ok(Ok(outcome))
            }
            Err(Failed::Row(refusal)) => Ok(Err(refusal)),
            Err(Failed::Call(error)) => Err(error),
            Err(Failed::Driver(error)) => {
                let refusal = write::refusal(&self.transaction, error, &self.table, values, self.call)?;
                let repeated = if refusal.code == "23505" { self.repeats(values)? } else { None };
                Ok(Err(repeated.unwrap_or(refusal)))
            }
        }
    }

    /// By a partial index: whether a row is part of it, only the index knows.
    fn write_part(&mut self, texts: &Texts, values: &Values) -> Result<Outcome, Failed> {
        let failed = match self.insert(texts, values) {
            Ok(outcome) => {
                self.written.insert(self.transaction.last_insert_rowid());
                return Ok(outcome);
            }
            Err(failed) => failed,
        };
        let Failed::Driver(rusqlite::Error::SqliteFailure(reason, _)) = &failed else { return Err(failed) };
        let taken = reason.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
        let Some(row) = self.existing(&self.key, &texts.exists, values).map_err(Failed::Call)?.filter(|_| taken) else {
            return Err(failed);
        };
        if !self.written.insert(row) {
            return Err(Failed::Row(self.of_main_key()));
        }
        self.update(texts, values)
    }

    /// An earlier row has the same key, by which they are told apart.
    fn of_main_key(&self) -> Refusal {
        repeated(self.key.alone(&self.table), Some(hints::DUPLICATES))
    }

    /// The refusal of a new row whose key is not the table's, but of a row that this call wrote before.
    fn repeats(&self, values: &Values) -> Result<Option<Refusal>, Error> {
        if self.on_conflict != OnConflict::Error || self.table.row_number().is_none() {
            return Ok(None);
        }
        let keys = arbiter::keys(&self.transaction, &self.table).map_err(|error| failure::of(error, self.call))?;
        for key in keys {
            let met = self.existing(&key, &key.exists(&self.table), values)?;
            if met.is_some_and(|row| self.written.contains(&row)) {
                let detail = (key == self.key).then_some(hints::DUPLICATES);
                return Ok(Some(repeated(key.alone(&self.table), detail)));
            }
        }
        Ok(None)
    }

    fn texts(&mut self, values: &Values) -> Texts {
        let places: Vec<usize> = values.iter().map(|(place, _)| *place).collect();
        match self.statements.entry(places) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => new.insert(texts(&self.table, &self.key, values, &self.on_conflict)).clone(),
        }
    }

    /// The row that has the key, by its number where rows have one.
    fn existing(&self, key: &Key, exists: &str, values: &Values) -> Result<Option<i64>, Error> {
        let wrong = |error| failure::of(error, self.call);
        let part = |place: &usize| values.iter().find(|(given, _)| given == place).map(|(_, value)| value);
        let Some(key) = key.places.iter().map(part).collect::<Option<Vec<&Value>>>() else { return Ok(None) };
        let mut statement = self.transaction.prepare_cached(exists).map_err(wrong)?;
        statement.query_row(params_from_iter(key), |row| row.get(0)).optional().map_err(wrong)
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

/// An earlier row of the call has the same key.
fn repeated(column: Option<String>, detail: Option<&str>) -> Refusal {
    let detail = detail.map(str::to_owned);
    Refusal { column, code: "21000", reason: hints::REPEATED.to_owned(), detail, did_you_mean: Vec::new() }
}

enum Failed {
    Row(Refusal),
    Call(Error),
    Driver(rusqlite::Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Driver(error)
    }
}

fn texts(table: &Table, key: &Key, values: &Values, on_conflict: &OnConflict) -> Texts {
    let name = |place: &usize| table.columns.get(*place).map(|column| quote(&column.name)).unwrap_or_default();
    let part = key.predicate.as_ref().map(|predicate| format!(" AND ({predicate})")).unwrap_or_default();
    let numbered = || values.iter().enumerate().map(|(at, (place, _))| (at + 1, place));
    let set: Vec<String> = numbered()
        .filter(|(_, place)| !key.places.contains(place))
        .map(|(number, place)| format!("{} = ?{number}", name(place)))
        .collect();
    let differs: Vec<String> = numbered()
        .filter(|(_, place)| !key.places.contains(place))
        // Without the column's own order, which may hold different texts for equal.
        .map(|(number, place)| format!("{} COLLATE BINARY IS NOT ?{number}", name(place)))
        .collect();
    let found: Vec<String> = numbered()
        .filter(|(_, place)| key.places.contains(place))
        .map(|(number, place)| key.equals(table, *place, number))
        .collect();
    let update = (!set.is_empty()).then(|| {
        format!(
            "-- update_row\nUPDATE {} SET {} WHERE {}{part} AND ({})",
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
    Texts { exists: key.exists(table), update, insert }
}
