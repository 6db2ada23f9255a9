//! A workflow inside a transition: its counts change with its tasks, and by them its state.
//!
//! Each change of a task's state raises the version that is shown. Claims of one workflow would wait for each other if they wrote it, so
//! the version shown is the one stored and one more for each task that is leased; the end of a lease raises the stored one by two.

use std::{collections::BTreeMap, ops::AddAssign};

use serde_json::json;

use super::super::{
    Row, Transaction, Value,
    events::{self, By},
    tasks::close,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        money::Micros,
        workflows::{CANCEL_GRACE_MS, Counts, OnTaskFailure, Signs, State, follow},
    },
    error::{Code, Error},
    store::Sql,
    store::sql::sql,
};

/// A workflow's row, as far as rules ask for it, locked for this transaction.
#[derive(Debug, Clone)]
pub(in crate::store) struct Flow {
    pub id: String,
    pub kind: String,
    pub state: State,
    /// As it is stored; [`Flow::version_shown`] is what callers know.
    pub version: i64,
    pub policy: OnTaskFailure,
    pub budget: Option<Micros>,
    pub cost: Micros,
    pub counts: Counts,
    pub parked: i64,
    pub started_at: Option<Instant>,
    /// It stops by itself: somebody has to look.
    needs_attention: bool,
    /// Leases that have ended in the table of tasks, and are yet to be counted in `version`.
    unsettled: i64,
}

/// How a change of tasks changes the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Delta {
    pub all: i64,
    pub open: i64,
    pub completed: i64,
    pub dead: i64,
    pub cancelled: i64,
    pub parked: i64,
    /// Money spent, in millionths.
    pub cost: i64,
    /// Tasks that were leased and are not any more.
    pub leases_ended: i64,
}

impl AddAssign for Delta {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.open += other.open;
        self.completed += other.completed;
        self.dead += other.dead;
        self.cancelled += other.cancelled;
        self.parked += other.parked;
        self.cost += other.cost;
        self.leases_ended += other.leases_ended;
    }
}

/// The columns of a [`Flow`].
macro_rules! columns {
    () => {
        "id, type, state, version, on_task_failure, budget_micros, cost_micros, tasks, tasks_open, tasks_completed, \
         tasks_dead, tasks_cancelled, tasks_parked, started_at"
    };
}

/// Locks a workflow for this transaction.
pub(in crate::store) async fn lock(transaction: &Transaction<'_>, id: &str) -> Result<Option<Flow>, Error> {
    let found = transaction
        .query(sql!("-- workflow_lock\nSELECT ", [columns!()], " FROM workflow WHERE id = $1", (lock)), &[id.into()])
        .await?;
    found.into_iter().next().map(read).transpose()
}

/// Locks the workflows of tasks for this transaction, in their order.
pub(in crate::store) async fn lock_of_tasks(
    transaction: &Transaction<'_>,
    tasks: &[String],
) -> Result<BTreeMap<String, Flow>, Error> {
    // An array is looked up by the index, however few tasks and workflows PostgreSQL takes there to be.
    let sql = Sql {
        postgres: concat!(
            "-- task_workflows_lock\nSELECT ",
            columns!(),
            " FROM workflow WHERE id = ANY(ARRAY(SELECT workflow_id FROM task WHERE id = ANY($1))) ORDER BY id FOR UPDATE"
        ),
        sqlite: concat!(
            "-- task_workflows_lock\nSELECT ",
            columns!(),
            " FROM workflow WHERE id IN (SELECT workflow_id FROM task WHERE id IN (SELECT value FROM json_each($1)))"
        ),
    };
    let found = transaction.query(sql, &[Value::Texts(tasks)]).await?;
    found.into_iter().map(|row| read(row).map(|flow| (flow.id.clone(), flow))).collect()
}

