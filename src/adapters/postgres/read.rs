//! Reading statements: one code path for all of them, in a transaction that cannot write and always ends with ROLLBACK.
//!
//! The caller's text stands inside `SELECT … FROM (text) LIMIT n`: only a source of rows can stand there. It is described first, which
//! gives the types of its columns and parameters, and then run with an expression for each column that fetches a form we can read.

mod repeated;

use std::{
    fmt::Write as _,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, join},
};
use tokio::time::timeout;
use tokio_postgres::{Row, RowStream, Statement as Described, types::Type};

use self::repeated::Known;
pub use self::repeated::Repeated;
use super::{
    catalog,
    failure::{in_text, meaning, sqlstate},
    forbidden::{self, Seen},
    params::{self, Parameter},
    pool::{End, Pool, Work, Writes},
    values::{self, Rendering},
};
use crate::{
    config::Access,
    domain::{
        json::Json,
        names::nearest,
        page::Bounds,
        sql::{
            Column, Read, Rows,
            guard::{Form, Statement},
        },
    },
    error::{Code, Error},
};

/// Before the caller's text while it is described.
const DESCRIBE: &str = "SELECT * FROM (\n";
/// Bytes that are read and thrown away to keep a connection whose answer was cut; for more the statement is stopped instead.
const DISCARDED_MAX: usize = 1 << 20;
/// A pooler hands other sessions' connections on; so often a statement of an unlucky name is tried on another one.
const CONNECTIONS_TRIED: usize = 12;

/// A statement, checked and described.
pub(super) struct Prepared {
    described: Described,
    seen: Seen,
    /// Values for its parameters.
    pub(super) bound: Vec<(Parameter, Type)>,
}

/// What is done with a checked statement, and how its transaction ends.
pub(super) type Run<T> = for<'a> fn(&'a Work, &'a Read, Prepared) -> BoxFuture<'a, Result<(T, End), Error>>;

/// Runs `read`.
///
/// # Errors
/// Every refusal and failure that a statement can meet, with its place in the caller's text.
pub async fn query(pool: &Pool, access: &Access, repeated: &Repeated, read: &Read) -> Result<Rows, Error> {
    if let Some(done) = repeated.query(pool, access, read).await {
        return done;
    }
    let (rows, known) = in_transaction(pool, access, read, |work, read, prepared| match read.statement.form() {
        Form::Rows => rows(work, read, prepared).boxed(),
        Form::Explain | Form::Show => directly(work, read, prepared).boxed(),
    })
    .await?;
    // With named schemas the search path has to be known before; what may be a hidden schema has to be looked at.
    let always_asks = || access.schemas.are_named() || !forbidden::hidden(&read.statement, access).is_empty();
    if let Some(known) = known.filter(|_| !always_asks()) {
        repeated.remember(pool, read, known);
    }
    Ok(rows)
}

/// Runs `run` with the checked statement in a transaction of its own.
///
/// # Errors
/// Those of the checks, of `run`, and `timeout` when the server does not stop in time.
pub(super) async fn in_transaction<T: Send>(
    pool: &Pool,
    access: &Access,
    read: &Read,
    run: Run<T>,
) -> Result<T, Error> {
    let mut asked = Asked { access, read, run, forget: false, types_first: false, types_seen: AtomicBool::new(false) };
    for _ in 0..CONNECTIONS_TRIED {
        let done = pool
            .transaction(
                Writes::No,
                read.timeout,
                &asked,
                |work, asked| asked.first(work).boxed(),
                |work, asked, prepared| asked.rest(work, prepared).boxed(),
            )
            .await;
        match done {
            // Behind a pooler: the name of a statement is taken, or was another connection's.
            Err(error) if matches!(sqlstate(&error), Some("26000" | "42P05")) => asked.forget = true,
            Err(_) if !asked.types_first && *asked.types_seen.get_mut() => asked.types_first = true,
            done => return done,
        }
    }
    Err(Error::new(Code::Unavailable, "the pooler in front of the database mixes up its sessions")
        .hint("the operator can point DATABASE_URL at the database itself"))
}

/// A statement on its way.
struct Asked<'asked, T> {
    access: &'asked Access,
    read: &'asked Read,
    run: Run<T>,
    /// What is prepared on the connection is not ours.
    forget: bool,
    /// Types are looked at before the statement is described, because they were seen.
    types_first: bool,
    types_seen: AtomicBool,
}

