//! A SQL database. Every adapter passes `tests/it/contract/sql.rs`.

use crate::{
    domain::{
        ops::BackendStatus,
        sql::{
            Condition, Load, Loaded, NewRow, Plan, Read, Rows, TableFilter, TableName, TableSummary, WrittenRow,
            table::{CreatedTable, NewTable, TableSchema},
        },
    },
    error::Error,
    ports::attempts::{Attempt, Settles},
};

/// One database: reading can only read, and each write is one transaction. Dropping a future of any method stops the work in the
/// database too. A write for an attempt can be settled later, whatever ends it. A database that cannot be reached answers `unavailable` within one second.
#[async_trait::async_trait]
pub trait SqlDatabase: Settles {
    /// Runs one reading statement.
    async fn query(&self, read: &Read) -> Result<Rows, Error>;

    /// Says how a statement would be run, without running it.
    async fn explain(&self, read: &Read) -> Result<Plan, Error>;

    /// Tables and views that this role can see, ordered by schema and name; those of system schemas never.
    async fn tables(&self, filter: &TableFilter) -> Result<Vec<TableSummary>, Error>;

    /// A table's make-up. `not_found` brings near names.
    async fn table(&self, name: &TableName) -> Result<TableSchema, Error>;

    /// Rows that meet all conditions, counted exactly.
    async fn count(&self, table: &TableName, conditions: &[Condition]) -> Result<u64, Error>;

    /// Writes rows in one transaction: all of it stands, or with [`crate::domain::sql::OnError::Reject`] all good rows, or nothing.
    async fn load(&self, load: &Load, attempt: Option<&dyn Attempt>) -> Result<Loaded, Error>;

    /// Writes one row.
    async fn insert(&self, row: &NewRow, attempt: Option<&dyn Attempt>) -> Result<WrittenRow, Error>;

    /// Creates a table.
    async fn create_table(&self, table: &NewTable, attempt: Option<&dyn Attempt>) -> Result<CreatedTable, Error>;

    /// What answers, with its version where an earlier answer told it: `PostgreSQL 16.4`. Asks nobody.
    fn product(&self) -> String;

    /// A fresh look at the database: never an `Err`, the problem is in the answer.
    async fn status(&self) -> BackendStatus;
}
