//! New workflows.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::{try_join, try_join4};
use serde_json::json;

use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        workflows::{NewWorkflow, State, view::Created},
    },
    error::Error,
    store::{
        Sql, Transaction, Value,
        events::{self, By},
        idempotency::Answers,
        sql::sql,
        tasks::enqueue::{self, Existing, NewTasks},
    },
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
    fn take(&self, active_max: u64, now: Instant) -> bool {
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

/// A workflow to make, and what this process may still make.
pub(super) type Asked = (Create, Arc<Room>);

/// Makes workflows with their tasks.
pub(super) async fn create(
    transaction: &Transaction<'_>,
    asked: &[Asked],
) -> Result<Vec<Result<Created, CreateRefused>>, Error> {
    let keys = asked.iter().map(|(create, _)| (create.key.as_ref(), create.now));
    let (mut answers, parents) = try_join(Answers::find(transaction, keys), parents(transaction, asked)).await?;
    let (mut new, mut made) = (NewWorkflows::default(), Vec::with_capacity(asked.len()));
    for (create, room) in asked {
        let Create { workflow, active_max, key, now } = create;
        if let Some(first) = answers.first(key.as_ref())? {
            made.push(first);
            continue;
        }
        made.push(if is_full(transaction, *active_max, room, *now, new.count()).await? {
            Err(CreateRefused::TooMany { active_max: *active_max })
        } else if workflow.parent_id.as_ref().is_some_and(|id| !parents.contains(id)) {
            Err(CreateRefused::NoParent)
        } else {
            let created = new.add(transaction, workflow, None, By { now: *now, actor: None })?;
            answers.keep(transaction, key.as_ref(), *now, &created);
            Ok(created)
        });
    }
    try_join(new.write(transaction), transaction.write()).await?;
    Ok(made)
}

/// Those of the parents that exist.
async fn parents(transaction: &Transaction<'_>, asked: &[Asked]) -> Result<BTreeSet<String>, Error> {
    let wanted: Vec<String> = asked.iter().filter_map(|(create, _)| create.workflow.parent_id.clone()).collect();
    if wanted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = sql!("-- workflows_exist\nSELECT id FROM workflow WHERE id ", (any 1));
    let rows = transaction.query(sql, &[Value::Texts(&wanted)]).await?;
    rows.into_iter().map(|mut row| row.text()).collect()
}

/// Whether as many workflows are open as may be, with `pending` that this transaction has yet to write.
pub(super) async fn is_full(
    transaction: &Transaction<'_>,
    active_max: u64,
    room: &Room,
    now: Instant,
    pending: i64,
) -> Result<bool, Error> {
    if room.take(active_max, now) {
        return Ok(false);
    }
    let most = i64::try_from(active_max).unwrap_or(i64::MAX);
    let mut left = most - open(transaction, most).await? - pending;
    if (1..=MARGIN).contains(&left) {
        // Until this transaction ends, others wait here, and then see what it has made.
        let lock = Sql::lock(
            "-- workflows_bound_lock\nSELECT pg_advisory_xact_lock(hashtextextended('callboard.workflows_bound', 0))",
        );
        transaction.execute(lock, &[]).await?;
        left = most - open(transaction, most).await? - pending;
    }
    room.counted(active_max, now, left);
    Ok(left <= 0)
}

/// Workflows that are open, counted up to `most`.
async fn open(transaction: &Transaction<'_>, most: i64) -> Result<i64, Error> {
    let counted = transaction
        .query(
            Sql::both(
                "-- workflows_open\n\
                 SELECT count(*) FROM (SELECT 1 FROM workflow WHERE completed_at IS NULL LIMIT $1) AS open_ones",
            ),
            &[most.into()],
        )
        .await?;
    counted.into_iter().next().map_or(Ok(0), |mut row| row.integer())
}

/// New workflows on their way to their tables.
#[derive(Default)]
pub(super) struct NewWorkflows<'a> {
    workflows: Vec<(&'a NewWorkflow, Option<&'a str>, Instant)>,
    tasks: NewTasks<'a>,
}

impl<'a> NewWorkflows<'a> {
    fn count(&self) -> i64 {
        count(self.workflows.len())
    }

