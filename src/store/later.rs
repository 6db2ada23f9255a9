//! Writes that are put off to the end of a transaction, where they leave together with its commit.

use super::Value;
use crate::clock::Instant;

/// A statement that writes one row, with its values.
#[derive(Debug, Clone)]
pub struct Later {
    /// The statement.
    pub sql: &'static str,
    /// The same for many rows: takes an array of each column. For stores where a statement has a way to go.
    pub many: &'static str,
    /// Its values.
    pub values: Vec<Kept>,
}

impl Later {
    /// Whether it changes rows that are there, which others may want to change too.
    pub fn is_change(&self) -> bool {
        self.sql.lines().any(|line| line.starts_with("UPDATE"))
    }
}

/// A value of its own, of a statement that is put off.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// NULL.
    Null,
    /// bigint.
    Integer(i64),
    /// text.
    Text(String),
    /// timestamptz.
    Time(Instant),
}

impl Kept {
    /// As a value for a statement.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text),
            Self::Time(time) => Value::Time(*time),
        }
    }
}

impl From<&str> for Kept {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Kept {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<i64> for Kept {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Instant> for Kept {
    fn from(time: Instant) -> Self {
        Self::Time(time)
    }
}

impl<T: Into<Kept>> From<Option<T>> for Kept {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
