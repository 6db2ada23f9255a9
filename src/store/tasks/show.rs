//! Tasks as they are shown. What they carry may be large: it is fetched only as far as it fits.

use std::collections::BTreeMap;

use super::{
    super::{Row, Transaction, Value, agents, payload},
    finish::KeptFailure,
    held, waiting,
};
use crate::{
    domain::{
        json::Json,
        money::Micros,
        tasks::{State, answers::TaskFilter, waiting::WaitingFor},
        workflows::view::TaskView,
    },
    error::Error,
    store::sql::sql,
};

/// Tasks to list.
#[derive(Debug, Clone)]
pub struct ListTasks {
    /// By what they are.
    pub filter: TaskFilter,
    /// By id.
    pub ids: Vec<String>,
    /// After this id.
    pub after: Option<String>,
    /// Up to so many.
    pub most: u64,
    /// With what they were given and what came of them.
    pub carried: bool,
    /// Bytes of that, and of questions, at the most; what does not fit is left out and named.
    pub carried_bytes_max: usize,
}

/// Tasks by id or by what they are, in the order of their ids.
pub(in crate::store) async fn list(transaction: &Transaction<'_>, asked: &ListTasks) -> Result<Vec<TaskView>, Error> {
    let filter = &asked.filter;
    let by_ids = !asked.ids.is_empty();
    let found = transaction
        .query(sql!("-- tasks_list\n\
             SELECT t.id, t.workflow_id, t.key, t.title, t.queue, COALESCE(r.state, t.ended), t.priority, \
             COALESCE(r.attempt, t.attempt), t.max_attempts, COALESCE(r.fence, t.fence), COALESCE(r.owner, t.owner), r.lease_until, \
             r.run_at, t.progress, t.message, substr(t.errors, 1, $10), t.cost_micros, t.created_at, t.completed_at, \
             t.capabilities, COALESCE(r.held, false), COALESCE(r.capability_set, 0), COALESCE(length(t.question), 0), CASE WHEN $8 THEN COALESCE(length(t.result), 0) ELSE 0 END, \
             CASE WHEN $8 THEN COALESCE(length(t.input), 0) ELSE 0 END \
             FROM task t LEFT JOIN task_run r ON r.task_id = t.id \
             WHERE (NOT $1 OR t.id ", (any 2), ") AND ($3 = '' OR COALESCE(r.state, t.ended) = $3) AND ($4 = '' OR t.queue = $4) \
             AND ($5 = '' OR t.workflow_id = $5) AND ($6 = '' OR COALESCE(r.owner, t.owner) = $6) AND t.id > $7 \
             ORDER BY t.id LIMIT $9"),
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
                ERRORS_READ.into(),
            ],
        )
        .await?;
    let mut found = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    explain(transaction, &mut found).await?;
    carry(transaction, asked, &mut found).await?;
    Ok(found.into_iter().map(|found| found.view).collect())
}

/// Bytes of a task's failures that are read: the newest comes first, and it alone is shown.
const ERRORS_READ: i64 = 100_000;

/// A task and the stored lengths of what it carries.
struct Found {
    view: TaskView,
    /// Its workflow is paused.
    held: bool,
    set: i64,
    question: usize,
    result: usize,
    input: usize,
}

/// Says what they wait for.
async fn explain(transaction: &Transaction<'_>, found: &mut [Found]) -> Result<(), Error> {
    let asks = found.iter().any(|task| task.view.state == State::Ready && !task.held && task.set != 0);
    let missing = if asks { waiting::missing(transaction).await? } else { waiting::Sets::new() };
    for Found { view, held, set, .. } in found {
        view.waiting_for = WaitingFor::of(view.state, *held, !missing.contains_key(set));
    }
    Ok(())
}

/// Fetches what tasks carry, in their order, as far as it fits.
async fn carry(transaction: &Transaction<'_>, asked: &ListTasks, found: &mut [Found]) -> Result<(), Error> {
    // The rows themselves come first.
    let rows = found.iter().map(|task| task.view.bytes()).sum();
    let bytes_max = asked.carried_bytes_max.saturating_sub(rows);
    let mut left = bytes_max;
    let mut wanted = Vec::new();
    for task in found.iter() {
        let stored = task.question + task.result + task.input;
        if stored > 0 && stored <= left {
            left -= stored;
            wanted.push(task.view.id.clone());
        }
    }
    let mut carried = BTreeMap::new();
    if !wanted.is_empty() {
        let sql = sql!("-- tasks_carried\nSELECT id, question, CASE WHEN $2 THEN result END, CASE WHEN $2 THEN input END FROM task WHERE id ", (any 1));
        for mut row in transaction.query(sql, &[Value::Texts(&wanted), asked.carried.into()]).await? {
            carried.insert(row.text()?, row);
        }
    }
    // What is compressed is larger than it was stored.
    let mut left = bytes_max;
    let mut fits =
        |json: Option<Json>| json.filter(|json| json.get().len() <= left).inspect(|json| left -= json.get().len());
    for Found { view, question, result, input, .. } in found {
        if let Some(mut row) = carried.remove(&view.id) {
            view.question = fits(payload::json(&mut row)?);
            let (came, given) = (payload::read(&mut row)?, payload::json(&mut row)?);
            view.result = came.filter(|_| *result > 0).and_then(|came| fits(Some(came)));
            view.input = given.filter(|_| *input > 0).and_then(|given| fits(Some(given)));
        }
        let kept = [
            ("question", *question, &view.question),
            ("result", *result, &view.result),
            ("input", *input, &view.input),
        ];
        view.left_out =
            kept.into_iter().filter(|(_, stored, kept)| *stored > 0 && kept.is_none()).map(|(name, ..)| name).collect();
    }
    Ok(())
}

fn read(mut row: Row) -> Result<Found, Error> {
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
        question: None,
        error: None,
        last_error: last_error(&row.text()?),
        cost: Micros(row.integer()?),
        created_at: row.time()?,
        completed_at: row.time_or_none()?,
        result: None,
        input: None,
        left_out: Vec::new(),
        capabilities: agents::names(&row.text()?)?,
        waiting_for: None,
    };
    let (held, set) = (row.bool()?, row.integer()?);
    // What is tried again has not failed, as far as is known.
    if matches!(state, State::Dead | State::RetryWait) {
        view.error = view.last_error.take();
    }
    if !matches!(state, State::Leased) {
        view.lease_until = None;
    }
    if !matches!(state, State::Scheduled | State::RetryWait) {
        view.run_at = None;
    }
    let mut length = || row.integer().map(|length| usize::try_from(length).unwrap_or_default());
    Ok(Found { view, held, set, question: length()?, result: length()?, input: length()? })
}

/// The first of a list whose end may be cut off.
fn last_error(errors: &str) -> Option<crate::domain::tasks::Failure> {
    let mut kept = serde_json::Deserializer::from_str(errors.strip_prefix('[')?).into_iter::<KeptFailure>();
    kept.next()?.ok().map(|kept| kept.failure)
}