/// Writes the counts of workflows that are locked.
pub(in crate::store) async fn write(transaction: &Transaction<'_>, flows: &[(Flow, Instant)]) -> Result<(), Error> {
    let rows: Vec<Vec<Value<'_>>> = flows
        .iter()
        .map(|(flow, now)| {
            vec![
                (&flow.id).into(),
                flow.counts.all.into(),
                flow.counts.open.into(),
                flow.counts.completed.into(),
                flow.counts.dead.into(),
                flow.counts.cancelled.into(),
                flow.parked.into(),
                flow.cost.0.into(),
                flow.version.into(),
                (*now).into(),
            ]
        })
        .collect();
    transaction.write_rows(WRITE, &rows).await.map(drop)
}

const WRITE: Sql = Sql {
    postgres: "-- workflow_write\n\
               UPDATE workflow SET tasks = new.tasks, tasks_open = new.open, tasks_completed = new.completed, tasks_dead = new.dead, \
               tasks_cancelled = new.cancelled, tasks_parked = new.parked, cost_micros = new.cost, version = new.version, \
               changed_at = new.now FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
               $7::bigint[], $8::bigint[], $9::bigint[], $10::timestamptz[]) \
               AS new (id, tasks, open, completed, dead, cancelled, parked, cost, version, now) WHERE workflow.id = new.id",
    sqlite: "-- workflow_write\n\
             UPDATE workflow SET tasks = $2, tasks_open = $3, tasks_completed = $4, tasks_dead = $5, tasks_cancelled = $6, \
             tasks_parked = $7, cost_micros = $8, version = $9, changed_at = $10 WHERE id = $1",
};

/// Changes the counts of a workflow by what happened to its tasks, and lets it follow: it may be completed, fail, pause, or wait.
pub(in crate::store) async fn settle(
    transaction: &Transaction<'_>,
    id: &str,
    delta: Delta,
    by: By<'_>,
) -> Result<Flow, Error> {
    let found = transaction
        .query(Sql::both("-- workflow_settle\n\
             UPDATE workflow SET tasks = tasks + $2, tasks_open = tasks_open + $3, tasks_completed = tasks_completed + $4, \
             tasks_dead = tasks_dead + $5, tasks_cancelled = tasks_cancelled + $6, tasks_parked = tasks_parked + $7, \
             cost_micros = cost_micros + $8, version = version + 1 + $10, changed_at = $9 WHERE id = $1 \
             RETURNING id, type, state, version, on_task_failure, budget_micros, cost_micros, tasks, tasks_open, tasks_completed, \
             tasks_dead, tasks_cancelled, tasks_parked, started_at"),
            &[
                id.into(),
                delta.all.into(),
                delta.open.into(),
                delta.completed.into(),
                delta.dead.into(),
                delta.cancelled.into(),
                delta.parked.into(),
                delta.cost.into(),
                by.now.into(),
                delta.leases_ended.into(),
            ],
        )
        .await?;
    let missing = || Error::new(Code::Internal, "a task belongs to a workflow that is not there").cause(id.to_owned());
    let mut flow = read(found.into_iter().next().ok_or_else(missing)?)?;
    transaction.touch(Topic::Workflow(flow.id.clone()));
    flow.follow(transaction, delta, by).await?;
    Ok(flow)
}

/// A claim of tasks of a workflow.
pub(in crate::store) struct Claimed<'a> {
    pub by: By<'a>,
    /// How many.
    pub tasks: i64,
}

/// Lets those of these workflows begin that wait for their first claim.
pub(in crate::store) async fn begin(
    transaction: &Transaction<'_>,
    claimed: &BTreeMap<String, Claimed<'_>>,
) -> Result<(), Error> {
    let Some(now) = claimed.values().map(|claimed| claimed.by.now).max() else { return Ok(()) };
    let ids: Vec<String> = claimed.keys().cloned().collect();
    let found = transaction
        .query(
            sql!(
                "-- workflows_begin\n\
                 UPDATE workflow SET state = 'running', version = version + 1, changed_at = $2, started_at = COALESCE(started_at, $2) \
                 WHERE state = 'pending' AND id ", (any 1), " RETURNING id, type, version"
            ),
            &[Value::Texts(&ids), now.into()],
        )
        .await?;
    for mut row in found {
        let (id, kind, version) = (row.text()?, row.text()?, row.integer()?);
        let Some(Claimed { by, tasks }) = claimed.get(&id) else { continue };
        let (before, state) = (State::Pending, State::Running);
        // Nobody else holds a task of one that waited for its first claim.
        let entered = Entered { id: &id, kind: &kind, version: version + tasks, before, state, reason: None };
        tell(transaction, &entered, *by);
    }
    Ok(())
}

