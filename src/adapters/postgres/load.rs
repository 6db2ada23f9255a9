//! Writing rows. Bulk first: one statement, or a COPY into a staging table and one statement. A unit that fails is written again row by
//! row in one block on the server, which gives every row its own reason. All of it is one transaction.

mod arbiter;
mod batch;
mod binary;
mod cell;
mod documents;
mod keys;
mod one_by_one;
mod refusal;
mod remembered;
mod staging;
mod statement;
mod unit;

use std::time::Duration;

use futures_util::FutureExt;
use tokio_postgres::{Client, types::Type};

pub(super) use self::remembered::Remembered;
use self::{
    arbiter::{conflict, told_apart_by},
    batch::{Apart, Batch},
    refusal::refusal,
    remembered::{Begun, begin},
    staging::Staging,
    statement::{Conflict, Source, write},
    unit::{Body, Unit},
};
use super::{
    Postgres,
    attempt::proved,
    catalog::Table,
    failure::{meaning, sqlstate},
    pool::{End, Work, Writes},
};
use crate::{
    domain::{
        json,
        sql::{
            Duplicates, Load, Loaded, OnError, Reject,
            rows::{Fault, readable},
        },
    },
    error::{Code, Error, Place},
    ports::attempts::Attempt,
};

/// For one statement; the call's own deadline ends it earlier by dropping it.
pub(super) const WRITE_TIME: Duration = Duration::from_secs(600);
/// Rounds for rows that refer to each other; a chain longer than this in one call, in the wrong order, is not followed.
const ROUNDS_MAX: usize = 32;

const KEEP: &str = "-- load_unit_keep\nRELEASE SAVEPOINT callboard_unit; SAVEPOINT callboard_unit";
/// After a statement that failed for a reason of a row.
pub(super) const UNDO: &str = "-- load_unit_undo\nROLLBACK TO SAVEPOINT callboard_unit";

/// Rows written so far.
#[derive(Default)]
struct Progress {
    inserted: u64,
    updated: u64,
    /// Rows that failed, with the unit they belong to.
    faults: Vec<(usize, usize, Fault)>,
}

impl Postgres {
    /// Writes rows in one transaction.
    pub(super) async fn load_rows(&self, load: &Load, attempt: Option<&dyn Attempt>) -> Result<Loaded, Error> {
        let ready = self.ready(load).await;
        self.pool
            .transaction(
                Writes::Rows,
                WRITE_TIME,
                &(self, load, ready, attempt),
                |work, (postgres, load, ready, _)| begin(work, &postgres.access, load, ready.as_ref()).boxed(),
                |work, (postgres, load, _, attempt), begun| {
                    let done = async move {
                        let done = match begun {
                            Begun::Written(loaded) => Ok(loaded),
                            Begun::Found(table) => postgres.load_in(work, table, load).await,
                        };
                        proved(work, *attempt, done).await
                    };
                    done.map(|done| (done, End::Commit)).boxed()
                },
            )
            .await
    }

    async fn load_in(&self, client: &Work, table: Table, load: &Load) -> Result<Loaded, Error> {
        self.allowed(&table.schema)?;
        self.remembered.keep(load, &table);
        let conflict = match conflict(&table, &load.on_conflict) {
            Ok(conflict) => conflict,
            Err(refused) => arbiter::other(client, &table, load, refused).await?,
        };
        let mut apart = told_apart_by(&table, &conflict, load.duplicates);
        if shares_keys_unseen(&table, &conflict, load) {
            apart.repeated = keys::repeated(client, &table, load, apart.numbered).await?;
        }
        let mut batch = Batch::new(&table, &load.rows, apart.clone(), load.duplicates);
        let mut staging = Staging::new(client, 0);
        batch.fill(Some(&mut staging)).await;
        if batch.unsure {
            drop(staging);
            client.batch_execute(UNDO).await.map_err(meaning)?;
            let groups = Some(keys::groups(client, &batch).await?);
            batch = Batch::new(&table, &load.rows, Apart { groups, ..apart }, load.duplicates);
            staging = Staging::new(client, 0);
            batch.fill(Some(&mut staging)).await;
        }
        let abort = load.on_error == OnError::Abort;
        let mut faults = std::mem::take(&mut batch.faults);
        if abort && let Some((position, fault)) = faults.first() {
            return Err(refusal(&table, &format!("rows[{position}]"), fault));
        }
        let mut units = std::mem::take(&mut batch.units);
        let mut progress = Progress::default();
        let mut staging = Some(staging);
        for (number, unit) in units.iter_mut().enumerate() {
            if number > 0 {
                client.batch_execute(KEEP).await.map_err(meaning)?;
            }
            let staging = staging.take().unwrap_or_else(|| Staging::new(client, number));
            write_unit(client, &batch, (number, unit), staging, &conflict, abort, &mut progress).await?;
        }
        heal(client, &batch, &units, &conflict, &mut progress).await?;
        faults.extend(progress.faults.into_iter().map(|(_, position, fault)| (position, fault)));
        faults.sort_by_key(|(position, _)| *position);
        if abort && let Some((position, fault)) = faults.first() {
            return Err(refusal(&table, &format!("rows[{position}]"), fault));
        }
        let given = load.rows.len() as u64;
        let known = progress.inserted + progress.updated + batch.merged + faults.len() as u64;
        Ok(Loaded {
            table: table.shown(),
            inserted: progress.inserted,
            updated: progress.updated,
            unchanged: given.saturating_sub(known),
            merged: batch.merged,
            rejected: faults.into_iter().map(|(position, fault)| reject(load, position, fault)).collect(),
            elapsed_ms: 0,
        })
    }

