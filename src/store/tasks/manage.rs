//! Changes of tasks from outside: dead letters, cancelling, priorities, answers.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    super::{
        Transaction, Value,
        events::{self, By},
        idempotency::once,
        workflows::flow::{self, Delta},
    },
    close, dependents,
    held::{self, state},
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        tasks::{
            Priority, State,
            answers::{Change, Managed, TaskFilter},
        },
        workflows,
    },
    error::Error,
    store::Sql,
    store::sql::sql,
};

/// A change of tasks.
#[derive(Debug, Clone)]
pub struct Manage {
    /// What.
    pub change: Change,
    /// These, all or none.
    pub ids: Vec<String>,
    /// Or those that fit.
    pub filter: TaskFilter,
    /// Only count.
    pub dry_run: bool,
    /// Tasks to change at the most.
    pub most: u64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManageRefused {
    /// There are no such tasks.
    NoSuchTask {
        /// These.
        ids: Vec<String>,
    },
    /// Some are not in a state for it.
    State {
        /// Each with its state.
        tasks: Vec<(String, State)>,
    },
    /// A workflow that has ended takes nothing back.
    WorkflowEnded {
        /// Which.
        workflow_id: String,
        /// Where it stands.
        state: workflows::State,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for ManageRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

/// Ids shown of those that were changed.
const SHOWN: usize = 100;

/// A task to change.
struct Target {
    id: String,
    state: State,
    workflow_id: Option<String>,
    workflow_state: Option<workflows::State>,
    queue: String,
    priority: i64,
    fence: i64,
    attempt: i64,
    capabilities: String,
    owner: Option<String>,
}

/// Changes tasks by id, all or none, or those that fit the filter.
pub(super) async fn manage(
    transaction: &Transaction<'_>,
    asked: &Manage,
) -> Result<Result<Managed, ManageRefused>, Error> {
    if asked.dry_run {
        return match targets(transaction, asked).await? {
            Ok((targets, more)) => managed(transaction, asked, &targets, more).await.map(Ok),
            Err(refused) => Ok(Err(refused)),
        };
    }
    once(transaction, asked.key.as_ref(), asked.now, async {
        let (targets, more) = match targets(transaction, asked).await? {
            Ok(targets) => targets,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut deltas: BTreeMap<String, Delta> = BTreeMap::new();
        for target in &targets {
            let delta = change(transaction, asked, target).await?;
            if let Some(workflow_id) = &target.workflow_id {
                *deltas.entry(workflow_id.clone()).or_default() += delta;
            }
        }
        let by = By { now: asked.now, actor: None };
        for (workflow_id, delta) in deltas {
            flow::settle(transaction, &workflow_id, delta, by).await?;
        }
        managed(transaction, asked, &targets, more).await.map(Ok)
    })
    .await
}

async fn managed(
    transaction: &Transaction<'_>,
    asked: &Manage,
    targets: &[Target],
    more: bool,
) -> Result<Managed, Error> {
    let ids = targets.iter().take(SHOWN).map(|target| target.id.clone()).collect();
    let by_filter = matches!(asked.change, Change::Retry) && asked.ids.is_empty();
    let passed_over = if by_filter { dead_for_good(transaction, asked).await? } else { 0 };
    Ok(Managed { affected: targets.len() as u64, ids, more, passed_over })
}

/// Dead letters that fit the filter, and whose workflow takes nothing back.
async fn dead_for_good(transaction: &Transaction<'_>, asked: &Manage) -> Result<u64, Error> {
    let filter = &asked.filter;
    let counted = transaction
        .query(
            Sql::both(
                "-- tasks_passed_over\n\
             SELECT count(*) FROM task t JOIN workflow w ON w.id = t.workflow_id \
             WHERE t.ended = 'dead' AND w.state NOT IN ('pending', 'running', 'paused', 'waiting') \
             AND ($1 = '' OR t.ended = $1) AND ($2 = '' OR t.queue = $2) AND ($3 = '' OR t.workflow_id = $3) \
             AND ($4 = '' OR t.owner = $4)",
            ),
            &[
                filter.state.map_or("", State::as_str).into(),
                filter.queue.as_deref().unwrap_or_default().into(),
                filter.workflow_id.as_deref().unwrap_or_default().into(),
                filter.agent_id.as_deref().unwrap_or_default().into(),
            ],
        )
        .await?;
    let count = counted.into_iter().next().map(|mut row| row.integer()).transpose()?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// The tasks that are meant, and whether more fit than one call changes.
async fn targets(
    transaction: &Transaction<'_>,
    asked: &Manage,
) -> Result<Result<(Vec<Target>, bool), ManageRefused>, Error> {
    let by_ids = !asked.ids.is_empty();
    let states: Vec<String> = asked.change.states().into_iter().map(|state| state.as_str().to_owned()).collect();
    let mut found = if by_ids { Vec::new() } else { find(transaction, asked, &[], &states).await? };
    if by_ids || (!asked.dry_run && !found.is_empty()) {
        // Locked, they may be found to have changed since.
        let ids = if by_ids { asked.ids.clone() } else { found.into_iter().map(|target| target.id).collect() };
        held::lock_all(transaction, &ids).await?;
        found = find(transaction, asked, &ids, if by_ids { &[] } else { &states }).await?;
    }
    if by_ids {
        let missing: Vec<String> =
            asked.ids.iter().filter(|id| !found.iter().any(|target| target.id == **id)).cloned().collect();
        if !missing.is_empty() {
            return Ok(Err(ManageRefused::NoSuchTask { ids: missing }));
        }
        let wrong: Vec<(String, State)> = found
            .iter()
            .filter(|target| !asked.change.fits(target.state))
            .map(|target| (target.id.clone(), target.state))
            .collect();
        if !wrong.is_empty() {
            return Ok(Err(ManageRefused::State { tasks: wrong }));
        }
    }
    if matches!(asked.change, Change::Retry) {
        let ended = |target: &Target| {
            target.workflow_state.is_some_and(|state| !state.is_open() || state == workflows::State::Cancelling)
        };
        if let Some(target) = found.iter().find(|target| ended(target)) {
            return Ok(Err(ManageRefused::WorkflowEnded {
                workflow_id: target.workflow_id.clone().unwrap_or_default(),
                state: target.workflow_state.unwrap_or(workflows::State::Failed),
            }));
        }
    }
    let most = usize::try_from(asked.most).unwrap_or(usize::MAX);
    let more = found.len() > most;
    found.truncate(most);
    Ok(Ok((found, more)))
}

/// Tasks with these ids (none: any), in these states (none: any), that fit the filter.
async fn find(
    transaction: &Transaction<'_>,
    asked: &Manage,
    ids: &[String],
    states: &[String],
) -> Result<Vec<Target>, Error> {
    let filter = &asked.filter;
    let most = i64::try_from(asked.most).unwrap_or(i64::MAX - 1) + 1;
    let found = transaction
        .query(sql!("-- tasks_to_change\n\
             SELECT t.id, COALESCE(r.state, t.ended, 'ready'), t.workflow_id, w.state, t.queue, t.priority, COALESCE(r.fence, t.fence), \
             COALESCE(r.attempt, t.attempt), t.capabilities, COALESCE(r.owner, t.owner) \
             FROM task t LEFT JOIN task_run r ON r.task_id = t.id LEFT JOIN workflow w ON w.id = t.workflow_id \
             WHERE (NOT $1 OR t.id ", (any 2), ") AND (NOT $9 OR COALESCE(r.state, t.ended) ", (any 3), ") \
             AND (NOT $10 OR w.state IS NULL OR w.state IN ('pending', 'running', 'paused', 'waiting')) \
             AND ($4 = '' OR COALESCE(r.state, t.ended) = $4) AND ($5 = '' OR t.queue = $5) AND ($6 = '' OR t.workflow_id = $6) \
             AND ($7 = '' OR COALESCE(r.owner, t.owner) = $7) ORDER BY t.id LIMIT $8"),
            &[
                (!ids.is_empty()).into(),
                Value::Texts(ids),
                Value::Texts(states),
                filter.state.map_or("", State::as_str).into(),
                filter.queue.as_deref().unwrap_or_default().into(),
                filter.workflow_id.as_deref().unwrap_or_default().into(),
                filter.agent_id.as_deref().unwrap_or_default().into(),
                most.into(),
                (!states.is_empty()).into(),
                // What has ended takes nothing back; asked for by id, that is an answer of its own.
                (matches!(asked.change, Change::Retry) && asked.ids.is_empty()).into(),
            ],
        )
        .await?;
    let read = |mut row: super::super::Row| {
        Ok(Target {
            id: row.text()?,
            state: state(&row.text()?)?,
            workflow_id: row.text_or_none()?,
            workflow_state: row.text_or_none()?.as_deref().and_then(workflows::State::parse),
            queue: row.text()?,
            priority: row.integer()?,
            fence: row.integer()?,
            attempt: row.integer()?,
            capabilities: row.text()?,
            owner: row.text_or_none()?,
        })
    };
    found.into_iter().map(read).collect()
}

/// Changes one task; what it means for the counts of its workflow.
async fn change(transaction: &Transaction<'_>, asked: &Manage, target: &Target) -> Result<Delta, Error> {
    let by = By { now: asked.now, actor: None };
    match &asked.change {
        Change::Retry => {
            retry(transaction, asked, target).await?;
            Ok(Delta { open: 1, dead: -1, ..Delta::default() })
        }
        Change::Cancel => cancel(transaction, asked, target, by).await,
        Change::Reprioritize(priority) => {
            reprioritize(transaction, target, *priority).await?;
            let data = json!({"priority": priority.level(), "before": target.priority}).to_string();
            tell(transaction, asked, target, "task_priority_changed", Some(&data));
            Ok(Delta::default())
        }
        Change::Answer(answer) => {
            let answer = answer.as_ref().map_or("null", |answer| answer.get());
            resume(transaction, &target.id, Some(answer), by).await?;
            let data = events::said("answer", answer);
            tell(transaction, asked, target, "task_answered", Some(&data));
            Ok(Delta { parked: -1, ..Delta::default() })
        }
    }
}

async fn cancel(transaction: &Transaction<'_>, asked: &Manage, target: &Target, by: By<'_>) -> Result<Delta, Error> {
    let was_parked = is_parked(transaction, target).await?;
    let ended = close::Ended {
        task_id: &target.id,
        state: State::Cancelled,
        fence: target.fence + 1,
        attempt: target.attempt,
        owner: target.owner.as_deref(),
        result: None,
        errors: None,
    };
    if !close::end(transaction, &ended, by).await? {
        // One of the others was waited for, and took it along.
        return Ok(Delta::default());
    }
    tell(transaction, asked, target, "task_cancelled", None);
    let mut delta = dependents::follow(transaction, &target.id, State::Cancelled, by).await?.delta;
    delta += Delta {
        open: -1,
        cancelled: 1,
        parked: if was_parked { -1 } else { 0 },
        leases_ended: i64::from(target.state == State::Leased),
        ..Delta::default()
    };
    Ok(delta)
}

/// Whether a task is parked by now: one that was blocked may be, since one of the others was cancelled before it.
async fn is_parked(transaction: &Transaction<'_>, target: &Target) -> Result<bool, Error> {
    if target.state != State::Blocked {
        return Ok(target.state == State::Parked);
    }
    let sql = Sql::both("-- task_run_is_parked\nSELECT 1 FROM task_run WHERE task_id = $1 AND state = 'parked'");
    Ok(!transaction.query(sql, &[(&target.id).into()]).await?.is_empty())
}

/// A dead letter goes back into its queue, with all its attempts before it. What it failed of stays in its history.
async fn retry(transaction: &Transaction<'_>, asked: &Manage, target: &Target) -> Result<(), Error> {
    let priority = Priority::new(target.priority).unwrap_or(Priority::NORMAL);
    transaction
        .execute(Sql::both("-- task_redrive\n\
             UPDATE task SET ended = NULL, completed_at = NULL, progress = NULL, message = NULL, redrive_count = redrive_count + 1 \
             WHERE id = $1"),
            &[(&target.id).into()],
        )
        .await?;
    transaction
        .execute(Sql::both("-- task_run_redrive\n\
             INSERT INTO task_run (task_id, workflow_id, queue, state, priority, sort_key, run_at, held, capability_set, fence, \
             attempt, infra_failures, open_dependencies, signals_seen, since) \
             VALUES ($1, $2, $3, 'ready', $4, $5, $6, $7, \
             COALESCE((SELECT id FROM capability_set WHERE capabilities = $8), 0), $9, 0, 0, 0, 0, $6)"),
            &[
                (&target.id).into(),
                target.workflow_id.as_ref().into(),
                (&target.queue).into(),
                target.priority.into(),
                priority.sort_key(asked.now).into(),
                asked.now.into(),
                target.workflow_state.is_some_and(|state| !state.lets_claim()).into(),
                (&target.capabilities).into(),
                (target.fence + 1).into(),
            ],
        )
        .await?;
    transaction.touch(Topic::Queue(target.queue.clone()));
    tell(transaction, asked, target, "task_redriven", None);
    Ok(())
}

async fn reprioritize(transaction: &Transaction<'_>, target: &Target, priority: Priority) -> Result<(), Error> {
    let change = priority.moves_from(Priority::new(target.priority).unwrap_or(Priority::NORMAL));
    transaction
        .execute(
            Sql::both(
                "-- task_run_priority\n\
             UPDATE task_run SET priority = $2, sort_key = sort_key + $3 WHERE task_id = $1",
            ),
            &[(&target.id).into(), priority.level().into(), change.into()],
        )
        .await?;
    let sql = Sql::both("-- task_priority\nUPDATE task SET priority = $2 WHERE id = $1");
    transaction.execute(sql, &[(&target.id).into(), priority.level().into()]).await.map(drop)
}

/// A parked task goes on at its old place in the order, with the answer and its checkpoint; not before others, and not before its time.
pub(in crate::store) async fn resume(
    transaction: &Transaction<'_>,
    task_id: &str,
    answer: Option<&str>,
    by: By<'_>,
) -> Result<(), Error> {
    let sql = Sql::both("-- task_answer\nUPDATE task SET answer = $2 WHERE id = $1");
    transaction.execute(sql, &[task_id.into(), answer.into()]).await?;
    let freed = transaction
        .query(Sql::both("-- task_run_resume\n\
             UPDATE task_run SET state = CASE WHEN open_dependencies > 0 THEN 'blocked' WHEN run_at > $2 THEN 'scheduled' \
             ELSE 'ready' END, since = $2 \
             WHERE task_id = $1 AND state = 'parked' RETURNING queue"),
            &[task_id.into(), by.now.into()],
        )
        .await?;
    for mut row in freed {
        transaction.touch(Topic::Queue(row.text()?));
    }
    Ok(())
}

fn tell(transaction: &Transaction<'_>, asked: &Manage, target: &Target, kind: &'static str, data: Option<&str>) {
    let event = events::Event {
        at: asked.now,
        entity: "task",
        entity_id: &target.id,
        workflow_id: target.workflow_id.as_deref(),
        kind,
        actor: None,
        data,
    };
    events::write(transaction, &event);
}
