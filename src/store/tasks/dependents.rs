//! What follows for tasks that wait for one that is over.

use std::collections::VecDeque;

use serde_json::json;

use super::{
    super::{
        Session,
        workflows::flow::{By, Delta},
    },
    close,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::tasks::{OnDependencyFailure, Priority, State},
    error::{Code, Error},
};

/// What came of it.
#[derive(Debug, Default)]
pub(in crate::store) struct Followed {
    /// Tasks that can be claimed now.
    pub unblocked: Vec<String>,
    /// For the workflow's counts.
    pub delta: Delta,
}

/// A task that waits.
struct Waiting {
    id: String,
    workflow_id: Option<String>,
    /// What it still waits for.
    open: i64,
    priority: Priority,
    run_at: Instant,
    policy: OnDependencyFailure,
    fence: i64,
    attempt: i64,
    queue: String,
    /// It waits for an answer, too.
    parked: bool,
}

impl Waiting {
    fn tell(&self, session: &dyn Session, kind: &'static str, by: By<'_>) -> Result<(), Error> {
        close::tell(session, self.workflow_id.as_deref(), std::slice::from_ref(&self.id), kind, by)
    }
}

/// Lets those that wait for `task_id` follow its end, and those that wait for them, as far as it goes. Each dependency counts once.
pub(in crate::store) async fn follow(
    session: &dyn Session,
    task_id: &str,
    ended: State,
    by: By<'_>,
) -> Result<Followed, Error> {
    let mut followed = Followed::default();
    let mut over = VecDeque::from([(task_id.to_owned(), ended)]);
    while let Some((task_id, ended)) = over.pop_front() {
        let waiting = waiting(session, &task_id).await?;
        if waiting.is_empty() {
            continue;
        }
        session
            .change(
                "-- task_dependency_settle\nUPDATE task_dependency SET settled = true WHERE depends_on = $1",
                &[(&task_id).into()],
            )
            .await?;
        // Of those that are parked somebody is asked already what shall become of them.
        for task in waiting.into_iter().filter(|task| !task.parked) {
            match task.policy.after(ended, task.open) {
                None => {}
                Some(State::Cancelled) => {
                    cancel(session, &task, by).await?;
                    followed.delta.open -= 1;
                    followed.delta.cancelled += 1;
                    over.push_back((task.id, State::Cancelled));
                }
                Some(State::Parked) => {
                    park(session, &task, &task_id, ended, by).await?;
                    followed.delta.parked += 1;
                }
                Some(_) => followed.unblocked.extend(free(session, &task, by).await?.then_some(task.id)),
            }
        }
    }
    Ok(followed)
}

/// Those that wait for it, with one less to wait for. One statement, because several tasks that they wait for may end side by side.
async fn waiting(session: &dyn Session, task_id: &str) -> Result<Vec<Waiting>, Error> {
    let found = session
        .rows(
            "-- task_dependents\n\
             UPDATE task_run SET open_dependencies = open_dependencies - 1 WHERE state IN ('blocked', 'parked') \
             AND task_id IN (SELECT task_id FROM task_dependency WHERE depends_on = $1 AND NOT settled) \
             RETURNING task_id, workflow_id, open_dependencies, priority, run_at, \
             (SELECT on_dependency_failure FROM task WHERE id = task_run.task_id), fence, attempt, queue, state",
            &[task_id.into()],
        )
        .await?;
    let read = |mut row: super::super::Row| {
        Ok(Waiting {
            id: row.text()?,
            workflow_id: row.text_or_none()?,
            open: row.integer()?,
            priority: Priority::new(row.integer()?).unwrap_or(Priority::NORMAL),
            run_at: row.time()?,
            policy: policy(&row.text()?)?,
            fence: row.integer()?,
            attempt: row.integer()?,
            queue: row.text()?,
            parked: row.text()? == "parked",
        })
    };
    let mut waiting = found.into_iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    waiting.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(waiting)
}

/// Reads a stored policy.
pub(in crate::store) fn policy(word: &str) -> Result<OnDependencyFailure, Error> {
    OnDependencyFailure::parse(word).ok_or_else(|| {
        Error::new(Code::Internal, "the record store holds a value that cannot be read")
            .cause(format!("`{word}` in column on_dependency_failure of task"))
    })
}

/// It waits for nothing any more: ready from now on, or at its time. Whether it can be claimed.
async fn free(session: &dyn Session, task: &Waiting, by: By<'_>) -> Result<bool, Error> {
    let run_at = task.run_at.max(by.now);
    let ready = run_at <= by.now;
    let state = if ready { State::Ready } else { State::Scheduled };
    session
        .change(
            "-- task_run_free\n\
             UPDATE task_run SET state = $2, open_dependencies = 0, run_at = $3, sort_key = $4, since = $5 WHERE task_id = $1",
            &[
                (&task.id).into(),
                state.as_str().into(),
                run_at.into(),
                task.priority.sort_key(run_at).into(),
                by.now.into(),
            ],
        )
        .await?;
    if ready {
        session.touch(Topic::Queue(task.queue.clone()));
        task.tell(session, "task_ready", by)?;
    }
    Ok(ready)
}

async fn cancel(session: &dyn Session, task: &Waiting, by: By<'_>) -> Result<(), Error> {
    let ended = close::Ended {
        task_id: &task.id,
        state: State::Cancelled,
        fence: task.fence + 1,
        attempt: task.attempt,
        owner: None,
        result: None,
        errors: None,
    };
    close::end(session, &ended, by).await?;
    task.tell(session, "task_cancelled", by)
}

/// It waits for somebody to decide. An answer makes it ready, whatever else it waited for is settled as it comes.
async fn park(session: &dyn Session, task: &Waiting, dependency: &str, ended: State, by: By<'_>) -> Result<(), Error> {
    let question = json!({"dependency": dependency, "state": ended.as_str()}).to_string();
    session
        .change(
            "-- task_run_park_blocked\n\
             UPDATE task_run SET state = 'parked', since = $2 WHERE task_id = $1",
            &[(&task.id).into(), by.now.into()],
        )
        .await?;
    session
        .change("-- task_ask\nUPDATE task SET question = $2 WHERE id = $1", &[(&task.id).into(), (&question).into()])
        .await?;
    task.tell(session, "task_parked", by)
}
