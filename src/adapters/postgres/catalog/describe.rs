//! What a table is made of.

use std::{collections::HashMap, time::Duration};

use futures_util::FutureExt;
use tokio_postgres::{Row, types::Type};

use super::Table;
use crate::{
    adapters::postgres::{
        failure::meaning,
        pool::{Pool, Work},
    },
    config::Access,
    domain::sql::{
        TableName,
        table::{Check, ColumnSchema, Field, ForeignKey, Index, TableSchema},
    },
    error::Error,
};

/// What the type of `a` is made of, through domains and arrays down to the type that is neither.
macro_rules! made {
    () => {
        "CROSS JOIN LATERAL (
    WITH RECURSIVE behind (type, modifier, place, arrays, domain) AS (
        SELECT a.atttypid, a.atttypmod, 0, 0, false
        UNION ALL
        SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
               CASE WHEN t.typtype = 'd' AND t.typtypmod >= 0 THEN t.typtypmod ELSE b.modifier END,
               b.place + 1, b.arrays + (t.typtype <> 'd')::int4, b.domain OR t.typtype = 'd'
        FROM behind b JOIN pg_catalog.pg_type t ON t.oid = b.type
        WHERE t.typtype = 'd' OR t.typcategory = 'A' AND t.typelem <> 0 AND t.typlen = -1
    ),
    base AS (SELECT * FROM behind ORDER BY place DESC LIMIT 1)
    SELECT
        (SELECT pg_catalog.array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
         FROM base b JOIN pg_catalog.pg_enum e ON e.enumtypid = b.type),
        (SELECT pg_catalog.format_type(b.type, b.modifier) || pg_catalog.repeat('[]', b.arrays) FROM base b WHERE b.domain),
        (SELECT pg_catalog.array_agg(c.conname::text ORDER BY b.place, c.conname::text COLLATE \"C\")
         FROM behind b JOIN pg_catalog.pg_constraint c ON c.contypid = b.type WHERE c.contype = 'c'),
        (SELECT pg_catalog.array_agg(pg_catalog.pg_get_constraintdef(c.oid, true) ORDER BY b.place, c.conname::text COLLATE \"C\")
         FROM behind b JOIN pg_catalog.pg_constraint c ON c.contypid = b.type WHERE c.contype = 'c'),
        EXISTS (SELECT FROM behind b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE b.arrays = 0 AND t.typnotnull),
        (SELECT t.typdefault FROM behind b JOIN pg_catalog.pg_type t ON t.oid = b.type
         WHERE b.arrays = 0 AND t.typtype = 'd' AND t.typdefault IS NOT NULL ORDER BY b.place LIMIT 1),
        (SELECT pg_catalog.array_agg(f.attname::text ORDER BY f.attnum)
         FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype = 'c'
         JOIN pg_catalog.pg_attribute f ON f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped),
        (SELECT pg_catalog.array_agg(f.atttypid ORDER BY f.attnum)
         FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype = 'c'
         JOIN pg_catalog.pg_attribute f ON f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped),
        (SELECT pg_catalog.array_agg(f.atttypmod ORDER BY f.attnum)
         FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype = 'c'
         JOIN pg_catalog.pg_attribute f ON f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped)
) AS made (labels, base_type, check_names, checks, refuses_null, usual, field_names, field_types, field_modifiers)"
    };
}

const STATEMENT_TIME: Duration = Duration::from_secs(10);
/// Composites inside of composites that are followed.
const LEVELS_MAX: usize = 8;

const COLUMNS: &str = concat!(
    "-- column_details
SELECT a.attname::text,
       CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
       CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
       pg_catalog.col_description(a.attrelid, a.attnum),
       made.*
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
",
    made!(),
    "
WHERE a.attrelid = $1 /* table */ AND a.attnum > 0 AND NOT a.attisdropped"
);

const FIELDS: &str = concat!(
    "-- field_details
SELECT pg_catalog.format_type(a.atttypid, a.atttypmod), made.*
FROM ROWS FROM (pg_catalog.unnest($1 /* types */::pg_catalog.oid[]), pg_catalog.unnest($2 /* modifiers */::pg_catalog.int4[]))
    WITH ORDINALITY AS a (atttypid, atttypmod, place)
",
    made!(),
    "
ORDER BY a.place"
);

const INDEXES: &str = "-- table_indexes
SELECT c.relname::text, pg_catalog.pg_get_indexdef(c.oid)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 /* table */
ORDER BY i.indisprimary DESC, c.relname::text COLLATE \"C\"";

/// Unique sets of columns, also where the constraint is deferrable and so of no use for conflicts.
const UNIQUE: &str = "-- table_unique
SELECT i.indisprimary, (
    SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place)
    FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE k.place <= i.indnkeyatts)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 /* table */ AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY c.relname::text COLLATE \"C\"";

