//! One row on its way into a table: read from JSON, held to the table, and the reason when it cannot be written.

use rusqlite::{Connection, types::Value};
use serde_json::value::RawValue;

use super::{
    catalog::{self, Table, constraint_name},
    encode,
};
use crate::{
    adapters::sqlite::{call::Call, decimal, failure},
    domain::{
        json::{Members, Name},
        names::nearest,
        sql::hints,
    },
    error::{Code, Error, Place},
};

/// Why a row cannot be written, as PostgreSQL would say it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub column: Option<String>,
    /// SQLSTATE.
    pub code: &'static str,
    pub reason: String,
    pub detail: Option<String>,
    pub did_you_mean: Vec<String>,
}

impl Refusal {
    fn new(column: Option<&str>, code: &'static str, reason: String) -> Self {
        Self { column: column.map(str::to_owned), code, reason, detail: None, did_you_mean: Vec::new() }
    }

    /// As the failure of a whole call; `row` is how the caller wrote it: `rows[1]`, `row`.
    pub(super) fn into_error(self, row: &str) -> Error {
        let code = if self.code == "23505" { Code::Conflict } else { Code::Invalid };
        let argument = self.column.as_ref().map_or_else(|| row.to_owned(), |column| format!("{row}.{column}"));
        let hint = hints::hint(self.code, row != "row", self.column.as_deref(), self.detail.as_deref());
        let reason = hints::sentence(self.code, &self.reason, self.detail.as_deref());
        Error::new(code, format!("`{argument}` cannot be written: {reason}; nothing was written"))
            .argument(argument)
            .did_you_mean(self.did_you_mean)
            .hint(hint)
            .place(Place { detail: self.detail, backend_code: Some(self.code.to_owned()), ..Place::default() })
    }
}

/// Values to write: places of columns in the table, ascending, each with its value.
pub(super) type Values = Vec<(usize, Value)>;

/// Reads a row.
pub(super) fn values(table: &Table, row: &RawValue) -> Result<Values, Refusal> {
    let fields: Members<&RawValue, Name<'_>> = serde_json::from_str(row.get())
        .map_err(|_| Refusal::new(None, "22P02", "invalid input syntax for type json".to_owned()))?;
    let mut values: Values = Vec::with_capacity(fields.0.len());
    for (Name(name), json) in fields.0 {
        let exact = table.columns.iter().position(|column| column.name == name);
        let place = exact.or_else(|| table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(&name)));
        let Some((place, column)) = place.and_then(|place| Some((place, table.columns.get(place)?))) else {
            let reason = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            let mut refusal = Refusal::new(Some(&name), "42703", reason);
            refusal.did_you_mean = nearest(&name, table.columns.iter().map(|column| column.name.as_str()));
            return Err(refusal);
        };
        if column.generated {
            let reason = format!("cannot insert a non-DEFAULT value into column \"{name}\"");
            return Err(Refusal::new(Some(&name), "428C9", reason));
        }
        let value = encode::of_a_row(json, column.column_type.as_ref())
            .map_err(|fault| Refusal::new(Some(&column.name), fault.code, fault.reason))?;
        if value == Value::Null && (column.not_null || column.key_place > 0) {
            return Err(missing(table, &column.name));
        }
        match values.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(_) => {
                let reason = format!("column \"{}\" specified more than once", column.name);
                return Err(Refusal::new(Some(&column.name), "42701", reason));
            }
            Err(at) => values.insert(at, (place, value)),
        }
    }
    Ok(values)
}

fn missing(table: &Table, column: &str) -> Refusal {
    let reason =
        format!("null value in column \"{column}\" of relation \"{}\" violates not-null constraint", table.name);
    Refusal::new(Some(column), "23502", reason)
}

/// Holds a new row to having all that must be there.
pub(super) fn check_complete(table: &Table, values: &Values) -> Result<(), Refusal> {
    for (place, column) in table.columns.iter().enumerate() {
        let must = (column.not_null || column.key_place > 0)
            && column.default.is_none()
            && !column.numbers_itself
            && !column.generated;
        if must && values.binary_search_by_key(&place, |(place, _)| *place).is_err() {
            return Err(missing(table, &column.name));
        }
    }
    Ok(())
}

