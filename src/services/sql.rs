//! What an agent can ask of SQL databases.

use std::{sync::Arc, time::Duration};

use super::idempotency::{Idempotency, Start, port};
use crate::{
    config::{Access, Limits},
    domain::{
        idempotency::Key,
        json::Json,
        names::nearest,
        page::{Bounds, Cursor},
        sql::{
            Duplicates, Load, Loaded, NewRow, OnConflict, OnError, Plan, Purpose, Read, Rows, Statement, TableFilter,
            TableName, TableSummary, WrittenRow, filter,
            table::{CreatedTable, NewColumn, NewTable, TableSchema},
        },
    },
    error::{Code, Error},
    ports::sql::SqlDatabase,
};

/// A database that tools can name.
#[derive(Clone)]
pub struct Database {
    /// The name for `database`; the first one is the default.
    pub name: String,
    /// What it holds, for agents.
    pub description: Option<String>,
    /// Where reads go.
    pub reads: Arc<dyn SqlDatabase>,
    /// Where writes go: the same, unless reads have a role of their own.
    pub writes: Arc<dyn SqlDatabase>,
}

/// SQL databases behind the tools.
#[derive(Clone)]
pub struct Sql {
    databases: Vec<Database>,
    access: Arc<Access>,
    limits: Limits,
    idempotency: Idempotency,
}

/// A query as asked.
pub struct QueryRequest {
    /// Which database; none for the default.
    pub database: Option<String>,
    /// SQL text.
    pub query: String,
    /// Values for $1, $2, ….
    pub params: Vec<Json>,
    /// Rows to answer.
    pub rows_max: Option<u64>,
    /// Bytes to answer.
    pub bytes_max: Option<u64>,
    /// Statement time.
    pub timeout: Option<Duration>,
    /// Where an earlier answer ended.
    pub cursor: Option<String>,
}

/// Rows to write as asked.
pub struct LoadRequest {
    /// Table, as the caller wrote it.
    pub table: String,
    /// JSON objects.
    pub rows: Vec<Json>,
    /// What happens to a row whose key exists.
    pub on_conflict: OnConflict,
    /// What happens to a row that cannot be written.
    pub on_error: OnError,
    /// What happens to rows that share a key.
    pub duplicates: Duplicates,
}

/// A table to create as asked.
pub struct TableRequest {
    /// Table, as the caller wrote it.
    pub table: String,
    /// Columns.
    pub columns: Vec<NewColumn>,
    /// Columns of the primary key.
    pub primary_key: Vec<String>,
    /// An existing table is no error.
    pub if_not_exists: bool,
    /// Only say what would run.
    pub dry_run: bool,
}

/// An answer with where it goes on and how long it took.
pub struct Asked<T> {
    /// The answer.
    pub answer: T,
    /// Where the rest begins, and the question it belongs to.
    pub next: Option<(Cursor, String)>,
    /// Time in the database.
    pub elapsed_ms: u64,
}

impl Sql {
    /// Over at least one database; the first is the default.
    pub fn new(databases: Vec<Database>, access: Arc<Access>, limits: Limits, idempotency: Idempotency) -> Self {
        Self { databases, access, limits, idempotency }
    }

    /// The databases, for status.
    pub fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// Runs one reading statement.
    pub async fn query(&self, request: QueryRequest) -> Result<Asked<Rows>, Error> {
        let database = self.database(request.database.as_deref())?;
        let question = format!("{}\0{}\0{}", database.name, request.query, concat(&request.params));
        let offset = match &request.cursor {
            Some(token) => Cursor::decode(token, &question)?.offset,
            None => 0,
        };
        let read = Read {
            statement: Statement::parse(&request.query, Purpose::Run)?,
            params: request.params,
            bounds: Bounds {
                rows_max: self.limits.rows(request.rows_max, "max_rows")?,
                bytes_max: self.limits.bytes(request.bytes_max)?,
            },
            offset,
            timeout: self.limits.statement_time(request.timeout)?,
        };
        let started = std::time::Instant::now();
        let answer = database.reads.query(&read).await?;
        let given = offset + answer.rows.len() as u64;
        let next = answer.truncated.then_some((Cursor { offset: given }, question));
        Ok(Asked { answer, next, elapsed_ms: elapsed_ms(started) })
    }

    /// Explains one reading statement.
    pub async fn explain(&self, database: Option<&str>, query: &str, params: Vec<Json>) -> Result<Plan, Error> {
        let read = Read {
            statement: Statement::parse(query, Purpose::Explain)?,
            params,
            bounds: Bounds { rows_max: 1, bytes_max: self.limits.bytes(None)? },
            offset: 0,
            timeout: self.limits.statement_time(None)?,
        };
        self.database(database)?.reads.explain(&read).await
    }

    /// Lists tables.
    pub async fn tables(
        &self,
        database: Option<&str>,
        filter: TableFilter,
        limit: Option<u64>,
        cursor: Option<String>,
    ) -> Result<Asked<Vec<TableSummary>>, Error> {
        let database = self.database(database)?;
        let question = format!("{}\0{:?}", database.name, filter);
        let offset = match &cursor {
            Some(token) => Cursor::decode(token, &question)?.offset,
            None => 0,
        };
        let limit = self.limits.rows(limit, "limit")?;
        let started = std::time::Instant::now();
        let mut tables = database.reads.tables(&filter).await?;
        tables.retain(|table| self.access.schemas.allow(&table.schema));
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let more = tables.len() > from.saturating_add(limit);
        let answer: Vec<_> = tables.into_iter().skip(from).take(limit).collect();
        let next = more.then(|| (Cursor { offset: offset + answer.len() as u64 }, question));
        Ok(Asked { answer, next, elapsed_ms: elapsed_ms(started) })
    }

