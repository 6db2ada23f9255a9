//! Tables as SQLite knows them.

use rusqlite::{Connection, OptionalExtension};

use super::{attempts, declared, definition};
use crate::{
    domain::{
        names::nearest,
        sql::{
            TableFilter, TableName, TableSummary,
            column_types::ColumnType,
            table::{ColumnSchema, ForeignKey, Identifier, Index, TableSchema},
        },
    },
    error::{Code, Error},
};

/// The one schema; `public` means it too.
pub(super) const SCHEMA: &str = "main";

/// A table that was looked up.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name, exactly.
    pub name: String,
    /// table, view.
    pub kind: &'static str,
    /// The statement that made it.
    pub sql: String,
    /// In the table's order.
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub name: String,
    pub declared: String,
    pub column_type: Option<ColumnType>,
    pub not_null: bool,
    pub default: Option<String>,
    /// Place in the primary key, from 1; 0 outside of it.
    pub key_place: i64,
    /// Its values come from an expression.
    pub generated: bool,
    /// It numbers itself.
    pub numbers_itself: bool,
}

impl Column {
    /// The full type as PostgreSQL prints it; what is none of ours as it was declared.
    pub(super) fn full_type(&self) -> String {
        self.column_type.as_ref().map_or_else(|| self.declared.clone(), ColumnType::full_name)
    }
}

/// A name in double quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table {
    /// `main."name"`, for statements.
    pub(super) fn quoted(&self) -> String {
        format!("{SCHEMA}.{}", quote(&self.name))
    }

    /// `main.name`, for answers.
    pub(super) fn full_name(&self) -> String {
        format!("{SCHEMA}.{}", self.name)
    }

    /// Columns of the primary key, in its order.
    pub(super) fn primary_key(&self) -> Vec<String> {
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key_place > 0).collect();
        key.sort_by_key(|column| column.key_place);
        key.into_iter().map(|column| column.name.clone()).collect()
    }

    /// A name for the row's own number that is no column's; none where rows have none.
    pub(super) fn row_number(&self) -> Option<&'static str> {
        if self.sql.to_ascii_uppercase().contains("WITHOUT ROWID") {
            return None;
        }
        let taken = |name: &str| self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name))
    }

    /// The exact spelling wins; then one that differs only in case.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// A column that must be there.
    pub(super) fn wanted(&self, name: &str, argument: String) -> Result<&Column, Error> {
        self.column(name).ok_or_else(|| {
            Error::new(Code::NotFound, format!("`{}` has no column `{name}`", self.full_name()))
                .argument(argument)
                .hint("get_schema shows its columns")
                .did_you_mean(nearest(name, self.columns.iter().map(|column| column.name.as_str())))
                .place(crate::error::Place { backend_code: Some("42703".to_owned()), ..Default::default() })
        })
    }
}

fn is_named(identifier: &Identifier, name: &str) -> bool {
    identifier.text == name || (!identifier.quoted && identifier.text.eq_ignore_ascii_case(name))
}

/// Refuses a schema that does not exist.
pub(super) fn check_schema(name: &TableName) -> Result<(), Error> {
    match &name.schema {
        Some(schema) if !is_named(schema, SCHEMA) && !is_named(schema, "public") => {
            Err(no_schema(&schema.text).argument("table"))
        }
        _ => Ok(()),
    }
}

/// Refuses to list a schema that does not exist.
pub(super) fn check_listed(schema: Option<&str>) -> Result<(), Error> {
    match schema {
        Some(schema) if !schema.eq_ignore_ascii_case(SCHEMA) && !schema.eq_ignore_ascii_case("public") => {
            Err(no_schema(schema).argument("schema"))
        }
        _ => Ok(()),
    }
}

fn no_schema(given: &str) -> Error {
    Error::new(Code::NotFound, format!("no schema `{given}`"))
        .did_you_mean(vec![SCHEMA.to_owned()])
        .hint("the embedded database has one schema: `main` (`public` means the same)")
}

/// Names and kinds of everything that is a table to callers.
fn relations(connection: &Connection) -> rusqlite::Result<Vec<(String, &'static str, String)>> {
    let mut statement = connection.prepare_cached(
        "-- table_list\n\
         SELECT s.name, s.type, coalesce(s.sql, '') FROM main.sqlite_schema s JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name \
         WHERE s.type IN ('table', 'view') AND l.type <> 'shadow' AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND s.name <> ?1 ORDER BY s.name",
    )?;
    let rows = statement.query_map([attempts::TABLE], |row| {
        let kind: String = row.get(1)?;
        Ok((row.get(0)?, if kind == "view" { "view" } else { "table" }, row.get(2)?))
    })?;
    rows.collect()
}

/// Names of all tables and views.
pub(super) fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    Ok(relations(connection)?.into_iter().map(|(name, ..)| name).collect())
}

