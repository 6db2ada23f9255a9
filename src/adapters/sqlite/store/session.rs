//! Statements of transitions on SQLite.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use rusqlite::{
    Connection, Statement, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::failure;
use crate::{
    adapters::sqlite::call::Call,
    changes::Topic,
    domain::json,
    error::{Code, Error},
    store::{Cell, Row, Session, Sql, Step, Value, keepable},
};

/// A transaction of the writing connection, or a read through a reading one. Its futures are ready at once.
pub(super) struct SqliteSession<'a> {
    /// Used by one thread; the lock is there because a session is shared by reference.
    connection: Mutex<&'a mut Connection>,
    call: &'a Call,
    touched: Mutex<Vec<Topic>>,
}

impl<'a> SqliteSession<'a> {
    pub(super) fn new(connection: &'a mut Connection, call: &'a Call) -> Self {
        Self { connection: Mutex::new(connection), call, touched: Mutex::default() }
    }

    /// Topics that were touched since the last time.
    pub(super) fn take_touched(&self) -> Vec<Topic> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a fixed statement about transactions.
    pub(super) fn order(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection().prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Whether the transaction is gone: some failures roll all of it back.
    pub(super) fn is_autocommit(&self) -> bool {
        self.connection().is_autocommit()
    }

    fn connection(&self) -> MutexGuard<'_, &'a mut Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self, sql: Sql, values: &[Value<'_>]) -> rusqlite::Result<Vec<Row>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql.sqlite)?;
        let columns = statement.column_count();
        let mut rows = Vec::new();
        for place in 0..rows_of(values) {
            bind(&mut statement, values, place)?;
            let mut found = statement.raw_query();
            while let Some(row) = found.next()? {
                let cells = (0..columns).map(|column| row.get_ref(column).map(cell));
                rows.push(Row::new(sql, cells.collect::<rusqlite::Result<_>>()?));
            }
        }
        Ok(rows)
    }

    fn count(&self, sql: Sql, values: &[Value<'_>]) -> rusqlite::Result<u64> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql.sqlite)?;
        let mut count = 0;
        for place in 0..rows_of(values) {
            bind(&mut statement, values, place)?;
            count += statement.raw_execute()? as u64;
        }
        Ok(count)
    }

    fn run<T: Default>(
        &self,
        sql: Sql,
        values: &[Value<'_>],
        run: fn(&Self, Sql, &[Value<'_>]) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        keepable::check(values)?;
        if sql.sqlite.is_empty() {
            return Ok(T::default());
        }
        run(self, sql, values).map_err(|error| failure::of(error, self.call))
    }
}

impl Session for SqliteSession<'_> {
    fn query<'a>(&'a self, sql: Sql, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Error>> {
        Box::pin(ready(self.run(sql, values, Self::rows)))
    }

    fn execute<'a>(&'a self, sql: Sql, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(ready(self.run(sql, values, Self::count)))
    }

    fn touch(&self, topic: Topic) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if !touched.contains(&topic) {
            touched.push(topic);
        }
    }
}

/// Runs a step that only reads, in one transaction, so that it sees one moment.
pub(super) fn read(connection: &mut Connection, call: &Call, mut step: Box<dyn Step>) -> Result<(), Error> {
    let session = SqliteSession::new(connection, call);
    let meaning = |error| failure::of(error, call);
    session.order("BEGIN").map_err(meaning)?;
    let failure = match step.run(&session).now_or_never() {
        Some(outcome) => outcome.err(),
        None => Some(Error::new(Code::Internal, "a read waited for something that is not a statement")),
    };
    if !session.is_autocommit() {
        session.order("ROLLBACK").map_err(meaning)?;
    }
    step.answer(failure);
    Ok(())
}

/// How many rows of values there are.
fn rows_of(values: &[Value<'_>]) -> usize {
    match values.first() {
        Some(Value::Column(column)) => column.len(),
        _ => 1,
    }
}

/// Binds the values of one row by the names of their parameters, `$1` for the first value.
fn bind(statement: &mut Statement<'_>, values: &[Value<'_>], row: usize) -> rusqlite::Result<()> {
    for parameter in 1..=statement.parameter_count() {
        let place = statement.parameter_name(parameter).and_then(|name| name.get(1..)?.parse::<usize>().ok());
        let value = match place.and_then(|place| values.get(place.checked_sub(1)?)) {
            Some(Value::Column(column)) => column.get(row),
            value => value,
        };
        statement.raw_bind_parameter(parameter, Bound(value.unwrap_or(&Value::Null)))?;
    }
    Ok(())
}

struct Bound<'a>(&'a Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let list = |json: json::Json| ToSqlOutput::Owned(json.get().to_owned().into());
        Ok(match self.0 {
            Value::Null | Value::Column(_) => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Integer(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Value::Real(number) => ToSqlOutput::Borrowed(ValueRef::Real(*number)),
            Value::Bool(yes) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*yes))),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::Time(time) => ToSqlOutput::Borrowed(ValueRef::Integer(time.0)),
            Value::Texts(texts) => list(json::of(*texts)),
            Value::Integers(numbers) => list(json::of(*numbers)),
        })
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    }
}