impl<T> Asked<'_, T> {
    /// In good time, or not at all.
    async fn first(&self, work: &Work) -> Result<Result<Prepared, Error>, Error> {
        let prepared = async {
            if self.forget {
                work.batch_execute("-- forget\nDEALLOCATE ALL").await.map_err(meaning)?;
            }
            self.prepare(work).await
        };
        Ok(in_time(self.read, prepared).await.unwrap_or_else(|| Err(late())))
    }

    /// Checks the words of the statement and describes it, both at once where none of them names a type to look at before.
    async fn prepare(&self, work: &Work) -> Result<Prepared, Error> {
        let Self { access, read, .. } = *self;
        if access.schemas.are_named()
            && let Some(path) = forbidden::search_path(work, access).await?
        {
            work.query_typed(
                "-- search_path\nSELECT pg_catalog.set_config('search_path', $1, true)",
                &[(&path, Type::TEXT)],
            )
            .await
            .map_err(meaning)?;
        }
        // A statement that cannot be described ends the transaction, so the look-up has to be on its way before.
        forbidden::get_ready(work, &read.statement, access).await?;
        if self.types_first {
            forbidden::check_types(work, &read.statement, access).await?;
        }
        let checked = forbidden::check(work, &read.statement, access, self.types_first);
        let (seen, described) = join(checked, describe(work, &read.statement)).await;
        let seen = seen?;
        self.types_seen.store(seen == Seen::Types, Ordering::Relaxed);
        let described = described?;
        if seen == Seen::Views {
            forbidden::check_views(work, &read.statement, access).await?;
        }
        let bound = params::bind(&read.params, described.params())?;
        Ok(Prepared { described, seen, bound })
    }

    async fn rest(&self, work: &Work, prepared: Result<Prepared, Error>) -> (Result<T, Error>, End) {
        let whole = async { (self.run)(work, self.read, prepared?).await };
        match in_time(self.read, whole).await.unwrap_or_else(|| Err(late())) {
            Ok((answer, end)) => (Ok(answer), end),
            Err(error) if is_late(&error) => (Err(error), End::Abandon),
            Err(error) => (Err(helped(work, self.access, self.read, error).await), End::Rollback),
        }
    }
}

/// What the server says in time; its own limit comes first.
async fn in_time<T>(read: &Read, answered: impl Future<Output = T>) -> Option<T> {
    timeout(read.timeout + Duration::from_secs(1), answered).await.ok()
}

/// Types of the statement's columns and parameters.
async fn describe(work: &Work, statement: &Statement) -> Result<Described, Error> {
    let text = statement.text();
    match statement.form() {
        Form::Rows => work
            .prepare(&format!("{DESCRIBE}{text}\n) AS q"))
            .await
            .map_err(|error| in_text(error, DESCRIBE.len(), text, "query")),
        Form::Explain | Form::Show => work.prepare(text).await.map_err(|error| in_text(error, 0, text, "query")),
    }
}

fn late() -> Error {
    Error::new(Code::Timeout, "the database did not stop the statement in time")
}

/// Not the server's own word for it, which has a SQLSTATE.
fn is_late(error: &Error) -> bool {
    error.code == Code::Timeout && sqlstate(error).is_none()
}

async fn rows(work: &Work, read: &Read, prepared: Prepared) -> Result<((Rows, Option<Known>), End), Error> {
    let Prepared { described, seen, bound } = prepared;
    let shape = Shape::new(read, &described);
    let stream = work.query_typed_raw(&shape.sent, bound).await;
    let stream = stream.map_err(|error| in_text(error, shape.before, read.statement.text(), "query"))?;
    let (rows, end) = gather(read, &shape, stream).await?;
    let known = match seen {
        Seen::Only(objects) => Known::new(read, shape, described.params(), objects),
        Seen::Harmless | Seen::Views | Seen::Types => None,
    };
    Ok(((rows, known), end))
}

async fn gather(read: &Read, shape: &Shape, stream: RowStream) -> Result<(Rows, End), Error> {
    let Shape { columns, renderings, before, .. } = shape;
    let of_text = |error| in_text(error, *before, read.statement.text(), "query");
    let flagged = renderings.iter().any(|rendering| rendering.left_out("").is_some());
    let mut stream = pin!(stream);
    let mut answer = Gathered::new(read.bounds, columns.clone());
    while let Some(row) = stream.try_next().await.map_err(of_text)? {
        if flagged && row.try_get(renderings.len()).map_err(meaning)? {
            return Err(too_long());
        }
        if !answer.take(renderings, &row)? {
            let left = drained(&mut stream).await;
            return Ok((answer.rows, left));
        }
    }
    Ok((answer.rows, End::Rollback))
}

