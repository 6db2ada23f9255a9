//! Leases that have run out.

use serde_json::json;

use super::{
    super::{
        Transaction,
        events::{self, By},
        workflows::flow::{self, Delta},
    },
    close, dependents,
    finish::{KeptFailure, with_failure},
    held::{self, Held},
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::tasks::{Failure, INFRA_FAILURES_MAX, State},
    error::Error,
    store::Sql,
    store::sql::sql,
};

/// Leases in one go at the most.
const MOST: i64 = 200;

/// Whether there are such leases.
pub(super) async fn is_due(transaction: &Transaction<'_>, now: Instant) -> Result<bool, Error> {
    let sql = sql!(
        "-- task_run_lapsed\nSELECT 1 FROM task_run WHERE state = 'leased' AND lease_until <= $1 AND lease_until <= ",
        (now),
        " LIMIT 1"
    );
    Ok(!transaction.query(sql, &[now.into()]).await?.is_empty())
}

/// Puts tasks back whose lease has run out: ready under the same fence, so that a late completion still counts until somebody claims them;
/// dead when it happens too often. How many.
pub(in crate::store) async fn expire(transaction: &Transaction<'_>, now: Instant) -> Result<u64, Error> {
    let found = transaction
        .query(
            sql!(
                "-- task_runs_lapsed\n\
             SELECT task_id FROM task_run WHERE state = 'leased' AND lease_until <= $1 AND lease_until <= ",
                (now),
                " ORDER BY lease_until, task_id LIMIT $2"
            ),
            &[now.into(), MOST.into()],
        )
        .await?;
    let ids = found.into_iter().map(|mut row| row.text()).collect::<Result<Vec<_>, _>>()?;
    if !ids.is_empty() {
        held::lock_all(transaction, &ids).await?;
    }
    let mut count = 0;
    for task_id in ids {
        let Some(held) = held::lock_alone(transaction, &task_id).await? else { continue };
        // Its worker, or another process, may have been faster.
        if held.has_lapsed(now) {
            one(transaction, &task_id, &held, By { now, actor: None }).await?;
            count += 1;
        }
    }
    Ok(count)
}

async fn one(transaction: &Transaction<'_>, task_id: &str, task: &Held, by: By<'_>) -> Result<(), Error> {
    let failures = task.infra_failures + 1;
    let mut delta = Delta::default();
    let state = if task.run.cancelling {
        end(transaction, task_id, task, State::Cancelled, by).await?;
        (delta.open, delta.cancelled) = (-1, 1);
        State::Cancelled
    } else if failures > INFRA_FAILURES_MAX {
        end(transaction, task_id, task, State::Dead, by).await?;
        let followed = dependents::follow(transaction, task_id, State::Dead, by).await?;
        delta = followed.delta;
        delta.open -= 1;
        delta.dead += 1;
        State::Dead
    } else {
        transaction
            .execute(Sql::both("-- task_run_lapse\n\
                 UPDATE task_run SET state = 'ready', infra_failures = $2, lease_until = NULL, runs_until = NULL, session_id = NULL, \
                 since = $3 WHERE task_id = $1"),
                &[task_id.into(), failures.into(), by.now.into()],
            )
            .await?;
        transaction.touch(Topic::Queue(task.queue.clone()));
        State::Ready
    };
    let data =
        json!({"state": state.as_str(), "agent_id": task.owner, "infra_failures": failures, "fence": task.run.fence});
    let event = events::Event {
        at: by.now,
        entity: "task",
        entity_id: task_id,
        workflow_id: task.workflow_id.as_deref(),
        kind: if state == State::Dead { "task_dead" } else { "lease_expired" },
        actor: None,
        data: Some(&data.to_string()),
    };
    events::write(transaction, &event);
    delta.leases_ended = 1;
    if let Some(workflow_id) = &task.workflow_id {
        flow::settle(transaction, workflow_id, delta, by).await?;
    }
    Ok(())
}

async fn end(transaction: &Transaction<'_>, task_id: &str, task: &Held, state: State, by: By<'_>) -> Result<(), Error> {
    let stalled = KeptFailure {
        attempt: task.run.attempt,
        at: by.now.rfc3339(),
        failure: Failure {
            code: Some("stalled".to_owned()),
            message: "its workers went silent too often".to_owned(),
            retryable: None,
            retry_after_ms: None,
        },
        agent_id: task.owner.clone(),
    };
    let errors = (state == State::Dead).then(|| with_failure(&task.errors, stalled));
    let ended = close::Ended {
        task_id,
        state,
        fence: task.run.fence + 1,
        attempt: task.run.attempt,
        owner: task.owner.as_deref(),
        result: None,
        errors,
    };
    close::end(transaction, &ended, by).await.map(drop)
}
