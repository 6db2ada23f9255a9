//! Creating tables.

use rusqlite::{Connection, types::Value};

use super::{attempts, catalog, declared, encode};
use crate::{
    adapters::sqlite::{call::Call, decimal, failure},
    domain::{
        names::nearest,
        sql::{
            TableName,
            column_types::{BaseType, ColumnType},
            table::{CreatedTable, NewColumn, NewTable},
        },
    },
    error::{Code, Error, Place},
};

/// A statement that makes a table.
pub(super) struct Statement {
    /// `main.name`.
    pub table: String,
    /// The statement.
    pub text: String,
    /// Its columns with their full types.
    columns: Vec<(String, String)>,
}

/// PostgreSQL's bound, held here too so that a table can move there.
const NAME_LENGTH_MAX: usize = 63;

/// Writes the statement.
pub(super) fn statement(new: &NewTable) -> Result<Statement, Error> {
    catalog::check_schema(&new.table)?;
    let table = &new.table.name.text;
    check_name(table, "table".to_owned())?;
    let lower = table.to_ascii_lowercase();
    if lower.starts_with("sqlite_") || lower.starts_with("pragma_") || lower == attempts::TABLE {
        return Err(Error::invalid("table", format!("names like `{table}` are reserved for the database itself")));
    }
    for (place, column) in new.columns.iter().enumerate() {
        let argument = format!("columns[{place}].name");
        check_name(&column.name, argument.clone())?;
        if new.columns.iter().take(place).any(|before| before.name.eq_ignore_ascii_case(&column.name)) {
            return Err(Error::invalid(argument, format!("column `{}` is given twice", column.name))
                .place(Place { backend_code: Some("42701".to_owned()), ..Place::default() }));
        }
    }
    for (place, name) in new.primary_key.iter().enumerate() {
        if !new.columns.iter().any(|column| column.name == *name) {
            return Err(Error::invalid(
                "primary_key",
                format!("`primary_key` names `{name}`, which is not one of the columns"),
            )
            .did_you_mean(nearest(name, new.columns.iter().map(|column| column.name.as_str()))));
        }
        if new.primary_key.iter().take(place).any(|before| before == name) {
            return Err(Error::invalid("primary_key", format!("`primary_key` names `{name}` twice")));
        }
    }
    let mut parts = Vec::new();
    let mut columns = Vec::new();
    let mut key_is_written = new.primary_key.is_empty();
    for (place, column) in new.columns.iter().enumerate() {
        let column_type = ColumnType::parse(&column.type_name, &format!("columns[{place}].type"))?;
        if column_type.identity.is_some() {
            if new.primary_key.len() != 1 || new.primary_key.first() != Some(&column.name) {
                return Err(Error::invalid(
                    format!("columns[{place}].type"),
                    "in the embedded database only a column that is the whole primary key can be an identity column",
                ));
            }
            // This exact spelling makes it SQLite's row number.
            parts.push(format!(
                "{} INTEGER PRIMARY KEY AUTOINCREMENT{}",
                catalog::quote(&column.name),
                comment(column)
            ));
            columns.push((column.name.clone(), "bigint".to_owned()));
            key_is_written = true;
            continue;
        }
        columns.push((column.name.clone(), column_type.full_name()));
        let in_key = new.primary_key.contains(&column.name);
        parts.push(definition(column, &column_type, in_key, place)?);
    }
    if !key_is_written {
        let key: Vec<String> = new.primary_key.iter().map(|name| catalog::quote(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    let unless = if new.if_not_exists { "IF NOT EXISTS " } else { "" };
    let text = format!(
        "CREATE TABLE {unless}\"{}\".{} (\n  {}\n)",
        catalog::SCHEMA,
        catalog::quote(table),
        parts.join(",\n  ")
    );
    Ok(Statement { table: format!("{}.{table}", catalog::SCHEMA), text, columns })
}

fn check_name(name: &str, argument: String) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || name.chars().any(char::is_control) {
        return Err(Error::invalid(
            argument,
            format!("a name takes 1 to {NAME_LENGTH_MAX} bytes and no control characters: `{name}`"),
        ));
    }
    Ok(())
}

fn definition(column: &NewColumn, column_type: &ColumnType, in_key: bool, place: usize) -> Result<String, Error> {
    if column_type.base == BaseType::Money {
        return Err(Error::invalid(format!("columns[{place}].type"), "the embedded database has no type `money`")
            .did_you_mean(vec!["numeric(19,2)".to_owned()]));
    }
    let mut text = format!("{} {}", catalog::quote(&column.name), declared::write(column_type));
    if in_key || !column.nullable {
        text.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        let value = encode::encode(default, Some(column_type)).map_err(|fault| {
            Error::invalid(format!("columns[{place}].default"), fault.reason)
                .place(Place { backend_code: Some(fault.code.to_owned()), ..Place::default() })
        })?;
        text.push_str(&format!(" DEFAULT {}", literal(&value)));
    }
    Ok(text + &comment(column))
}

/// Comments stand in the statement, which SQLite keeps as it is.
fn comment(column: &NewColumn) -> String {
    match &column.comment {
        Some(text) => format!(" /* {} */", text.replace("*/", "* /").replace('\0', " ")),
        None => String::new(),
    }
}

/// A value as it stands in a statement.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) if real.is_infinite() => if *real > 0.0 { "9e999" } else { "-9e999" }.to_owned(),
        Value::Real(real) => {
            decimal::parse(&real.to_string()).map_or_else(|| real.to_string(), |number| number.text(0))
        }
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()),
    }
}

