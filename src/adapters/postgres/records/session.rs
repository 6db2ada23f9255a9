//! Statements of transitions in a transaction of PostgreSQL.

use std::{
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::{future::BoxFuture, poll};
use tokio_postgres::{
    Statement,
    types::{ToSql, Type},
};

use super::{
    cells::{Bound, Found, type_of},
    failure,
};
use crate::{
    adapters::{
        postgres::{
            failure::{meaning, sqlstate},
            pool::Work,
        },
        records::{Row, Session, Value, keepable},
    },
    error::{Code, Error, Place},
    ports::changes::Topic,
};

/// What a statement may take, waiting for locks included.
pub(super) const STATEMENT_TIME: Duration = Duration::from_secs(10);
/// The server ends a statement that takes too long, and needs a moment to say so.
const SLACK: Duration = Duration::from_secs(1);

/// A transaction. Statements leave as soon as they are asked for, in that order.
pub(super) struct PostgresSession<'a> {
    work: &'a Work,
    /// Held while a statement is got ready and sent, so that one that has to be prepared is not overtaken.
    order: tokio::sync::Mutex<()>,
    touched: Mutex<Vec<Topic>>,
    /// Statements that were sent and not answered: the caller went on without them, or they are still under way.
    open: AtomicU64,
    /// Statements that have written, or may have.
    written: AtomicU64,
    end: Mutex<Option<End>>,
}

/// Why nothing more can be done in the transaction.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// A statement failed; the transaction can only be taken back.
    Failed,
    /// Prepared statements are not where they were put: the SQLSTATE that says so.
    Mixed(String),
    /// The connection broke.
    Parted,
    /// The server has fallen silent.
    Silent,
}

/// Stands for SQLSTATE in the error of a connection that broke in the middle.
const PARTED: &str = "parted";

impl End {
    /// The connection's own end in words, marked for whoever may try another: the step's error where it has one.
    pub(super) fn of_connection(&self, outcome: Result<(), Error>) -> Error {
        let state = match self {
            Self::Mixed(state) => Some(state.clone()),
            Self::Parted => Some(PARTED.to_owned()),
            Self::Failed | Self::Silent => None,
        };
        let broke = || {
            Error::new(Code::Unavailable, "the record store is down: the connection broke")
                .retry_after(Duration::from_millis(200))
        };
        let error = outcome.err().filter(|error| error.code == Code::Unavailable).unwrap_or_else(broke);
        error.place(Place { backend_code: state, ..Place::default() })
    }
}

/// Whether the connection broke in the middle, so that another may be better.
pub(super) fn is_parted(error: &Error) -> bool {
    sqlstate(error) == Some(PARTED)
}

impl<'a> PostgresSession<'a> {
    pub(super) fn new(work: &'a Work) -> Self {
        Self {
            work,
            order: tokio::sync::Mutex::default(),
            touched: Mutex::default(),
            open: AtomicU64::new(0),
            written: AtomicU64::new(0),
            end: Mutex::default(),
        }
    }

    /// Topics that were touched since the last time.
    pub(super) fn take_touched(&self) -> Vec<Topic> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing is in the transaction that was not there at `mark`, and no statement is under way.
    pub(super) fn is_unchanged_since(&self, mark: u64) -> bool {
        self.mark() == mark && self.open.load(Ordering::Relaxed) == 0
    }

