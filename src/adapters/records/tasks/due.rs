//! Tasks whose time has come.

use std::collections::BTreeSet;

use super::super::{Session, Value};
use crate::{clock::Instant, error::Error, ports::changes::Topic};

/// Tasks in one go at the most.
const MOST: i64 = 500;

/// Makes scheduled tasks and those that wait for another attempt ready. How many.
pub(in crate::adapters::records) async fn promote(session: &dyn Session, now: Instant) -> Result<u64, Error> {
    let due = session
        .rows(
            "-- task_runs_due\n\
             UPDATE task_run SET state = 'ready', since = $1 WHERE task_id IN (SELECT task_id FROM task_run \
             WHERE state IN ('scheduled', 'retry_wait') AND run_at <= $1 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
             RETURNING queue, workflow_id",
            &[now.into(), MOST.into()],
        )
        .await?;
    let count = due.len();
    let (mut queues, mut workflows) = (BTreeSet::new(), BTreeSet::new());
    for mut row in due {
        queues.insert(row.text()?);
        workflows.extend(row.text_or_none()?);
    }
    queues.into_iter().for_each(|queue| session.touch(Topic::Queue(queue)));
    if !workflows.is_empty() {
        let ids: Vec<String> = workflows.into_iter().collect();
        session
            .change(
                "-- workflows_due\nUPDATE workflow SET version = version + 1, changed_at = $2 WHERE id = ANY($1)",
                &[Value::Texts(&ids), now.into()],
            )
            .await?;
        ids.into_iter().for_each(|id| session.touch(Topic::Workflow(id)));
    }
    Ok(count as u64)
}

/// When the next one of these queues (none: any) is due.
pub(super) async fn next(session: &dyn Session, queues: Option<&[String]>) -> Result<Option<Instant>, Error> {
    let found = match queues {
        None => {
            session
                .rows(
                    "-- task_run_next_due\n\
                     SELECT run_at FROM task_run WHERE state IN ('scheduled', 'retry_wait') AND NOT held ORDER BY run_at LIMIT 1",
                    &[],
                )
                .await?
        }
        Some(queues) => {
            session
                .rows(
                    "-- task_run_next_due_of\n\
                     SELECT run_at FROM task_run WHERE state IN ('scheduled', 'retry_wait') AND NOT held AND queue = ANY($1) \
                     ORDER BY run_at LIMIT 1",
                    &[Value::Texts(queues)],
                )
                .await?
        }
    };
    found.into_iter().next().map(|mut row| row.time()).transpose()
}