/// How a table is made.
pub(super) struct How {
    /// Its name.
    pub name: TableName,
    /// One that exists is as good.
    pub if_not_exists: bool,
    /// It is taken back, so that a dry run meets every error of a real one.
    pub dry_run: bool,
    /// The attempt that makes it.
    pub attempt: Option<String>,
}

/// Makes the table.
pub(super) fn create(
    connection: &mut Connection,
    how: &How,
    statement: Statement,
    call: &Call,
) -> Result<CreatedTable, Error> {
    let wrong = |error| failure::of(error, call);
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(wrong)?;
    match catalog::find(&transaction, &how.name).map_err(wrong)? {
        Ok(table) if how.if_not_exists && table.kind == "table" => {
            let note = Some(difference(&table, &statement.columns));
            return Ok(CreatedTable { table: table.full_name(), created: false, ddl: statement.text, note });
        }
        Ok(table) => {
            return Err(Error::new(Code::Conflict, format!("{} `{}` already exists", table.kind, table.full_name()))
                .argument("table")
                .hint("get_schema shows it; with if_not_exists this is not an error")
                .place(Place { backend_code: Some("42P07".to_owned()), ..Place::default() }));
        }
        Err(refused) if refused.code != Code::NotFound => return Err(refused),
        Err(_) => {}
    }
    transaction.execute_batch(&format!("-- create_table\n{}", statement.text)).map_err(|error| {
        if !failure::is_of_statement(&error) {
            return wrong(error);
        }
        let words = failure::words(&error);
        Error::invalid("columns", format!("the table cannot be created: {words}")).cause(error)
    })?;
    let made = CreatedTable { table: statement.table, created: !how.dry_run, ddl: statement.text, note: None };
    if !how.dry_run {
        attempts::keep(&transaction, how.attempt.as_deref(), &made, call)?;
        transaction.commit().map_err(wrong)?;
    }
    Ok(made)
}

/// How the table that exists differs from the one asked for.
fn difference(found: &catalog::Table, columns: &[(String, String)]) -> String {
    let mut differences = Vec::new();
    for (name, wanted) in columns {
        match found.columns.iter().find(|known| known.name == *name) {
            None => differences.push(format!("it has no column `{name}`")),
            Some(known) if known.full_type() != *wanted => {
                differences.push(format!("`{name}` is `{}` there, not `{wanted}`", known.full_type()));
            }
            Some(_) => {}
        }
    }
    let others = found.columns.iter().filter(|known| !columns.iter().any(|(name, _)| *name == known.name));
    differences.extend(others.map(|known| format!("it also has `{}`", known.name)));
    if differences.is_empty() {
        return "the table existed with these columns".to_owned();
    }
    format!("the table existed with other columns: {}", differences.join("; "))
}
