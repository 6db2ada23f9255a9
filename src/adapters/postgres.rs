//! PostgreSQL. [`pool`] gives connections, [`failure`] reads errors, [`catalog`] finds tables; the rest is one file per thing asked.

pub mod address;
mod attempt;
pub mod catalog;
pub mod connect;
mod count;
mod ddl;
pub mod explain;
pub mod failure;
pub mod forbidden;
mod insert;
mod load;
pub mod params;
pub mod pool;
pub mod read;
pub mod status;
pub mod store;
pub mod tls;
pub mod values;

use std::{sync::Arc, time::Duration};

use secrecy::ExposeSecret;

use self::pool::Pool;
use crate::{
    background::Background,
    config::{Access, DatabaseConfig},
    domain::{
        ops::BackendStatus,
        sql::{
            Condition, Load, Loaded, NewRow, Plan, Read, Rows, TableFilter, TableName, TableSummary, WrittenRow,
            table::{CreatedTable, NewTable, TableSchema},
        },
    },
    error::Error,
    ports::{
        attempts::{Attempt, Settled, Settles},
        sql::SqlDatabase,
    },
};

/// A PostgreSQL database behind the SQL tools.
pub struct Postgres {
    pool: Pool,
    name: String,
    access: Arc<Access>,
    remembered: load::Remembered,
    repeated: read::Repeated,
    /// For what has no time of its own.
    time: Duration,
}

impl Postgres {
    /// Connects when first used. `time`: for what has none of its own.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(
        settings: &DatabaseConfig,
        access: Arc<Access>,
        background: Background,
        time: Duration,
    ) -> Result<Self, Error> {
        Ok(Self {
            pool: Pool::new(settings.url.expose_secret().parse()?, background)?,
            name: settings.name.clone(),
            access,
            remembered: load::Remembered::default(),
            repeated: read::Repeated::default(),
            time,
        })
    }
}

#[async_trait::async_trait]
impl Settles for Postgres {
    async fn settle(&self, _attempt: &str, effect: Option<&str>) -> Result<Settled, Error> {
        self.outcome(effect).await
    }
}

#[async_trait::async_trait]
impl SqlDatabase for Postgres {
    async fn query(&self, read: &Read) -> Result<Rows, Error> {
        read::query(&self.pool, &self.access, &self.repeated, read).await
    }
    async fn explain(&self, read: &Read) -> Result<Plan, Error> {
        explain::explain(&self.pool, &self.access, read).await
    }
    async fn tables(&self, filter: &TableFilter) -> Result<Vec<TableSummary>, Error> {
        catalog::list::tables(&self.pool, &self.access, filter).await
    }
    async fn table(&self, name: &TableName) -> Result<TableSchema, Error> {
        catalog::describe::table(&self.pool, &self.access, name).await
    }
    async fn count(&self, table: &TableName, conditions: &[Condition]) -> Result<u64, Error> {
        count::count(&self.pool, &self.access, table, conditions, self.time).await
    }
    async fn load(&self, load: &Load, attempt: Option<&dyn Attempt>) -> Result<Loaded, Error> {
        self.load_rows(load, attempt).await
    }
    async fn insert(&self, row: &NewRow, attempt: Option<&dyn Attempt>) -> Result<WrittenRow, Error> {
        self.insert_row(row, attempt).await
    }
    async fn create_table(&self, table: &NewTable, attempt: Option<&dyn Attempt>) -> Result<CreatedTable, Error> {
        self.make_table(table, attempt).await
    }
    fn product(&self) -> String {
        match self.pool.version() {
            // A distribution adds its own: `16.4 (Debian 16.4-1)`.
            Some(version) => format!("PostgreSQL {}", version.split(' ').next().unwrap_or_default()),
            None => "PostgreSQL".to_owned(),
        }
    }

    async fn status(&self) -> BackendStatus {
        status::status(&self.pool, &self.name).await
    }
}