    /// A name without a schema may have been found where this server may not write.
    pub(super) fn allowed(&self, schema: &str) -> Result<(), Error> {
        if self.access.schemas.allow(schema) {
            return Ok(());
        }
        Err(Error::new(Code::Denied, format!("this server may not use the schema `{schema}`"))
            .argument("table")
            .hint("CALLBOARD_SCHEMAS names the allowed schemas"))
    }
}

/// Rows of the call could share one of several keys, and the later of them would be left out as if the table had its key before.
fn shares_keys_unseen(table: &Table, conflict: &Conflict, load: &Load) -> bool {
    *conflict == Conflict::Ignore
        && load.duplicates == Duplicates::Refuse
        && load.rows.len() > 1
        && table.keys.len() > usize::from(table.main_key().is_some())
}

/// In bulk, and if that fails for a reason of the rows, row by row.
async fn write_unit(
    client: &Work,
    batch: &Batch<'_>,
    (number, unit): (usize, &mut Unit),
    staging: Staging<'_>,
    conflict: &Conflict,
    abort: bool,
    progress: &mut Progress,
) -> Result<(), Error> {
    let mut seen = conflict.of_rows(batch.table, &unit.columns);
    let conflict = &seen.clone();
    let strict = matches!(conflict, Conflict::Update(target) if target.strict) && batch.refuses_duplicates();
    if strict {
        // A statement for all does not tell rows that share a key, where the first of them changes nothing.
        drop(staging);
        client.batch_execute(UNDO).await.map_err(meaning)?;
    } else if !unit.columns.is_empty() {
        match in_bulk(client, batch, unit, staging, conflict).await {
            // Every row of a plain insert is a new one, unless a trigger takes it away.
            Ok((inserted, _)) if *conflict == Conflict::Error && inserted < unit.positions.len() as u64 => {
                client.batch_execute(UNDO).await.map_err(meaning)?;
            }
            Ok((inserted, updated)) => {
                progress.inserted += inserted;
                progress.updated += updated;
                return Ok(());
            }
            Err(error) if of_a_row(&error) => {
                client.batch_execute(UNDO).await.map_err(meaning)?;
                // Rows share a key that a trigger gave them.
                if let (Conflict::Update(target), Some("21000")) = (&mut seen, sqlstate(&error)) {
                    target.strict |= batch.refuses_duplicates();
                }
            }
            Err(error) => return Err(error),
        }
    }
    let outcome = one_by_one::run(client, batch, unit, &unit.positions, &seen, abort).await?;
    progress.inserted += outcome.inserted;
    progress.updated += outcome.updated;
    progress.faults.extend(outcome.faults.into_iter().map(|(position, fault)| (number, position, fault)));
    Ok(())
}

/// Rows that refer to rows which were written after them are tried again.
async fn heal(
    client: &Client,
    batch: &Batch<'_>,
    units: &[Unit],
    conflict: &Conflict,
    progress: &mut Progress,
) -> Result<(), Error> {
    for _ in 0..ROUNDS_MAX {
        let (again, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut progress.faults).into_iter().partition(|(_, _, fault)| fault.code == "23503");
        progress.faults = rest;
        if again.is_empty() {
            return Ok(());
        }
        let before = again.len();
        let mut left = Vec::new();
        for (number, unit) in units.iter().enumerate() {
            let positions: Vec<usize> =
                again.iter().filter(|(of, _, _)| *of == number).map(|(_, position, _)| *position).collect();
            if positions.is_empty() {
                continue;
            }
            let conflict = conflict.of_rows(batch.table, &unit.columns);
            let outcome = one_by_one::run(client, batch, unit, &positions, &conflict, false).await?;
            progress.inserted += outcome.inserted;
            progress.updated += outcome.updated;
            left.extend(outcome.faults.into_iter().map(|(position, fault)| (number, position, fault)));
        }
        let done = left.len() == before;
        progress.faults.extend(left);
        if done {
            return Ok(());
        }
    }
    Ok(())
}

