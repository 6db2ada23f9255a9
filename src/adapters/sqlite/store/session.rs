//! Statements of transitions on SQLite: written for PostgreSQL, read here as what SQLite understands.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use regex::Regex;
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
    store::{Cell, Hold, Kept, Later, Row, Session, Step, Value, keepable},
};

/// A transaction of the writing connection, or a look through a reading one. Its futures are ready at once.
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

    /// Whether the transaction is gone: some failures take all of it back.
    pub(super) fn has_ended(&self) -> bool {
        self.connection().is_autocommit()
    }

    fn connection(&self) -> MutexGuard<'_, &'a mut Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        keepable::check(values)?;
        self.rows_of(sql, values).map_err(|error| failure::of(error, self.call))
    }

    fn write(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Error> {
        keepable::check(values)?;
        self.count_of(sql, values).map_err(|error| failure::of(error, self.call))
    }

    fn rows_of(&self, sql: &'static str, values: &[Value<'_>]) -> rusqlite::Result<Vec<Row>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(own(sql))?;
        bind(&mut statement, values)?;
        let columns = statement.column_count();
        let mut found = statement.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let cells = (0..columns).map(|column| row.get_ref(column).map(cell)).collect::<rusqlite::Result<_>>()?;
            rows.push(Row::new(sql, cells));
        }
        Ok(rows)
    }

    fn count_of(&self, sql: &'static str, values: &[Value<'_>]) -> rusqlite::Result<u64> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(own(sql))?;
        bind(&mut statement, values)?;
        Ok(statement.raw_execute()? as u64)
    }
}

impl Session for SqliteSession<'_> {
    fn rows<'a>(&'a self, sql: &'static str, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Error>> {
        Box::pin(ready(self.read(sql, values)))
    }

    fn change<'a>(&'a self, sql: &'static str, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(ready(self.write(sql, values)))
    }

    fn lock<'a>(&'a self, _sql: &'static str, _values: &'a [Value<'a>]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(Ok(())))
    }

    /// At once: here a statement is a call of a function.
    fn later(&self, write: Later) -> Result<(), Error> {
        let values: Vec<Value<'_>> = write.values.iter().map(Kept::value).collect();
        self.write(write.sql, &values).map(drop)
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(ready(Ok(())))
    }

    /// Transitions run one after the other.
    fn hold<'a>(&'a self, _what: &'a str) -> BoxFuture<'a, Hold> {
        Box::pin(ready(Hold::alone()))
    }

    fn for_all(&self, _what: &'static str) -> Option<Vec<String>> {
        Some(Vec::new())
    }

    fn touch(&self, topic: Topic) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if !touched.contains(&topic) {
            touched.push(topic);
        }
    }
}

/// Runs a step that only reads, in one transaction, so that it sees one moment.
pub(super) fn look(connection: &mut Connection, call: &Call, mut step: Box<dyn Step>) -> Result<(), Error> {
    let session = SqliteSession::new(connection, call);
    let meaning = |error| failure::of(error, call);
    session.order("BEGIN").map_err(meaning)?;
    let failure = match step.run(&session).now_or_never() {
        Some(outcome) => outcome.err(),
        None => Some(Error::new(Code::Internal, "a read waited for something that is not a statement")),
    };
    if !session.has_ended() {
        session.order("ROLLBACK").map_err(meaning)?;
    }
    step.answer(failure);
    Ok(())
}

/// What SQLite understands, made once for each statement: `?1` for `$1`, lists from JSON, no locks, because there is one writer, and no
/// clock of its own.
fn own(sql: &'static str) -> &'static str {
    static OWN: LazyLock<RwLock<HashMap<(usize, usize), &'static str>>> = LazyLock::new(RwLock::default);
    // Known by where it stands and how long it is, which is found sooner than by its letters.
    let place = (sql.as_ptr() as usize, sql.len());
    if let Some(own) = OWN.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
        return own;
    }
    // Kept for ever: there are as many as statements in this program.
    let own: &'static str = Box::leak(translated(sql).into_boxed_str());
    OWN.write().unwrap_or_else(PoisonError::into_inner).insert(place, own);
    own
}

fn translated(sql: &str) -> String {
    #[expect(clippy::unwrap_used, reason = "a fixed pattern, which a test reads")]
    static LIST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"= ANY\(\$(\d+)\)").unwrap());
    #[expect(clippy::unwrap_used, reason = "a fixed pattern, which a test reads")]
    static LOCKS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r" FOR UPDATE(?: OF \w+)?(?: SKIP LOCKED)?").unwrap());
    let text = LIST.replace_all(sql, "IN (SELECT value FROM json_each(?$1))");
    // Its times are those of this machine, and so is what it is told as now: that alone decides.
    LOCKS.replace_all(&text, "").replace("clock_timestamp()", &i64::MAX.to_string()).replace('$', "?")
}

fn bind(statement: &mut Statement<'_>, values: &[Value<'_>]) -> rusqlite::Result<()> {
    for (place, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(place + 1, Bound(value))?;
    }
    Ok(())
}

struct Bound<'a>(&'a Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let list = |json: json::Json| ToSqlOutput::Owned(json.get().to_owned().into());
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
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

#[cfg(test)]
mod tests {
    #[test]
    fn statements_are_read_as_sqlite_understands_them() {
        assert_eq!(
            super::translated("SELECT a FROM t WHERE b = ANY($12) AND c = $1 LIMIT $2 FOR UPDATE OF t SKIP LOCKED"),
            "SELECT a FROM t WHERE b IN (SELECT value FROM json_each(?12)) AND c = ?1 LIMIT ?2"
        );
        assert_eq!(super::translated("SELECT a <= clock_timestamp()"), "SELECT a <= 9223372036854775807");
    }
}
