//! The end of a worker's turn.

use futures_util::future::try_join;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    super::{
        Later, Session, events,
        idempotency::once,
        payload,
        workflows::flow::{self, By, Delta},
    },
    close, cost,
    cost::Spender,
    dependents::{self, Followed},
    held::{self, Held},
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::Key,
        tasks::{Cost, Failure, Lease, Outcome, Priority, State, Verdict, answers::Finished},
    },
    error::Error,
    store::tasks::LeaseRefused,
};

/// The end of a worker's turn.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Its right.
    pub lease: Lease,
    /// How it ends.
    pub outcome: Outcome,
    /// What was spent since the last time.
    pub cost: Option<Cost>,
    /// Where in a wait the next attempt begins, 0 to 1: spreads attempts that failed together.
    pub jitter: f64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Failures kept with a task.
const ERRORS_KEPT: usize = 20;

/// A failure as it is kept.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct KeptFailure {
    pub attempt: i64,
    pub at: String,
    #[serde(flatten)]
    pub failure: Failure,
    pub agent_id: Option<String>,
}

/// The list of failures with one more, newest first.
pub(in crate::store) fn with_failure(errors: &str, newest: KeptFailure) -> String {
    let mut kept: Vec<KeptFailure> = serde_json::from_str(errors).unwrap_or_default();
    kept.insert(0, newest);
    kept.truncate(ERRORS_KEPT);
    serde_json::to_string(&kept).unwrap_or_else(|_| "[]".to_owned())
}

/// Ends the turn, if the lease is the current one.
pub(super) async fn finish(session: &dyn Session, asked: &Finish) -> Result<Result<Finished, LeaseRefused>, Error> {
    once(session, asked.key.as_ref(), asked.now, async {
        let task_id = asked.lease.task_id.as_str();
        let mut held = held::lock_beside(session, task_id).await?;
        // Ends beside this one change the same workflow, and tasks that wait for both.
        let shared = held.as_ref().filter(|held| held.workflow_id.is_some() || held.has_dependents);
        let workflow_id = shared.map(|held| held.workflow_id.clone().unwrap_or_default());
        let _hold = match &workflow_id {
            Some(workflow_id) => {
                let hold = session.hold(workflow_id).await;
                if !hold.is_first() {
                    held = held::lock_alone(session, task_id).await?;
                }
                Some(hold)
            }
            None => None,
        };
        let held = held.map(|held| held.at(asked.now));
        let decided = held.as_ref().and_then(|held| Some((held, held.run.finish(&asked.lease, &asked.outcome)?)));
        let Some((held, verdict)) = decided else {
            return Ok(Err(held::refusal(session, &asked.lease, held.as_ref()).await?));
        };
        carry_out(session, asked, held, verdict).await.map(Ok)
    })
    .await
}

async fn carry_out(session: &dyn Session, asked: &Finish, held: &Held, verdict: Verdict) -> Result<Finished, Error> {
    let task_id = asked.lease.task_id.as_str();
    let by = By { now: asked.now, actor: held.owner.as_deref() };
    let (state, mut delta) = meaning(verdict);
    let next_run_at = match verdict {
        Verdict::Retry { wait_ms } => Some(run_at(asked, wait_ms)),
        _ => None,
    };
    tell(session, asked, held, state, next_run_at)?;
    count_for_agent(session, asked, held, state)?;
    let changed = change(session, asked, held, verdict, next_run_at);
    let (followed, ()) = try_join(changed, spend(session, asked, held)).await?;
    delta.cost = asked.cost.as_ref().map_or(0, |cost| cost.amount.0);
    delta += followed.delta;
    delta.leases_ended += i64::from(held.counts_as_leased);
    let workflow_state = match &held.workflow_id {
        Some(workflow_id) => Some(flow::settle(session, workflow_id, delta, by).await?.state),
        None => None,
    };
    let unblocked = if workflow_state.is_none_or(|state| state.lets_claim()) { followed.unblocked } else { Vec::new() };
    Ok(Finished { task_id: task_id.to_owned(), state, next_run_at, unblocked, workflow_state })
}

