//! Statements of transitions in a transaction of PostgreSQL.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
    put_off::{self, Unsettled},
};
use crate::{
    adapters::postgres::{
        failure::{in_commit, meaning, silent_in_commit, sqlstate},
        pool::Work,
    },
    changes::Topic,
    error::{Code, Error, Place},
    store::{Hold, Kept, Later, Row, Session, Value, keepable},
};

/// What a statement may take, waiting for locks included.
pub(super) const STATEMENT_TIME: Duration = Duration::from_secs(10);
/// The server ends a statement that takes too long, and needs a moment to say so.
const SLACK: Duration = Duration::from_secs(1);

/// A transaction, which steps of several callers share. Statements leave as soon as they are asked for, in that order.
pub(super) struct Transaction<'a> {
    work: &'a Work,
    /// Held while a statement is got ready and sent, so that one that has to be prepared is not overtaken.
    order: tokio::sync::Mutex<()>,
    group: Mutex<Group>,
    end: Mutex<Option<End>>,
    /// Writes that were put off so far.
    put_off: AtomicU64,
}

/// Steps that run side by side.
#[derive(Default)]
struct Group {
    /// What they have to themselves.
    keys: Vec<String>,
    /// What one of them has done for all.
    done: HashSet<&'static str>,
    /// What each keeps to itself for a while.
    holds: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
}

/// A step's part in a transaction.
pub(super) struct PostgresSession<'a> {
    transaction: &'a Transaction<'a>,
    touched: Mutex<Vec<Topic>>,
    /// With their places among those of the transaction.
    put_off: Mutex<Vec<(u64, Later)>>,
    /// Statements that were sent and not answered: the step went on without them, or they are still under way.
    open: AtomicU64,
    /// It has written, or may have.
    written: AtomicBool,
    /// Its statement is the one that failed first.
    culprit: AtomicBool,
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

impl<'a> Transaction<'a> {
    pub(super) fn new(work: &'a Work) -> Self {
        let (order, put_off) = (tokio::sync::Mutex::default(), AtomicU64::new(0));
        Self { work, order, group: Mutex::default(), end: Mutex::default(), put_off }
    }

    /// Why nothing more can be done here.
    pub(super) fn end(&self) -> Option<End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Steps with these keys come next, and run beside none of those before.
    pub(super) fn next_group(&self, keys: Vec<String>) {
        *self.group() = Group { keys, ..Group::default() };
    }

    fn group(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what was put off.
    pub(super) async fn write(&self, writes: &[Later]) -> Result<(), Failed> {
        for (sql, values) in put_off::statements(writes) {
            self.ask(sql, &values, Wanted::Count).await?;
        }
        Ok(())
    }

    /// Carries out what was put off, and commits, all in one go.
    pub(super) async fn write_and_commit(&self, writes: &[Later], wait: Duration) -> Result<(), Unsettled> {
        let statements = put_off::statements(writes);
        let mut prepared = Vec::with_capacity(statements.len());
        for (sql, _) in &statements {
            let statement = self.work.answered(self.work.prepared(sql, &[]), STATEMENT_TIME).await;
            prepared.push(statement.and_then(|statement| statement).map_err(Unsettled::before_commit)?);
        }
        let mut answers = Vec::with_capacity(statements.len());
        for ((sql, values), statement) in statements.iter().zip(prepared) {
            let mut answer = Box::pin(self.send(statement, sql, values, Wanted::Count));
            // Polled once, it is sent, and the next follows.
            match poll!(&mut answer) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(Unsettled::before_commit(meaning(error))),
                Poll::Pending => answers.push(answer),
            }
        }
        let mut committed = pin!(self.work.batch_execute("COMMIT"));
        let early = match poll!(&mut committed) {
            // The connection broke before, and takes nothing any more: COMMIT never left.
            Poll::Ready(Err(error)) => {
                return Err(Unsettled::before_commit(End::Parted.of_connection(Err(meaning(error)))));
            }
            early => early,
        };
        let all = async {
            // The server answers COMMIT with ROLLBACK and no error when one of them has failed.
            for answer in answers {
                answer.await?;
            }
            match early {
                Poll::Ready(committed) => committed,
                Poll::Pending => committed.await,
            }
        };
        match self.work.answered(all, wait).await {
            Ok(settled) => settled.map_err(|error| Unsettled::in_commit(in_commit(error))),
            Err(silence) => Err(Unsettled::in_commit(silent_in_commit(silence))),
        }
    }

