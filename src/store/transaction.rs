//! What a transition works in: the session of its database, and what is written once for all at its end.

use std::{
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::try_join;

use super::{Row, Session, Sql, Value, events, idempotency};
use crate::error::Error;

/// A transaction, for one transition. Its history and the answers under keys are collected, and written with one statement each at its end.
pub struct Transaction<'a> {
    session: &'a dyn Session,
    events: Mutex<Vec<events::Row>>,
    answers: Mutex<Vec<idempotency::Kept>>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(session: &'a dyn Session) -> Self {
        Self { session, events: Mutex::default(), answers: Mutex::default() }
    }

    /// Adds to the history.
    pub(super) fn note(&self, event: events::Row) {
        lock(&self.events).push(event);
    }

    /// Keeps an answer under its key.
    pub(super) fn keep(&self, answer: idempotency::Kept) {
        lock(&self.answers).push(answer);
    }

    /// Writes what was collected.
    pub(super) async fn write(&self) -> Result<(), Error> {
        let events = std::mem::take(&mut *lock(&self.events));
        let answers = std::mem::take(&mut *lock(&self.answers));
        try_join(events::insert(self.session, &events), idempotency::insert(self.session, &answers)).await.map(drop)
    }

    /// Runs a statement for many rows of values: by one statement over arrays in PostgreSQL, and row by row in SQLite.
    pub(super) async fn write_rows(&self, sql: Sql, rows: &[Vec<Value<'_>>]) -> Result<u64, Error> {
        write_rows(self.session, sql, rows).await
    }

    /// The same for a statement that answers with rows.
    pub(super) async fn query_rows(&self, sql: Sql, rows: &[Vec<Value<'_>>]) -> Result<Vec<Row>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let columns = columns(rows);
        let values: Vec<Value<'_>> = columns.iter().map(|column| Value::Column(column)).collect();
        self.session.query(sql, &values).await
    }
}

fn lock<T>(collected: &Mutex<T>) -> MutexGuard<'_, T> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See [`Transaction::write_rows`].
pub(super) async fn write_rows(session: &dyn Session, sql: Sql, rows: &[Vec<Value<'_>>]) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let columns = columns(rows);
    let values: Vec<Value<'_>> = columns.iter().map(|column| Value::Column(column)).collect();
    session.execute(sql, &values).await
}

fn columns<'v>(rows: &[Vec<Value<'v>>]) -> Vec<Vec<Value<'v>>> {
    let column = |place| rows.iter().filter_map(|row| row.get(place).copied()).collect();
    (0..rows.first().map_or(0, Vec::len)).map(column).collect()
}

impl<'a> Deref for Transaction<'a> {
    type Target = dyn Session + 'a;

    fn deref(&self) -> &Self::Target {
        self.session
    }
}