/// Names of their columns, of up to a hundred of them.
pub(super) fn column_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    const LOOKED_AT: usize = 100;
    let mut found = Vec::new();
    for table in names(connection)?.iter().take(LOOKED_AT) {
        found.extend(columns(connection, table)?.into_iter().map(|column| column.name));
    }
    Ok(found)
}

/// Looks a table up. `Ok(Err(_))` is the refusal with near names.
pub(super) fn find(connection: &Connection, name: &TableName) -> rusqlite::Result<Result<Table, Error>> {
    if let Err(refused) = check_schema(name) {
        return Ok(Err(refused));
    }
    let known = relations(connection)?;
    let exact = known.iter().find(|(known, ..)| *known == name.name.text);
    let Some((table, kind, sql)) = exact.or_else(|| known.iter().find(|(known, ..)| is_named(&name.name, known)))
    else {
        return Ok(Err(Error::new(Code::NotFound, format!("no table `{name}`"))
            .argument("table")
            .did_you_mean(nearest(&name.name.text, known.iter().map(|(known, ..)| known.as_str())))
            .hint("list_tables shows the tables")));
    };
    let mut found = Table { name: table.clone(), kind, sql: sql.clone(), columns: columns(connection, table)? };
    number_themselves(&mut found);
    Ok(Ok(found))
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut statement = connection.prepare_cached(
        "-- table_columns\nSELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1 ORDER BY cid",
    )?;
    let rows = statement.query_map([table], |row| {
        let declared: String = row.get(1)?;
        let hidden: i64 = row.get(5)?;
        // A generated column carries the words of its making in its type.
        let declared = match declared.to_ascii_uppercase().find("GENERATED ALWAYS") {
            Some(at) => declared.get(..at).unwrap_or_default().trim().to_owned(),
            None => declared,
        };
        Ok(Column {
            name: row.get(0)?,
            column_type: declared::read(&declared),
            declared,
            not_null: row.get(2)?,
            default: row.get(3)?,
            key_place: row.get(4)?,
            generated: hidden >= 2,
            numbers_itself: false,
        })
    })?;
    rows.collect()
}

/// An INTEGER that is the whole primary key is SQLite's own row number, and numbers itself.
fn number_themselves(table: &mut Table) {
    let alone = table.columns.iter().filter(|column| column.key_place > 0).count() == 1;
    let rows_are_numbered = !table.sql.to_ascii_uppercase().contains("WITHOUT ROWID");
    for column in &mut table.columns {
        column.numbers_itself =
            alone && rows_are_numbered && column.key_place > 0 && column.declared.eq_ignore_ascii_case("integer");
    }
}

pub(super) fn index_list(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, bool, String, bool)>> {
    let mut statement = connection.prepare_cached(
        "-- index_list\nSELECT name, \"unique\", origin, partial FROM pragma_index_list(?1, 'main') ORDER BY seq DESC",
    )?;
    let rows = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    rows.collect()
}

fn index_columns(connection: &Connection, index: &str) -> rusqlite::Result<Vec<Option<String>>> {
    let mut statement =
        connection.prepare_cached("-- index_columns\nSELECT name FROM pragma_index_info(?1, 'main') ORDER BY seqno")?;
    let rows = statement.query_map([index], |row| row.get(0))?;
    rows.collect()
}

/// A constraint's name as PostgreSQL would have given it.
pub(super) fn constraint_name(table: &str, columns: &[String], suffix: &str) -> String {
    let columns = if suffix == "pkey" { String::new() } else { format!("_{}", columns.join("_")) };
    format!("{table}{columns}_{suffix}")
}

/// References to other tables.
pub(super) fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let mut statement = connection.prepare_cached(
        "-- foreign_keys\nSELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1, 'main') ORDER BY id, seq",
    )?;
    let rows: Vec<(i64, String, String, Option<String>)> = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    for (id, other, from, to) in rows {
        if keys.last().is_none_or(|(last, _)| *last != id) {
            let references = format!("{SCHEMA}.{other}");
            let key =
                ForeignKey { name: String::new(), columns: Vec::new(), references, referenced_columns: Vec::new() };
            keys.push((id, key));
        }
        // A reference without columns means the other table's primary key.
        let to = match to {
            Some(to) => Some(to),
            None => connection
                .query_row("SELECT name FROM pragma_table_info(?1, 'main') WHERE pk = 1", [&other], |row| row.get(0))
                .optional()?,
        };
        if let Some((_, key)) = keys.last_mut() {
            key.columns.push(from);
            key.referenced_columns.extend(to);
        }
    }
    let named = |(_, mut key): (i64, ForeignKey)| {
        key.name = constraint_name(table, &key.columns, "fkey");
        key
    };
    Ok(keys.into_iter().rev().map(named).collect())
}

