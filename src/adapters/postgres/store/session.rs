//! Statements of transitions in a transaction of PostgreSQL.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio_postgres::{
    Statement,
    types::{ToSql, Type},
};

use super::{
    cells::{Bound, Found, type_of},
    failure::{self, Fault},
};
use crate::{
    adapters::postgres::{failure::meaning, pool::Work},
    changes::Topic,
    error::{Code, Error},
    store::{Row, Session, Sql, Value, keepable},
};

/// What a statement may take, waiting for locks included.
pub(super) const STATEMENT_TIME: Duration = Duration::from_secs(10);
/// The server ends a statement that takes too long, and needs a moment to say so.
const SLACK: Duration = Duration::from_secs(1);

/// A transaction, in which steps run one after the other.
pub(super) struct PostgresSession<'a> {
    work: &'a Work,
    touched: Mutex<Vec<Topic>>,
    /// Why nothing more can be done in it: the first statement that failed. All later ones fail because of it.
    fault: Mutex<Option<Fault>>,
    /// Statements that were sent and not answered.
    open: AtomicU64,
}

impl<'a> PostgresSession<'a> {
    pub(super) fn new(work: &'a Work) -> Self {
        Self { work, touched: Mutex::default(), fault: Mutex::default(), open: AtomicU64::new(0) }
    }

    /// Why nothing more can be done in the transaction.
    pub(super) fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every statement was answered.
    pub(super) fn is_settled(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Topics that were touched.
    pub(super) fn into_touched(self) -> Vec<Topic> {
        self.touched.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, sql: Sql, values: &[Value<'_>], wanted: Wanted) -> Result<Answer, Error> {
        keepable::check(values)?;
        let bound: Vec<Bound<'_>> = values.iter().map(|value| Bound(*value)).collect();
        self.open.fetch_add(1, Ordering::Relaxed);
        let answered = self.answered(sql.postgres, &bound, wanted).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        answered.map_err(|(fault, error)| {
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
            failure::of(error)
        })
    }

    async fn answered(
        &self,
        sql: &'static str,
        values: &[Bound<'_>],
        wanted: Wanted,
    ) -> Result<Answer, (Fault, Error)> {
        let silent = |error| (Fault::Silent, error);
        let failed = |error: Error| (Fault::of(&error), error);
        let prepared = self.work.answered(self.work.prepared(sql, &[]), STATEMENT_TIME).await.map_err(silent)?;
        let sent = self.send(prepared.map_err(failed)?, sql, values, wanted);
        let answer = self.work.answered(sent, STATEMENT_TIME + SLACK).await.map_err(silent)?;
        answer.map_err(|error| failed(meaning(error)))
    }

    async fn send(
        &self,
        statement: Option<Statement>,
        sql: &str,
        values: &[Bound<'_>],
        wanted: Wanted,
    ) -> Result<Answer, tokio_postgres::Error> {
        match (statement, wanted) {
            (Some(statement), Wanted::Rows) => self.work.query(&statement, &alone(values)).await.map(Answer::Rows),
            (Some(statement), Wanted::Count) => self.work.execute(&statement, &alone(values)).await.map(Answer::Count),
            (None, Wanted::Rows) => self.work.query_typed(sql, &typed(values)).await.map(Answer::Rows),
            (None, Wanted::Count) => self.work.execute_typed(sql, &typed(values)).await.map(Answer::Count),
        }
    }
}

#[derive(Clone, Copy)]
enum Wanted {
    Rows,
    Count,
}

enum Answer {
    Rows(Vec<tokio_postgres::Row>),
    Count(u64),
}

fn alone<'a>(values: &'a [Bound<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn typed<'a>(values: &'a [Bound<'a>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    values.iter().map(|value| (value as &(dyn ToSql + Sync), type_of(&value.0))).collect()
}

impl Session for PostgresSession<'_> {
    fn query<'a>(&'a self, sql: Sql, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Error>> {
        Box::pin(async move {
            match self.ask(sql, values, Wanted::Rows).await? {
                Answer::Rows(rows) => rows.iter().map(|row| read(sql, row)).collect(),
                Answer::Count(_) => Ok(Vec::new()),
            }
        })
    }

    fn execute<'a>(&'a self, sql: Sql, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(async move {
            match self.ask(sql, values, Wanted::Count).await? {
                Answer::Count(rows) => Ok(rows),
                Answer::Rows(rows) => Ok(rows.len() as u64),
            }
        })
    }

    fn touch(&self, topic: Topic) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if !touched.contains(&topic) {
            touched.push(topic);
        }
    }
}

fn read(sql: Sql, row: &tokio_postgres::Row) -> Result<Row, Error> {
    let cells = (0..row.len()).map(|column| row.try_get(column).map(|Found(cell)| cell));
    let cells = cells.collect::<Result<Vec<_>, _>>().map_err(|error| {
        Error::new(Code::Internal, "the record store holds a value that cannot be read").cause(error)
    })?;
    Ok(Row::new(sql, cells))
}
