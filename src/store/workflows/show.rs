//! Workflows and their history as they are shown.

use super::{
    super::{
        Row, Transaction, Value, payload,
        tasks::{show, waiting},
    },
    flow,
};
use crate::{
    clock::Instant,
    domain::{
        money::Micros,
        tasks::{answers::TaskFilter, waiting::Waits},
        workflows::{
            Counts, State,
            answers::Found,
            view::{Carried, WorkflowView},
        },
    },
    error::Error,
    store::Sql,
    store::sql::sql,
    store::tasks::ListTasks,
};

/// A workflow to show.
#[derive(Debug, Clone)]
pub struct Find {
    /// By its id, or the id of one of its tasks.
    pub id: String,
    /// With input and result.
    pub carried: bool,
    /// With tasks.
    pub tasks: Option<TaskPage>,
    /// Until when a lease must run for its worker not to count as stalled.
    pub stalled_before: Instant,
}

/// Tasks to show.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// Up to so many.
    pub most: u64,
    /// With what they were given and what came of them.
    pub carried: bool,
    /// Bytes of that, and of questions, at the most, less what the workflow itself carries; what does not fit is left out and named.
    pub carried_bytes_max: usize,
}

/// Workflows to list.
#[derive(Debug, Clone)]
pub struct List {
    /// In one of these states; none for all.
    pub states: Vec<State>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Made after this.
    pub created_after: Option<Instant>,
    /// With these words in name, id or reason.
    pub text: Option<String>,
    /// Older than this one, in the order of the list.
    pub before: Option<(Instant, String)>,
    /// Up to so many.
    pub most: u64,
    /// Until when a lease must run for its worker not to count as stalled.
    pub stalled_before: Instant,
}

/// What [`read`] reads. `$1`: until when a lease must run for its worker not to count as stalled.
macro_rules! workflows {
    () => {
        "SELECT w.id, w.name, w.type, w.state, w.version + (SELECT count(*) FROM task_run r WHERE r.workflow_id = w.id \
         AND r.state = 'leased'), w.created_at, w.started_at, w.completed_at, w.deadline_at, \
         w.on_task_failure, w.parent_id, w.forked_from, w.reason, w.needs_attention, w.budget_micros, w.cost_micros, w.tasks, \
         w.tasks_open, w.tasks_completed, w.tasks_dead, w.tasks_cancelled, \
         EXISTS (SELECT 1 FROM task_run r WHERE r.workflow_id = w.id AND r.state = 'leased' AND r.lease_until <= $1) \
         FROM workflow w "
    };
}

/// One workflow, by its id or that of one of its tasks.
pub(super) async fn find(transaction: &Transaction<'_>, asked: &Find) -> Result<Option<Found>, Error> {
    let mut workflow = one(transaction, &asked.id, asked.stalled_before).await?;
    let mut task = None;
    if workflow.is_none() {
        let list = ListTasks {
            filter: TaskFilter::default(),
            ids: vec![asked.id.clone()],
            after: None,
            most: 1,
            carried: true,
            carried_bytes_max: usize::MAX,
        };
        task = show::list(transaction, &list).await?.into_iter().next();
        let Some(found) = &task else { return Ok(None) };
        if let Some(workflow_id) = &found.workflow_id {
            workflow = one(transaction, workflow_id, asked.stalled_before).await?;
        }
    }
    let (mut carried, mut tasks) = (Carried::default(), Vec::new());
    if let Some(workflow) = &workflow {
        if asked.carried {
            carried = carried_by(transaction, &workflow.id).await?;
        }
        if let Some(page) = &asked.tasks {
            let list = ListTasks {
                filter: TaskFilter { workflow_id: Some(workflow.id.clone()), ..TaskFilter::default() },
                ids: Vec::new(),
                after: None,
                most: page.most,
                carried: page.carried,
                carried_bytes_max: page.carried_bytes_max.saturating_sub(carried.bytes()),
            };
            tasks = show::list(transaction, &list).await?;
        }
    }
    Ok(Some(Found { workflow, task, carried, tasks, with_tasks: asked.tasks.is_some() }))
}

async fn one(transaction: &Transaction<'_>, id: &str, stalled_before: Instant) -> Result<Option<WorkflowView>, Error> {
    let sql = sql!("-- workflow_find\n", [workflows!()], "WHERE w.id = $2");
    let found = transaction.query(sql, &[stalled_before.into(), id.into()]).await?;
    let mut found = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    explain(transaction, &mut found).await?;
    Ok(found.into_iter().next())
}

