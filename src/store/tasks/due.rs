//! Tasks whose time has come.

use std::collections::BTreeSet;

use super::super::{Transaction, Value};
use crate::{changes::Topic, clock::Instant, error::Error, store::Sql, store::sql::sql};

/// Tasks in one go at the most.
const MOST: i64 = 500;

/// What became of tasks whose time has come.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Promoted {
    /// Those that are ready now.
    pub count: u64,
    /// There are others whose workflow somebody else has now.
    pub passed_over: bool,
}

/// Makes scheduled tasks and those that wait for another attempt ready, except those whose workflow somebody else has now.
pub(super) async fn promote_free(transaction: &Transaction<'_>, now: Instant) -> Result<Promoted, Error> {
    promote_with(
        transaction,
        now,
        sql!("-- workflows_due_free\nSELECT id FROM workflow WHERE id ", (any 1), " ORDER BY id", (lock "SKIP LOCKED")),
    )
    .await
}

/// The same for all of them: waits for their workflows. How many.
pub(super) async fn promote(transaction: &Transaction<'_>, now: Instant) -> Result<u64, Error> {
    let sql = sql!("-- workflows_due\nSELECT id FROM workflow WHERE id ", (any 1), " ORDER BY id", (lock));
    promote_with(transaction, now, sql).await.map(|promoted| promoted.count)
}

async fn promote_with(transaction: &Transaction<'_>, now: Instant, lock: Sql) -> Result<Promoted, Error> {
    let found = transaction
        .query(
            Sql::both(
                "-- task_runs_due\n\
             SELECT task_id, workflow_id FROM task_run WHERE state IN ('scheduled', 'retry_wait') AND run_at <= $1 \
             ORDER BY run_at LIMIT $2",
            ),
            &[now.into(), MOST.into()],
        )
        .await?;
    let mut due = Vec::with_capacity(found.len());
    for mut row in found {
        due.push((row.text()?, row.text_or_none()?));
    }
    let wanted: BTreeSet<String> = due.iter().filter_map(|(_, workflow_id)| workflow_id.clone()).collect();
    let had = if wanted.is_empty() { BTreeSet::new() } else { locked(transaction, lock, wanted).await? };
    let free = |workflow_id: &Option<String>| workflow_id.as_ref().is_none_or(|id| had.contains(id));
    let ids: Vec<String> = due.iter().filter(|(_, of)| free(of)).map(|(task_id, _)| task_id.clone()).collect();
    let passed_over = ids.len() < due.len();
    let count = if ids.is_empty() { 0 } else { ready(transaction, &ids, now).await? };
    Ok(Promoted { count, passed_over })
}

async fn locked(transaction: &Transaction<'_>, sql: Sql, wanted: BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
    let wanted: Vec<String> = wanted.into_iter().collect();
    let rows = transaction.query(sql, &[Value::Texts(&wanted)]).await?;
    rows.into_iter().map(|mut row| row.text()).collect()
}

/// Makes those of these tasks ready that still wait for their time. How many.
async fn ready(transaction: &Transaction<'_>, ids: &[String], now: Instant) -> Result<u64, Error> {
    let changed = transaction
        .query(
            sql!("-- task_runs_ready\n\
             UPDATE task_run SET state = 'ready', since = $2 WHERE task_id IN (SELECT task_id FROM task_run \
             WHERE task_id ", (any 1), " AND state IN ('scheduled', 'retry_wait') AND run_at <= $2 \
             ORDER BY task_id", (lock "SKIP LOCKED"), ") RETURNING queue, workflow_id"),
            &[Value::Texts(ids), now.into()],
        )
        .await?;
    let count = changed.len() as u64;
    let (mut queues, mut workflows) = (BTreeSet::new(), BTreeSet::new());
    for mut row in changed {
        queues.insert(row.text()?);
        workflows.extend(row.text_or_none()?);
    }
    queues.into_iter().for_each(|queue| transaction.touch(Topic::Queue(queue)));
    if !workflows.is_empty() {
        let ids: Vec<String> = workflows.into_iter().collect();
        let sql =
            sql!("-- workflows_newer\nUPDATE workflow SET version = version + 1, changed_at = $2 WHERE id ", (any 1));
        transaction.execute(sql, &[Value::Texts(&ids), now.into()]).await?;
        ids.into_iter().for_each(|id| transaction.touch(Topic::Workflow(id)));
    }
    Ok(count)
}

/// When the next one of these queues (none: any) is due.
pub(super) async fn next(transaction: &Transaction<'_>, queues: Option<&[String]>) -> Result<Option<Instant>, Error> {
    let found = match queues {
        None => {
            transaction
                .query(Sql::both("-- task_run_next_due\n\
                     SELECT run_at FROM task_run WHERE state IN ('scheduled', 'retry_wait') AND NOT held ORDER BY run_at LIMIT 1"),
                    &[],
                )
                .await?
        }
        Some(queues) => {
            transaction
                .query(sql!("-- task_run_next_due_of\n\
                     SELECT run_at FROM task_run WHERE state IN ('scheduled', 'retry_wait') AND NOT held AND queue ", (any 1), " \
                     ORDER BY run_at LIMIT 1"),
                    &[Value::Texts(queues)],
                )
                .await?
        }
    };
    found.into_iter().next().map(|mut row| row.time()).transpose()
}