const CONSTRAINTS: &str = "-- table_constraints
SELECT c.conname::text, c.contype = 'f', pg_catalog.pg_get_constraintdef(c.oid, true),
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place)
        FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number),
       n.nspname::text, r.relname::text,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place)
        FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number)
FROM pg_catalog.pg_constraint c
LEFT JOIN pg_catalog.pg_class r ON r.oid = c.confrelid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
WHERE c.conrelid = $1 /* table */ AND c.contype IN ('f', 'c')
ORDER BY c.conname::text COLLATE \"C\"";

const WHOLE: &str = "-- table_whole
SELECT pg_catalog.obj_description(c.oid, 'pg_class'), c.relispartition,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid, true) END,
       CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid)
            WHEN c.relispartition THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END,
       (SELECT pg_catalog.array_agg(pg_catalog.concat(n.nspname, '.', p.relname) ORDER BY n.nspname, p.relname)
        FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_class p ON p.oid = i.inhrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
        WHERE i.inhparent = c.oid AND c.relkind = 'p')
FROM pg_catalog.pg_class c WHERE c.oid = $1 /* table */";

/// Describes a table.
///
/// # Errors
/// `not_found` with near names.
pub async fn table(pool: &Pool, access: &Access, name: &TableName) -> Result<TableSchema, Error> {
    pool.read(STATEMENT_TIME, &(access, name), |work, (access, name)| described(work, access, name).boxed()).await
}

async fn described(work: &Work, access: &Access, name: &TableName) -> Result<TableSchema, Error> {
    let table = super::find(work, name, &access.schemas).await?;
    let ask = async |sql: &str| work.ask(sql, &[(&table.oid, Type::OID)]).await;
    let (columns, indexes, unique, constraints, whole) =
        tokio::try_join!(ask(COLUMNS), ask(INDEXES), ask(UNIQUE), ask(CONSTRAINTS), ask(WHOLE))?;
    let mut schema = assemble(&table, [&columns, &indexes, &unique, &constraints, &whole]).map_err(meaning)?;
    let parts = parts(&table, &columns).map_err(meaning)?;
    fields(work, &mut schema.columns, parts).await?;
    Ok(schema)
}

/// A field of a composite, still to be described.
struct Part {
    /// In the columns of the table.
    column: usize,
    /// From the column on: `address`, `address.city`.
    name: String,
    of: u32,
    modifier: i32,
}

/// The fields of a type that is described from `place` on.
fn parts_of(row: &Row, place: usize, column: usize) -> Result<Vec<Part>, tokio_postgres::Error> {
    let names = row.try_get::<_, Option<Vec<String>>>(place)?.unwrap_or_default();
    let types = row.try_get::<_, Option<Vec<u32>>>(place + 1)?.unwrap_or_default();
    let modifiers = row.try_get::<_, Option<Vec<i32>>>(place + 2)?.unwrap_or_default();
    let all = names.into_iter().zip(types).zip(modifiers);
    Ok(all.map(|((name, of), modifier)| Part { column, name, of, modifier }).collect())
}

fn parts(table: &Table, details: &[Row]) -> Result<Vec<Part>, tokio_postgres::Error> {
    let mut parts = Vec::new();
    for row in details {
        let name: &str = row.try_get(0)?;
        if let Some(column) = table.columns.iter().position(|column| column.name == name) {
            parts.extend(parts_of(row, 10, column)?);
        }
    }
    Ok(parts)
}

/// Describes fields, and those inside of them, one level at a time.
async fn fields(work: &Work, columns: &mut [ColumnSchema], mut open: Vec<Part>) -> Result<(), Error> {
    for _ in 0..LEVELS_MAX {
        if open.is_empty() {
            return Ok(());
        }
        let types: Vec<u32> = open.iter().map(|part| part.of).collect();
        let modifiers: Vec<i32> = open.iter().map(|part| part.modifier).collect();
        let rows = work.ask(FIELDS, &[(&types, Type::OID_ARRAY), (&modifiers, Type::INT4_ARRAY)]).await?;
        let mut inner = Vec::new();
        for (part, row) in open.into_iter().zip(&rows) {
            let within = parts_of(row, 7, part.column).map_err(meaning)?;
            let name = |inner: String| format!("{}.{inner}", part.name);
            inner.extend(within.into_iter().map(|inner| Part { name: name(inner.name), ..inner }));
            if let Some(column) = columns.get_mut(part.column) {
                column.fields.push(field(part.name, row).map_err(meaning)?);
            }
        }
        open = inner;
    }
    Ok(())
}

