//! Creating tables. Types come from the allow-list, names are quoted by one function, defaults are constants: nothing of the caller's text
//! is ever SQL.

use futures_util::FutureExt;
use tokio_postgres::{Client, types::Type};

use super::{
    Postgres,
    attempt::proved,
    catalog::{self, quoted},
    failure::{meaning, sqlstate},
    load::WRITE_TIME,
    pool::{End, Work, Writes},
};
use crate::{
    domain::{
        json::Json,
        names::nearest,
        sql::{
            TableName,
            column_types::{BaseType, ColumnType},
            rows::unescaped,
            table::{CreatedTable, Identifier, NewColumn, NewTable},
        },
    },
    error::{Code, Error},
    ports::attempts::Attempt,
};

/// PostgreSQL cuts longer names off without an error.
const NAME_BYTES_MAX: usize = 63;

const SCHEMA: &str = "-- schema_find
SELECT n.nspname::text, n.nspname = $1 /* exact */
FROM pg_catalog.pg_namespace n
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY n.nspname = $1 DESC, n.nspname = $2 /* folded */ DESC LIMIT 5000";

/// A column to create, held to the rules.
struct Column<'table> {
    new: &'table NewColumn,
    kind: ColumnType,
    /// As SQL: a quoted constant.
    default: Option<String>,
    not_null: bool,
}

impl Postgres {
    /// Creates a table, or says what would run.
    pub(super) async fn make_table(
        &self,
        table: &NewTable,
        attempt: Option<&dyn Attempt>,
    ) -> Result<CreatedTable, Error> {
        let columns = columns(table)?;
        check_name(&table.table.name.text, "table")?;
        let asked = (self, table, columns.as_slice(), attempt);
        self.pool
            .transaction(
                Writes::Yes,
                WRITE_TIME,
                &asked,
                |work, (_, table, ..)| schema(work, &table.table).boxed(),
                |work, (postgres, table, columns, attempt), schema| {
                    async move {
                        let made = postgres.create(work, schema, table, columns).await;
                        match &made {
                            Ok(made) if made.created => {}
                            _ => return (made, End::Rollback),
                        }
                        (proved(work, *attempt, made).await, End::Commit)
                    }
                    .boxed()
                },
            )
            .await
    }