impl Flow {
    /// Leases of some of its tasks have ended, which [`Flow::add`] counts one by one.
    pub fn leases_ended(&mut self, count: i64) {
        self.unsettled += count;
    }

    /// Changes its counts by what happened to its tasks, as [`settle`] does.
    pub fn add(&mut self, delta: Delta) {
        self.counts.all += delta.all;
        self.counts.open += delta.open;
        self.counts.completed += delta.completed;
        self.counts.dead += delta.dead;
        self.counts.cancelled += delta.cancelled;
        self.parked += delta.parked;
        self.cost.0 += delta.cost;
        self.version += 1 + delta.leases_ended;
        self.unsettled -= delta.leases_ended;
    }

    /// What the workflow becomes by itself, now that its counts are as they are.
    pub async fn follow(&mut self, transaction: &Transaction<'_>, delta: Delta, by: By<'_>) -> Result<(), Error> {
        let signs = Signs {
            died: delta.dead > 0,
            budget_reached: self
                .budget
                .is_some_and(|budget| self.cost.0 - delta.cost < budget.0 && self.cost >= budget),
            leased: match self.state {
                State::Cancelling => Some(self.exists(transaction, LEASED).await?),
                _ => None,
            },
            live: match self.state {
                State::Running if self.parked > 0 => Some(self.exists(transaction, LIVE).await?),
                State::Waiting => Some(self.exists(transaction, LIVE).await?),
                _ => None,
            },
        };
        match follow(self.state, self.policy, self.counts, signs) {
            Some((state, reason)) => {
                self.needs_attention = state == State::Paused;
                self.enter(transaction, state, reason, by).await
            }
            None => Ok(()),
        }
    }

    /// The version that callers know.
    pub async fn version_shown(&self, transaction: &Transaction<'_>) -> Result<i64, Error> {
        if !self.state.is_open() {
            return Ok(self.version);
        }
        let sql =
            Sql::both("-- workflow_leases\nSELECT count(*) FROM task_run WHERE workflow_id = $1 AND state = 'leased'");
        let found = transaction.query(sql, &[(&self.id).into()]).await?;
        let leased = found.into_iter().next().map_or(Ok(0), |mut row| row.integer())?;
        Ok(self.version + self.unsettled + leased)
    }

    /// 1 when it has such a task, else 0.
    async fn exists(&self, transaction: &Transaction<'_>, sql: Sql) -> Result<i64, Error> {
        let found = transaction.query(sql, &[(&self.id).into()]).await?;
        Ok(i64::from(!found.is_empty()))
    }

    /// Makes it what it shall be, with all that follows for its tasks. The version is the caller's to raise.
    pub async fn enter(
        &mut self,
        transaction: &Transaction<'_>,
        state: State,
        reason: Option<&str>,
        by: By<'_>,
    ) -> Result<(), Error> {
        let before = self.state;
        if (!state.is_open() || state == State::Cancelling) && self.counts.open > 0 {
            let leased_too = state != State::Cancelling;
            let cancelled = close::cancel_all(transaction, &self.id, leased_too, by).await?;
            self.counts.open -= cancelled.tasks;
            self.counts.cancelled += cancelled.tasks;
            self.version += cancelled.leased;
        }
        if !state.is_open() || state == State::Cancelling {
            self.parked = 0;
        }
        if state == State::Paused || before == State::Paused {
            close::hold(transaction, &self.id, state == State::Paused).await?;
        }
        self.state = state;
        let now = by.now;
        let ended = (!state.is_open()).then_some(now);
        let day = ended.map(Instant::day);
        let took =
            ended.map(|ended| i64::try_from(ended.ms_since(self.started_at.unwrap_or(ended))).unwrap_or(i64::MAX));
        transaction
            .execute(Sql::both("-- workflow_become\n\
                 UPDATE workflow SET state = $2, reason = CASE WHEN $13 THEN COALESCE($3, reason) ELSE $3 END, needs_attention = $4, version = $5, tasks_open = $6, \
                 tasks_cancelled = $7, tasks_parked = $8, changed_at = $9, started_at = COALESCE(started_at, $10), \
                 completed_at = $11, cancel_at = $12, ended_day = $14, duration_ms = $15 WHERE id = $1"),
                &[
                    (&self.id).into(),
                    state.as_str().into(),
                    reason.into(),
                    self.needs_attention.into(),
                    self.version.into(),
                    self.counts.open.into(),
                    self.counts.cancelled.into(),
                    self.parked.into(),
                    now.into(),
                    (state == State::Running || state == State::Completed).then_some(now).into(),
                    ended.into(),
                    (state == State::Cancelling).then(|| now.plus_ms(CANCEL_GRACE_MS)).into(),
                    // How it ended does not make forgotten why.
                    (!state.is_open()).into(),
                    day.as_ref().into(),
                    took.into(),
                ],
            )
            .await?;
        let version = self.version_shown(transaction).await?;
        let entered = Entered { id: &self.id, kind: &self.kind, version, before, state, reason };
        tell(transaction, &entered, by);
        Ok(())
    }
}

