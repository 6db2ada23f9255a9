//! What a worker says while it works.

use serde_json::json;

use super::{
    super::{
        Transaction,
        events::{self, By},
        idempotency::once,
        payload,
        workflows::flow::{self, Delta},
    },
    close,
    cost::{self, Spent},
    held::{self, Held},
};
use crate::{
    clock::Instant,
    domain::{
        idempotency::Key,
        json::Json,
        tasks::{Cost, Lease, State, answers::Updated},
        workflows::answers::Signal,
    },
    error::Error,
    store::Sql,
    store::tasks::LeaseRefused,
};

/// What a worker says.
#[derive(Debug, Clone)]
pub struct Update {
    /// Its right.
    pub lease: Lease,
    /// How far it is, 0 to 1.
    pub progress: Option<f64>,
    /// In its own words.
    pub message: Option<String>,
    /// What a later worker can go on from.
    pub checkpoint: Option<Json>,
    /// What was spent since the last time.
    pub cost: Option<Cost>,
    /// What it needs to know before it can go on: parks the task.
    pub question: Option<Json>,
    /// How long the lease runs from now, in milliseconds.
    pub lease_ms: i64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Renews the lease and notes what was said, or parks the task.
pub(super) async fn update(
    transaction: &Transaction<'_>,
    asked: &Update,
) -> Result<Result<Updated, LeaseRefused>, Error> {
    once(transaction, asked.key.as_ref(), asked.now, async {
        let held = if asked.question.is_some() || asked.cost.is_some() {
            held::lock(transaction, &asked.lease.task_id).await?
        } else {
            held::lock_alone(transaction, &asked.lease.task_id).await?
        };
        let held = held.map(|held| held.at(asked.now));
        let Some(held) = held.as_ref().filter(|held| held.run.is_leased_under(&asked.lease)) else {
            return Ok(Err(held::refusal(transaction, &asked.lease, held.as_ref()).await?));
        };
        note(transaction, asked, held).await?;
        spend(transaction, asked, held).await?;
        if asked.question.is_some() && held.run.cancelling {
            give_up(transaction, asked, held).await?;
            let state = State::Cancelled;
            return Ok(Ok(Updated { state, lease_until: None, cancel_requested: true, signals: Vec::new() }));
        }
        if asked.question.is_some() {
            park(transaction, asked, held).await?;
            return Ok(Ok(Updated {
                state: State::Parked,
                lease_until: None,
                cancel_requested: false,
                signals: Vec::new(),
            }));
        }
        let (signals, seen) = signals(transaction, held).await?;
        let lease_until = renew(transaction, asked, held, seen).await?;
        Ok(Ok(Updated {
            state: State::Leased,
            lease_until: Some(lease_until),
            cancel_requested: held.run.cancelling,
            signals,
        }))
    })
    .await
}

async fn note(transaction: &Transaction<'_>, asked: &Update, held: &Held) -> Result<(), Error> {
    if asked.progress.is_none() && asked.message.is_none() && asked.checkpoint.is_none() {
        return Ok(());
    }
    transaction
        .execute(
            Sql::both(
                "-- task_note\n\
             UPDATE task SET progress = COALESCE($2, progress), message = COALESCE($3, message), \
             checkpoint = COALESCE($4, checkpoint) WHERE id = $1",
            ),
            &[
                (&asked.lease.task_id).into(),
                asked.progress.into(),
                asked.message.as_ref().into(),
                asked.checkpoint.as_ref().map(|checkpoint| checkpoint.get()).into(),
            ],
        )
        .await?;
    if asked.progress.is_none() && asked.message.is_none() {
        return Ok(());
    }
    let data = json!({"progress": asked.progress, "message": asked.message}).to_string();
    tell(transaction, asked, held, "task_progress", Some(&data));
    Ok(())
}

async fn spend(transaction: &Transaction<'_>, asked: &Update, held: &Held) -> Result<(), Error> {
    let Some(cost) = &asked.cost else { return Ok(()) };
    let spent = Spent {
        cost,
        task_id: &asked.lease.task_id,
        workflow_id: held.workflow_id.as_deref(),
        agent_id: held.owner.as_deref(),
        now: asked.now,
    };
    cost::add(transaction, &[spent]).await?;
    let data = json!({"usd": cost.amount.to_string(), "model": cost.model}).to_string();
    tell(transaction, asked, held, "cost_reported", Some(&data));
    let Some(workflow_id) = &held.workflow_id else { return Ok(()) };
    // A report of cost is no change of state: the version stays, unless the budget is reached.
    let changed = transaction
        .query(
            Sql::both(
                "-- workflow_cost\n\
             UPDATE workflow SET cost_micros = cost_micros + $2 WHERE id = $1 RETURNING cost_micros >= budget_micros",
            ),
            &[workflow_id.into(), cost.amount.0.into()],
        )
        .await?;
    let reached = match changed.into_iter().next() {
        Some(mut row) => row.bool_or_none()?.unwrap_or_default(),
        None => false,
    };
    if reached && let Some(mut flow) = flow::lock(transaction, workflow_id).await? {
        let delta = Delta { cost: cost.amount.0, ..Delta::default() };
        flow.version += 1;
        flow.follow(transaction, delta, By { now: asked.now, actor: held.owner.as_deref() }).await?;
    }
    Ok(())
}

/// The lease ends with the question, which is no failed attempt: whoever claims the task after the answer goes on from the checkpoint.
async fn park(transaction: &Transaction<'_>, asked: &Update, held: &Held) -> Result<(), Error> {
    transaction
        .execute(Sql::both("-- task_run_park\n\
             UPDATE task_run SET state = 'parked', fence = fence + 1, attempt = attempt - 1, secret = NULL, lease_until = NULL, runs_until = NULL, \
             session_id = NULL, since = $2 WHERE task_id = $1"),
            &[(&asked.lease.task_id).into(), asked.now.into()],
        )
        .await?;
    let question = asked.question.as_ref().map(|question| question.get());
    transaction
        .execute(
            Sql::both("-- task_question\nUPDATE task SET question = $2, answer = NULL WHERE id = $1"),
            &[(&asked.lease.task_id).into(), question.into()],
        )
        .await?;
    let data = events::said("question", question.unwrap_or("null"));
    tell(transaction, asked, held, "task_parked", Some(&data));
    if let Some(workflow_id) = &held.workflow_id {
        let delta = Delta { parked: 1, leases_ended: 1, ..Delta::default() };
        flow::settle(transaction, workflow_id, delta, By { now: asked.now, actor: held.owner.as_deref() }).await?;
    }
    Ok(())
}

/// Nobody will answer for a workflow that is being cancelled: the task is given up.
async fn give_up(transaction: &Transaction<'_>, asked: &Update, held: &Held) -> Result<(), Error> {
    let by = By { now: asked.now, actor: held.owner.as_deref() };
    let ended = close::Ended {
        task_id: &asked.lease.task_id,
        state: State::Cancelled,
        fence: held.run.fence + 1,
        attempt: held.run.attempt,
        owner: held.owner.as_deref(),
        result: None,
        errors: None,
    };
    close::end(transaction, &ended, by).await?;
    tell(transaction, asked, held, "task_cancelled", None);
    let Some(workflow_id) = &held.workflow_id else { return Ok(()) };
    let delta = Delta { open: -1, cancelled: 1, leases_ended: 1, ..Delta::default() };
    flow::settle(transaction, workflow_id, delta, by).await.map(drop)
}

/// What the workflow's workers were told since the last time, and the newest of it.
async fn signals(transaction: &Transaction<'_>, held: &Held) -> Result<(Vec<Signal>, i64), Error> {
    let mut seen = held.signals_seen;
    let Some(workflow_id) = &held.workflow_id else { return Ok((Vec::new(), seen)) };
    let found = transaction
        .query(Sql::both("-- signals_new\nSELECT id, name, payload FROM signal WHERE workflow_id = $1 AND id > $2 ORDER BY id LIMIT 100"),
            &[workflow_id.into(), seen.into()],
        )
        .await?;
    let mut signals = Vec::with_capacity(found.len());
    for mut row in found {
        seen = row.integer()?;
        signals.push(Signal { name: row.text()?, payload: payload::json(&mut row)? });
    }
    Ok((signals, seen))
}

/// An end that was answered never moves back, however late this comes.
async fn renew(transaction: &Transaction<'_>, asked: &Update, held: &Held, seen: i64) -> Result<Instant, Error> {
    let lease_until = asked.now.plus_ms(asked.lease_ms);
    let lease_until = held.lease_until.map_or(lease_until, |answered| answered.max(lease_until));
    let lease_until = held.runs_until.map_or(lease_until, |end| end.min(lease_until));
    transaction
        .execute(
            Sql::both("-- task_renew\nUPDATE task_run SET lease_until = $2, signals_seen = $3 WHERE task_id = $1"),
            &[(&asked.lease.task_id).into(), lease_until.into(), seen.into()],
        )
        .await?;
    Ok(lease_until)
}

fn tell(transaction: &Transaction<'_>, asked: &Update, held: &Held, kind: &'static str, data: Option<&str>) {
    let event = events::Event {
        at: asked.now,
        entity: "task",
        entity_id: &asked.lease.task_id,
        workflow_id: held.workflow_id.as_deref(),
        kind,
        actor: held.owner.as_deref(),
        data,
    };
    events::write(transaction, &event);
}
