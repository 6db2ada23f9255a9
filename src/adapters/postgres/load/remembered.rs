//! Tables that were written before. A few rows for one of them leave together with BEGIN and the look at the catalog.
//!
//! The statement is made from what the catalog said the last time, and it writes only if the catalog says the same now: the look leaves its
//! answer, which is all that the statement was made from, in a setting of the transaction; the statement compares that setting with the
//! description it was made from, and fails when they differ by one letter. So a column, type, default, key or index that came, went or
//! changed, another table of that name, and another table that the name now means are all seen, by the very look that a load
//! without memory begins with. Where the transaction did not begin there is no such setting, and nothing is written either. What the
//! description does not hold (what a default says, what a constraint or trigger demands, who may write) is held by the server, which plans
//! its statements again after each change. A change between the look and the statement is possible in both ways, and short in both.
//!
//! Any failure is taken back to the savepoint, and the load begins as if nothing had been known. What is left out: columns of domains,
//! because the type behind them comes from another question, and rows of several shapes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join;
use tokio_postgres::types::Type;

use super::{
    UNDO,
    arbiter::{conflict, told_apart_by},
    batch::{Batch, SMALL},
    counts, shares_keys_unseen,
    statement::{Conflict, Source, Statement, write},
    unit::{Body, Unit},
};
use crate::{
    adapters::postgres::{
        Postgres,
        catalog::{self, Table},
        failure::{meaning, sqlstate},
        pool::Work,
    },
    config::Access,
    domain::sql::{Load, Loaded},
    error::{Code, Error},
};

/// Tables that are remembered at the most.
const TABLES_MAX: usize = 64;

/// What the catalog said of tables, by the names that callers wrote.
#[derive(Default)]
pub(in crate::adapters::postgres) struct Remembered(Mutex<HashMap<String, Arc<Table>>>);

impl Remembered {
    /// Keeps what was found, for the next load like this one.
    pub(super) fn keep(&self, load: &Load, table: &Table) {
        let known = matches!(table.kind, 'r' | 'p') && !table.columns.iter().any(|column| column.domain);
        if !known || load.rows.len() > SMALL {
            return;
        }
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= TABLES_MAX {
            tables.clear();
        }
        tables.insert(name(load), Arc::new(table.clone()));
    }

    fn table(&self, load: &Load) -> Option<Arc<Table>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name(load)).cloned()
    }
}

/// Exactly as written: a quoted name is another one than the same letters without quotes.
fn name(load: &Load) -> String {
    format!("{:?}", load.table)
}

/// A load that can leave together with BEGIN.
pub(super) struct Ready {
    table: Arc<Table>,
    statement: Statement,
    body: String,
    merged: u64,
    given: u64,
    /// Every row must be a new one.
    plain: bool,
}

/// How far a load has come when its transaction has begun.
pub(super) enum Begun {
    /// All rows are written.
    Written(Loaded),
    /// None are.
    Found(Table),
}

impl Postgres {
    /// A load whose table is remembered, and whose rows make one statement.
    pub(super) async fn ready(&self, load: &Load) -> Option<Ready> {
        if load.rows.len() > SMALL {
            return None;
        }
        let table = self.remembered.table(load)?;
        self.allowed(&table.schema).ok()?;
        let conflict = conflict(&table, &load.on_conflict).ok()?;
        let key = told_apart_by(&table, &conflict, load.duplicates);
        if shares_keys_unseen(&table, &conflict, load) {
            return None;
        }
        let mut batch = Batch::new(&table, &load.rows, key, load.duplicates);
        batch.fill(None).await;
        let merged = batch.merged;
        if batch.unsure || matches!(&conflict, Conflict::Update(target) if target.strict) {
            return None;
        }
        let (columns, mut body) = match (batch.faults.is_empty(), batch.units.pop()) {
            (true, Some(Unit { columns, body: Body::Json(body), .. })) if batch.units.is_empty() => (columns, body),
            _ => return None,
        };
        if columns.is_empty() || conflict.numbered(&table, &columns).is_some() {
            return None;
        }
        let conflict = conflict.of_rows(&table, &columns);
        body.push(']');
        let statement = write(&table, &columns, &conflict, Source::Described);
        let given = load.rows.len() as u64;
        let plain = conflict == Conflict::Error;
        Some(Ready { table, statement, body, merged, given, plain })
    }
}

impl Ready {
    async fn write(&self, work: &Work) -> Result<(u64, u64), Error> {
        let values: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
            &[(&self.body, Type::TEXT), (&self.table.description, Type::TEXT)];
        if !self.statement.counts {
            return Ok((work.tell(&self.statement.text, values).await?, 0));
        }
        counts(&work.ask(&self.statement.text, values).await?)
    }
}

/// Writes what is ready, together with BEGIN; or finds the table.
pub(super) async fn begin(work: &Work, access: &Access, load: &Load, ready: Option<&Ready>) -> Result<Begun, Error> {
    let find = || catalog::find(work, &load.table, &access.schemas);
    let Some(ready) = ready else { return find().await.map(Begun::Found) };
    // They are polled, and so sent, in this order.
    let (seen, written) = join(catalog::look(work, &load.table), ready.write(work)).await;
    let seen = seen?;
    let error = match written {
        // A trigger took rows away: which, is found row by row.
        Ok((inserted, _)) if ready.plain && inserted + ready.merged < ready.given => None,
        Ok((inserted, updated)) => {
            return Ok(Begun::Written(Loaded {
                table: ready.table.shown(),
                inserted,
                updated,
                unchanged: ready.given.saturating_sub(inserted + updated + ready.merged),
                merged: ready.merged,
                ..Loaded::default()
            }));
        }
        Err(error) => Some(error),
    };
    if let Some(error) = error
        && !another_way_may_do(&error)
    {
        return Err(error);
    }
    work.batch_execute(UNDO).await.map_err(meaning)?;
    if seen.as_ref() == Some(&ready.table.description) {
        return Ok(Begun::Found(Table::clone(&ready.table)));
    }
    find().await.map(Begun::Found)
}

/// Whether it is the rows or the table, not the server, its locks or the connection.
fn another_way_may_do(error: &Error) -> bool {
    let of_the_server =
        matches!(error.code, Code::Busy | Code::Timeout | Code::Cancelled | Code::Unavailable | Code::Internal);
    !of_the_server && !matches!(sqlstate(error), Some("26000" | "42P05"))
}