    /// Changes whenever something is written.
    pub(super) fn mark(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether every statement was answered.
    pub(super) fn is_settled(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Why nothing more can be done here.
    pub(super) fn end(&self) -> Option<End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ended(&self, end: End) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
    }

    async fn ask(&self, sql: &'static str, values: &[Value<'_>], wanted: Wanted) -> Result<Answer, Error> {
        keepable::check(values)?;
        // Until it is answered it may have written.
        self.open.fetch_add(1, Ordering::Relaxed);
        let answered = self.answered(sql, values, wanted).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        match answered {
            Ok(Ok(answer)) => {
                if answer.has_written(sql) {
                    self.written.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.ended(match sqlstate(&error) {
                    Some(mixed @ ("26000" | "42P05")) => End::Mixed(mixed.to_owned()),
                    Some(parting) if parting.starts_with("57P") => End::Parted,
                    None if error.code == Code::Unavailable => End::Parted,
                    _ => End::Failed,
                });
                Err(failure::of(error))
            }
            Err(silence) => {
                self.ended(End::Silent);
                Err(failure::of(silence))
            }
        }
    }

    /// The outer failure is silence.
    async fn answered(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        wanted: Wanted,
    ) -> Result<Result<Answer, Error>, Error> {
        let order = self.order.lock().await;
        let statement = match self.work.answered(self.work.prepared(sql, &[]), STATEMENT_TIME).await? {
            Ok(statement) => statement,
            Err(error) => return Ok(Err(error)),
        };
        let mut sent = pin!(self.send(statement, sql, values, wanted));
        // Polled once, it is sent, and the next may follow.
        if let Poll::Ready(answer) = poll!(&mut sent) {
            return Ok(answer);
        }
        drop(order);
        self.work.answered(sent, STATEMENT_TIME + SLACK).await
    }

    async fn send(
        &self,
        statement: Option<Statement>,
        sql: &str,
        values: &[Value<'_>],
        wanted: Wanted,
    ) -> Result<Answer, Error> {
        let bound: Vec<Bound<'_>> = values.iter().map(|value| Bound(*value)).collect();
        let answer = match (statement, wanted) {
            (Some(statement), Wanted::Rows) => self.work.query(&statement, &alone(&bound)).await.map(Answer::Rows),
            (Some(statement), Wanted::Count) => self.work.execute(&statement, &alone(&bound)).await.map(Answer::Count),
            (None, Wanted::Rows) => self.work.query_typed(sql, &typed(&bound)).await.map(Answer::Rows),
            (None, Wanted::Count) => self.work.execute_typed(sql, &typed(&bound)).await.map(Answer::Count),
        };
        answer.map_err(meaning)
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

impl Answer {
    /// Whether the statement has changed anything, or may have.
    fn has_written(&self, sql: &str) -> bool {
        match self {
            Self::Count(rows) => *rows > 0,
            Self::Rows(rows) => match first_word(sql) {
                "SELECT" => false,
                "WITH" => true,
                _ => !rows.is_empty(),
            },
        }
    }
}

/// The first word of a statement, after its name.
fn first_word(sql: &str) -> &str {
    let statement = sql.lines().find(|line| !line.trim_start().starts_with("--")).unwrap_or_default();
    statement.split_whitespace().next().unwrap_or_default()
}

fn alone<'a>(bound: &'a [Bound<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    bound.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn typed<'a>(bound: &'a [Bound<'a>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    bound.iter().map(|value| (value as &(dyn ToSql + Sync), type_of(&value.0))).collect()
}

impl Session for PostgresSession<'_> {
    fn rows<'a>(&'a self, sql: &'static str, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Error>> {
        Box::pin(async move {
            match self.ask(sql, values, Wanted::Rows).await? {
                Answer::Rows(rows) => rows.iter().map(|row| read(sql, row)).collect(),
                Answer::Count(_) => Ok(Vec::new()),
            }
        })
    }

    fn change<'a>(&'a self, sql: &'static str, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Error>> {
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

fn read(sql: &'static str, row: &tokio_postgres::Row) -> Result<Row, Error> {
    let cells = (0..row.len()).map(|column| row.try_get(column).map(|Found(cell)| cell));
    let cells = cells.collect::<Result<Vec<_>, _>>().map_err(|error| {
        Error::new(Code::Internal, "the record store holds a value that cannot be read").cause(error)
    })?;
    Ok(Row::new(sql, cells))
}