    /// Adds a workflow with its tasks, and says so in the history.
    pub(super) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        new: &'a NewWorkflow,
        forked_from: Option<&'a str>,
        by: By<'_>,
    ) -> Result<Created, Error> {
        let data = json!({"state": "pending", "version": 1, "type": new.kind, "name": new.name, "tasks": new.tasks.len(), "forked_from": forked_from})
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
        events::write(transaction, &event);
        self.workflows.push((new, forked_from, by.now));
        let into = enqueue::Into { workflow_id: &new.id, held: false };
        let tasks = self.tasks.add(transaction, Some(into), &new.tasks, &Existing::default(), by)?;
        transaction.touch(Topic::Workflow(new.id.clone()));
        let webhook_secret = new.webhook.as_ref().map(|webhook| webhook.secret.clone());
        Ok(Created { workflow_id: new.id.clone(), state: State::Pending, version: 1, tasks, webhook_secret })
    }

    /// Writes them.
    pub(super) async fn write(self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let Self { workflows, tasks } = self;
        let rows: Vec<Vec<Value<'_>>> = workflows.iter().map(|(new, from, now)| row(new, *from, *now)).collect();
        let inputs: Vec<Vec<Value<'_>>> = workflows
            .iter()
            .filter_map(|(new, ..)| Some(vec![(&new.id).into(), new.input.as_ref()?.get().into()]))
            .collect();
        let webhooks: Vec<Vec<Value<'_>>> = workflows
            .iter()
            .filter_map(|(new, _, now)| {
                let webhook = new.webhook.as_ref()?;
                Some(vec![
                    (&webhook.id).into(),
                    (&new.id).into(),
                    (&webhook.url).into(),
                    (&webhook.secret).into(),
                    (*now).into(),
                ])
            })
            .collect();
        try_join4(
            transaction.write_rows(ADD, &rows),
            transaction.write_rows(ADD_INPUT, &inputs),
            transaction.write_rows(ADD_WEBHOOK, &webhooks),
            tasks.write(transaction),
        )
        .await
        .map(drop)
    }
}

fn row<'a>(new: &'a NewWorkflow, forked_from: Option<&'a str>, now: Instant) -> Vec<Value<'a>> {
    vec![
        (&new.id).into(),
        (&new.name).into(),
        (&new.kind).into(),
        now.into(),
        new.deadline_at.into(),
        new.on_task_failure.as_str().into(),
        new.parent_id.as_ref().into(),
        forked_from.into(),
        new.budget.map(|budget| budget.0).into(),
        count(new.tasks.len()).into(),
    ]
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const ADD: Sql = Sql {
    postgres: "-- workflow_add\n\
               INSERT INTO workflow (id, name, type, state, version, created_at, changed_at, deadline_at, on_task_failure, parent_id, \
               forked_from, needs_attention, budget_micros, cost_micros, tasks, tasks_open, tasks_parked, tasks_completed, tasks_dead, \
               tasks_cancelled) SELECT id, name, type, 'pending', 1, at, at, deadline_at, policy, parent_id, forked_from, false, budget, 0, \
               tasks, tasks, 0, 0, 0, 0 FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], \
               $7::text[], $8::text[], $9::bigint[], $10::bigint[]) \
               AS new (id, name, type, at, deadline_at, policy, parent_id, forked_from, budget, tasks)",
    sqlite: "-- workflow_add\n\
             INSERT INTO workflow (id, name, type, state, version, created_at, changed_at, deadline_at, on_task_failure, parent_id, \
             forked_from, needs_attention, budget_micros, cost_micros, tasks, tasks_open, tasks_parked, tasks_completed, tasks_dead, \
             tasks_cancelled) VALUES ($1, $2, $3, 'pending', 1, $4, $4, $5, $6, $7, $8, false, $9, 0, $10, $10, 0, 0, 0, 0)",
};

const ADD_INPUT: Sql = Sql {
    postgres: "-- workflow_input\n\
               INSERT INTO workflow_result (workflow_id, input) SELECT * FROM unnest($1::text[], $2::text[])",
    sqlite: "-- workflow_input\nINSERT INTO workflow_result (workflow_id, input) VALUES ($1, $2)",
};

const ADD_WEBHOOK: Sql = Sql {
    postgres: "-- webhook_add\n\
               INSERT INTO webhook (id, workflow_id, url, secret, created_at) \
               SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])",
    sqlite: "-- webhook_add\nINSERT INTO webhook (id, workflow_id, url, secret, created_at) VALUES ($1, $2, $3, $4, $5)",
};
