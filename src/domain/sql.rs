//! SQL databases: what can be asked of one, and what it answers.

pub mod column_types;
pub mod filter;
pub mod guard;
pub mod hints;
pub mod lexer;
pub mod rows;
pub mod table;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{json::Json, page::Bounds};

pub use guard::{Purpose, Statement};
pub use table::TableName;

/// One reading query.
#[derive(Debug)]
pub struct Read {
    /// What to run; already held to be one reading statement.
    pub statement: Statement,
    /// Values for $1, $2, …, as JSON.
    pub params: Vec<Json>,
    /// How much to answer.
    pub bounds: Bounds,
    /// Rows to pass over: where an earlier answer ended.
    pub offset: u64,
    /// How long the statement may run.
    pub timeout: Duration,
}

/// What a query answered.
#[derive(Debug, Default)]
pub struct Rows {
    /// In the query's order; names may repeat.
    pub columns: Vec<Column>,
    /// Each row a JSON array.
    pub rows: Vec<Json>,
    /// There are more rows than these.
    pub truncated: bool,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The backend's short type name: int4, numeric, timestamptz, text[].
    pub type_name: String,
}

/// How a statement would be run.
#[derive(Debug)]
pub struct Plan {
    /// The plan as the backend tells it: JSON for PostgreSQL, a list of steps for SQLite.
    pub plan: Json,
    /// The planner's estimate in its own unit; SQLite has none.
    pub cost: Option<f64>,
    /// Rows the planner expects.
    pub estimated_rows: Option<f64>,
    /// Whole tables that would be read although a condition is on them.
    pub scans: Vec<Scan>,
}

/// A table read from end to end.
#[derive(Debug)]
pub struct Scan {
    /// Which table.
    pub table: String,
    /// Rows it is thought to hold.
    pub estimated_rows: Option<f64>,
    /// The condition it is filtered by, as the backend writes it.
    pub filter: Option<String>,
}

/// Which tables to list.
#[derive(Debug, Default)]
pub struct TableFilter {
    /// Only this schema.
    pub schema: Option<String>,
    /// A LIKE pattern, or a name with `*`.
    pub pattern: Option<String>,
}

/// One line of a list of tables.
#[derive(Debug)]
pub struct TableSummary {
    /// Schema; `main` on SQLite.
    pub schema: String,
    /// Name.
    pub name: String,
    /// table, view, materialized view, foreign table, partitioned table, partition.
    pub kind: &'static str,
    /// The backend's estimate; `None` where there is none.
    pub estimated_rows: Option<i64>,
    /// With indexes and TOAST.
    pub size_bytes: Option<i64>,
    /// Comment.
    pub comment: Option<String>,
}

/// A condition on one column; all conditions of a call must hold.
#[derive(Debug)]
pub struct Condition {
    /// Column, as the caller wrote it.
    pub column: String,
    /// How to compare.
    pub operator: Operator,
    /// With what: a JSON value; an array for `in`; a boolean for `is_null`.
    pub value: Json,
}

impl Condition {
    /// The value is a list that holds lists.
    pub fn is_list_of_lists(&self) -> bool {
        self.value.get().strip_prefix('[').is_some_and(|first| first.trim_start().starts_with('['))
    }
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// One of a list.
    In,
    /// SQL LIKE.
    Like,
    /// LIKE without case.
    Ilike,
    /// Is null (true) or is not null (false).
    IsNull,
}

impl Operator {
    /// Every operator with its name on the wire.
    pub const ALL: [(&'static str, Self); 10] = [
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("gt", Self::Gt),
        ("gte", Self::Gte),
        ("lt", Self::Lt),
        ("lte", Self::Lte),
        ("in", Self::In),
        ("like", Self::Like),
        ("ilike", Self::Ilike),
        ("is_null", Self::IsNull),
    ];
}

/// Rows to write into one table, as one transaction.
#[derive(Debug)]
pub struct Load {
    /// Where to.
    pub table: TableName,
    /// Each a JSON object: column → value. A missing key keeps the default (insert) or the old value (update); null writes NULL.
    pub rows: Vec<Json>,
    /// What happens to a row whose key exists.
    pub on_conflict: OnConflict,
    /// What happens to a row that cannot be written.
    pub on_error: OnError,
    /// What happens to rows of this load that share a key.
    pub duplicates: Duplicates,
}

/// What happens to a row whose key exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnConflict {
    /// It is an error of that row.
    Error,
    /// The old row stays and the new one counts as unchanged.
    Ignore,
    /// The old row takes the new values. Columns of a unique index; empty means the primary key.
    Update(Vec<String>),
}

/// What happens to a row that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Nothing is written; the first reason is the answer.
    Abort,
    /// The good rows stay, the bad ones are returned with their reasons.
    Reject,
}

/// What happens to rows of one load that share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// All but the first are errors.
    Refuse,
    /// The last one wins; the others are counted as merged.
    Last,
}

/// What a load did. inserted + updated + unchanged + merged + rejected = rows given.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Loaded {
    /// The table, resolved: `schema.name`.
    pub table: String,
    /// New rows.
    pub inserted: u64,
    /// Rows whose values changed.
    pub updated: u64,
    /// Rows that were there as given.
    pub unchanged: u64,
    /// Rows of this load that a later row with the same key replaced.
    pub merged: u64,
    /// Rows not written, in the order given.
    pub rejected: Vec<Reject>,
    /// Milliseconds that it took; 0 where the call was cut off before it was known.
    pub elapsed_ms: u64,
}

/// A row that was not written.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reject {
    /// Its place in the rows given, from 0.
    pub position: usize,
    /// The column at fault, where known.
    pub column: Option<String>,
    /// SQLSTATE, on every backend.
    pub code: String,
    /// The backend's sentence.
    pub reason: String,
    /// The row as given.
    pub row: Json,
}

/// One row to write.
#[derive(Debug)]
pub struct NewRow {
    /// Where to.
    pub table: TableName,
    /// A JSON object: column → value.
    pub row: Json,
    /// Columns to give back; empty means the primary key.
    pub returning: Vec<String>,
}

/// A row as it was written.
#[derive(Debug, Serialize, Deserialize)]
pub struct WrittenRow {
    /// The table, resolved: `schema.name`.
    pub table: String,
    /// A JSON object of the columns asked for.
    pub row: Json,
}
