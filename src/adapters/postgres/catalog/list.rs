//! Tables and views, with what they hold at a guess.

use std::time::Duration;

use futures_util::FutureExt;
use tokio_postgres::{Client, types::Type};

use crate::{
    adapters::postgres::{
        failure::{meaning, sqlstate},
        pool::Pool,
    },
    config::Access,
    domain::{
        names::nearest,
        sql::{TableFilter, TableSummary},
    },
    error::{Code, Error},
};

const STATEMENT_TIME: Duration = Duration::from_secs(10);

/// A size needs a lock on its table; when somebody holds one that lasts, sizes are left out.
const LIST: &str = "-- table_list
SELECT n.nspname::text, c.relname::text,
       CASE WHEN c.relispartition THEN 'partition'
            WHEN c.relkind = 'p' THEN 'partitioned table' WHEN c.relkind = 'v' THEN 'view'
            WHEN c.relkind = 'm' THEN 'materialized view' WHEN c.relkind = 'f' THEN 'foreign table'
            ELSE 'table' END,
       CASE WHEN c.relkind = 'v' THEN NULL
            WHEN c.relkind = 'p' THEN (
                SELECT pg_catalog.sum(CASE WHEN l.reltuples > 0 THEN l.reltuples
                                           ELSE pg_catalog.pg_stat_get_live_tuples(l.oid) END)::int8
                FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid = t.relid WHERE t.isleaf)
            WHEN c.reltuples > 0 OR c.relkind = 'f' THEN NULLIF(c.reltuples, -1)::int8
            ELSE pg_catalog.pg_stat_get_live_tuples(c.oid) END,
       CASE WHEN NOT $3 /* with sizes */ OR c.relkind IN ('v', 'f') THEN NULL
            WHEN c.relkind = 'p' THEN (
                SELECT pg_catalog.sum(pg_catalog.pg_total_relation_size(t.relid))::int8
                FROM pg_catalog.pg_partition_tree(c.oid) t)
            ELSE pg_catalog.pg_total_relation_size(c.oid) END,
       pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND (pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
       OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
  AND ($1 /* schema */::text IS NULL OR n.nspname = $1)
  AND ($2 /* pattern */::text IS NULL OR c.relname::text ILIKE $2)
ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"";

/// Lists what fits `filter`.
///
/// # Errors
/// `not_found` for a schema that is not there, `denied` for one outside of `access`.
pub async fn tables(pool: &Pool, access: &Access, filter: &TableFilter) -> Result<Vec<TableSummary>, Error> {
    match listed(pool, access, filter, true).await {
        Err(error) if sqlstate(&error) == Some("55P03") => listed(pool, access, filter, false).await,
        answer => answer,
    }
}

async fn listed(pool: &Pool, access: &Access, filter: &TableFilter, sizes: bool) -> Result<Vec<TableSummary>, Error> {
    let asked = (access, filter, sizes);
    pool.read(STATEMENT_TIME, &asked, |work, (access, filter, sizes)| rows(work, access, filter, *sizes).boxed()).await
}

async fn rows(client: &Client, access: &Access, filter: &TableFilter, sizes: bool) -> Result<Vec<TableSummary>, Error> {
    if sizes {
        client.batch_execute("-- table_list_patience\nSET LOCAL lock_timeout = 500").await.map_err(meaning)?;
    }
    let schema = match &filter.schema {
        Some(schema) => Some(known_schema(client, access, schema).await?),
        None => None,
    };
    // `\` is an escape in LIKE; in a name it is a character, and no name has one.
    let pattern = filter.pattern.as_ref().map(|pattern| pattern.replace('\\', "\\\\").replace('*', "%"));
    let rows = client
        .query_typed(LIST, &[(&schema, Type::TEXT), (&pattern, Type::TEXT), (&sizes, Type::BOOL)])
        .await
        .map_err(meaning)?;
    rows.iter()
        .map(|row| {
            Ok(TableSummary {
                schema: row.try_get(0)?,
                name: row.try_get(1)?,
                kind: kind(row.try_get(2)?),
                estimated_rows: row.try_get(3)?,
                size_bytes: row.try_get(4)?,
                comment: row.try_get(5)?,
            })
        })
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(meaning)
}

fn kind(word: &str) -> &'static str {
    match word {
        "partition" => "partition",
        "partitioned table" => "partitioned table",
        "view" => "view",
        "materialized view" => "materialized view",
        "foreign table" => "foreign table",
        _ => "table",
    }
}

/// The schema as it is spelt: exactly as given, else folded.
async fn known_schema(client: &Client, access: &Access, given: &str) -> Result<String, Error> {
    let rows = client.query_typed(super::SCHEMAS, &[]).await.map_err(meaning)?;
    let known: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    let folded = given.to_ascii_lowercase();
    let exact = known.iter().find(|known| *known == given);
    match exact.or_else(|| known.iter().find(|known| **known == folded)) {
        Some(found) if access.schemas.allow(found) => Ok(found.clone()),
        Some(hidden) => Err(Error::new(Code::Denied, format!("this server may not use the schema `{hidden}`"))
            .argument("schema")
            .hint("CALLBOARD_SCHEMAS names the allowed schemas")),
        None => {
            let open: Vec<&str> =
                known.iter().map(String::as_str).filter(|known| access.schemas.allow(known)).collect();
            Err(Error::new(Code::NotFound, format!("no schema `{given}`"))
                .argument("schema")
                .did_you_mean(nearest(given, open.iter().copied()))
                .hint(format!("the schemas are: {}", open.join(", "))))
        }
    }
}