    async fn create(
        &self,
        work: &Work,
        schema: String,
        table: &NewTable,
        columns: &[Column<'_>],
    ) -> Result<CreatedTable, Error> {
        self.allowed(&schema)?;
        let name = &table.table.name;
        let name = if name.quoted { name.text.clone() } else { name.text.to_lowercase() };
        let exact = |text: &str| Identifier { text: text.to_owned(), quoted: true };
        let full = TableName { schema: Some(exact(&schema)), name: exact(&name) };
        let ddl = statement(table, &schema, &name, columns);
        let shown = if name.contains(['.', '"']) { quoted(&name) } else { name.clone() };
        let created = CreatedTable { table: format!("{schema}.{shown}"), created: !table.dry_run, ddl, note: None };
        match catalog::find(work, &full, &self.access.schemas).await {
            Ok(found) if table.if_not_exists => {
                return Ok(CreatedTable { created: false, note: Some(difference(&found, columns)), ..created });
            }
            Ok(_) => {
                return Err(Error::new(Code::Conflict, format!("relation \"{name}\" already exists"))
                    .argument("table")
                    .hint("if_not_exists takes a table that exists; get_schema shows it"));
            }
            Err(missing) if missing.code == Code::NotFound => {}
            Err(error) => return Err(error),
        }
        // A dry run is a real one that is taken back: so it meets every error that the real one would.
        match work.batch_execute(&format!("-- table_create\n{}", created.ddl)).await.map_err(meaning) {
            Ok(()) => Ok(created),
            Err(error) => Err(of_a_default(error)),
        }
    }
}

/// PostgreSQL says which value is wrong, but not in which column.
fn of_a_default(error: Error) -> Error {
    match sqlstate(&error).and_then(|state| state.get(..2)) {
        Some("22") => Error::new(error.code, format!("a default does not fit its column: {}", error.message))
            .argument("columns")
            .place(error.place.clone())
            .cause(error),
        _ => error,
    }
}

async fn schema(client: &Client, table: &TableName) -> Result<String, Error> {
    let Some(given) = &table.schema else {
        let ask = "-- schema_current\nSELECT pg_catalog.current_schema()::text";
        let rows = client.query_typed(ask, &[]).await.map_err(meaning)?;
        let current: Option<String> = rows.first().map_or(Ok(None), |row| row.try_get(0)).map_err(meaning)?;
        return current
            .ok_or_else(|| Error::invalid("table", "no schema to create the table in").hint("write `schema.name`"));
    };
    let folded = if given.quoted { given.text.clone() } else { given.text.to_lowercase() };
    let rows =
        client.query_typed(SCHEMA, &[(&given.text, Type::TEXT), (&folded, Type::TEXT)]).await.map_err(meaning)?;
    let known: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    match known.first() {
        Some(first) if *first == given.text || *first == folded => Ok(first.clone()),
        _ => Err(Error::new(Code::NotFound, format!("no schema `{}`", given.text))
            .argument("table")
            .did_you_mean(nearest(&given.text, known.iter().map(String::as_str)))
            .hint("the schema must exist; without one the table goes to the first of the search path")),
    }
}

fn columns(table: &NewTable) -> Result<Vec<Column<'_>>, Error> {
    for (place, key) in table.primary_key.iter().enumerate() {
        let known = || table.columns.iter().map(|column| column.name.as_str());
        if !known().any(|name| name == key) {
            return Err(Error::invalid(
                "primary_key",
                format!("`primary_key` names `{key}`, which is not one of the columns"),
            )
            .did_you_mean(nearest(key, known())));
        }
        if table.primary_key.iter().take(place).any(|earlier| earlier == key) {
            return Err(Error::invalid("primary_key", format!("`primary_key` names `{key}` twice")));
        }
    }
    let mut read = Vec::with_capacity(table.columns.len());
    for (place, new) in table.columns.iter().enumerate() {
        check_name(&new.name, &format!("columns[{place}].name"))?;
        if table.columns.iter().take(place).any(|earlier| earlier.name == new.name) {
            let argument = format!("columns[{place}].name");
            return Err(Error::invalid(argument, format!("column `{}` is given twice", new.name)));
        }
        let kind = ColumnType::parse(&new.type_name, &format!("columns[{place}].type"))?;
        let argument = format!("columns[{place}].default");
        let default = new.default.as_ref().map(|default| constant(default, &kind, &argument)).transpose()?.flatten();
        if default.is_some() && kind.identity.is_some() {
            return Err(Error::invalid(
                argument,
                format!("column `{}` is an identity column and takes no default", new.name),
            ));
        }
        let not_null = !new.nullable || kind.identity.is_some() || table.primary_key.contains(&new.name);
        read.push(Column { new, kind, default, not_null });
    }
    Ok(read)
}

fn check_name(name: &str, argument: &str) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::invalid(argument.to_owned(), format!("`{argument}` {why}")));
    if name.is_empty() {
        return refuse("is empty".to_owned());
    }
    if name.contains('\0') {
        return refuse("contains a NUL character".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return refuse(format!("is {} bytes long; names have at most {NAME_BYTES_MAX}", name.len()));
    }
    Ok(())
}