/// A table's make-up for callers.
pub(super) fn describe(connection: &Connection, table: &Table) -> rusqlite::Result<TableSchema> {
    let text = definition::read(&table.sql);
    let about = |list: &[(String, String)], name: &str| {
        list.iter().find(|(column, _)| column == name).map(|(_, text)| text.clone())
    };
    let column = |column: &Column| ColumnSchema {
        name: column.name.clone(),
        type_name: column.full_type(),
        nullable: !column.not_null && column.key_place == 0,
        default: column.default.clone(),
        identity: column.numbers_itself.then_some("by default"),
        generated: if column.generated { about(&text.generated, &column.name) } else { None },
        comment: about(&text.comments, &column.name),
        ..ColumnSchema::default()
    };
    let mut indexes = Vec::new();
    let mut unique = Vec::new();
    let is_table = table.kind == "table";
    let key = table.primary_key();
    if is_table && !key.is_empty() {
        indexes.push(index(table, constraint_name(&table.name, &key, "pkey"), &key));
    }
    for (name, is_unique, origin, partial) in index_list(connection, &table.name)? {
        let columns = index_columns(connection, &name)?.into_iter().collect::<Option<Vec<String>>>();
        if let (true, false, Some(columns)) = (is_unique && origin != "pk", partial, &columns) {
            unique.push(columns.clone());
        }
        let sql: Option<String> = connection
            .query_row(
                "-- index_text\nSELECT sql FROM main.sqlite_schema WHERE type = 'index' AND name = ?1",
                [&name],
                |row| row.get(0),
            )
            .optional()?
            .flatten();
        match (sql, columns) {
            (Some(definition), _) => indexes.push(Index { name, definition }),
            (None, Some(columns)) if origin == "u" => {
                indexes.push(index(table, constraint_name(&table.name, &columns, "key"), &columns));
            }
            _ => {}
        }
    }
    Ok(TableSchema {
        table: table.full_name(),
        kind: table.kind,
        columns: table.columns.iter().map(column).collect(),
        primary_key: key,
        unique,
        foreign_keys: foreign_keys(connection, &table.name)?,
        indexes,
        checks: if is_table { text.checks } else { Vec::new() },
        definition: (!is_table).then(|| table.sql.clone()),
        ..TableSchema::default()
    })
}

fn index(table: &Table, name: String, columns: &[String]) -> Index {
    let columns: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    let definition = format!("CREATE UNIQUE INDEX {} ON {} ({})", quote(&name), table.quoted(), columns.join(", "));
    Index { name, definition }
}

/// Lists tables.
pub(super) fn list(connection: &Connection, filter: &TableFilter) -> rusqlite::Result<Vec<TableSummary>> {
    let counted = has_statistics(connection)?;
    let sizes = sizes(connection)?;
    let mut tables = Vec::new();
    for (name, kind, _) in relations(connection)? {
        if filter.pattern.as_deref().is_some_and(|pattern| !is_like(&name, pattern)) {
            continue;
        }
        let estimated_rows = if counted && kind == "table" { estimated_rows(connection, &name)? } else { None };
        let size_bytes = sizes.iter().find(|(table, _)| *table == name).map(|(_, size)| *size);
        tables.push(TableSummary { schema: SCHEMA.to_owned(), name, kind, estimated_rows, size_bytes, comment: None });
    }
    Ok(tables)
}

fn is_like(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_lowercase(), pattern.to_lowercase());
    if pattern.contains('*') {
        let literal = pattern.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").replace('*', "%");
        return crate::adapters::sqlite::collations::like(&name, &literal);
    }
    crate::adapters::sqlite::collations::like(&name, &pattern)
}

/// Whether ANALYZE was ever run on this file.
pub(super) fn has_statistics(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "-- has_statistics\nSELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_stat1'",
        [],
        |row| row.get(0),
    )
}

/// What ANALYZE counted.
pub(super) fn estimated_rows(connection: &Connection, table: &str) -> rusqlite::Result<Option<i64>> {
    let stat: Option<String> = connection
        .query_row(
            "-- estimated_rows\nSELECT stat FROM main.sqlite_stat1 WHERE tbl = ?1 ORDER BY idx IS NULL DESC",
            [table],
            |row| row.get(0),
        )
        .optional()?;
    Ok(stat.and_then(|stat| stat.split(' ').next().and_then(|rows| rows.parse().ok())))
}

/// Pages of the file beyond which measuring every table takes too long.
const PAGES_MEASURED_MAX: i64 = 20_000;

/// Bytes of each table with its indexes; nothing for a large file.
fn sizes(connection: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    let pages: i64 =
        connection.query_row("-- page_count\nSELECT page_count FROM pragma_page_count()", [], |row| row.get(0))?;
    if pages > PAGES_MEASURED_MAX {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "-- table_sizes\nSELECT s.tbl_name, sum(d.pgsize) FROM dbstat d JOIN main.sqlite_schema s ON s.name = d.name WHERE d.aggregate = TRUE GROUP BY 1",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
