//! What a transition works in: the session of its database, and what is written once for all at its end.

use std::{
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::try_join;

use super::{
    Row, Session, Sql, Value,
    collected::{EventRow, KeptAnswer, insert_answers, insert_events},
    rows::{query_rows, write_rows},
};
use crate::error::Error;

/// A transaction, for one transition. Its history and the answers under keys are collected, and written with one statement each at its end.
pub struct Transaction<'a> {
    session: &'a dyn Session,
    events: Mutex<Vec<EventRow>>,
    answers: Mutex<Vec<KeptAnswer>>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(session: &'a dyn Session) -> Self {
        Self { session, events: Mutex::default(), answers: Mutex::default() }
    }

    /// Adds to the history.
    pub(super) fn note(&self, event: EventRow) {
        lock(&self.events).push(event);
    }

    /// Keeps an answer under its key.
    pub(super) fn keep(&self, answer: KeptAnswer) {
        lock(&self.answers).push(answer);
    }

    /// Writes what was collected.
    pub(super) async fn write(&self) -> Result<(), Error> {
        let events = std::mem::take(&mut *lock(&self.events));
        let answers = std::mem::take(&mut *lock(&self.answers));
        try_join(insert_events(self.session, &events), insert_answers(self.session, &answers)).await.map(drop)
    }

    /// Runs a statement for many rows of values: by one statement over arrays in PostgreSQL, and row by row in SQLite.
    pub(super) async fn write_rows(&self, sql: Sql, rows: &[Vec<Value<'_>>]) -> Result<u64, Error> {
        write_rows(self.session, sql, rows).await
    }

    /// The same for a statement that answers with rows.
    pub(super) async fn query_rows(&self, sql: Sql, rows: &[Vec<Value<'_>>]) -> Result<Vec<Row>, Error> {
        query_rows(self.session, sql, rows).await
    }
}

fn lock<T>(collected: &Mutex<T>) -> MutexGuard<'_, T> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Deref for Transaction<'a> {
    type Target = dyn Session + 'a;

    fn deref(&self) -> &Self::Target {
        self.session
    }
}