/// EXPLAIN and SHOW: they cannot stand inside another statement, and they answer with few rows.
async fn directly(work: &Work, read: &Read, prepared: Prepared) -> Result<((Rows, Option<Known>), End), Error> {
    let text = read.statement.text();
    let mut answer = Gathered::new(read.bounds, columns(&prepared.described));
    let rows: Vec<Row> = work
        .query_typed_raw(text, prepared.bound)
        .await
        .map_err(|error| in_text(error, 0, text, "query"))?
        .try_collect()
        .await
        .map_err(|error| in_text(error, 0, text, "query"))?;
    let renderings = renderings(&prepared.described);
    for row in rows.iter().skip(usize::try_from(read.offset).unwrap_or(usize::MAX)) {
        if !answer.take(&renderings, row)? {
            break;
        }
    }
    Ok(((answer.rows, None), End::Rollback))
}

fn columns(described: &Described) -> Vec<Column> {
    let column = |column: &tokio_postgres::Column| Column {
        name: column.name().to_owned(),
        type_name: values::short_name(column.type_()),
    };
    described.columns().iter().map(column).collect()
}

fn renderings(described: &Described) -> Vec<Rendering> {
    described.columns().iter().map(|column| Rendering::of(column.type_())).collect()
}

/// How the rows of a described statement are fetched.
struct Shape {
    columns: Vec<Column>,
    renderings: Vec<Rendering>,
    sent: String,
    /// Characters in `sent` before the caller's text.
    before: usize,
}

impl Shape {
    /// Columns get names of our own, so that theirs may repeat.
    fn new(read: &Read, described: &Described) -> Self {
        let renderings = renderings(described);
        let names: Vec<String> = (0..renderings.len()).map(|place| format!("c{place}")).collect();
        let mut sent = fetching(&names, &renderings);
        let alias = if names.is_empty() { "q".to_owned() } else { format!("q ({})", names.join(", ")) };
        let before = enclose(&mut sent, read, &alias);
        Self { columns: columns(described), renderings, sent, before }
    }
}

/// The beginning of what is sent, which fetches the columns `sources`.
fn fetching(sources: &[String], renderings: &[Rendering]) -> String {
    let columns = sources.iter().zip(renderings);
    let mut fetched: Vec<String> = columns.clone().map(|(source, rendering)| rendering.expression(source)).collect();
    let left_out: Vec<String> = columns.filter_map(|(source, rendering)| rendering.left_out(source)).collect();
    if !left_out.is_empty() {
        fetched.push(left_out.join(" OR "));
    }
    format!("-- query\nSELECT {}", fetched.join(", "))
}

/// Adds the caller's text as a source of rows, and its bounds. Returns the characters before it.
fn enclose(sent: &mut String, read: &Read, alias: &str) -> usize {
    sent.push_str(" FROM (\n");
    let before = sent.chars().count();
    sent.push_str(read.statement.text());
    // Writing into a string cannot fail.
    write!(sent, "\n) AS {alias} OFFSET {} LIMIT {}", read.offset, read.bounds.rows_max.saturating_add(1)).ok();
    before
}

/// An answer that grows until a bound is reached.
struct Gathered {
    rows: Rows,
    bounds: Bounds,
    bytes: usize,
}

impl Gathered {
    fn new(bounds: Bounds, columns: Vec<Column>) -> Self {
        Self { rows: Rows { columns, rows: Vec::new(), truncated: false }, bounds, bytes: 2 }
    }

    /// Takes a row; false when it is one too many.
    fn take(&mut self, renderings: &[Rendering], row: &Row) -> Result<bool, Error> {
        if self.rows.rows.len() >= self.bounds.rows_max {
            self.rows.truncated = true;
            return Ok(false);
        }
        let text = values::row_text(renderings, row)?;
        self.bytes += text.len() + 1;
        if self.bytes > self.bounds.bytes_max {
            if self.rows.rows.is_empty() {
                return Err(row_too_long(self.bytes, self.bounds.bytes_max));
            }
            self.rows.truncated = true;
            return Ok(false);
        }
        self.rows.rows.push(values::json(text)?);
        Ok(true)
    }
}