/// A default as SQL: a quoted constant. The few functions that everybody means when they write their names as a default of a fitting type
/// are let through.
fn constant(given: &Json, kind: &ColumnType, argument: &str) -> Result<Option<String>, Error> {
    let json = given.get();
    if json == "null" {
        return Ok(None);
    }
    let structured = matches!(kind.base, BaseType::Json | BaseType::Jsonb);
    if kind.dimensions == 0 && structured {
        return Ok(Some(literal(json)));
    }
    if json.starts_with('[') && kind.dimensions > 0 {
        let mut array = String::new();
        array_text(json, structured, &mut array)
            .ok_or_else(|| Error::invalid(argument.to_owned(), format!("`{argument}` cannot be read")))?;
        return Ok(Some(literal(&array)));
    }
    if json.starts_with(['[', '{']) {
        return Err(Error::invalid(
            argument.to_owned(),
            format!("`{argument}` does not fit `{kind}`: it takes a single constant"),
        ));
    }
    let text = unescaped(json).map_or_else(|| json.to_owned(), |text| text.into_owned());
    if text.contains('\0') {
        return Err(Error::invalid(argument.to_owned(), format!("`{argument}` contains a NUL character")));
    }
    let lower = text.trim().to_ascii_lowercase();
    let moment = matches!(
        kind.base,
        BaseType::Date | BaseType::Time(_) | BaseType::TimeTz(_) | BaseType::Timestamp(_) | BaseType::TimestampTz(_)
    );
    match lower.as_str() {
        "now()" | "current_timestamp" | "current_timestamp()" if moment => Ok(Some("CURRENT_TIMESTAMP".to_owned())),
        "current_date" if moment => Ok(Some("CURRENT_DATE".to_owned())),
        "gen_random_uuid()" if kind.base == BaseType::Uuid => Ok(Some("pg_catalog.gen_random_uuid()".to_owned())),
        // As constants they would be the moment at which the table is made.
        "now" | "today" | "tomorrow" | "yesterday" if moment => {
            Err(Error::invalid(argument.to_owned(), format!("`{argument}` is `{text}`, which is not a constant"))
                .hint("write a date and time, or `now()` for the time of the insert"))
        }
        _ => Ok(Some(literal(&text))),
    }
}

/// `[["a"],[null]]` as PostgreSQL writes an array: `{{"a"},{NULL}}`.
fn array_text(json: &str, structured: bool, out: &mut String) -> Option<()> {
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(json).ok()?;
    out.push('{');
    for (place, element) in elements.iter().map(|element| element.get()).enumerate() {
        if place > 0 {
            out.push(',');
        }
        if element == "null" {
            out.push_str("NULL");
        } else if element.starts_with('[') && !structured {
            array_text(element, structured, out)?;
        } else {
            let text = if structured { element.into() } else { unescaped(element).unwrap_or(element.into()) };
            out.push('"');
            out.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
            out.push('"');
        }
    }
    out.push('}');
    Some(())
}

/// A string literal; standard_conforming_strings is on in every transaction of ours.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn statement(table: &NewTable, schema: &str, name: &str, columns: &[Column<'_>]) -> String {
    let full = format!("{}.{}", quoted(schema), quoted(name));
    let mut lines: Vec<String> = columns
        .iter()
        .map(|column| {
            let default = column.default.as_ref().map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
            let not_null = if column.not_null && column.kind.identity.is_none() { " NOT NULL" } else { "" };
            format!("{} {}{default}{not_null}", quoted(&column.new.name), column.kind)
        })
        .collect();
    if !table.primary_key.is_empty() {
        let key: Vec<String> = table.primary_key.iter().map(|name| quoted(name)).collect();
        lines.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    let exists = if table.if_not_exists { "IF NOT EXISTS " } else { "" };
    let mut text = format!("CREATE TABLE {exists}{full} ({})", lines.join(", "));
    for column in columns {
        if let Some(comment) = &column.new.comment {
            let name = quoted(&column.new.name);
            text.push_str(&format!(";\nCOMMENT ON COLUMN {full}.{name} IS {}", literal(comment)));
        }
    }
    text
}

/// How the table that exists differs from the one asked for.
fn difference(found: &catalog::Table, columns: &[Column<'_>]) -> String {
    let mut differences = Vec::new();
    for column in columns {
        let wanted = column.kind.full_name();
        match found.columns.iter().find(|known| known.name == column.new.name) {
            None => differences.push(format!("it has no column `{}`", column.new.name)),
            Some(known) if known.type_name != wanted => {
                differences.push(format!("`{}` is `{}` there, not `{wanted}`", known.name, known.type_name));
            }
            Some(_) => {}
        }
    }
    let others = found.columns.iter().filter(|known| !columns.iter().any(|column| column.new.name == known.name));
    differences.extend(others.map(|known| format!("it also has `{}`", known.name)));
    if differences.is_empty() {
        return "the table existed with these columns".to_owned();
    }
    format!("the table existed with other columns: {}", differences.join("; "))
}
