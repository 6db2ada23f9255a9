//! A new workflow that goes on from the completed tasks of one that has ended.

use std::collections::HashMap;

use super::{
    super::{
        Row, Transaction, agents, payload,
        tasks::{
            dependents,
            enqueue::{self, Existing},
        },
    },
    create::NewWorkflows,
    flow::{Delta, Flow, settle},
};
use crate::{
    domain::{
        money::Micros,
        tasks::{Links, NewTask, Priority, State},
        workflows::{NewWorkflow, view::Created},
    },
    error::{Code, Error},
    ids,
    store::{Sql, events::By},
};

/// A task of the old workflow.
struct Old {
    id: String,
    completed: bool,
    new: NewTask,
}

/// Makes it. Completed tasks are there with their results; all others begin anew, with all their attempts.
pub(super) async fn fork(transaction: &Transaction<'_>, flow: &Flow, id: &str, by: By<'_>) -> Result<Created, Error> {
    let old = tasks(transaction, &flow.id).await?;
    let new = workflow(transaction, flow, id).await?;
    let mut rows = NewWorkflows::default();
    let mut created = rows.add(transaction, &new, Some(&flow.id), by)?;
    rows.write(transaction).await?;
    for task in old.iter().filter(|task| task.completed) {
        copy(transaction, task, id).await?;
    }
    let (left, existing) = left(transaction, &flow.id, &old).await?;
    let into = enqueue::Into { workflow_id: id, held: false };
    created.tasks = enqueue::insert(transaction, Some(into), &left, &existing, by).await?;
    let (completed, open) = (old.len() - left.len(), left.len());
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let delta =
        Delta { all: count(completed + open), open: count(open), completed: count(completed), ..Delta::default() };
    let settled = settle(transaction, id, delta, by).await?;
    (created.state, created.version) = (settled.state, settled.version);
    Ok(created)
}

async fn workflow(transaction: &Transaction<'_>, flow: &Flow, id: &str) -> Result<NewWorkflow, Error> {
    let found = transaction
        .query(Sql::both("-- workflow_to_fork\n\
             SELECT w.name, w.budget_micros, w.parent_id, r.input FROM workflow w LEFT JOIN workflow_result r ON r.workflow_id = w.id \
             WHERE w.id = $1"),
            &[(&flow.id).into()],
        )
        .await?;
    let missing = || Error::new(Code::Internal, "the workflow to fork is not there");
    let mut row = found.into_iter().next().ok_or_else(missing)?;
    Ok(NewWorkflow {
        id: id.to_owned(),
        name: row.text()?,
        kind: flow.kind.clone(),
        budget: row.integer_or_none()?.map(Micros),
        parent_id: row.text_or_none()?,
        input: payload::json(&mut row)?,
        deadline_at: None,
        on_task_failure: flow.policy,
        webhook: None,
        tasks: Vec::new(),
    })
}

async fn tasks(transaction: &Transaction<'_>, workflow_id: &str) -> Result<Vec<Old>, Error> {
    let found = transaction
        .query(Sql::both("-- tasks_to_fork\n\
             SELECT id, ended, key, title, description, queue, priority, input, capabilities, max_attempts, max_runtime_ms, \
             on_dependency_failure FROM task WHERE workflow_id = $1 ORDER BY id"),
            &[workflow_id.into()],
        )
        .await?;
    found.into_iter().map(read).collect()
}

fn read(mut row: Row) -> Result<Old, Error> {
    let (id, ended) = (row.text()?, row.text_or_none()?);
    Ok(Old {
        completed: ended.as_deref() == Some(State::Completed.as_str()),
        id,
        new: NewTask {
            id: ids::new(ids::Kind::Task),
            key: row.text_or_none()?,
            title: row.text_or_none()?,
            description: row.text_or_none()?,
            queue: row.text()?,
            priority: Priority::new(row.integer()?).unwrap_or(Priority::NORMAL),
            input: payload::json(&mut row)?,
            capabilities: agents::names(&row.text()?)?,
            run_at: None,
            attempts_max: row.integer()?,
            runtime_ms_max: row.integer_or_none()?,
            on_dependency_failure: dependents::policy(&row.text()?)?,
            waits_for: Links::default(),
        },
    })
}

/// A completed task as a task of the new workflow: what it was, and what came of it.
async fn copy(transaction: &Transaction<'_>, task: &Old, workflow_id: &str) -> Result<(), Error> {
    transaction
        .execute(Sql::both("-- task_copy\n\
             INSERT INTO task (id, workflow_id, key, title, description, input, result, errors, checkpoint, progress, message, \
             capabilities, max_attempts, max_runtime_ms, on_dependency_failure, queue, priority, cost_micros, redrive_count, \
             created_at, completed_at, ended, fence, attempt, owner) \
             SELECT $2, $3, key, title, description, input, result, errors, checkpoint, progress, message, capabilities, max_attempts, \
             max_runtime_ms, on_dependency_failure, queue, priority, 0, 0, created_at, completed_at, ended, fence, attempt, owner \
             FROM task WHERE id = $1"),
            &[(&task.id).into(), (&task.new.id).into(), workflow_id.into()],
        )
        .await?;
    Ok(())
}

/// The tasks that are still to be done, each with whom it waits for; and those it waits for that are done.
async fn left(
    transaction: &Transaction<'_>,
    workflow_id: &str,
    old: &[Old],
) -> Result<(Vec<NewTask>, Existing), Error> {
    let by_id: HashMap<&str, &Old> = old.iter().map(|task| (task.id.as_str(), task)).collect();
    let mut left: Vec<NewTask> = old.iter().filter(|task| !task.completed).map(|task| task.new.clone()).collect();
    let places: HashMap<String, usize> =
        left.iter().enumerate().map(|(place, task)| (task.id.clone(), place)).collect();
    let mut existing = Existing::default();
    let links = transaction
        .query(Sql::both("-- task_dependencies_to_fork\n\
             SELECT d.task_id, d.depends_on FROM task_dependency d JOIN task t ON t.id = d.task_id WHERE t.workflow_id = $1 \
             ORDER BY d.task_id, d.depends_on"),
            &[workflow_id.into()],
        )
        .await?;
    for mut row in links {
        let (task_id, depends_on) = (row.text()?, row.text()?);
        let (Some(task), Some(other)) = (by_id.get(task_id.as_str()), by_id.get(depends_on.as_str())) else { continue };
        let Some(waiting) = places.get(&task.new.id).and_then(|place| left.get_mut(*place)) else { continue };
        match places.get(&other.new.id) {
            Some(place) => waiting.waits_for.here.push(*place),
            None => {
                existing.add(&other.new.id, Some(State::Completed));
                waiting.waits_for.existing.push(other.new.id.clone());
            }
        }
    }
    Ok((left, existing))
}