fn field(name: String, row: &Row) -> Result<Field, tokio_postgres::Error> {
    Ok(Field {
        name,
        type_name: row.try_get(0)?,
        enum_labels: row.try_get::<_, Option<_>>(1)?.unwrap_or_default(),
        base_type: row.try_get(2)?,
        checks: checks(row, 3)?,
    })
}

fn assemble(
    table: &Table,
    [columns, indexes, unique, constraints, whole]: [&Vec<Row>; 5],
) -> Result<TableSchema, tokio_postgres::Error> {
    let mut schema = TableSchema { table: table.shown(), kind: kind(table.kind), ..TableSchema::default() };
    schema.columns = column_schemas(table, columns)?;
    for row in unique {
        let columns: Option<Vec<String>> = row.try_get(1)?;
        let columns = columns.unwrap_or_default();
        if row.try_get(0)? {
            schema.primary_key = columns;
        } else if !schema.unique.contains(&columns) {
            schema.unique.push(columns);
        }
    }
    for row in indexes {
        schema.indexes.push(Index { name: row.try_get(0)?, definition: row.try_get(1)? });
    }
    for row in constraints {
        if !row.try_get::<_, bool>(1)? {
            schema.checks.push(Check { name: row.try_get(0)?, definition: expression(row.try_get(2)?) });
            continue;
        }
        let (other_schema, other): (String, String) = (row.try_get(4)?, row.try_get(5)?);
        schema.foreign_keys.push(ForeignKey {
            name: row.try_get(0)?,
            columns: row.try_get::<_, Option<_>>(3)?.unwrap_or_default(),
            references: format!("{}.{}", super::shown(&other_schema), super::shown(&other)),
            referenced_columns: row.try_get::<_, Option<_>>(6)?.unwrap_or_default(),
        });
    }
    if let Some(row) = whole.first() {
        schema.comment = row.try_get(0)?;
        if row.try_get(1)? {
            schema.kind = "partition";
        }
        schema.definition = row.try_get::<_, Option<String>>(2)?.map(|query| query.trim().to_owned());
        schema.partitioning = row.try_get(3)?;
        schema.partitions = row.try_get::<_, Option<_>>(4)?.unwrap_or_default();
    }
    Ok(schema)
}

fn column_schemas(table: &Table, details: &[Row]) -> Result<Vec<ColumnSchema>, tokio_postgres::Error> {
    let mut by_name = HashMap::new();
    for row in details {
        let name: String = row.try_get(0)?;
        by_name.insert(name, row);
    }
    let mut columns = Vec::new();
    for column in &table.columns {
        let Some(row) = by_name.get(&column.name) else { continue };
        // A generated value has no default, whatever its domain says.
        let usual: Option<String> = if column.generated || column.identity.is_some() { None } else { row.try_get(9)? };
        columns.push(ColumnSchema {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
            nullable: column.nullable && !row.try_get::<_, bool>(8)?,
            default: row.try_get::<_, Option<_>>(1)?.or(usual),
            identity: column.identity.map(|identity| if identity == 'a' { "always" } else { "by default" }),
            generated: row.try_get(2)?,
            comment: row.try_get(3)?,
            enum_labels: row.try_get::<_, Option<_>>(4)?.unwrap_or_default(),
            base_type: row.try_get(5)?,
            checks: checks(row, 6)?,
            fields: Vec::new(),
        });
    }
    Ok(columns)
}

/// Names and definitions, two lists that stand side by side from `place` on.
fn checks(row: &Row, place: usize) -> Result<Vec<Check>, tokio_postgres::Error> {
    let list = |place: usize| row.try_get::<_, Option<Vec<String>>>(place).map(Option::unwrap_or_default);
    let all = list(place)?.into_iter().zip(list(place + 1)?);
    Ok(all.map(|(name, definition)| Check { name, definition: expression(definition) }).collect())
}

/// `CHECK ((price > 0))` → `price > 0`, as far as the outer parentheses belong together.
fn expression(definition: String) -> String {
    let inner = definition.strip_prefix("CHECK (").and_then(|rest| rest.strip_suffix(')'));
    inner.map_or_else(|| definition.clone(), str::to_owned)
}

fn kind(letter: char) -> &'static str {
    match letter {
        'p' => "partitioned table",
        'v' => "view",
        'm' => "materialized view",
        'f' => "foreign table",
        _ => "table",
    }
}
