//! Tasks that are over, or not to be claimed for a while.

use std::collections::BTreeSet;

use futures_util::future::try_join;

use super::super::{Session, Value, events, workflows::flow::By};
use crate::{changes::Topic, domain::tasks::State, error::Error};

/// A task that is over, and what its queue row said last.
pub(in crate::store) struct Ended<'a> {
    pub task_id: &'a str,
    pub state: State,
    pub fence: i64,
    pub attempt: i64,
    pub owner: Option<&'a str>,
    /// Packed.
    pub result: Option<&'a [u8]>,
    /// The list of failures, when it grew.
    pub errors: Option<&'a str>,
}

const LEAVE: &str = "-- task_run_end\nDELETE FROM task_run WHERE task_id = $1";

/// Takes a task out of its queue for good; false when it was not in it any more.
pub(in crate::store) async fn end(session: &dyn Session, ended: &Ended<'_>, by: By<'_>) -> Result<bool, Error> {
    if session.change(LEAVE, &[ended.task_id.into()]).await? == 0 {
        return Ok(false);
    }
    carry(session, ended, by).await?;
    Ok(true)
}

/// The same for a task that is known to be in its queue.
pub(in crate::store) async fn end_held(session: &dyn Session, ended: &Ended<'_>, by: By<'_>) -> Result<(), Error> {
    let id = [ended.task_id.into()];
    try_join(session.change(LEAVE, &id), carry(session, ended, by)).await.map(drop)
}

/// What is known of a task that is over.
async fn carry(session: &dyn Session, ended: &Ended<'_>, by: By<'_>) -> Result<(), Error> {
    session
        .change(
            "-- task_end\n\
             UPDATE task SET ended = $2, completed_at = $3, fence = $4, attempt = $5, owner = $6, result = COALESCE($7, result), \
             errors = COALESCE($8, errors), question = NULL WHERE id = $1",
            &[
                ended.task_id.into(),
                ended.state.as_str().into(),
                by.now.into(),
                ended.fence.into(),
                ended.attempt.into(),
                ended.owner.into(),
                ended.result.map_or(Value::Null, Value::Bytes),
                ended.errors.into(),
            ],
        )
        .await
        .map(drop)
}

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
    session: &dyn Session,
    workflow_id: &str,
    leased_too: bool,
    by: By<'_>,
) -> Result<Cancelled, Error> {
    // Locked first: one that is being claimed meanwhile is leased then, and is not meant any more.
    let found = session
        .rows(
            "-- task_runs_to_cancel\n\
             SELECT task_id, state = 'leased' FROM task_run WHERE workflow_id = $1 AND ($2 OR state <> 'leased') ORDER BY task_id FOR UPDATE",
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
    session
        .change(
            "-- tasks_cancel\n\
             UPDATE task SET ended = 'cancelled', completed_at = $2, question = NULL, \
             fence = (SELECT r.fence + 1 FROM task_run r WHERE r.task_id = task.id), \
             attempt = (SELECT r.attempt FROM task_run r WHERE r.task_id = task.id), \
             owner = (SELECT r.owner FROM task_run r WHERE r.task_id = task.id) WHERE id = ANY($1)",
            &[Value::Texts(&ids), by.now.into()],
        )
        .await?;
    session.change("-- task_runs_cancel\nDELETE FROM task_run WHERE task_id = ANY($1)", &[Value::Texts(&ids)]).await?;
    tell(session, Some(workflow_id), &ids, "task_cancelled", by)?;
    Ok(Cancelled { tasks: i64::try_from(ids.len()).unwrap_or(i64::MAX), leased })
}

/// The same event for several tasks of a workflow.
pub(in crate::store) fn tell(
    session: &dyn Session,
    workflow_id: Option<&str>,
    ids: &[String],
    kind: &'static str,
    by: By<'_>,
) -> Result<(), Error> {
    let event = |id| events::Event {
        at: by.now,
        entity: "task",
        entity_id: id,
        workflow_id,
        kind,
        actor: by.actor,
        data: None,
    };
    ids.iter().try_for_each(|id| events::write(session, &event(id)))
}

/// Keeps a workflow's tasks from being claimed, or lets them be.
pub(in crate::store) async fn hold(session: &dyn Session, workflow_id: &str, held: bool) -> Result<(), Error> {
    let changed = session
        .rows(
            "-- task_runs_hold\nUPDATE task_run SET held = $2 WHERE workflow_id = $1 AND held <> $2 RETURNING queue",
            &[workflow_id.into(), held.into()],
        )
        .await?;
    if !held {
        let queues = changed.into_iter().map(|mut row| row.text()).collect::<Result<BTreeSet<_>, _>>()?;
        queues.into_iter().for_each(|queue| session.touch(Topic::Queue(queue)));
    }
    Ok(())
}
