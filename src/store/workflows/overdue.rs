//! Workflows that end by themselves, and those that nobody needs any more.

use super::{
    super::{Transaction, Value},
    flow,
};
use crate::{
    clock::Instant,
    domain::workflows::State,
    error::Error,
    store::{Sql, events::By, sql::sql},
};

/// Workflows in one go at the most.
const MOST: i64 = 100;

/// Ends those whose deadline has passed, and cancelled ones whose workers had their time. How many.
pub(super) async fn end(transaction: &Transaction<'_>, now: Instant) -> Result<u64, Error> {
    let by = By { now, actor: None };
    let late = transaction
        .query(
            sql!(
                "-- workflows_late\n\
             SELECT id FROM workflow WHERE completed_at IS NULL AND deadline_at <= $1 AND deadline_at <= ",
                (now),
                " AND state IN ('pending', 'running', 'waiting') \
             ORDER BY deadline_at LIMIT $2"
            ),
            &[now.into(), MOST.into()],
        )
        .await?;
    let given_up = transaction
        .query(
            sql!(
                "-- workflows_given_up\n\
             SELECT id FROM workflow WHERE completed_at IS NULL AND cancel_at <= $1 AND cancel_at <= ",
                (now),
                " AND state = 'cancelling' ORDER BY cancel_at LIMIT $2"
            ),
            &[now.into(), MOST.into()],
        )
        .await?;
    let mut found = Vec::with_capacity(late.len() + given_up.len());
    for (rows, becomes) in [(late, State::TimedOut), (given_up, State::Cancelled)] {
        for mut row in rows {
            found.push((row.text()?, becomes));
        }
    }
    let count = found.len();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (id, becomes) in found {
        let Some(mut flow) = flow::lock(transaction, &id).await? else { continue };
        let reason = match (becomes, flow.state) {
            (State::TimedOut, State::Pending | State::Running | State::Waiting) => Some("its deadline has passed"),
            (State::Cancelled, State::Cancelling) => None,
            _ => continue,
        };
        flow.version += 1;
        flow.enter(transaction, becomes, reason, by).await?;
    }
    Ok(count as u64)
}

/// What a workflow leaves behind, in the order in which it goes.
const LEFT: [Sql; 9] = [
    sql!("-- forget_dependencies\n\
     DELETE FROM task_dependency WHERE task_id IN (SELECT id FROM task WHERE workflow_id ", (any 1), ")"),
    sql!("-- forget_tasks\nDELETE FROM task WHERE workflow_id ", (any 1)),
    sql!("-- forget_results\nDELETE FROM workflow_result WHERE workflow_id ", (any 1)),
    sql!("-- forget_signals\nDELETE FROM signal WHERE workflow_id ", (any 1)),
    sql!("-- forget_deliveries\nDELETE FROM webhook_delivery WHERE workflow_id ", (any 1)),
    sql!("-- forget_webhooks\nDELETE FROM webhook WHERE workflow_id ", (any 1)),
    sql!("-- forget_events\nDELETE FROM event WHERE workflow_id ", (any 1)),
    sql!("-- forget_runs\nDELETE FROM task_run WHERE workflow_id ", (any 1)),
    sql!("-- forget_workflows\nDELETE FROM workflow WHERE id ", (any 1)),
];

/// What tasks of no workflow leave behind.
const LEFT_BY_LONE_TASKS: [Sql; 3] = [
    sql!("-- forget_lone_dependencies\nDELETE FROM task_dependency WHERE task_id ", (any 1)),
    sql!("-- forget_lone_events\nDELETE FROM event WHERE entity_id ", (any 1)),
    sql!("-- forget_lone_tasks\nDELETE FROM task WHERE id ", (any 1)),
];

/// Removes workflows that ended before `before`, the first that ended first, and tasks of no workflow. Nothing that is open; nothing whose
/// events somebody still has to publish. How many.
pub(super) async fn forget(transaction: &Transaction<'_>, before: Instant, most: u64) -> Result<u64, Error> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let found = transaction
        .query(
            Sql::both(
                "-- workflows_to_forget\n\
             SELECT id FROM workflow w WHERE completed_at < $1 AND NOT EXISTS (SELECT 1 FROM event e, sink s WHERE \
             e.workflow_id = w.id AND e.seq > s.seq) ORDER BY completed_at, id LIMIT $2",
            ),
            &[before.into(), most.into()],
        )
        .await?;
    let ids = found.into_iter().map(|mut row| row.text()).collect::<Result<Vec<_>, _>>()?;
    if !ids.is_empty() {
        for sql in LEFT {
            transaction.execute(sql, &[Value::Texts(&ids)]).await?;
        }
    }
    Ok(ids.len() as u64 + forget_lone_tasks(transaction, before, most).await?)
}

/// The same for tasks of no workflow.
async fn forget_lone_tasks(transaction: &Transaction<'_>, before: Instant, most: i64) -> Result<u64, Error> {
    let found = transaction
        .query(Sql::both("-- lone_tasks_to_forget\n\
             SELECT id FROM task t WHERE workflow_id IS NULL AND completed_at < $1 AND NOT EXISTS (SELECT 1 FROM event e, sink s \
             WHERE e.entity_id = t.id AND e.seq > s.seq) ORDER BY completed_at, id LIMIT $2"),
            &[before.into(), most.into()],
        )
        .await?;
    let ids = found.into_iter().map(|mut row| row.text()).collect::<Result<Vec<_>, _>>()?;
    if !ids.is_empty() {
        for sql in LEFT_BY_LONE_TASKS {
            transaction.execute(sql, &[Value::Texts(&ids)]).await?;
        }
    }
    Ok(ids.len() as u64)
}
