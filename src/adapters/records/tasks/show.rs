//! Tasks as they are shown.

use super::{
    super::{Row, Session, Value, payload},
    finish::KeptFailure,
    held,
};
use crate::{
    domain::{money::Micros, tasks::State, workflows::view::TaskView},
    error::Error,
    ports::tasks::ListTasks,
};

/// Tasks by id or by what they are, in the order of their ids.
pub(in crate::adapters::records) async fn list(
    session: &dyn Session,
    asked: &ListTasks,
) -> Result<Vec<TaskView>, Error> {
    let filter = &asked.filter;
    let by_ids = !asked.ids.is_empty();
    let found = session
        .rows(
            "-- tasks_list\n\
             SELECT t.id, t.workflow_id, t.key, t.title, t.queue, COALESCE(r.state, t.ended), t.priority, \
             COALESCE(r.attempt, t.attempt), t.max_attempts, COALESCE(r.fence, t.fence), COALESCE(r.owner, t.owner), r.lease_until, \
             r.run_at, t.progress, t.message, t.question, t.errors, t.cost_micros, t.created_at, t.completed_at, \
             CASE WHEN $8 THEN t.result END, CASE WHEN $8 THEN t.input END \
             FROM task t LEFT JOIN task_run r ON r.task_id = t.id \
             WHERE (NOT $1 OR t.id = ANY($2)) AND ($3 = '' OR COALESCE(r.state, t.ended) = $3) AND ($4 = '' OR t.queue = $4) \
             AND ($5 = '' OR t.workflow_id = $5) AND ($6 = '' OR COALESCE(r.owner, t.owner) = $6) AND t.id > $7 \
             ORDER BY t.id LIMIT $9",
            &[
                by_ids.into(),
                Value::Texts(&asked.ids),
                filter.state.map_or("", State::as_str).into(),
                filter.queue.as_deref().unwrap_or_default().into(),
                filter.workflow_id.as_deref().unwrap_or_default().into(),
                filter.agent_id.as_deref().unwrap_or_default().into(),
                asked.after.as_deref().unwrap_or_default().into(),
                asked.carried.into(),
                i64::try_from(asked.most).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    found.into_iter().map(read).collect()
}

fn read(mut row: Row) -> Result<TaskView, Error> {
    let (id, workflow_id, key, title, queue) =
        (row.text()?, row.text_or_none()?, row.text_or_none()?, row.text_or_none()?, row.text()?);
    let state = held::state(&row.text()?)?;
    let mut view = TaskView {
        id,
        workflow_id,
        key,
        title,
        queue,
        state,
        priority: row.integer()?,
        attempts: row.integer()?,
        attempts_max: row.integer()?,
        fence: row.integer()?,
        agent_id: row.text_or_none()?,
        lease_until: row.time_or_none()?,
        run_at: row.time_or_none()?,
        progress: row.real_or_none()?,
        message: row.text_or_none()?,
        question: payload::json(&mut row)?,
        error: last_error(&row.text()?),
        cost: Micros(row.integer()?),
        created_at: row.time()?,
        completed_at: row.time_or_none()?,
        result: payload::read(&mut row)?,
        input: payload::json(&mut row)?,
    };
    if !matches!(state, State::Leased) {
        view.lease_until = None;
    }
    if !matches!(state, State::Scheduled | State::RetryWait) {
        view.run_at = None;
    }
    Ok(view)
}

fn last_error(errors: &str) -> Option<crate::domain::tasks::Failure> {
    let kept: Vec<KeptFailure> = serde_json::from_str(errors).ok()?;
    kept.into_iter().next().map(|kept| kept.failure)
}

/// Reads a stored state.
pub(in crate::adapters::records) fn state(word: &str) -> Result<State, Error> {
    held::state(word)
}
