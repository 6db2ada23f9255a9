//! The record store's tables, version by version. Forward only; a released file is never edited.

use std::time::Duration;

use futures_util::{FutureExt, future::ready};

use tokio_postgres::types::Type;

use super::failure;
use crate::{
    adapters::postgres::{
        failure::{meaning, sqlstate},
        pool::{End, Pool, Work, Writes},
    },
    config::Migrate,
    error::{Code, Error},
};

/// Every version in order; the first is 1.
const MIGRATIONS: [&str; 4] = [
    include_str!("../../../../migrations/postgres/0001_idempotency.sql"),
    include_str!("../../../../migrations/postgres/0002_workflows.sql"),
    include_str!("../../../../migrations/postgres/0003_events_of_agents.sql"),
    include_str!("../../../../migrations/postgres/0004_attempts.sql"),
];

/// The newest version.
pub(super) const NEWEST: usize = MIGRATIONS.len();

/// What a step of a migration may take.
const TIME: Duration = Duration::from_secs(60);

/// Of several processes one does it.
const ALONE: &str = "-- migrate_alone
SET LOCAL lock_timeout = '60s';
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('callboard.migrate', 0))";

/// The version the store has; 0 where there is none. Changes nothing.
///
/// # Errors
/// When the server cannot be asked.
pub(super) async fn found(pool: &Pool) -> Result<usize, Error> {
    pool.read(TIME, &(), |work, ()| version(work).boxed()).await.map_err(failure::of)
}

/// Brings the store to the newest version, or holds it to that.
///
/// # Errors
/// `unavailable` when it is of another version, or cannot be made here.
pub(super) async fn apply(pool: &Pool, migrate: Migrate) -> Result<(), Error> {
    match tried(pool, migrate).await {
        // Another process was first, and this session had not heard of it: a new transaction has.
        Err(error) if matches!(sqlstate(&error), Some("42P06" | "42P07" | "23505" | "3F000" | "42P01")) => {
            tried(pool, migrate).await
        }
        done => done,
    }
}

async fn tried(pool: &Pool, migrate: Migrate) -> Result<(), Error> {
    let version = found(pool).await?;
    if let Some(problem) = problem(version, migrate) {
        return Err(problem);
    }
    if version < NEWEST {
        let done = pool.transaction(
            Writes::Yes,
            TIME,
            &(),
            |_, ()| ready(Ok(())).boxed(),
            |work, (), ()| migrated(work).map(|done| (done, End::Commit)).boxed(),
        );
        let version = done.await.map_err(failure::of)?;
        if version > NEWEST {
            return Err(newer(version));
        }
    }
    Ok(())
}

/// Why a store of this version cannot be worked on.
pub(super) fn problem(version: usize, migrate: Migrate) -> Option<Error> {
    match (version, migrate) {
        (version, _) if version > NEWEST => Some(newer(version)),
        (version, Migrate::Never) if version < NEWEST => Some(older(version)),
        _ => None,
    }
}

/// The version the store had.
async fn migrated(work: &Work) -> Result<usize, Error> {
    work.batch_execute(ALONE).await.map_err(meaning)?;
    // Asked again: another process may have done it meanwhile.
    let found = version(work).await?;
    let is_made = "-- schema_exists\nSELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'callboard')";
    if !work.query_typed_one(is_made, &[]).await.map_err(meaning)?.try_get::<_, bool>(0).map_err(meaning)? {
        work.batch_execute("-- schema_create\nCREATE SCHEMA callboard").await.map_err(meaning)?;
    }
    let versions = "-- schema_version_create\nCREATE TABLE IF NOT EXISTS callboard.schema_version (version bigint PRIMARY KEY NOT NULL)";
    work.batch_execute(versions).await.map_err(meaning)?;
    for (place, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        work.batch_execute(migration).await.map_err(meaning)?;
        let add = "-- schema_version_add\nINSERT INTO callboard.schema_version (version) VALUES ($1)";
        work.execute_typed(add, &[(&(place as i64 + 1), Type::INT8)]).await.map_err(meaning)?;
    }
    Ok(found)
}

async fn version(work: &Work) -> Result<usize, Error> {
    let is_made = "-- schema_version_exists\nSELECT pg_catalog.to_regclass('callboard.schema_version') IS NOT NULL";
    if !work.query_typed_one(is_made, &[]).await.map_err(meaning)?.try_get::<_, bool>(0).map_err(meaning)? {
        return Ok(0);
    }
    let newest = "-- schema_version\nSELECT pg_catalog.max(version) FROM callboard.schema_version";
    let found: Option<i64> = work.query_typed_one(newest, &[]).await.map_err(meaning)?.try_get(0).map_err(meaning)?;
    Ok(usize::try_from(found.unwrap_or_default()).unwrap_or(usize::MAX))
}

fn older(version: usize) -> Error {
    let message = match version {
        0 => "the record store is not made yet".to_owned(),
        version => format!("the record store has version {version}, and this server needs {NEWEST}"),
    };
    Error::new(Code::Unavailable, message)
        .hint("CALLBOARD_MIGRATE=never keeps it from being changed: run `callboard migrate`")
}

fn newer(version: usize) -> Error {
    Error::new(Code::Unavailable, format!("the record store has version {version}, and this server knows {NEWEST}"))
        .hint("a newer callboard has written it: update this one")
}
