//! How a statement would be run, without running it.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use serde::Deserialize;
use tokio_postgres::types::Type;

use super::{
    catalog::quoted,
    failure::meaning,
    pool::{End, Pool, Work},
    read::{self, Prepared},
};
use crate::{
    config::Access,
    domain::{
        json::Json,
        sql::{Plan, Read, Scan, guard::Form},
    },
    error::{Code, Error},
};

/// Before the caller's text.
const EXPLAIN: &str = "-- explain\nEXPLAIN (FORMAT JSON)\n";

/// Explains `read`.
///
/// # Errors
/// As a query; `invalid` for a statement that has no plan.
pub async fn explain(pool: &Pool, access: &Access, read: &Read) -> Result<Plan, Error> {
    if read.statement.form() != Form::Rows {
        return Err(Error::invalid("query", "`query` is already an EXPLAIN, or has no plan")
            .hint("pass the query itself, without EXPLAIN"));
    }
    read::in_transaction(pool, access, read, |work, read, prepared| plan(work, read, prepared).boxed()).await
}

/// The parts of a plan that are looked at.
#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: Node,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "Node Type")]
    kind: String,
    #[serde(rename = "Relation Name")]
    relation: Option<String>,
    #[serde(rename = "Total Cost")]
    cost: f64,
    #[serde(rename = "Plan Rows")]
    rows: f64,
    #[serde(rename = "Filter")]
    filter: Option<String>,
    #[serde(rename = "Plans", default)]
    inner: Vec<Node>,
}

async fn plan(work: &Work, read: &Read, prepared: Prepared) -> Result<(Plan, End), Error> {
    let text = read.statement.text();
    let sent = format!("{EXPLAIN}{text}");
    let plan = read::one_json(work, &sent, prepared, EXPLAIN.len(), text).await?;
    let explained: Vec<Explained> = serde_json::from_str(plan.get())
        .map_err(|error| Error::new(Code::Internal, "the database's plan cannot be read").cause(error))?;
    let root = explained.first().map(|explained| &explained.plan);
    let mut found = Vec::new();
    if let Some(root) = root {
        whole_tables(root, &mut found);
    }
    let sizes = sizes(work, &found).await?;
    let scans = found.into_iter().map(|(table, filter)| Scan {
        estimated_rows: sizes.get(table).copied(),
        table: table.to_owned(),
        filter: Some(filter.to_owned()),
    });
    let answer = Plan {
        cost: root.map(|root| root.cost),
        estimated_rows: root.map(|root| root.rows),
        scans: scans.collect(),
        plan: shortened(plan),
    };
    Ok((answer, End::Rollback))
}

/// Tables that are read from end to end although a condition is on them. serde has bounded the depth.
fn whole_tables<'a>(node: &'a Node, found: &mut Vec<(&'a str, &'a str)>) {
    if let ("Seq Scan", Some(table), Some(filter)) = (node.kind.as_str(), &node.relation, &node.filter) {
        found.push((table, filter));
    }
    for inner in &node.inner {
        whole_tables(inner, found);
    }
}

/// Rows each table is thought to hold; a table that is not on the search path has none.
async fn sizes(work: &Work, found: &[(&str, &str)]) -> Result<BTreeMap<String, f64>, Error> {
    if found.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = "-- explain_sizes
SELECT c.relname::text, CASE WHEN c.reltuples > 0 THEN c.reltuples::float8
       ELSE pg_catalog.pg_stat_get_live_tuples(c.oid)::float8 END
FROM pg_catalog.pg_class c
WHERE c.oid IN (SELECT pg_catalog.to_regclass(name) FROM pg_catalog.unnest($1 /* tables, quoted */::text[]) AS name)";
    let names: Vec<String> = found.iter().map(|(table, _)| quoted(table)).collect();
    let rows = work.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await.map_err(meaning)?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(meaning)
}

/// `[{"Plan": …}]` without the list around it.
fn shortened(plan: Json) -> Json {
    serde_json::from_str::<Vec<Json>>(plan.get()).ok().and_then(|plans| plans.into_iter().next()).unwrap_or(plan)
}