/// Where the task stands then, and what that means for the counts of its workflow.
fn meaning(verdict: Verdict) -> (State, Delta) {
    let none = Delta::default();
    match verdict {
        Verdict::Complete => (State::Completed, Delta { open: -1, completed: 1, ..none }),
        Verdict::Die => (State::Dead, Delta { open: -1, dead: 1, ..none }),
        Verdict::Cancel => (State::Cancelled, Delta { open: -1, cancelled: 1, ..none }),
        Verdict::Retry { .. } => (State::RetryWait, none),
        Verdict::Release => (State::Ready, none),
    }
}

async fn change(
    session: &dyn Session,
    asked: &Finish,
    held: &Held,
    verdict: Verdict,
    next_run_at: Option<Instant>,
) -> Result<Followed, Error> {
    let by = By { now: asked.now, actor: held.owner.as_deref() };
    let state = match verdict {
        Verdict::Complete => State::Completed,
        Verdict::Die => State::Dead,
        Verdict::Cancel => {
            over(session, asked, held, State::Cancelled).await?;
            return Ok(Followed::default());
        }
        Verdict::Retry { .. } => {
            retry(session, asked, held, next_run_at.unwrap_or(asked.now)).await?;
            return Ok(Followed::default());
        }
        Verdict::Release => {
            release(session, asked, held).await?;
            return Ok(Followed::default());
        }
    };
    let followed = async {
        if held.has_dependents {
            dependents::follow(session, &asked.lease.task_id, state, by).await
        } else {
            Ok(Followed::default())
        }
    };
    Ok(try_join(over(session, asked, held, state), followed).await?.1)
}

async fn spend(session: &dyn Session, asked: &Finish, held: &Held) -> Result<(), Error> {
    let Some(cost) = &asked.cost else { return Ok(()) };
    let spender = Spender {
        task_id: &asked.lease.task_id,
        workflow_id: held.workflow_id.as_deref(),
        agent_id: held.owner.as_deref(),
    };
    cost::add(session, cost, &spender, asked.now).await
}

async fn over(session: &dyn Session, asked: &Finish, held: &Held, state: State) -> Result<(), Error> {
    let result = match &asked.outcome {
        Outcome::Completed { result } => result.as_ref().map(payload::pack),
        Outcome::Failed(_) | Outcome::Released => None,
    };
    let errors = errors(asked, held);
    let ended = close::Ended {
        task_id: &asked.lease.task_id,
        state,
        fence: if state == State::Completed { held.run.fence } else { held.run.fence + 1 },
        attempt: held.run.attempt,
        owner: held.owner.as_deref(),
        result: result.as_deref(),
        errors: errors.as_deref(),
    };
    close::end_held(session, &ended, By { now: asked.now, actor: None }).await
}

fn errors(asked: &Finish, held: &Held) -> Option<String> {
    let Outcome::Failed(failure) = &asked.outcome else { return None };
    let newest = KeptFailure {
        attempt: held.run.attempt,
        at: asked.now.rfc3339(),
        failure: failure.clone(),
        agent_id: held.owner.clone(),
    };
    Some(with_failure(&held.errors, newest))
}

/// When the next attempt may begin.
fn run_at(asked: &Finish, wait_ms: (u64, u64)) -> Instant {
    let (shortest, longest) = wait_ms;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "milliseconds of at most a day, times a part of one"
    )]
    let wait = shortest + ((longest - shortest) as f64 * asked.jitter.clamp(0.0, 1.0)) as u64;
    asked.now.plus_ms(i64::try_from(wait).unwrap_or(i64::MAX))
}

