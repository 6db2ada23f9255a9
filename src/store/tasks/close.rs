//! Tasks that are over, or not to be claimed for a while.

use std::collections::BTreeSet;

use futures_util::future::try_join;

use super::super::{
    Transaction, Value,
    events::{self, By},
};
use crate::{changes::Topic, clock::Instant, domain::tasks::State, error::Error, store::Sql, store::sql::sql};

/// A task that is over, and what its queue row said last.
pub(in crate::store) struct Ended<'a> {
    pub task_id: &'a str,
    pub state: State,
    pub fence: i64,
    pub attempt: i64,
    pub owner: Option<&'a str>,
    /// Packed.
    pub result: Option<Vec<u8>>,
    /// The list of failures, when it grew.
    pub errors: Option<String>,
}

/// Takes a task out of its queue for good; false when it was not in it any more.
pub(in crate::store) async fn end(transaction: &Transaction<'_>, ended: &Ended<'_>, by: By<'_>) -> Result<bool, Error> {
    let sql = Sql::both("-- task_run_end\nDELETE FROM task_run WHERE task_id = $1");
    if transaction.execute(sql, &[ended.task_id.into()]).await? == 0 {
        return Ok(false);
    }
    transaction.write_rows(END, &[ended.values(by.now)]).await?;
    Ok(true)
}

/// The same for tasks that are known to be in their queues.
pub(in crate::store) async fn end_all(
    transaction: &Transaction<'_>,
    ended: &[(Ended<'_>, Instant)],
) -> Result<(), Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = ended.iter().map(|(ended, _)| ended.task_id.to_owned()).collect();
    let rows: Vec<Vec<Value<'_>>> = ended.iter().map(|(ended, now)| ended.values(*now)).collect();
    let sql = sql!("-- task_runs_end\nDELETE FROM task_run WHERE task_id ", (any 1));
    let ids = [Value::Texts(&ids)];
    try_join(transaction.execute(sql, &ids), transaction.write_rows(END, &rows)).await.map(drop)
}

impl Ended<'_> {
    fn values(&self, now: Instant) -> Vec<Value<'_>> {
        vec![
            self.task_id.into(),
            self.state.as_str().into(),
            now.into(),
            self.fence.into(),
            self.attempt.into(),
            self.owner.into(),
            self.result.as_deref().map_or(Value::Null, Value::Bytes),
            self.errors.as_ref().into(),
        ]
    }
}

const END: Sql = Sql {
    postgres: "-- task_end\n\
               UPDATE task SET ended = new.ended, completed_at = new.now, fence = new.fence, attempt = new.attempt, owner = new.owner, \
               result = COALESCE(new.result, task.result), errors = COALESCE(new.errors, task.errors), question = NULL \
               FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[], $8::text[]) \
               AS new (id, ended, now, fence, attempt, owner, result, errors) WHERE task.id = new.id",
    sqlite: "-- task_end\n\
             UPDATE task SET ended = $2, completed_at = $3, fence = $4, attempt = $5, owner = $6, result = COALESCE($7, result), \
             errors = COALESCE($8, errors), question = NULL WHERE id = $1",
};

/// What was cancelled at once.
#[derive(Debug, Default)]
pub(in crate::store) struct Cancelled {
    /// Tasks.
    pub tasks: i64,
    /// Those of them that were leased.
    pub leased: i64,
}

/// Cancels all open tasks of a workflow; those that are leased too, or not.
pub(in crate::store) async fn cancel_all(
    transaction: &Transaction<'_>,
    workflow_id: &str,
    leased_too: bool,
    by: By<'_>,
) -> Result<Cancelled, Error> {
    // Locked first: one that is being claimed meanwhile is leased then, and is not meant any more.
    let found = transaction
        .query(sql!("-- task_runs_to_cancel\n\
             SELECT task_id, state = 'leased' FROM task_run WHERE workflow_id = $1 AND ($2 OR state <> 'leased') ORDER BY task_id", (lock)),
            &[workflow_id.into(), leased_too.into()],
        )
        .await?;
    if found.is_empty() {
        return Ok(Cancelled::default());
    }
    let (mut ids, mut leased) = (Vec::with_capacity(found.len()), 0);
    for mut row in found {
        ids.push(row.text()?);
        leased += i64::from(row.bool()?);
    }
    transaction
        .execute(
            sql!("-- tasks_cancel\n\
             UPDATE task SET ended = 'cancelled', completed_at = $2, question = NULL, \
             fence = (SELECT r.fence + 1 FROM task_run r WHERE r.task_id = task.id), \
             attempt = (SELECT r.attempt FROM task_run r WHERE r.task_id = task.id), \
             owner = (SELECT r.owner FROM task_run r WHERE r.task_id = task.id) WHERE id ", (any 1)),
            &[Value::Texts(&ids), by.now.into()],
        )
        .await?;
    transaction
        .execute(sql!("-- task_runs_cancel\nDELETE FROM task_run WHERE task_id ", (any 1)), &[Value::Texts(&ids)])
        .await?;
    tell(transaction, Some(workflow_id), &ids, "task_cancelled", by);
    Ok(Cancelled { tasks: i64::try_from(ids.len()).unwrap_or(i64::MAX), leased })
}

/// The same event for several tasks of a workflow.
pub(in crate::store) fn tell(
    transaction: &Transaction<'_>,
    workflow_id: Option<&str>,
    ids: &[String],
    kind: &'static str,
    by: By<'_>,
) {
    let event = |id| events::Event {
        at: by.now,
        entity: "task",
        entity_id: id,
        workflow_id,
        kind,
        actor: by.actor,
        data: None,
    };
    ids.iter().for_each(|id| events::write(transaction, &event(id)));
}

/// Keeps a workflow's tasks from being claimed, or lets them be.
pub(in crate::store) async fn hold(transaction: &Transaction<'_>, workflow_id: &str, held: bool) -> Result<(), Error> {
    let changed = transaction
        .query(Sql::both("-- task_runs_hold\nUPDATE task_run SET held = $2 WHERE workflow_id = $1 AND held <> $2 RETURNING queue"),
            &[workflow_id.into(), held.into()],
        )
        .await?;
    if !held {
        let queues = changed.into_iter().map(|mut row| row.text()).collect::<Result<BTreeSet<_>, _>>()?;
        queues.into_iter().for_each(|queue| transaction.touch(Topic::Queue(queue)));
    }
    Ok(())
}
