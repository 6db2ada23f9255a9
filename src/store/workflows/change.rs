//! What somebody does to a workflow.

use serde_json::json;

use super::{
    super::{
        Transaction, Value,
        events::{self, By},
        idempotency::once,
        payload,
        tasks::manage,
    },
    create::{self, Room},
    flow::{self, Delta, Flow},
    fork,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json::Json,
        workflows::{
            Action, Ending, State,
            answers::{Changed, Signal},
            ending, has_only_dead_ends,
        },
    },
    error::Error,
    store::Sql,
    store::sql::sql,
};

/// A workflow to end.
#[derive(Debug, Clone)]
pub struct Complete {
    /// Which.
    pub workflow_id: String,
    /// How: completed, failed or cancelled.
    pub outcome: State,
    /// What came of it.
    pub result: Option<Json>,
    /// Why it failed.
    pub error: Option<String>,
    /// Only if it is still this.
    pub expected_version: Option<i64>,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Something to do to a workflow.
#[derive(Debug, Clone)]
pub struct Control {
    /// Which.
    pub workflow_id: String,
    /// What.
    pub action: Action,
    /// What its workers are told.
    pub signal: Option<Signal>,
    /// Why.
    pub reason: Option<String>,
    /// Only if it is still this.
    pub expected_version: Option<i64>,
    /// The id of the new workflow, for a fork.
    pub fork_id: String,
    /// Workflows that may be open at once, for a fork.
    pub active_max: u64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why a workflow was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeRefused {
    /// There is none.
    NoSuchWorkflow,
    /// That cannot be done to a workflow in this state.
    State {
        /// Where it stands.
        state: State,
        /// Its version.
        version: i64,
    },
    /// Somebody else changed it.
    Version {
        /// Where it stands.
        state: State,
        /// Its version.
        version: i64,
    },
    /// Tasks are not over.
    OpenTasks {
        /// So many.
        open: i64,
        /// Where it stands.
        state: State,
        /// Its version.
        version: i64,
    },
    /// It would go on to nothing: all its tasks are over, and so many are dead.
    Dead {
        /// So many.
        dead: i64,
        /// Its version.
        version: i64,
    },
    /// So many workflows are open already.
    TooMany {
        /// The bound.
        active_max: u64,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for ChangeRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

/// Ends a workflow by its orchestrator's word.
pub(super) async fn complete(
    transaction: &Transaction<'_>,
    asked: &Complete,
) -> Result<Result<Changed, ChangeRefused>, Error> {
    once(transaction, asked.key.as_ref(), asked.now, async {
        let mut flow = match current(transaction, &asked.workflow_id, asked.expected_version).await? {
            Ok(flow) => flow,
            Err(refused) => return Ok(Err(refused)),
        };
        let (state, version) = (flow.state, flow.version_shown(transaction).await?);
        let by = By { now: asked.now, actor: None };
        match ending(state, flow.counts, asked.outcome) {
            Ending::Misfits => return Ok(Err(ChangeRefused::State { state, version })),
            Ending::HasOpenTasks => {
                return Ok(Err(ChangeRefused::OpenTasks { open: flow.counts.open, state, version }));
            }
            Ending::TakesResult if !brings_the_result(transaction, asked).await? => {
                return Ok(Err(ChangeRefused::State { state, version }));
            }
            Ending::TakesResult => {
                keep(transaction, asked).await?;
                flow.version += 1;
                let data = json!({"state": state.as_str(), "version": flow.version}).to_string();
                touch(transaction, &flow, "workflow_result_added", &data, by).await?;
            }
            Ending::Ends => {
                keep(transaction, asked).await?;
                flow.version += 1;
                flow.enter(transaction, asked.outcome, asked.error.as_deref(), by).await?;
            }
        }
        Ok(Ok(changed(transaction, &flow).await?))
    })
    .await
}

/// Whether what came of a completed workflow is told, and for the first time.
async fn brings_the_result(transaction: &Transaction<'_>, asked: &Complete) -> Result<bool, Error> {
    if asked.result.is_none() || asked.error.is_some() {
        return Ok(false);
    }
    let sql = Sql::both(
        "-- workflow_has_result\nSELECT 1 FROM workflow_result WHERE workflow_id = $1 AND result IS NOT NULL",
    );
    Ok(transaction.query(sql, &[(&asked.workflow_id).into()]).await?.is_empty())
}

/// What came of it.
async fn keep(transaction: &Transaction<'_>, asked: &Complete) -> Result<(), Error> {
    if asked.result.is_none() && asked.error.is_none() {
        return Ok(());
    }
    let packed = asked.result.as_ref().map(payload::pack);
    transaction
        .execute(
            Sql::both(
                "-- workflow_result\n\
             INSERT INTO workflow_result (workflow_id, result, error) VALUES ($1, $2, $3) \
             ON CONFLICT (workflow_id) DO UPDATE SET result = excluded.result, error = excluded.error",
            ),
            &[
                (&asked.workflow_id).into(),
                packed.as_deref().map_or(Value::Null, Value::Bytes),
                asked.error.as_ref().into(),
            ],
        )
        .await
        .map(drop)
}

/// Starts, pauses, resumes, cancels, tells, or forks.
pub(super) async fn control(
    transaction: &Transaction<'_>,
    asked: &Control,
    room: &Room,
) -> Result<Result<Changed, ChangeRefused>, Error> {
    once(transaction, asked.key.as_ref(), asked.now, async {
        let mut flow = match current(transaction, &asked.workflow_id, asked.expected_version).await? {
            Ok(flow) => flow,
            Err(refused) => return Ok(Err(refused)),
        };
        if !asked.action.fits(flow.state) {
            let version = flow.version_shown(transaction).await?;
            return Ok(Err(ChangeRefused::State { state: flow.state, version }));
        }
        if asked.action == Action::Resume && has_only_dead_ends(flow.policy, flow.counts) {
            let version = flow.version_shown(transaction).await?;
            return Ok(Err(ChangeRefused::Dead { dead: flow.counts.dead, version }));
        }
        let by = By { now: asked.now, actor: None };
        let reason = asked.reason.as_deref();
        if asked.action == Action::Fork {
            if create::is_full(transaction, asked.active_max, room, asked.now, 0).await? {
                return Ok(Err(ChangeRefused::TooMany { active_max: asked.active_max }));
            }
            let fork = fork::fork(transaction, &flow, &asked.fork_id, by).await?;
            return Ok(Ok(Changed { fork: Some(fork), ..changed(transaction, &flow).await? }));
        }
        flow.version += 1;
        match asked.action {
            Action::Start => {
                flow.enter(transaction, State::Running, reason, by).await?;
                flow.follow(transaction, Delta::default(), by).await?;
            }
            Action::Pause => flow.enter(transaction, State::Paused, reason, by).await?,
            Action::Resume => {
                // Paused before its first claim, it is pending again.
                let state = if flow.started_at.is_some() { State::Running } else { State::Pending };
                flow.enter(transaction, state, None, by).await?;
                flow.follow(transaction, Delta::default(), by).await?;
            }
            Action::Cancel => {
                flow.enter(transaction, State::Cancelling, reason, by).await?;
                flow.follow(transaction, Delta::default(), by).await?;
            }
            Action::Signal => signal(transaction, asked, &mut flow, by).await?,
            Action::Fork => {}
        }
        Ok(Ok(changed(transaction, &flow).await?))
    })
    .await
}

async fn current(
    transaction: &Transaction<'_>,
    id: &str,
    expected_version: Option<i64>,
) -> Result<Result<Flow, ChangeRefused>, Error> {
    let Some(flow) = flow::lock(transaction, id).await? else { return Ok(Err(ChangeRefused::NoSuchWorkflow)) };
    if let Some(expected) = expected_version {
        let (state, version) = (flow.state, flow.version_shown(transaction).await?);
        if expected != version {
            return Ok(Err(ChangeRefused::Version { state, version }));
        }
    }
    Ok(Ok(flow))
}

async fn changed(transaction: &Transaction<'_>, flow: &Flow) -> Result<Changed, Error> {
    let version = flow.version_shown(transaction).await?;
    Ok(Changed { workflow_id: flow.id.clone(), state: flow.state, version, fork: None })
}

/// Tells the workers; when all of them wait for an answer, this is one.
async fn signal(transaction: &Transaction<'_>, asked: &Control, flow: &mut Flow, by: By<'_>) -> Result<(), Error> {
    let Some(signal) = &asked.signal else { return Ok(()) };
    let payload = signal.payload.as_ref().map(|payload| payload.get());
    transaction
        .execute(
            Sql::both("-- signal_add\nINSERT INTO signal (workflow_id, name, payload, at) VALUES ($1, $2, $3, $4)"),
            &[(&flow.id).into(), (&signal.name).into(), payload.into(), by.now.into()],
        )
        .await?;
    let data = json!({"signal": signal.name, "version": flow.version_shown(transaction).await?}).to_string();
    touch(transaction, flow, "workflow_signalled", &data, by).await?;
    if flow.state != State::Waiting {
        return Ok(());
    }
    let parked = transaction
        .query(sql!("-- tasks_parked\nSELECT task_id FROM task_run WHERE workflow_id = $1 AND state = 'parked' ORDER BY task_id", (lock)),
            &[(&flow.id).into()],
        )
        .await?;
    let answer = format!(r#"{{"signal":{},"payload":{}}}"#, json!(signal.name), payload.unwrap_or("null"));
    let count = i64::try_from(parked.len()).unwrap_or(i64::MAX);
    for mut row in parked {
        manage::resume(transaction, &row.text()?, Some(&answer), by).await?;
    }
    flow.parked -= count;
    flow.follow(transaction, Delta::default(), by).await
}

/// It has a new version, and an event says why; its state is what it was.
async fn touch(
    transaction: &Transaction<'_>,
    flow: &Flow,
    kind: &'static str,
    data: &str,
    by: By<'_>,
) -> Result<(), Error> {
    transaction
        .execute(
            Sql::both("-- workflow_version\nUPDATE workflow SET version = $2, changed_at = $3 WHERE id = $1"),
            &[(&flow.id).into(), flow.version.into(), by.now.into()],
        )
        .await?;
    transaction.touch(Topic::Workflow(flow.id.clone()));
    let event = events::Event {
        at: by.now,
        entity: "workflow",
        entity_id: &flow.id,
        workflow_id: Some(&flow.id),
        kind,
        actor: by.actor,
        data: Some(data),
    };
    events::write(transaction, &event);
    Ok(())
}
