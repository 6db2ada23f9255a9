//! Leases that have run out.

use serde_json::json;

use super::{
    super::{
        Row, Session, events,
        workflows::flow::{self, By, Delta},
    },
    close, dependents,
    finish::{KeptFailure, with_failure},
};
use crate::{
    clock::Instant,
    domain::{
        tasks::{Failure, INFRA_FAILURES_MAX, State},
        workflows,
    },
    error::Error,
    ports::changes::Topic,
};

/// Leases in one go at the most.
const MOST: i64 = 200;

/// A task whose worker was not heard of in time.
struct Lapsed {
    task_id: String,
    workflow_id: Option<String>,
    cancelling: bool,
    queue: String,
    fence: i64,
    attempt: i64,
    infra_failures: i64,
    owner: Option<String>,
    errors: String,
}

/// Puts tasks back whose lease has run out: ready under the same fence, so that a late completion still counts until somebody claims them;
/// dead when it happens too often. How many.
pub(in crate::adapters::records) async fn expire(session: &dyn Session, now: Instant) -> Result<u64, Error> {
    let found = session
        .rows(
            "-- task_runs_lapsed\n\
             SELECT r.task_id, r.workflow_id, w.state, r.queue, r.fence, r.attempt, r.infra_failures, r.owner, t.errors \
             FROM task_run r JOIN task t ON t.id = r.task_id LEFT JOIN workflow w ON w.id = r.workflow_id \
             WHERE r.state = 'leased' AND r.lease_until <= $1 ORDER BY r.lease_until LIMIT $2 FOR UPDATE OF r SKIP LOCKED",
            &[now.into(), MOST.into()],
        )
        .await?;
    let lapsed = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for task in &lapsed {
        one(session, task, By { now, actor: None }).await?;
    }
    Ok(lapsed.len() as u64)
}

fn read(mut row: Row) -> Result<Lapsed, Error> {
    Ok(Lapsed {
        task_id: row.text()?,
        workflow_id: row.text_or_none()?,
        cancelling: row.text_or_none()?.as_deref() == Some(workflows::State::Cancelling.as_str()),
        queue: row.text()?,
        fence: row.integer()?,
        attempt: row.integer()?,
        infra_failures: row.integer()?,
        owner: row.text_or_none()?,
        errors: row.text()?,
    })
}

async fn one(session: &dyn Session, task: &Lapsed, by: By<'_>) -> Result<(), Error> {
    let failures = task.infra_failures + 1;
    let mut delta = Delta::default();
    let state = if task.cancelling {
        end(session, task, State::Cancelled, by).await?;
        (delta.open, delta.cancelled) = (-1, 1);
        State::Cancelled
    } else if failures > INFRA_FAILURES_MAX {
        end(session, task, State::Dead, by).await?;
        let followed = dependents::follow(session, &task.task_id, State::Dead, by).await?;
        delta = followed.delta;
        delta.open -= 1;
        delta.dead += 1;
        State::Dead
    } else {
        session
            .change(
                "-- task_run_lapse\n\
                 UPDATE task_run SET state = 'ready', infra_failures = $2, lease_until = NULL, runs_until = NULL, session_id = NULL, \
                 since = $3 WHERE task_id = $1",
                &[(&task.task_id).into(), failures.into(), by.now.into()],
            )
            .await?;
        session.touch(Topic::Queue(task.queue.clone()));
        State::Ready
    };
    let data =
        json!({"state": state.as_str(), "agent_id": task.owner, "infra_failures": failures, "fence": task.fence});
    let event = events::Event {
        at: by.now,
        entity: "task",
        entity_id: &task.task_id,
        workflow_id: task.workflow_id.as_deref(),
        kind: if state == State::Dead { "task_dead" } else { "lease_expired" },
        actor: None,
        data: Some(&data.to_string()),
    };
    events::write(session, &event).await?;
    if let Some(workflow_id) = &task.workflow_id {
        flow::settle(session, workflow_id, delta, by).await?;
    }
    Ok(())
}

async fn end(session: &dyn Session, task: &Lapsed, state: State, by: By<'_>) -> Result<(), Error> {
    let stalled = KeptFailure {
        attempt: task.attempt,
        at: by.now.rfc3339(),
        failure: Failure {
            code: Some("stalled".to_owned()),
            message: "its workers went silent too often".to_owned(),
            retry_after_ms: None,
        },
        agent_id: task.owner.clone(),
    };
    let errors = (state == State::Dead).then(|| with_failure(&task.errors, stalled));
    let ended = close::Ended {
        task_id: &task.task_id,
        state,
        fence: task.fence + 1,
        attempt: task.attempt,
        owner: task.owner.as_deref(),
        result: None,
        errors: errors.as_deref(),
    };
    close::end(session, &ended, by).await.map(drop)
}