    async fn ask(&self, sql: &'static str, values: &[Bound<'_>], wanted: Wanted) -> Result<Answer, Failed> {
        match self.answered(sql, values, wanted).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let end = match sqlstate(&error) {
                    Some(mixed @ ("26000" | "42P05")) => End::Mixed(mixed.to_owned()),
                    Some(parting) if parting.starts_with("57P") => End::Parted,
                    None if error.code == Code::Unavailable => End::Parted,
                    _ => End::Failed,
                };
                Err(self.ended(end, error))
            }
            Err(silence) => Err(self.ended(End::Silent, silence)),
        }
    }

    fn ended(&self, end: End, error: Error) -> Failed {
        let mut ended = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = ended.is_none();
        ended.get_or_insert(end);
        Failed { is_first, error: failure::of(error) }
    }

    /// The outer failure is silence.
    async fn answered(
        &self,
        sql: &'static str,
        values: &[Bound<'_>],
        wanted: Wanted,
    ) -> Result<Result<Answer, Error>, Error> {
        let order = self.order.lock().await;
        if self.end().is_some() {
            // A server that has fallen silent is not waited for by one after the other.
            return Ok(Err(Error::new(Code::Internal, "the record store's transaction had failed before")));
        }
        let statement = match self.work.answered(self.work.prepared(sql, &[]), STATEMENT_TIME).await? {
            Ok(statement) => statement,
            Err(error) => return Ok(Err(error)),
        };
        let mut sent = pin!(self.send(statement, sql, values, wanted));
        // Polled once, it is sent, and the next may follow.
        if let Poll::Ready(answer) = poll!(&mut sent) {
            return Ok(answer.map_err(meaning));
        }
        drop(order);
        self.work.answered(sent, STATEMENT_TIME + SLACK).await.map(|answer| answer.map_err(meaning))
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

/// A statement failed, and the transaction with it.
pub(super) struct Failed {
    /// All others failed because of it.
    is_first: bool,
    /// What it means.
    pub error: Error,
}

impl<'a> PostgresSession<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>) -> Self {
        Self {
            transaction,
            touched: Mutex::default(),
            put_off: Mutex::default(),
            open: AtomicU64::new(0),
            written: AtomicBool::new(false),
            culprit: AtomicBool::new(false),
        }
    }

    /// Topics that were touched, and writes that were put off, with their places among those of the transaction.
    pub(super) fn into_left(self) -> (Vec<Topic>, Vec<(u64, Later)>) {
        let touched = self.touched.into_inner().unwrap_or_else(PoisonError::into_inner);
        (touched, self.put_off.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing is in the transaction because of it, and no statement is under way.
    pub(super) fn is_unchanged(&self) -> bool {
        !self.written.load(Ordering::Relaxed) && self.is_settled()
    }

    /// Whether every statement was answered.
    pub(super) fn is_settled(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Whether the transaction failed by it.
    pub(super) fn is_culprit(&self) -> bool {
        self.culprit.load(Ordering::Relaxed)
    }

    async fn ask(&self, sql: &'static str, values: &[Value<'_>], wanted: Wanted) -> Result<Answer, Error> {
        keepable::check(values)?;
        let bound: Vec<Bound<'_>> = values.iter().map(|value| Bound::One(*value)).collect();
        // Until it is answered it may have written.
        self.open.fetch_add(1, Ordering::Relaxed);
        let answered = self.transaction.ask(sql, &bound, wanted).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        match answered {
            Ok(answer) => {
                self.written.fetch_or(answer.has_written(sql), Ordering::Relaxed);
                Ok(answer)
            }
            Err(failed) => Err(self.failed(failed)),
        }
    }

    fn failed(&self, failed: Failed) -> Error {
        self.culprit.fetch_or(failed.is_first, Ordering::Relaxed);
        failed.error
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

fn alone<'a>(values: &'a [Bound<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn typed<'a>(values: &'a [Bound<'a>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    values.iter().map(|value| (value as &(dyn ToSql + Sync), type_of(value))).collect()
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

    fn lock<'a>(&'a self, sql: &'static str, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let locked = self.ask(sql, values, Wanted::Rows).await.map(drop);
            if locked.as_ref().is_err_and(failure::is_held_by_others) {
                // It may have waited for the sake of another, and for whose nobody knows.
                self.culprit.store(false, Ordering::Relaxed);
            }
            locked
        })
    }

    fn later(&self, write: Later) -> Result<(), Error> {
        let values: Vec<Value<'_>> = write.values.iter().map(Kept::value).collect();
        keepable::check(&values)?;
        let place = self.transaction.put_off.fetch_add(1, Ordering::Relaxed);
        self.put_off.lock().unwrap_or_else(PoisonError::into_inner).push((place, write));
        Ok(())
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        let writes = std::mem::take(&mut *self.put_off.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            if writes.is_empty() {
                return Ok(());
            }
            self.written.store(true, Ordering::Relaxed);
            let writes: Vec<Later> = writes.into_iter().map(|(_, write)| write).collect();
            self.transaction.write(&writes).await.map_err(|failed| self.failed(failed))
        })
    }

    fn hold<'a>(&'a self, what: &'a str) -> BoxFuture<'a, Hold> {
        Box::pin(async move {
            let (others, is_first) = match self.transaction.group().holds.entry(what.to_owned()) {
                Entry::Occupied(held) => (Arc::clone(held.get()), false),
                Entry::Vacant(free) => (Arc::clone(free.insert(Arc::default())), true),
            };
            Hold::beside(others.lock_owned().await, is_first)
        })
    }

    fn for_all(&self, what: &'static str) -> Option<Vec<String>> {
        let mut group = self.transaction.group();
        group.done.insert(what).then(|| group.keys.clone())
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