async fn in_bulk(
    client: &Work,
    batch: &Batch<'_>,
    unit: &mut Unit,
    staging: Staging<'_>,
    conflict: &Conflict,
) -> Result<(u64, u64), Error> {
    let body = match &mut unit.body {
        Body::Json(rows) => {
            rows.push(']');
            std::mem::take(rows)
        }
        Body::Binary(_) => {
            match staging.finish(batch.table, unit).await {
                Ok(name) => return from_staging(client, batch.table, unit, &name, conflict).await,
                // No right to make temporary tables.
                Err(error) if sqlstate(&error) == Some("42501") => {
                    client.batch_execute(UNDO).await.map_err(meaning)?;
                    documents(batch, unit)
                }
                Err(error) => return Err(error),
            }
        }
    };
    let statement = write(batch.table, &unit.columns, conflict, Source::Recordset);
    if !statement.counts {
        return Ok((client.tell(&statement.text, &[(&body, Type::TEXT)]).await?, 0));
    }
    counts(&client.ask(&statement.text, &[(&body, Type::TEXT)]).await?)
}

async fn from_staging(
    client: &Client,
    table: &Table,
    unit: &Unit,
    staging: &str,
    conflict: &Conflict,
) -> Result<(u64, u64), Error> {
    let statement = write(table, &unit.columns, conflict, Source::Staging(staging));
    if statement.counts {
        return counts(&client.query_typed(&statement.text, &[]).await.map_err(meaning)?);
    }
    Ok((client.execute_typed(&statement.text, &[]).await.map_err(meaning)?, 0))
}

/// One row of insert_data, ready to send.
pub(super) struct Single {
    /// Without RETURNING; the document is its $1.
    pub(super) statement: String,
    /// A JSON array of one.
    pub(super) document: String,
    /// It names no column, so nothing is bound.
    pub(super) empty: bool,
}

/// Prepares one row.
///
/// # Errors
/// What is wrong with it, about `row.column`.
pub(super) fn single(table: &Table, row: &json::Json) -> Result<Single, Error> {
    let rows = std::slice::from_ref(row);
    let batch = Batch::new(table, rows, Apart::default(), Duplicates::Refuse);
    let columns = batch.columns(0).map_err(|fault| refusal(table, "row", &fault))?;
    let document = batch.document(0).map_err(|fault| refusal(table, "row", &fault))?;
    Ok(Single {
        statement: write(table, &columns, &Conflict::Error, Source::Recordset).text,
        document: format!("[{document}]"),
        empty: columns.is_empty(),
    })
}

/// Why one row was refused, with its column; None when it would pass now.
pub(super) async fn reason(client: &Client, table: &Table, row: &json::Json) -> Result<Option<Error>, Error> {
    let batch = Batch::new(table, std::slice::from_ref(row), Apart::default(), Duplicates::Refuse);
    let Ok(columns) = batch.columns(0) else { return Ok(None) };
    let unit = Unit { columns, positions: vec![0], body: Body::Json(String::new()) };
    let outcome = one_by_one::run(client, &batch, &unit, &[0], &Conflict::Error, true).await?;
    Ok(outcome.faults.first().map(|(_, fault)| refusal(table, "row", fault)))
}

fn counts(rows: &[tokio_postgres::Row]) -> Result<(u64, u64), Error> {
    let missing = || Error::new(Code::Internal, "the database did not report how many rows it wrote");
    let row = rows.first().ok_or_else(missing)?;
    let count = |place: usize| -> Result<u64, Error> {
        let count: i64 = row.try_get(place).map_err(meaning)?;
        u64::try_from(count).map_err(|_| missing())
    };
    if row.len() > 2 && count(2)? > 0 {
        let place = Place { backend_code: Some("428C9".to_owned()), ..Place::default() };
        return Err(Error::invalid("rows", "rows are not there whose number is given").place(place));
    }
    Ok((count(0)?, count(1)?))
}

fn documents(batch: &Batch<'_>, unit: &Unit) -> String {
    let rows: Vec<String> = unit.positions.iter().filter_map(|position| batch.document(*position).ok()).collect();
    format!("[{}]", rows.join(","))
}

/// Whether one of the rows is to blame, and the others could stand.
pub(super) fn of_a_row(error: &Error) -> bool {
    let state = sqlstate(error).unwrap_or_default();
    if state == "XX000" && one_by_one::OF_HSTORE.iter().any(|words| error.message.starts_with(words)) {
        return true;
    }
    match state.get(..2).unwrap_or_default() {
        "" | "08" | "0A" | "25" | "26" | "28" | "3D" | "3F" | "40" | "53" | "54" | "55" | "57" | "58" | "F0" | "XX" => {
            false
        }
        // Types of extensions (ltree, hstore) say so of a value.
        "42" => matches!(state, "42601" | "42804" | "428C9"),
        _ => true,
    }
}

fn reject(load: &Load, position: usize, fault: Fault) -> Reject {
    let row = load.rows.get(position).map_or_else(json::null, readable);
    Reject { position, column: fault.column, code: fault.code, reason: fault.reason, row }
}