fn row_too_long(bytes: usize, most: usize) -> Error {
    let at_least = if bytes > 1 << 20 { "over 1 MiB".to_owned() } else { format!("{bytes} bytes") };
    Error::new(Code::Limit, format!("one row of the answer takes {at_least}; `max_bytes` is {most}"))
        .argument("max_bytes")
        .hint("select fewer columns, shorten them with left(column, 500), or raise max_bytes (at most 1048576)")
}

fn too_long() -> Error {
    Error::new(Code::Limit, "an array of the answer is larger than 4 MiB")
        .argument("query")
        .hint("take a part of it: column[1:100], or unnest(column)")
}

/// Reads on to the end if that is near, so that the connection can be used again.
async fn drained<S>(stream: &mut std::pin::Pin<&mut S>) -> End
where
    S: futures_util::Stream<Item = Result<Row, tokio_postgres::Error>>,
{
    let mut discarded = 0;
    while let Some(row) = stream.next().await {
        let Ok(row) = row else { return End::Abandon };
        discarded += row.raw_size_bytes();
        if discarded > DISCARDED_MAX {
            return End::Abandon;
        }
    }
    End::Rollback
}

/// Adds near names to what was not found. The transaction has failed, so it begins again.
async fn helped(work: &Work, access: &Access, read: &Read, error: Error) -> Error {
    let again = "-- near_names\nROLLBACK; BEGIN READ ONLY; SET LOCAL statement_timeout = 1000";
    let near = async {
        let name = unknown_name(&error)?;
        work.batch_execute(again).await.ok()?;
        match sqlstate(&error) {
            Some("42P01") => catalog::near_tables(work, &name, &access.schemas).await.ok(),
            Some("42703") => near_columns(work, read, &name).await,
            Some("42883") => near_functions(work, &name).await,
            _ => None,
        }
    };
    match near.await {
        Some(near) if !near.is_empty() => error.did_you_mean(near),
        _ => error,
    }
}

/// The name in PostgreSQL's own sentence: `relation "x" does not exist`, `column p.x does not exist`.
fn unknown_name(error: &Error) -> Option<String> {
    let message = error.message.as_str();
    if !matches!(sqlstate(error), Some("42P01" | "42703" | "42883")) || message.starts_with("operator") {
        return None;
    }
    if let Some((_, rest)) = message.split_once('"') {
        return rest.split_once('"').map(|(name, _)| name.to_owned());
    }
    let name = message.split(' ').nth(1)?;
    let name = name.split('(').next()?;
    Some(name.to_owned())
}

/// Columns of the tables whose names stand in the statement.
async fn near_columns(work: &Work, read: &Read, name: &str) -> Option<Vec<String>> {
    let sql = "-- near_columns
SELECT DISTINCT a.attname::text
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
WHERE c.relname = ANY ($1 /* names in the statement */) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND a.attnum > 0 AND NOT a.attisdropped
LIMIT 2000";
    let words: Vec<&str> = read.statement.names().map(|name| name.name).collect();
    known_near(work, sql, words, name).await
}

async fn near_functions(work: &Work, name: &str) -> Option<Vec<String>> {
    let sql = "-- near_functions
SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc p
WHERE pg_catalog.pg_function_is_visible(p.oid) AND p.provolatile <> 'v' AND p.prokind <> 'p'
  AND $1 /* unused */::name[] IS NOT NULL AND p.proname !~ '^_|(in|out|recv|send|sel|cmp|support)$'";
    known_near(work, sql, Vec::new(), name).await
}

async fn known_near(work: &Work, sql: &str, words: Vec<&str>, name: &str) -> Option<Vec<String>> {
    let rows = work.query_typed(sql, &[(&words, Type::NAME_ARRAY)]).await.ok()?;
    let known: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    let wanted = name.rsplit('.').next().unwrap_or(name);
    Some(nearest(wanted, known.iter().map(String::as_str)))
}

/// One value of JSON type, for EXPLAIN (FORMAT JSON).
pub(super) async fn one_json(
    work: &Work,
    sent: &str,
    prepared: Prepared,
    before: usize,
    text: &str,
) -> Result<Json, Error> {
    let stream =
        work.query_typed_raw(sent, prepared.bound).await.map_err(|error| in_text(error, before, text, "query"))?;
    let rows: Vec<Row> = stream.try_collect().await.map_err(|error| in_text(error, before, text, "query"))?;
    let row = rows.first().ok_or_else(|| Error::new(Code::Internal, "the database gave no plan"))?;
    let mut out = Vec::new();
    Rendering::of(&Type::JSON).write(row, 0, &mut out)?;
    values::json(out)
}
