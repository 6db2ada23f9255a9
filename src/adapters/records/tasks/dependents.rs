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
    clock::Instant,
    domain::tasks::{OnDependencyFailure, Priority, State},
    error::{Code, Error},
    ports::changes::Topic,
};

/// What came of it.
#[derive(Debug, Default)]
pub(in crate::adapters::records) struct Followed {
    /// Tasks that can be claimed now.
    pub unblocked: Vec<String>,
    /// For the workflow's counts.
    pub delta: Delta,
}

/// A task that waits.
struct Waiting {
    id: String,
    open: i64,
    priority: Priority,
    run_at: Instant,
    policy: OnDependencyFailure,
    fence: i64,
    attempt: i64,
    queue: String,
    /// Somebody is asked already what shall become of it.
    parked: bool,
}

/// Lets those that wait for `task_id` follow its end, and those that wait for them, as far as it goes. Each dependency counts once.
pub(in crate::adapters::records) async fn follow(
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
        for task in waiting {
            let open = task.open - 1;
            match task.policy.after(ended, open) {
                _ if task.parked => wait_on(session, &task, open).await?,
                None => wait_on(session, &task, open).await?,
                Some(State::Cancelled) => {
                    cancel(session, &task, by).await?;
                    followed.delta.open -= 1;
                    followed.delta.cancelled += 1;
                    over.push_back((task.id, State::Cancelled));
                }
                Some(State::Parked) => {
                    park(session, &task, open, &task_id, ended, by).await?;
                    followed.delta.parked += 1;
                }
                Some(_) => {
                    if free(session, &task, by).await? {
                        followed.unblocked.push(task.id);
                    }
                }
            }
        }
    }
    Ok(followed)
}

async fn waiting(session: &dyn Session, task_id: &str) -> Result<Vec<Waiting>, Error> {
    let found = session
        .rows(
            "-- task_dependents\n\
             SELECT r.task_id, r.open_dependencies, r.priority, r.run_at, t.on_dependency_failure, r.fence, r.attempt, r.queue, r.state \
             FROM task_dependency d JOIN task_run r ON r.task_id = d.task_id JOIN task t ON t.id = d.task_id \
             WHERE d.depends_on = $1 AND NOT d.settled AND r.state IN ('blocked', 'parked') ORDER BY r.task_id FOR UPDATE OF r",
            &[task_id.into()],
        )
        .await?;
    let read = |mut row: super::super::Row| {
        Ok(Waiting {
            id: row.text()?,
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
    found.into_iter().map(read).collect()
}

fn policy(word: &str) -> Result<OnDependencyFailure, Error> {
    OnDependencyFailure::parse(word).ok_or_else(|| {
        Error::new(Code::Internal, "the record store holds a value that cannot be read")
            .cause(format!("`{word}` in column on_dependency_failure of task"))
    })
}

/// It has one less to wait for.
async fn wait_on(session: &dyn Session, task: &Waiting, open: i64) -> Result<(), Error> {
    session
        .change(
            "-- task_run_wait\nUPDATE task_run SET open_dependencies = $2 WHERE task_id = $1",
            &[(&task.id).into(), open.into()],
        )
        .await
        .map(drop)
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
        close::tell(session, std::slice::from_ref(&task.id), "task_ready", by).await?;
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
    close::tell(session, std::slice::from_ref(&task.id), "task_cancelled", by).await
}

/// It waits for somebody to decide. An answer makes it ready, whatever else it waited for is settled as it comes.
async fn park(
    session: &dyn Session,
    task: &Waiting,
    open: i64,
    dependency: &str,
    ended: State,
    by: By<'_>,
) -> Result<(), Error> {
    let question = json!({"dependency": dependency, "state": ended.as_str()}).to_string();
    session
        .change(
            "-- task_run_park_blocked\n\
             UPDATE task_run SET state = 'parked', open_dependencies = $2, since = $3 WHERE task_id = $1",
            &[(&task.id).into(), open.into(), by.now.into()],
        )
        .await?;
    session
        .change("-- task_ask\nUPDATE task SET question = $2 WHERE id = $1", &[(&task.id).into(), (&question).into()])
        .await?;
    close::tell(session, std::slice::from_ref(&task.id), "task_parked", by).await
}