/// That a workflow went from one state into another.
fn tell(transaction: &Transaction<'_>, entered: &Entered<'_>, by: By<'_>) {
    let kind = match entered.state {
        State::Running if entered.before == State::Pending => "workflow_started",
        State::Pending | State::Running => "workflow_resumed",
        State::Paused => "workflow_paused",
        State::Waiting => "workflow_waiting",
        State::Cancelling => "workflow_cancelling",
        State::Completed => "workflow_completed",
        State::Failed => "workflow_failed",
        State::Cancelled => "workflow_cancelled",
        State::TimedOut => "workflow_timed_out",
    };
    let data = json!({"from": entered.before.as_str(), "state": entered.state.as_str(), "version": entered.version, "type": entered.kind, "reason": entered.reason});
    transaction.touch(Topic::Workflow(entered.id.to_owned()));
    let event = events::Event {
        at: by.now,
        entity: "workflow",
        entity_id: entered.id,
        workflow_id: Some(entered.id),
        kind,
        actor: by.actor,
        data: Some(&data.to_string()),
    };
    events::write(transaction, &event);
}

/// A workflow in another state than before.
struct Entered<'a> {
    id: &'a str,
    kind: &'a str,
    version: i64,
    before: State,
    state: State,
    reason: Option<&'a str>,
}

const LEASED: Sql =
    Sql::both("-- workflow_leased\nSELECT 1 FROM task_run WHERE workflow_id = $1 AND state = 'leased' LIMIT 1");
const LIVE: Sql = Sql::both(
    "-- workflow_live\nSELECT 1 FROM task_run WHERE workflow_id = $1 AND state NOT IN ('parked', 'blocked') LIMIT 1",
);

fn read(mut row: Row) -> Result<Flow, Error> {
    Ok(Flow {
        id: row.text()?,
        kind: row.text()?,
        state: state(&row.text()?)?,
        version: row.integer()?,
        policy: policy(&row.text()?)?,
        budget: row.integer_or_none()?.map(Micros),
        cost: Micros(row.integer()?),
        counts: Counts {
            all: row.integer()?,
            open: row.integer()?,
            completed: row.integer()?,
            dead: row.integer()?,
            cancelled: row.integer()?,
        },
        parked: row.integer()?,
        started_at: row.time_or_none()?,
        needs_attention: false,
        unsettled: 0,
    })
}

/// Reads a stored state.
pub(in crate::store) fn state(word: &str) -> Result<State, Error> {
    State::parse(word).ok_or_else(|| unknown("state", word))
}

/// Reads a stored policy.
pub(in crate::store) fn policy(word: &str) -> Result<OnTaskFailure, Error> {
    OnTaskFailure::parse(word).ok_or_else(|| unknown("on_task_failure", word))
}

fn unknown(column: &str, word: &str) -> Error {
    Error::new(Code::Internal, "the record store holds a value that cannot be read")
        .cause(format!("`{word}` in column {column} of workflow"))
}
