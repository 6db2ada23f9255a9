//! New workflows.

use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::{
    super::{
        Later, Session, events,
        idempotency::once,
        tasks::enqueue::{self, Existing},
    },
    flow::By,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        workflows::{NewWorkflow, State, view::Created},
    },
    error::Error,
};

/// A workflow to make.
#[derive(Debug, Clone)]
pub struct Create {
    /// What it shall be.
    pub workflow: NewWorkflow,
    /// Workflows that may be open at once.
    pub active_max: u64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why a workflow was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateRefused {
    /// So many are open already.
    TooMany {
        /// The bound.
        active_max: u64,
    },
    /// There is no workflow that it could be part of.
    NoParent,
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for CreateRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

/// How many more workflows this process may make without counting the open ones again: counting reads all of them. A part of what there
/// is room for, and for a moment only, so that several processes together stay below the bound.
#[derive(Debug, Default)]
pub(in crate::store) struct Room(Mutex<Option<Counted>>);

/// What the last count left.
#[derive(Debug)]
struct Counted {
    active_max: u64,
    until: Instant,
    left: i64,
}

/// Processes that may make workflows at the same time without passing the bound.
const SHARED_BY: i64 = 16;
/// Workflows that one of them makes between two counts, at the most; more where there is room for very many.
const ROOM_MAX: i64 = 256;
/// Of very much room one of them takes this part: before a count is forgotten, nothing near all the rest can be made.
const PART_OF_ROOM: i64 = 512;
/// With less left than all of them could make uncounted, each one is counted, and they go one after the other.
const MARGIN: i64 = SHARED_BY * ROOM_MAX;
/// How long a count holds.
const COUNTED_MS: i64 = 1_000;

impl Room {
    pub fn take(&self, active_max: u64, now: Instant) -> bool {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match room.as_mut() {
            Some(counted) if counted.active_max == active_max && counted.left > 0 && now <= counted.until => {
                counted.left -= 1;
                true
            }
            _ => false,
        }
    }

    fn counted(&self, active_max: u64, now: Instant, left: i64) {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *room = Some(Counted {
            active_max,
            until: now.plus_ms(COUNTED_MS),
            left: ((left - MARGIN) / SHARED_BY).clamp(0, ROOM_MAX.max(left / PART_OF_ROOM)),
        });
    }
}

/// Makes a workflow with its tasks, for which there is room. What it changes is new, so that it can go beside others of its kind.
pub(super) async fn create(session: &dyn Session, asked: &Create) -> Result<Result<Created, CreateRefused>, Error> {
    once(session, asked.key.as_ref(), asked.now, fill(session, asked)).await
}

/// The same when the open ones have to be counted first.
pub(super) async fn create_if_room(
    session: &dyn Session,
    asked: &Create,
    room: &Room,
) -> Result<Result<Created, CreateRefused>, Error> {
    once(session, asked.key.as_ref(), asked.now, async {
        if is_full(session, asked.active_max, room, asked.now).await? {
            return Ok(Err(CreateRefused::TooMany { active_max: asked.active_max }));
        }
        fill(session, asked).await
    })
    .await
}

async fn fill(session: &dyn Session, asked: &Create) -> Result<Result<Created, CreateRefused>, Error> {
    if let Some(parent_id) = &asked.workflow.parent_id {
        let sql = "-- workflow_exists\nSELECT 1 FROM workflow WHERE id = $1";
        if session.rows(sql, &[parent_id.into()]).await?.is_empty() {
            return Ok(Err(CreateRefused::NoParent));
        }
    }
    insert(session, &asked.workflow, None, By { now: asked.now, actor: None }).await.map(Ok)
}

/// Whether as many workflows are open as may be.
pub(super) async fn is_full(session: &dyn Session, active_max: u64, room: &Room, now: Instant) -> Result<bool, Error> {
    if room.take(active_max, now) {
        return Ok(false);
    }
    let most = i64::try_from(active_max).unwrap_or(i64::MAX);
    let mut left = most - open(session, most).await?;
    if (1..=MARGIN).contains(&left) {
        // Until this transaction ends, others wait here, and then see what it has made.
        let lock = "-- workflows_bound_lock\nINSERT INTO leader (name, holder, until) VALUES ('bound of workflows', '', $1) \
                    ON CONFLICT (name) DO UPDATE SET until = excluded.until";
        session.change(lock, &[now.into()]).await?;
        left = most - open(session, most).await?;
    }
    room.counted(active_max, now, left);
    Ok(left <= 0)
}

/// Workflows that are open, counted up to `most`.
async fn open(session: &dyn Session, most: i64) -> Result<i64, Error> {
    let counted = session
        .rows(
            "-- workflows_open\n\
             SELECT count(*) FROM (SELECT 1 FROM workflow WHERE completed_at IS NULL LIMIT $1) AS open_ones",
            &[most.into()],
        )
        .await?;
    counted.into_iter().next().map_or(Ok(0), |mut row| row.integer())
}

/// Writes a workflow and its tasks.
pub(super) async fn insert(
    session: &dyn Session,
    new: &NewWorkflow,
    forked_from: Option<&str>,
    by: By<'_>,
) -> Result<Created, Error> {
    let tasks = i64::try_from(new.tasks.len()).unwrap_or(i64::MAX);
    let data = json!({"state": "pending", "version": 1, "type": new.kind, "name": new.name, "tasks": tasks, "forked_from": forked_from})
        .to_string();
    let event = events::Event {
        at: by.now,
        entity: "workflow",
        entity_id: &new.id,
        workflow_id: Some(&new.id),
        kind: "workflow_created",
        actor: by.actor,
        data: Some(&data),
    };
    session.later(row(new, forked_from, tasks, by))?;
    events::write(session, &event)?;
    if let Some(input) = &new.input {
        session.later(Later {
            sql: "-- workflow_input\nINSERT INTO workflow_result (workflow_id, input) VALUES ($1, $2)",
            many: "-- workflow_inputs\n\
                   INSERT INTO workflow_result (workflow_id, input) SELECT * FROM unnest($1::text[], $2::text[])",
            values: vec![(&new.id).into(), input.get().into()],
        })?;
    }
    if let Some(webhook) = &new.webhook {
        session
            .change(
                "-- webhook_add\n\
                 INSERT INTO webhook (id, workflow_id, url, secret, created_at) VALUES ($1, $2, $3, $4, $5)",
                &[
                    (&webhook.id).into(),
                    (&new.id).into(),
                    (&webhook.url).into(),
                    (&webhook.secret).into(),
                    by.now.into(),
                ],
            )
            .await?;
    }
    let into = enqueue::Into { workflow_id: &new.id, held: false };
    let tasks = match new.tasks.as_slice() {
        [] => Vec::new(),
        tasks => enqueue::insert(session, Some(into), tasks, &Existing::default(), by).await?,
    };
    session.touch(Topic::Workflow(new.id.clone()));
    let webhook_secret = new.webhook.as_ref().map(|webhook| webhook.secret.clone());
    Ok(Created { workflow_id: new.id.clone(), state: State::Pending, version: 1, tasks, webhook_secret })
}

fn row(new: &NewWorkflow, forked_from: Option<&str>, tasks: i64, by: By<'_>) -> Later {
    Later {
        sql: "-- workflow_add\n\
              INSERT INTO workflow (id, name, type, state, version, created_at, changed_at, deadline_at, on_task_failure, parent_id, \
              forked_from, needs_attention, budget_micros, cost_micros, tasks, tasks_open, tasks_parked, tasks_completed, tasks_dead, \
              tasks_cancelled) VALUES ($1, $2, $3, 'pending', 1, $4, $4, $5, $6, $7, $8, false, $9, 0, $10, $10, 0, 0, 0, 0)",
        many: "-- workflows_add\n\
               INSERT INTO workflow (id, name, type, state, version, created_at, changed_at, deadline_at, on_task_failure, parent_id, \
               forked_from, needs_attention, budget_micros, cost_micros, tasks, tasks_open, tasks_parked, tasks_completed, tasks_dead, \
               tasks_cancelled) SELECT id, name, type, 'pending', 1, at, at, deadline_at, policy, parent_id, forked_from, false, budget, 0, \
               tasks, tasks, 0, 0, 0, 0 FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], \
               $7::text[], $8::text[], $9::bigint[], $10::bigint[]) \
               AS new (id, name, type, at, deadline_at, policy, parent_id, forked_from, budget, tasks)",
        values: vec![
            (&new.id).into(),
            (&new.name).into(),
            (&new.kind).into(),
            by.now.into(),
            new.deadline_at.into(),
            new.on_task_failure.as_str().into(),
            new.parent_id.as_ref().into(),
            forked_from.into(),
            new.budget.map(|budget| budget.0).into(),
            tasks.into(),
        ],
    }
}
