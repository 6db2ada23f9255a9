//! New tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::try_join_all;
use serde_json::json;

use super::{
    super::{
        Session, Value, events,
        idempotency::once,
        workflows::flow::{self, By, Delta},
    },
    dependents, held,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json,
        tasks::{NewTask, State},
        workflows::{self, view::EnqueuedTask},
    },
    error::{Code, Error},
};

/// Tasks to add.
#[derive(Debug, Clone)]
pub struct Enqueue {
    /// To which workflow.
    pub workflow_id: Option<String>,
    /// What.
    pub tasks: Vec<NewTask>,
    /// Tasks of one workflow at the most.
    pub tasks_max: u64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Why tasks were not added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnqueueRefused {
    /// There is no such workflow.
    NoSuchWorkflow,
    /// It takes no more tasks in this state.
    State {
        /// Where it stands.
        state: workflows::State,
        /// Its version.
        version: i64,
    },
    /// It would have more tasks than allowed.
    TooMany {
        /// It has so many.
        tasks: i64,
    },
    /// Another task of the workflow has this key.
    SameKey {
        /// The key.
        key: String,
    },
    /// A task waits for one that is neither here nor there.
    NoSuchTask {
        /// By key or id.
        name: String,
        /// Keys that exist.
        known: Vec<String>,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for EnqueueRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

/// Statements that are under way at once.
const TOGETHER: usize = 64;

/// Adds tasks to a workflow that goes on, or to none.
pub(super) async fn enqueue(
    session: &dyn Session,
    asked: &Enqueue,
) -> Result<Result<Vec<EnqueuedTask>, EnqueueRefused>, Error> {
    once(session, asked.key.as_ref(), asked.now, async {
        let by = By { now: asked.now, actor: None };
        let Some(workflow_id) = &asked.workflow_id else {
            return insert(session, None, &asked.tasks, &Existing::default(), by).await.map(Ok);
        };
        let Some(flow) = flow::lock(session, workflow_id).await? else {
            return Ok(Err(EnqueueRefused::NoSuchWorkflow));
        };
        if !flow.state.is_open() || flow.state == workflows::State::Cancelling {
            let version = flow.version_shown(session).await?;
            return Ok(Err(EnqueueRefused::State { state: flow.state, version }));
        }
        let after = flow.counts.all.saturating_add(i64::try_from(asked.tasks.len()).unwrap_or(i64::MAX));
        if after > i64::try_from(asked.tasks_max).unwrap_or(i64::MAX) {
            return Ok(Err(EnqueueRefused::TooMany { tasks: flow.counts.all }));
        }
        let existing = match existing(session, workflow_id, &asked.tasks).await? {
            Ok(existing) => existing,
            Err(refused) => return Ok(Err(refused)),
        };
        let into = Into { workflow_id, held: !flow.state.lets_claim() };
        let enqueued = insert(session, Some(into), &asked.tasks, &existing, by).await?;
        let count = i64::try_from(enqueued.len()).unwrap_or(i64::MAX);
        let (cancelled, parked) = (count_of(&enqueued, State::Cancelled), count_of(&enqueued, State::Parked));
        let delta = Delta { all: count, open: count - cancelled, cancelled, parked, ..Delta::default() };
        flow::settle(session, workflow_id, delta, by).await?;
        Ok(Ok(enqueued))
    })
    .await
}

fn count_of(tasks: &[EnqueuedTask], state: State) -> i64 {
    i64::try_from(tasks.iter().filter(|task| task.state == state).count()).unwrap_or(i64::MAX)
}

/// The workflow that tasks are added to.
#[derive(Clone, Copy)]
pub(in crate::store) struct Into<'a> {
    pub workflow_id: &'a str,
    /// It is paused.
    pub held: bool,
}

/// Tasks that exist already, which new ones wait for: id, and how it ended, by the name that was given.
#[derive(Default)]
pub(in crate::store) struct Existing(HashMap<String, (String, Option<State>)>);

impl Existing {
    /// A task by its id.
    pub fn add(&mut self, id: &str, ended: Option<State>) {
        self.0.insert(id.to_owned(), (id.to_owned(), ended));
    }
}

/// Finds what new tasks wait for, and refuses keys that are taken.
async fn existing(
    session: &dyn Session,
    workflow_id: &str,
    tasks: &[NewTask],
) -> Result<Result<Existing, EnqueueRefused>, Error> {
    let names: BTreeSet<&String> = tasks.iter().flat_map(|task| &task.waits_for.existing).collect();
    let keys: BTreeSet<&String> = tasks.iter().filter_map(|task| task.key.as_ref()).collect();
    if names.is_empty() && keys.is_empty() {
        return Ok(Ok(Existing::default()));
    }
    let found = session
        .rows("-- task_keys\nSELECT id, key, ended FROM task WHERE workflow_id = $1 ORDER BY id", &[workflow_id.into()])
        .await?;
    let mut known = HashMap::new();
    let mut known_keys = Vec::new();
    for mut row in found {
        let (id, key, ended) = (row.text()?, row.text_or_none()?, row.text_or_none()?);
        let ended = ended.as_deref().and_then(State::parse);
        if let Some(key) = key {
            if keys.contains(&key) {
                return Ok(Err(EnqueueRefused::SameKey { key }));
            }
            known_keys.push(key.clone());
            known.insert(key, (id.clone(), ended));
        }
        known.insert(id.clone(), (id, ended));
    }
    let mut existing = Existing::default();
    for name in names {
        match known.get(name) {
            Some(found) => existing.0.insert(name.clone(), found.clone()),
            None => {
                known_keys.extend(keys.into_iter().cloned());
                return Ok(Err(EnqueueRefused::NoSuchTask { name: name.clone(), known: known_keys }));
            }
        };
    }
    Ok(Ok(existing))
}

/// Writes tasks with their queue rows and dependencies. The workflow's counts are the caller's to change.
pub(in crate::store) async fn insert(
    session: &dyn Session,
    into: Option<Into<'_>>,
    tasks: &[NewTask],
    existing: &Existing,
    by: By<'_>,
) -> Result<Vec<EnqueuedTask>, Error> {
    let sets = capability_sets(session, tasks).await?;
    let mut enqueued = Vec::with_capacity(tasks.len());
    let mut rows = Vec::with_capacity(tasks.len());
    let (mut links, mut settled) = (Vec::new(), Vec::new());
    for task in tasks {
        let mut open = 0_i64;
        for place in &task.waits_for.here {
            let other = tasks.get(*place).ok_or_else(|| Error::new(Code::Internal, "a task waits for none"))?;
            open += 1;
            links.push((other.id.as_str(), task.id.as_str()));
        }
        let (mut state, mut question) = (None, None);
        for name in &task.waits_for.existing {
            let Some((id, ended)) = existing.0.get(name) else { continue };
            match ended {
                None => {
                    open += 1;
                    links.push((id.as_str(), task.id.as_str()));
                }
                Some(State::Completed) => settled.push((id.as_str(), task.id.as_str())),
                Some(ended) => match task.on_dependency_failure.after(*ended, 0) {
                    Some(State::Cancelled) => state = Some(State::Cancelled),
                    Some(State::Parked) => {
                        state = state.or(Some(State::Parked));
                        question = Some(json!({"dependency": id, "state": ended.as_str()}).to_string());
                    }
                    _ => {}
                },
            }
        }
        let state = state.unwrap_or_else(|| first_state(task, open, by.now));
        enqueued.push(EnqueuedTask { key: task.key.clone(), task_id: task.id.clone(), state });
        rows.push(Row { task, state, open, question, set: sets.get(&task.capabilities).copied().unwrap_or_default() });
    }
    for some in rows.chunks(TOGETHER) {
        try_join_all(some.iter().map(|row| write(session, into, row, by))).await?;
    }
    for some in links.chunks(TOGETHER) {
        try_join_all(some.iter().map(|(depends_on, task_id)| link(session, depends_on, task_id, false))).await?;
    }
    for some in settled.chunks(TOGETHER) {
        try_join_all(some.iter().map(|(depends_on, task_id)| link(session, depends_on, task_id, true))).await?;
    }
    follow(session, &mut enqueued, by).await?;
    Ok(enqueued)
}

/// Those that wait for one that was cancelled as it came follow it.
async fn follow(session: &dyn Session, enqueued: &mut [EnqueuedTask], by: By<'_>) -> Result<(), Error> {
    let cancelled: Vec<String> =
        enqueued.iter().filter(|task| task.state == State::Cancelled).map(|task| task.task_id.clone()).collect();
    if cancelled.is_empty() {
        return Ok(());
    }
    for id in &cancelled {
        dependents::follow(session, id, State::Cancelled, by).await?;
    }
    let ids: Vec<String> = enqueued.iter().map(|task| task.task_id.clone()).collect();
    let found = session
        .rows(
            "-- task_states\n\
             SELECT t.id, COALESCE(r.state, t.ended) FROM task t LEFT JOIN task_run r ON r.task_id = t.id WHERE t.id = ANY($1)",
            &[Value::Texts(&ids)],
        )
        .await?;
    for mut row in found {
        let (id, state) = (row.text()?, held::state(&row.text()?)?);
        if let Some(task) = enqueued.iter_mut().find(|task| task.task_id == id) {
            task.state = state;
        }
    }
    Ok(())
}

fn first_state(task: &NewTask, open: i64, now: Instant) -> State {
    match task.run_at {
        _ if open > 0 => State::Blocked,
        Some(run_at) if run_at > now => State::Scheduled,
        _ => State::Ready,
    }
}

struct Row<'a> {
    task: &'a NewTask,
    state: State,
    open: i64,
    /// What a parked one waits for.
    question: Option<String>,
    set: i64,
}

async fn write(session: &dyn Session, into: Option<Into<'_>>, row: &Row<'_>, by: By<'_>) -> Result<(), Error> {
    let Row { task, state, open, question, set } = row;
    let (workflow_id, capabilities) = (into.map(|into| into.workflow_id), json::of(&task.capabilities));
    let (cancelled, now) = (*state == State::Cancelled, by.now);
    session
        .change(
            "-- task_add\n\
             INSERT INTO task (id, workflow_id, key, title, description, input, errors, capabilities, max_attempts, max_runtime_ms, \
             on_dependency_failure, queue, priority, cost_micros, redrive_count, created_at, fence, attempt, ended, completed_at, question) \
             VALUES ($1, $2, $3, $4, $5, $6, '[]', $7, $8, $9, $10, $11, $12, 0, 0, $13, 0, 0, $14, $15, $16)",
            &[
                (&task.id).into(),
                workflow_id.into(),
                task.key.as_ref().into(),
                task.title.as_ref().into(),
                task.description.as_ref().into(),
                task.input.as_ref().map(|input| input.get()).into(),
                capabilities.get().into(),
                task.attempts_max.into(),
                task.runtime_ms_max.into(),
                task.on_dependency_failure.as_str().into(),
                (&task.queue).into(),
                task.priority.level().into(),
                now.into(),
                cancelled.then_some(state.as_str()).into(),
                cancelled.then_some(now).into(),
                question.as_ref().filter(|_| *state == State::Parked).into(),
            ],
        )
        .await?;
    if !cancelled {
        let run_at = task.run_at.unwrap_or(now).max(now);
        session
            .change(
                "-- task_run_add\n\
                 INSERT INTO task_run (task_id, workflow_id, queue, state, priority, sort_key, run_at, held, capability_set, fence, \
                 attempt, infra_failures, open_dependencies, signals_seen, since) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, $10, 0, $11)",
                &[
                    (&task.id).into(),
                    workflow_id.into(),
                    (&task.queue).into(),
                    state.as_str().into(),
                    task.priority.level().into(),
                    task.priority.sort_key(run_at).into(),
                    run_at.into(),
                    into.is_some_and(|into| into.held).into(),
                    (*set).into(),
                    (*open).into(),
                    now.into(),
                ],
            )
            .await?;
    }
    if matches!(state, State::Ready | State::Scheduled) {
        session.touch(Topic::Queue(task.queue.clone()));
    }
    let data =
        json!({"state": state.as_str(), "key": task.key, "queue": task.queue, "priority": task.priority.level()});
    let event = events::Event {
        at: now,
        entity: "task",
        entity_id: &task.id,
        workflow_id,
        kind: "task_enqueued",
        actor: by.actor,
        data: Some(&data.to_string()),
    };
    events::write(session, &event)
}

/// `settled`: the one waited for is done already, and only its result is of interest.
async fn link(session: &dyn Session, depends_on: &str, task_id: &str, settled: bool) -> Result<(), Error> {
    session
        .change(
            "-- task_dependency_add\n\
             INSERT INTO task_dependency (depends_on, task_id, settled) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            &[depends_on.into(), task_id.into(), settled.into()],
        )
        .await
        .map(drop)
}

/// The rows of the combinations of capabilities that tasks ask for; none is 0.
async fn capability_sets(session: &dyn Session, tasks: &[NewTask]) -> Result<BTreeMap<Vec<String>, i64>, Error> {
    let asked: BTreeSet<&Vec<String>> =
        tasks.iter().map(|task| &task.capabilities).filter(|asked| !asked.is_empty()).collect();
    let mut sets = BTreeMap::new();
    for capabilities in asked {
        let text = json::of(capabilities);
        let values = [Value::Text(text.get())];
        let find = "-- capability_set_find\nSELECT id FROM capability_set WHERE capabilities = $1";
        let mut found = session.rows(find, &values).await?;
        if found.is_empty() {
            let add = "-- capability_set_add\n\
                       INSERT INTO capability_set (capabilities) VALUES ($1) ON CONFLICT (capabilities) DO NOTHING";
            session.change(add, &values).await?;
            found = session.rows(find, &values).await?;
        }
        let missing = || Error::new(Code::Internal, "a set of capabilities cannot be kept");
        sets.insert(capabilities.clone(), found.into_iter().next().ok_or_else(missing)?.integer()?);
    }
    Ok(sets)
}
