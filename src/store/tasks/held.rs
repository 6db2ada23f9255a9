//! A task inside a transition, by its lease.

use std::collections::BTreeMap;

use crate::{
    clock::Instant,
    domain::{
        idempotency::Repeat,
        tasks::{Lease, Run, State},
        workflows,
    },
    error::{Code, Error},
    store::{Row, Sql, Transaction, Value, sql::sql, workflows::flow},
};

/// Why a lease gave no right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseRefused {
    /// There is no such task.
    NoSuchTask,
    /// It has ended.
    Lost {
        /// Where the task stands.
        state: State,
        /// Its count of claims.
        fence: i64,
        /// Who holds it now.
        agent_id: Option<String>,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for LeaseRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

/// A task that is not over, with its queue row locked for this transaction.
///
/// Whatever changes a workflow's tasks locks the workflow first and their queue rows then: what it reads of the workflow is so. After them
/// come agents, and locks last, of each kind in the order of their ids: so no two transitions deadlock. Claims alone
/// begin with queue rows, and pass over those that are locked.
pub(super) struct Held {
    pub run: Run,
    pub workflow_id: Option<String>,
    pub queue: String,
    pub priority: i64,
    pub owner: Option<String>,
    pub infra_failures: i64,
    pub lease_until: Option<Instant>,
    /// That is over by the database's own clock.
    lease_is_over: bool,
    pub claimed_at: Option<Instant>,
    pub runs_until: Option<Instant>,
    pub signals_seen: i64,
    /// Others wait for it, or have waited.
    pub has_dependents: bool,
    /// Its queue row says leased, also when that lease has run out and nobody has put the task back yet.
    pub counts_as_leased: bool,
    /// JSON.
    pub errors: String,
}

impl Held {
    /// As it stands at a moment: a lease that has run out is none, whether or not somebody has put the task back yet.
    pub(super) fn at(mut self, now: Instant) -> Self {
        if self.has_lapsed(now) {
            self.run.state = State::Ready;
        }
        self
    }

    /// Whether it is leased, and the lease has run out.
    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        let is_over = self.lease_is_over && self.lease_until.is_some_and(|lease_until| lease_until <= now);
        self.run.state == State::Leased && is_over
    }
}

/// Locks the workflow of a task, and the task. None when it is over, or there is none.
pub(super) async fn lock(transaction: &Transaction<'_>, task_id: &str) -> Result<Option<Held>, Error> {
    flow::lock_of_tasks(transaction, &[task_id.to_owned()]).await?;
    lock_alone(transaction, task_id).await
}

/// Locks tasks with all that is of them, their workflows first.
pub(super) async fn lock_all(transaction: &Transaction<'_>, ids: &[String]) -> Result<(), Error> {
    flow::lock_of_tasks(transaction, ids).await?;
    let ids = [Value::Texts(ids)];
    for sql in [
        Sql::lock(
            "-- task_runs_lock\nSELECT task_id FROM task_run WHERE task_id = ANY($1) ORDER BY task_id FOR UPDATE",
        ),
        Sql::lock("-- tasks_lock\nSELECT id FROM task WHERE id = ANY($1) ORDER BY id FOR UPDATE"),
    ] {
        transaction.execute(sql, &ids).await?;
    }
    Ok(())
}

/// Locks a task without its workflow, for what changes neither.
pub(super) async fn lock_alone(transaction: &Transaction<'_>, task_id: &str) -> Result<Option<Held>, Error> {
    lock_these(transaction, &[task_id.to_owned()]).await.map(|mut held| held.remove(task_id))
}

/// The same for several tasks, in their order.
pub(super) async fn lock_these(transaction: &Transaction<'_>, ids: &[String]) -> Result<BTreeMap<String, Held>, Error> {
    let found = transaction
        .query(
            sql!(
                "-- task_run_lock\n\
                 SELECT r.task_id, r.state, r.fence, r.secret, r.attempt, t.max_attempts, r.workflow_id, w.state, r.queue, r.priority, \
                 r.owner, r.infra_failures, r.lease_until, r.claimed_at, r.runs_until, r.signals_seen, t.errors, \
                 EXISTS (SELECT 1 FROM task_dependency d WHERE d.depends_on = r.task_id), r.lease_until <= ", (now), " \
                 FROM task_run r JOIN task t ON t.id = r.task_id LEFT JOIN workflow w ON w.id = r.workflow_id \
                 WHERE r.task_id ", (any 1), " ORDER BY r.task_id", (lock "OF r")
            ),
            &[Value::Texts(ids)],
        )
        .await?;
    found.into_iter().map(read).collect()
}

fn read(mut row: Row) -> Result<(String, Held), Error> {
    let task_id = row.text()?;
    let mut run = Run {
        state: state(&row.text()?)?,
        fence: row.integer()?,
        secret: row.text_or_none()?,
        attempt: row.integer()?,
        attempts_max: row.integer()?,
        cancelling: false,
    };
    let workflow_id = row.text_or_none()?;
    let workflow_state = row.text_or_none()?.as_deref().and_then(workflows::State::parse);
    run.cancelling = workflow_state == Some(workflows::State::Cancelling);
    let held = Held {
        counts_as_leased: run.state == State::Leased,
        run,
        workflow_id,
        queue: row.text()?,
        priority: row.integer()?,
        owner: row.text_or_none()?,
        infra_failures: row.integer()?,
        lease_until: row.time_or_none()?,
        claimed_at: row.time_or_none()?,
        runs_until: row.time_or_none()?,
        signals_seen: row.integer()?,
        errors: row.text()?,
        has_dependents: row.bool()?,
        lease_is_over: row.bool_or_none()?.unwrap_or_default(),
    };
    Ok((task_id, held))
}

/// Why a lease gives no right: `held` is what is known of its task, when that is not over.
pub(super) async fn refusal(
    transaction: &Transaction<'_>,
    lease: &Lease,
    held: Option<&Held>,
) -> Result<LeaseRefused, Error> {
    if let Some(held) = held {
        let leased = held.run.state == State::Leased;
        return Ok(LeaseRefused::Lost {
            state: held.run.state,
            fence: held.run.fence,
            agent_id: if leased { held.owner.clone() } else { None },
        });
    }
    let sql = Sql::both("-- task_ended\nSELECT ended, fence FROM task WHERE id = $1");
    let found = transaction.query(sql, &[(&lease.task_id).into()]).await?;
    let Some(mut row) = found.into_iter().next() else { return Ok(LeaseRefused::NoSuchTask) };
    let ended = row.text_or_none()?;
    let state = state(ended.as_deref().unwrap_or("ready"))?;
    Ok(LeaseRefused::Lost { state, fence: row.integer()?, agent_id: None })
}

/// Reads a stored state.
pub(in crate::store) fn state(word: &str) -> Result<State, Error> {
    State::parse(word).ok_or_else(|| {
        Error::new(Code::Internal, "the record store holds a value that cannot be read")
            .cause(format!("`{word}` in column state of task_run"))
    })
}
