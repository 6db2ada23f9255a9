//! The embedded SQL database behind the SQL tools: `data.db`.

mod arbiter;
mod attempts;
mod catalog;
mod count;
mod ddl;
mod declared;
mod definition;
mod dialect;
mod encode;
mod guard;
mod insert;
mod load;
mod operands;
mod read;
mod select_list;
mod sheet;
mod sources;
mod structure;
mod values;
mod write;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{
    call::{Call, spawn_blocking_cancellable},
    failure,
    file::File,
};
use crate::{
    domain::{
        ops::{BackendStatus, State},
        sql::{
            Condition, Load, Loaded, NewRow, Plan, Read, Rows, TableFilter, TableName, TableSummary, WrittenRow,
            table::{CreatedTable, NewTable, TableSchema},
        },
    },
    error::{Code, Error},
    ports::{
        attempts::{Attempt, Settled, Settles},
        sql::SqlDatabase,
    },
};

/// Statements that run at once; more wait for their turn.
const READS_MAX: usize = 8;

/// The embedded database, one file.
pub struct DataFile {
    file: Arc<File>,
    reading: Semaphore,
    /// One at a time: waiting here costs no thread.
    writing: Semaphore,
    /// For what has no time of its own.
    time: Duration,
}

impl DataFile {
    /// Opened when first used. `time`: for what has none of its own.
    pub fn new(path: PathBuf, time: Duration) -> Self {
        Self {
            file: Arc::new(File::new(path, |_| Ok(()), guard::restrict)),
            reading: Semaphore::new(READS_MAX),
            writing: Semaphore::new(1),
            time,
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce(&Connection, &Call) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _turn = self.reading.acquire().await.map_err(|_| stopping())?;
        let file = Arc::clone(&self.file);
        spawn_blocking_cancellable("the embedded database", Call::new(time), move |call| {
            file.read(call, |connection| work(connection, call))
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &Call) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _turn = self.writing.acquire().await.map_err(|_| stopping())?;
        let file = Arc::clone(&self.file);
        spawn_blocking_cancellable("the embedded database", Call::new(self.time), move |call| {
            file.write(call, |connection| work(connection, call))
        })
        .await
    }
}

fn stopping() -> Error {
    Error::new(Code::Unavailable, "the server is stopping")
}

/// Looks a table up.
fn table(connection: &Connection, name: &TableName, call: &Call) -> Result<catalog::Table, Error> {
    catalog::find(connection, name).map_err(|error| failure::of(error, call))?
}

/// The name of an attempt, for the thread that writes.
fn name_of(attempt: Option<&dyn Attempt>) -> Option<String> {
    attempt.map(|attempt| attempt.id().to_owned())
}

#[async_trait::async_trait]
impl Settles for DataFile {
    async fn settle(&self, attempt: &str, _effect: Option<&str>) -> Result<Settled, Error> {
        let attempt = attempt.to_owned();
        self.write(move |connection, call| attempts::settle(connection, &attempt, call)).await
    }
}

#[async_trait::async_trait]
impl SqlDatabase for DataFile {
    async fn query(&self, read: &Read) -> Result<Rows, Error> {
        let (statement, params) = (read.statement.text().to_owned(), read.params.clone());
        let (bounds, offset) = (read.bounds, read.offset);
        self.read(read.timeout, move |connection, call| {
            read::query(connection, &read::Asked { statement: &statement, params: &params, bounds, offset }, call)
        })
        .await
    }

    async fn explain(&self, read: &Read) -> Result<Plan, Error> {
        let (statement, params) = (read.statement.text().to_owned(), read.params.clone());
        self.read(read.timeout, move |connection, call| read::explain(connection, &statement, &params, call)).await
    }

    async fn tables(&self, filter: &TableFilter) -> Result<Vec<TableSummary>, Error> {
        catalog::check_listed(filter.schema.as_deref())?;
        let filter = TableFilter { schema: filter.schema.clone(), pattern: filter.pattern.clone() };
        self.read(self.time, move |connection, call| {
            catalog::list(connection, &filter).map_err(|error| failure::of(error, call))
        })
        .await
    }

    async fn table(&self, name: &TableName) -> Result<TableSchema, Error> {
        let name = name.clone();
        self.read(self.time, move |connection, call| {
            let table = table(connection, &name, call)?;
            catalog::describe(connection, &table).map_err(|error| failure::of(error, call))
        })
        .await
    }

    async fn count(&self, name: &TableName, conditions: &[Condition]) -> Result<u64, Error> {
        let name = name.clone();
        let conditions: Vec<Condition> = conditions
            .iter()
            .map(|given| Condition {
                column: given.column.clone(),
                operator: given.operator,
                value: given.value.clone(),
            })
            .collect();
        self.read(self.time, move |connection, call| {
            count::count(connection, &table(connection, &name, call)?, &conditions, call)
        })
        .await
    }

    async fn load(&self, load: &Load, attempt: Option<&dyn Attempt>) -> Result<Loaded, Error> {
        let load = Load {
            table: load.table.clone(),
            rows: load.rows.clone(),
            on_conflict: load.on_conflict.clone(),
            on_error: load.on_error,
            duplicates: load.duplicates,
        };
        let attempt = name_of(attempt);
        self.write(move |connection, call| load::load(connection, load, attempt.as_deref(), call)).await
    }

    async fn insert(&self, row: &NewRow, attempt: Option<&dyn Attempt>) -> Result<WrittenRow, Error> {
        let row = NewRow { table: row.table.clone(), row: row.row.clone(), returning: row.returning.clone() };
        let attempt = name_of(attempt);
        self.write(move |connection, call| insert::insert(connection, &row, attempt.as_deref(), call)).await
    }

    async fn create_table(&self, new: &NewTable, attempt: Option<&dyn Attempt>) -> Result<CreatedTable, Error> {
        let statement = ddl::statement(new)?;
        let how = ddl::How {
            name: new.table.clone(),
            if_not_exists: new.if_not_exists,
            dry_run: new.dry_run,
            attempt: name_of(attempt),
        };
        self.write(move |connection, call| ddl::create(connection, &how, statement, call)).await
    }

    fn product(&self) -> String {
        let version = rusqlite::version();
        let short = version.rsplit_once('.').map_or(version, |(short, _)| short);
        format!("SQLite {short}, embedded")
    }

    async fn status(&self) -> BackendStatus {
        let started = Instant::now();
        let looked = self
            .read(Duration::from_secs(2), |connection, call| {
                connection
                    .query_row("-- status\nSELECT sqlite_version()", [], |row| row.get::<_, String>(0))
                    .map_err(|error| failure::of(error, call))
            })
            .await;
        let file = Arc::clone(&self.file);
        let written = match &looked {
            Ok(_) => {
                spawn_blocking_cancellable("the embedded database", Call::new(Duration::from_secs(2)), move |call| {
                    file.try_writing(call)
                })
                .await
            }
            Err(_) => Ok(()),
        };
        let (version, problem) = match looked {
            Ok(version) => (Some(version), written.err()),
            Err(error) => (None, Some(error)),
        };
        BackendStatus {
            name: "sql".to_owned(),
            kind: "sqlite",
            state: if problem.is_none() { State::Up } else { State::Down },
            version,
            latency_ms: started.elapsed().as_secs_f64() * 1_000.0,
            problem,
            notes: vec![format!("embedded, in {}", self.file.path().display())],
            remedy: None,
        }
    }
}