/// A table that rows can be written to.
pub(super) fn writable(
    connection: &Connection,
    name: &crate::domain::sql::TableName,
    call: &Call,
) -> Result<Table, Error> {
    let table = super::table(connection, name, call)?;
    if table.kind == "table" {
        return Ok(table);
    }
    Err(Error::invalid("table", format!("`{}` is a {}; rows go into tables", table.full_name(), table.kind)))
}

/// The statement that inserts values of these columns.
pub(super) fn insertion(table: &Table, values: &Values) -> String {
    if values.is_empty() {
        return format!("-- insert_row\nINSERT INTO {} DEFAULT VALUES", table.quoted());
    }
    let names =
        values.iter().filter_map(|(place, _)| table.columns.get(*place)).map(|column| catalog::quote(&column.name));
    let names: Vec<String> = names.collect();
    let places: Vec<String> = (1..=values.len()).map(|number| format!("?{number}")).collect();
    format!("-- insert_row\nINSERT INTO {} ({}) VALUES ({})", table.quoted(), names.join(", "), places.join(", "))
}

/// What a failed write means: the row's fault, or the call's.
pub(super) fn refusal(
    connection: &Connection,
    error: rusqlite::Error,
    table: &Table,
    values: &Values,
    call: &Call,
) -> Result<Refusal, Error> {
    let rusqlite::Error::SqliteFailure(failed, text) = &error else { return Err(failure::of(error, call)) };
    let text = text.clone().unwrap_or_default();
    let subject = text.split_once("failed: ").map(|(_, subject)| subject.to_owned()).unwrap_or_default();
    let prefix = format!("{}.", table.name);
    let columns = || -> Vec<String> {
        subject.split(", ").map(|name| name.strip_prefix(&prefix).unwrap_or(name).to_owned()).collect()
    };
    Ok(match failed.extended_code {
        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
        | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | rusqlite::ffi::SQLITE_CONSTRAINT_ROWID => match subject.strip_prefix("index ") {
            // An index on expressions.
            Some(index) => {
                let name = index.trim_matches('\'');
                Refusal::new(None, "23505", format!("duplicate key value violates unique constraint \"{name}\""))
            }
            None => taken(table, &columns(), values),
        },
        rusqlite::ffi::SQLITE_CONSTRAINT_NOTNULL => missing(table, columns().first().map_or("", String::as_str)),
        rusqlite::ffi::SQLITE_CONSTRAINT_CHECK => {
            let reason = format!("new row for relation \"{}\" violates check constraint \"{subject}\"", table.name);
            Refusal::new(None, "23514", reason)
        }
        rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
            let keys = catalog::foreign_keys(connection, &table.name).map_err(|error| failure::of(error, call))?;
            // SQLite does not say which one; with a single one it is known.
            match keys.as_slice() {
                [key] => {
                    let column = key.columns.first().map(String::as_str).filter(|_| key.columns.len() == 1);
                    let reason = format!(
                        "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                        table.name, key.name
                    );
                    Refusal::new(column, "23503", reason)
                }
                _ => Refusal::new(
                    None,
                    "23503",
                    format!("insert or update on table \"{}\" violates a foreign key constraint", table.name),
                ),
            }
        }
        rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER => Refusal::new(None, "P0001", text),
        rusqlite::ffi::SQLITE_CONSTRAINT_DATATYPE | rusqlite::ffi::SQLITE_MISMATCH => Refusal::new(None, "22P02", text),
        code if code & 0xff == rusqlite::ffi::SQLITE_CONSTRAINT => Refusal::new(None, "23000", text),
        _ => return Err(failure::of(error, call)),
    })
}

fn taken(table: &Table, columns: &[String], values: &Values) -> Refusal {
    let suffix = if columns == table.primary_key() { "pkey" } else { "key" };
    let reason =
        format!("duplicate key value violates unique constraint \"{}\"", constraint_name(&table.name, columns, suffix));
    let mut refusal = Refusal::new(None, "23505", reason);
    let shown: Option<Vec<String>> = columns
        .iter()
        .map(|name| {
            let place = table.columns.iter().position(|column| column.name == *name)?;
            values.iter().find(|(given, _)| *given == place).map(|(_, value)| plain(value))
        })
        .collect();
    refusal.detail = shown.map(|shown| format!("Key ({})=({}) already exists.", columns.join(", "), shown.join(", ")));
    refusal
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => real.to_string(),
        Value::Text(text) => text.trim_end_matches(decimal::MARK).to_owned(),
        Value::Blob(_) => "…".to_owned(),
    }
}