/// Says what their tasks wait for, and whether that needs somebody.
async fn explain(transaction: &Transaction<'_>, found: &mut [WorkflowView]) -> Result<(), Error> {
    let open = found.iter().filter(|workflow| workflow.counts.open > 0);
    let open: Vec<String> = open.map(|workflow| workflow.id.clone()).collect();
    let mut waits = waiting::of_workflows(transaction, &open).await?;
    for workflow in found {
        workflow.waits = waits.remove(&workflow.id).unwrap_or_default();
        workflow.needs_attention |= workflow.waits.keys().any(|waiting_for| waiting_for.needs_attention());
    }
    Ok(())
}

fn read(mut row: Row) -> Result<WorkflowView, Error> {
    Ok(WorkflowView {
        id: row.text()?,
        name: row.text()?,
        kind: row.text()?,
        state: flow::state(&row.text()?)?,
        version: row.integer()?,
        created_at: row.time()?,
        started_at: row.time_or_none()?,
        completed_at: row.time_or_none()?,
        deadline_at: row.time_or_none()?,
        on_task_failure: flow::policy(&row.text()?)?,
        parent_id: row.text_or_none()?,
        forked_from: row.text_or_none()?,
        reason: row.text_or_none()?,
        needs_attention: row.bool()?,
        waits: Waits::new(),
        budget: row.integer_or_none()?.map(Micros),
        cost: Micros(row.integer()?),
        counts: Counts {
            all: row.integer()?,
            open: row.integer()?,
            completed: row.integer()?,
            dead: row.integer()?,
            cancelled: row.integer()?,
        },
        stalled: row.bool()?,
    })
}

async fn carried_by(transaction: &Transaction<'_>, id: &str) -> Result<Carried, Error> {
    let sql = Sql::both("-- workflow_carried\nSELECT input, result, error FROM workflow_result WHERE workflow_id = $1");
    let found = transaction.query(sql, &[id.into()]).await?;
    let mut carried = match found.into_iter().next() {
        Some(mut row) => Carried {
            input: payload::json(&mut row)?,
            result: payload::read(&mut row)?,
            error: row.text_or_none()?,
            agents: None,
        },
        None => Carried::default(),
    };
    let sql = Sql::both(
        "-- workflow_agents\n\
               SELECT count(DISTINCT COALESCE(r.owner, t.owner)) FROM task t LEFT JOIN task_run r ON r.task_id = t.id \
               WHERE t.workflow_id = $1",
    );
    let counted = transaction.query(sql, &[id.into()]).await?;
    carried.agents = counted.into_iter().next().map(|mut row| row.count()).transpose()?;
    Ok(carried)
}

/// Workflows, newest first.
pub(super) async fn list(transaction: &Transaction<'_>, asked: &List) -> Result<Vec<WorkflowView>, Error> {
    let states: Vec<String> = asked.states.iter().map(|state: &State| state.as_str().to_owned()).collect();
    let (before_at, before_id) = match &asked.before {
        Some((at, id)) => (*at, id.as_str()),
        None => (Instant(i64::MAX / 4), ""),
    };
    let pattern = asked.text.as_ref().map(|text| format!("%{}%", escaped(text)));
    let found = transaction.query(
            // Both sides are made small by the database, because not every one knows more letters than those of English.
            sql!(
                "-- workflow_list\n",
                [workflows!()],
                "WHERE (w.created_at, w.id) < ($2, $3) AND (NOT $4 OR w.state ", (any 5), ") AND ($6 = '' OR w.type = $6) \
                 AND w.created_at > $7 AND ($8 = '' OR lower(w.name) LIKE lower($8) ESCAPE '!' OR lower(w.id) LIKE lower($8) ESCAPE '!' \
                 OR lower(COALESCE(w.reason, '')) LIKE lower($8) ESCAPE '!') ORDER BY w.created_at DESC, w.id DESC LIMIT $9"
            ),
            &[
                asked.stalled_before.into(),
                before_at.into(),
                before_id.into(),
                (!states.is_empty()).into(),
                Value::Texts(&states),
                asked.kind.as_deref().unwrap_or_default().into(),
                asked.created_after.unwrap_or(Instant(0)).into(),
                pattern.as_deref().unwrap_or_default().into(),
                i64::try_from(asked.most).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    let mut found = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    explain(transaction, &mut found).await?;
    Ok(found)
}

/// Text for LIKE with `!` as its escape.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}
