//! One transaction of a record store, as its transitions see it: statements in, rows out, whatever database is behind it.
//!
//! What takes something from somebody because its time is over says so twice: by the time it was called at, and by the database's own clock
//! (`(now)` of [`sql!`]), which in the embedded store is always later. Times are [`Instant`]s here, `timestamptz` in PostgreSQL, and
//! microseconds since 1970 in SQLite.

use futures_util::future::BoxFuture;

use super::sql::Sql;
use crate::{
    changes::Topic,
    clock::Instant,
    error::{Code, Error},
};

/// A transaction. Statements whose futures are polled together are pipelined, in no certain order.
pub trait Session: Send + Sync {
    /// Runs a statement that answers with rows.
    fn query<'a>(&'a self, sql: Sql, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Error>>;

    /// Runs a statement that answers with the number of rows it wrote. With [`Value::Column`]s, which all have the same length, PostgreSQL
    /// gets arrays, and SQLite runs it once for each row.
    fn execute<'a>(&'a self, sql: Sql, values: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Error>>;

    /// Wakes who waits for this, once the transaction is committed; in other processes too.
    fn touch(&self, topic: Topic);
}

/// A value for a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// bigint, integer.
    Integer(i64),
    /// double precision.
    Real(f64),
    /// boolean.
    Bool(bool),
    /// text.
    Text(&'a str),
    /// bytea, BLOB.
    Bytes(&'a [u8]),
    /// timestamptz.
    Time(Instant),
    /// text[], for `= ANY($n)`.
    Texts(&'a [String]),
    /// bigint[], for `= ANY($n)`.
    Integers(&'a [i64]),
    /// The values of one column for many rows, for `unnest($n)`.
    Column(&'a [Value<'a>]),
}

/// A value that came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// Whole numbers; also times (microseconds since 1970 UTC) and, from SQLite, booleans.
    Integer(i64),
    /// double precision.
    Real(f64),
    /// boolean.
    Bool(bool),
    /// text.
    Text(String),
    /// bytea, BLOB.
    Bytes(Vec<u8>),
}

/// A row that came back, read column by column in the order of the statement.
#[derive(Debug)]
pub struct Row {
    statement: Sql,
    cells: std::vec::IntoIter<Cell>,
    read: usize,
}

impl Row {
    /// Of a statement's answer.
    pub fn new(statement: Sql, cells: Vec<Cell>) -> Self {
        Self { statement, cells: cells.into_iter(), read: 0 }
    }

    fn next(&mut self) -> Cell {
        self.read += 1;
        self.cells.next().unwrap_or(Cell::Null)
    }

    /// What is stored is not what this server stores: names the statement and the column.
    fn damaged(&self, found: &Cell) -> Error {
        let name = self.statement.name();
        Error::new(Code::Internal, "the record store holds a value that cannot be read")
            .cause(format!("column {} of `{name}` is {found:?}", self.read))
    }

    /// The next column: text.
    ///
    /// # Errors
    /// `internal` when it is something else; so do all the others.
    pub fn text(&mut self) -> Result<String, Error> {
        self.text_or_none()?.ok_or_else(|| self.damaged(&Cell::Null))
    }

    /// The next column: text or NULL.
    pub fn text_or_none(&mut self) -> Result<Option<String>, Error> {
        match self.next() {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            other => Err(self.damaged(&other)),
        }
    }

    /// The next column: a whole number.
    pub fn integer(&mut self) -> Result<i64, Error> {
        self.integer_or_none()?.ok_or_else(|| self.damaged(&Cell::Null))
    }

    /// The next column: a whole number or NULL.
    pub fn integer_or_none(&mut self) -> Result<Option<i64>, Error> {
        match self.next() {
            Cell::Null => Ok(None),
            Cell::Integer(number) => Ok(Some(number)),
            other => Err(self.damaged(&other)),
        }
    }

    /// The next column: a count.
    pub fn count(&mut self) -> Result<u64, Error> {
        let number = self.integer()?;
        u64::try_from(number).map_err(|_| self.damaged(&Cell::Integer(number)))
    }

    /// The next column: a number or NULL.
    pub fn real_or_none(&mut self) -> Result<Option<f64>, Error> {
        match self.next() {
            Cell::Null => Ok(None),
            Cell::Real(number) => Ok(Some(number)),
            #[expect(clippy::cast_precision_loss, reason = "SQLite keeps 1.0 as 1 in an untyped answer")]
            Cell::Integer(number) => Ok(Some(number as f64)),
            other => Err(self.damaged(&other)),
        }
    }

    /// The next column: true or false.
    pub fn bool(&mut self) -> Result<bool, Error> {
        match self.next() {
            Cell::Bool(yes) => Ok(yes),
            Cell::Integer(number) => Ok(number != 0),
            other => Err(self.damaged(&other)),
        }
    }

    /// The next column: true, false or NULL.
    pub fn bool_or_none(&mut self) -> Result<Option<bool>, Error> {
        match self.next() {
            Cell::Null => Ok(None),
            Cell::Bool(yes) => Ok(Some(yes)),
            Cell::Integer(number) => Ok(Some(number != 0)),
            other => Err(self.damaged(&other)),
        }
    }

    /// The next column: a time.
    pub fn time(&mut self) -> Result<Instant, Error> {
        self.integer().map(Instant)
    }

    /// The next column: a time or NULL.
    pub fn time_or_none(&mut self) -> Result<Option<Instant>, Error> {
        Ok(self.integer_or_none()?.map(Instant))
    }

    /// The next column: bytes or NULL.
    pub fn bytes_or_none(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.next() {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            other => Err(self.damaged(&other)),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<Instant> for Value<'_> {
    fn from(time: Instant) -> Self {
        Self::Time(time)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