async fn retry(session: &dyn Session, asked: &Finish, held: &Held, run_at: Instant) -> Result<(), Error> {
    let priority = Priority::new(held.priority).unwrap_or(Priority::NORMAL);
    session
        .change(
            "-- task_run_retry\n\
             UPDATE task_run SET state = 'retry_wait', fence = fence + 1, secret = NULL, lease_until = NULL, runs_until = NULL, \
             session_id = NULL, run_at = $2, sort_key = $3, since = $4 WHERE task_id = $1",
            &[(&asked.lease.task_id).into(), run_at.into(), priority.sort_key(run_at).into(), asked.now.into()],
        )
        .await?;
    let sql = "-- task_errors\nUPDATE task SET errors = $2 WHERE id = $1";
    session.change(sql, &[(&asked.lease.task_id).into(), errors(asked, held).as_ref().into()]).await?;
    // Who waits for a task of this queue learns when the next one is due.
    session.touch(Topic::Queue(held.queue.clone()));
    Ok(())
}

/// Back to its old place, as if it had not been claimed.
async fn release(session: &dyn Session, asked: &Finish, held: &Held) -> Result<(), Error> {
    session
        .change(
            "-- task_run_release\n\
             UPDATE task_run SET state = 'ready', fence = fence + 1, attempt = attempt - 1, secret = NULL, lease_until = NULL, \
             runs_until = NULL, session_id = NULL, since = $2 WHERE task_id = $1",
            &[(&asked.lease.task_id).into(), asked.now.into()],
        )
        .await?;
    session.touch(Topic::Queue(held.queue.clone()));
    Ok(())
}

fn tell(
    session: &dyn Session,
    asked: &Finish,
    held: &Held,
    state: State,
    next_run_at: Option<Instant>,
) -> Result<(), Error> {
    let kind = match (state, &asked.outcome) {
        (State::Completed, _) => "task_completed",
        (State::Dead, _) => "task_dead",
        (State::RetryWait, _) => "task_failed",
        (State::Cancelled, _) => "task_cancelled",
        _ => "task_released",
    };
    let failure = match &asked.outcome {
        Outcome::Failed(failure) => Some(failure),
        Outcome::Completed { .. } | Outcome::Released => None,
    };
    let duration_ms = held.claimed_at.map(|claimed_at| asked.now.ms_since(claimed_at));
    let data = json!({
        "attempt": held.run.attempt,
        "duration_ms": duration_ms,
        "error": failure,
        "next_run_at": next_run_at.map(Instant::rfc3339),
    });
    let event = events::Event {
        at: asked.now,
        entity: "task",
        entity_id: &asked.lease.task_id,
        workflow_id: held.workflow_id.as_deref(),
        kind,
        actor: held.owner.as_deref(),
        data: Some(&data.to_string()),
    };
    events::write(session, &event)
}

fn count_for_agent(session: &dyn Session, asked: &Finish, held: &Held, state: State) -> Result<(), Error> {
    let (completed, failed) = match state {
        State::Completed => (1, 0),
        State::Dead | State::RetryWait => (0, 1),
        _ => return Ok(()),
    };
    let Some(owner) = &held.owner else { return Ok(()) };
    let busy_ms = held.claimed_at.map_or(0, |claimed_at| asked.now.ms_since(claimed_at));
    session.later(Later {
        sql: "-- agent_count\n\
              UPDATE agent SET tasks_completed = tasks_completed + $2, tasks_failed = tasks_failed + $3, busy_ms = busy_ms + $4 \
              WHERE id = $1",
        many: "-- agents_count\n\
               WITH locked AS MATERIALIZED (SELECT id FROM agent WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE)\n\
               UPDATE agent SET tasks_completed = tasks_completed + more.completed, tasks_failed = tasks_failed + more.failed, \
               busy_ms = busy_ms + more.ms \
               FROM (SELECT id, sum(completed)::bigint AS completed, sum(failed)::bigint AS failed, sum(ms)::bigint AS ms \
               FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS one (id, completed, failed, ms) GROUP BY id) AS more, \
               locked WHERE agent.id = locked.id AND more.id = locked.id",
        values: vec![
            owner.into(),
            i64::from(completed).into(),
            i64::from(failed).into(),
            i64::try_from(busy_ms).unwrap_or(i64::MAX).into(),
        ],
    })
}