    /// Describes a table.
    pub async fn table(&self, database: Option<&str>, table: &str) -> Result<TableSchema, Error> {
        let name = self.allowed(table)?;
        let schema = self.database(database)?.reads.table(&name).await?;
        self.check_resolved(&schema.table)?;
        Ok(schema)
    }

    /// Counts rows.
    pub async fn count(&self, database: Option<&str>, table: &str, conditions: Option<Json>) -> Result<u64, Error> {
        let name = self.allowed(table)?;
        let conditions = filter::conditions(conditions.as_ref())?;
        self.database(database)?.reads.count(&name, &conditions).await
    }

    /// Writes one row.
    pub async fn insert(
        &self,
        database: Option<&str>,
        table: &str,
        row: Json,
        returning: Vec<String>,
        key: Option<Key>,
    ) -> Result<WrittenRow, Error> {
        let row = NewRow { table: self.allowed(table)?, row, returning };
        let writes = self.writable(database, "insert_data")?;
        let attempt = match self.idempotency.begin(key, Some(&**writes)).await? {
            Start::Answered(answer) => return Ok(answer),
            Start::Run(attempt) => attempt,
        };
        let done = writes.insert(&row, port(&attempt)).await;
        self.idempotency.end(attempt, done).await
    }

    /// Writes rows.
    pub async fn load(&self, database: Option<&str>, request: LoadRequest, key: Option<Key>) -> Result<Loaded, Error> {
        let writes = self.writable(database, "bulk_insert")?;
        self.limits.load(&request.rows)?;
        let load = Load {
            table: self.allowed(&request.table)?,
            rows: request.rows,
            on_conflict: request.on_conflict,
            on_error: request.on_error,
            duplicates: request.duplicates,
        };
        let attempt = match self.idempotency.begin(key, Some(&**writes)).await? {
            Start::Answered(answer) => return Ok(answer),
            Start::Run(attempt) => attempt,
        };
        let started = std::time::Instant::now();
        let done = writes.load(&load, port(&attempt)).await;
        let done = done.map(|loaded| Loaded { elapsed_ms: elapsed_ms(started), ..loaded });
        self.idempotency.end(attempt, done).await
    }

    /// Creates a table.
    pub async fn create_table(
        &self,
        database: Option<&str>,
        request: TableRequest,
        key: Option<Key>,
    ) -> Result<CreatedTable, Error> {
        let writes = self.writable(database, "create_table")?;
        if request.columns.is_empty() {
            return Err(Error::invalid("columns", "`columns` is empty; a table needs at least one"));
        }
        let table = NewTable {
            table: self.allowed(&request.table)?,
            columns: request.columns,
            primary_key: request.primary_key,
            if_not_exists: request.if_not_exists,
            dry_run: request.dry_run,
        };
        let attempt = match self.idempotency.begin(key, Some(&**writes)).await? {
            Start::Answered(answer) => return Ok(answer),
            Start::Run(attempt) => attempt,
        };
        let done = writes.create_table(&table, port(&attempt)).await;
        self.idempotency.end(attempt, done).await
    }

    fn database(&self, name: Option<&str>) -> Result<&Database, Error> {
        let found = match name {
            None => self.databases.first(),
            Some(name) => self.databases.iter().find(|database| database.name == name),
        };
        found.ok_or_else(|| {
            let known = self.databases.iter().map(|database| database.name.as_str());
            let list: Vec<&str> = known.clone().collect();
            Error::new(Code::NotFound, format!("no database `{}`", name.unwrap_or_default()))
                .argument("database")
                .did_you_mean(nearest(name.unwrap_or_default(), known))
                .hint(format!("the databases are: {}", list.join(", ")))
        })
    }

    fn writable(&self, database: Option<&str>, tool: &str) -> Result<&Arc<dyn SqlDatabase>, Error> {
        self.access.writing(tool)?;
        Ok(&self.database(database)?.writes)
    }

    fn allowed(&self, table: &str) -> Result<TableName, Error> {
        let name: TableName = table.parse()?;
        match &name.schema {
            Some(schema) if !self.access.schemas.allow(&schema.text) => Err(self.hidden_schema(&schema.text)),
            _ => Ok(name),
        }
    }

    /// An unqualified name may have been found in a schema that is not allowed, a qualified one in another spelling.
    fn check_resolved(&self, resolved: &str) -> Result<(), Error> {
        match resolved.parse::<TableName>().ok().and_then(|name| name.schema) {
            Some(schema) if !self.access.schemas.allow(&schema.text) => Err(self.hidden_schema(&schema.text)),
            _ => Ok(()),
        }
    }

    fn hidden_schema(&self, schema: &str) -> Error {
        Error::new(Code::Denied, format!("this server may not use the schema `{schema}`"))
            .argument("table")
            .hint("CALLBOARD_SCHEMAS names the allowed schemas")
    }
}

fn concat(params: &[Json]) -> String {
    params.iter().map(|param| param.get()).collect::<Vec<_>>().join("\0")
}

fn elapsed_ms(started: std::time::Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
