//! New tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::try_join3;
use serde_json::json;

use super::{
    super::{
        Transaction, Value,
        events::{self, By},
        idempotency::once,
        workflows::flow::{self, Delta},
    },
    dependents, held,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json::{self, Json},
        tasks::{NewTask, State},
        workflows::{self, view::EnqueuedTask},
    },
    error::{Code, Error},
    store::Sql,
    store::sql::sql,
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

/// Adds tasks to a workflow that goes on, or to none.
pub(super) async fn enqueue(
    transaction: &Transaction<'_>,
    asked: &Enqueue,
) -> Result<Result<Vec<EnqueuedTask>, EnqueueRefused>, Error> {
    once(transaction, asked.key.as_ref(), asked.now, async {
        let by = By { now: asked.now, actor: None };
        let Some(workflow_id) = &asked.workflow_id else {
            return insert(transaction, None, &asked.tasks, &Existing::default(), by).await.map(Ok);
        };
        let Some(flow) = flow::lock(transaction, workflow_id).await? else {
            return Ok(Err(EnqueueRefused::NoSuchWorkflow));
        };
        if !flow.state.is_open() || flow.state == workflows::State::Cancelling {
            let version = flow.version_shown(transaction).await?;
            return Ok(Err(EnqueueRefused::State { state: flow.state, version }));
        }
        let after = flow.counts.all.saturating_add(i64::try_from(asked.tasks.len()).unwrap_or(i64::MAX));
        if after > i64::try_from(asked.tasks_max).unwrap_or(i64::MAX) {
            return Ok(Err(EnqueueRefused::TooMany { tasks: flow.counts.all }));
        }
        let existing = match existing(transaction, workflow_id, &asked.tasks).await? {
            Ok(existing) => existing,
            Err(refused) => return Ok(Err(refused)),
        };
        let into = Into { workflow_id, held: !flow.state.lets_claim() };
        let enqueued = insert(transaction, Some(into), &asked.tasks, &existing, by).await?;
        let count = i64::try_from(enqueued.len()).unwrap_or(i64::MAX);
        let (cancelled, parked) = (count_of(&enqueued, State::Cancelled), count_of(&enqueued, State::Parked));
        let delta = Delta { all: count, open: count - cancelled, cancelled, parked, ..Delta::default() };
        flow::settle(transaction, workflow_id, delta, by).await?;
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
    transaction: &Transaction<'_>,
    workflow_id: &str,
    tasks: &[NewTask],
) -> Result<Result<Existing, EnqueueRefused>, Error> {
    let names: BTreeSet<&String> = tasks.iter().flat_map(|task| &task.waits_for.existing).collect();
    let keys: BTreeSet<&String> = tasks.iter().filter_map(|task| task.key.as_ref()).collect();
    if names.is_empty() && keys.is_empty() {
        return Ok(Ok(Existing::default()));
    }
    let found = transaction
        .query(
            Sql::both("-- task_keys\nSELECT id, key, ended FROM task WHERE workflow_id = $1 ORDER BY id"),
            &[workflow_id.into()],
        )
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

/// Writes tasks with their queue rows and dependencies, and lets follow what waits for those that were cancelled as they came. The workflow's
/// counts are the caller's to change.
pub(in crate::store) async fn insert(
    transaction: &Transaction<'_>,
    into: Option<Into<'_>>,
    tasks: &[NewTask],
    existing: &Existing,
    by: By<'_>,
) -> Result<Vec<EnqueuedTask>, Error> {
    let mut new = NewTasks::default();
    let mut enqueued = new.add(transaction, into, tasks, existing, by)?;
    new.write(transaction).await?;
    follow(transaction, &mut enqueued, by).await?;
    Ok(enqueued)
}

/// New tasks on their way to their tables, of several workflows or of none.
#[derive(Default)]
pub(in crate::store) struct NewTasks<'a> {
    rows: Vec<Row<'a>>,
    links: Vec<Link>,
}

/// That a task waits for another. `settled`: that one is done already, and only its result is of interest.
struct Link {
    depends_on: String,
    task_id: String,
    settled: bool,
}

impl<'a> NewTasks<'a> {
    /// Adds tasks, and says so in the history.
    pub(in crate::store) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        into: Option<Into<'a>>,
        tasks: &'a [NewTask],
        existing: &Existing,
        by: By<'_>,
    ) -> Result<Vec<EnqueuedTask>, Error> {
        let mut enqueued = Vec::with_capacity(tasks.len());
        for task in tasks {
            let mut link = |depends_on: &str, settled| {
                self.links.push(Link { depends_on: depends_on.to_owned(), task_id: task.id.clone(), settled });
            };
            let mut open = 0_i64;
            for place in &task.waits_for.here {
                let other = tasks.get(*place).ok_or_else(|| Error::new(Code::Internal, "a task waits for none"))?;
                open += 1;
                link(&other.id, false);
            }
            let (mut state, mut question) = (None, None);
            for name in &task.waits_for.existing {
                let Some((id, ended)) = existing.0.get(name) else { continue };
                match ended {
                    None => {
                        open += 1;
                        link(id, false);
                    }
                    Some(State::Completed) => link(id, true),
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
            let row =
                Row { task, into, state, open, question, capabilities: json::of(&task.capabilities), now: by.now };
            row.tell(transaction, by);
            enqueued.push(EnqueuedTask { key: task.key.clone(), task_id: task.id.clone(), state });
            self.rows.push(row);
        }
        Ok(enqueued)
    }

    /// Writes them.
    pub(in crate::store) async fn write(self, transaction: &Transaction<'_>) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let sets = capability_sets(transaction, &self.rows).await?;
        let tasks: Vec<Vec<Value<'_>>> = self.rows.iter().map(Row::task_values).collect();
        let open = self.rows.iter().filter(|row| row.state != State::Cancelled);
        let runs: Vec<Vec<Value<'_>>> =
            open.map(|row| row.run_values(sets.get(row.capabilities.get()).copied().unwrap_or_default())).collect();
        let links: Vec<Vec<Value<'_>>> = self
            .links
            .iter()
            .map(|link| vec![(&link.depends_on).into(), (&link.task_id).into(), link.settled.into()])
            .collect();
        try_join3(
            transaction.write_rows(ADD, &tasks),
            transaction.write_rows(ADD_RUN, &runs),
            transaction.write_rows(ADD_DEPENDENCY, &links),
        )
        .await
        .map(drop)
    }
}

/// Those that wait for one that was cancelled as it came follow it.
async fn follow(transaction: &Transaction<'_>, enqueued: &mut [EnqueuedTask], by: By<'_>) -> Result<(), Error> {
    let cancelled: Vec<String> =
        enqueued.iter().filter(|task| task.state == State::Cancelled).map(|task| task.task_id.clone()).collect();
    if cancelled.is_empty() {
        return Ok(());
    }
    for id in &cancelled {
        dependents::follow(transaction, id, State::Cancelled, by).await?;
    }
    let ids: Vec<String> = enqueued.iter().map(|task| task.task_id.clone()).collect();
    let found = transaction
        .query(sql!("-- task_states\n\
             SELECT t.id, COALESCE(r.state, t.ended) FROM task t LEFT JOIN task_run r ON r.task_id = t.id WHERE t.id ", (any 1)),
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

/// A new task.
struct Row<'a> {
    task: &'a NewTask,
    into: Option<Into<'a>>,
    state: State,
    /// What it waits for.
    open: i64,
    /// What a parked one waits for.
    question: Option<String>,
    capabilities: Json,
    now: Instant,
}

impl Row<'_> {
    fn tell(&self, transaction: &Transaction<'_>, by: By<'_>) {
        let Self { task, into, state, .. } = self;
        if matches!(state, State::Ready | State::Scheduled) {
            transaction.touch(Topic::Queue(task.queue.clone()));
        }
        let data =
            json!({"state": state.as_str(), "key": task.key, "queue": task.queue, "priority": task.priority.level()});
        let event = events::Event {
            at: by.now,
            entity: "task",
            entity_id: &task.id,
            workflow_id: into.map(|into| into.workflow_id),
            kind: "task_enqueued",
            actor: by.actor,
            data: Some(&data.to_string()),
        };
        events::write(transaction, &event);
    }

    fn task_values(&self) -> Vec<Value<'_>> {
        let Self { task, into, state, question, capabilities, now, .. } = self;
        let cancelled = *state == State::Cancelled;
        vec![
            (&task.id).into(),
            into.map(|into| into.workflow_id).into(),
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
            (*now).into(),
            cancelled.then_some(state.as_str()).into(),
            cancelled.then_some(*now).into(),
            question.as_ref().filter(|_| *state == State::Parked).into(),
        ]
    }

    /// `set` is the row of its capabilities; none is 0.
    fn run_values(&self, set: i64) -> Vec<Value<'_>> {
        let Self { task, into, state, open, now, .. } = self;
        let run_at = task.run_at.unwrap_or(*now).max(*now);
        vec![
            (&task.id).into(),
            into.map(|into| into.workflow_id).into(),
            (&task.queue).into(),
            state.as_str().into(),
            task.priority.level().into(),
            task.priority.sort_key(run_at).into(),
            run_at.into(),
            into.is_some_and(|into| into.held).into(),
            set.into(),
            (*open).into(),
            (*now).into(),
        ]
    }
}

const ADD: Sql = Sql {
    postgres: "-- task_add\n\
               INSERT INTO task (id, workflow_id, key, title, description, input, errors, capabilities, max_attempts, max_runtime_ms, \
               on_dependency_failure, queue, priority, cost_micros, redrive_count, created_at, fence, attempt, ended, completed_at, question) \
               SELECT id, workflow_id, key, title, description, input, '[]', capabilities, attempts, runtime, policy, queue, priority, 0, 0, \
               now, 0, 0, ended, completed_at, question FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
               $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::timestamptz[], $14::text[], \
               $15::timestamptz[], $16::text[]) AS new (id, workflow_id, key, title, description, input, capabilities, attempts, runtime, \
               policy, queue, priority, now, ended, completed_at, question)",
    sqlite: "-- task_add\n\
             INSERT INTO task (id, workflow_id, key, title, description, input, errors, capabilities, max_attempts, max_runtime_ms, \
             on_dependency_failure, queue, priority, cost_micros, redrive_count, created_at, fence, attempt, ended, completed_at, question) \
             VALUES ($1, $2, $3, $4, $5, $6, '[]', $7, $8, $9, $10, $11, $12, 0, 0, $13, 0, 0, $14, $15, $16)",
};

const ADD_RUN: Sql = Sql {
    postgres: "-- task_run_add\n\
               INSERT INTO task_run (task_id, workflow_id, queue, state, priority, sort_key, run_at, held, capability_set, fence, \
               attempt, infra_failures, open_dependencies, signals_seen, since) \
               SELECT task_id, workflow_id, queue, state, priority, sort_key, run_at, held, capability_set, 0, 0, 0, open, 0, since \
               FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[], $8::bool[], \
               $9::bigint[], $10::bigint[], $11::timestamptz[]) AS new (task_id, workflow_id, queue, state, priority, sort_key, run_at, \
               held, capability_set, open, since)",
    sqlite: "-- task_run_add\n\
             INSERT INTO task_run (task_id, workflow_id, queue, state, priority, sort_key, run_at, held, capability_set, fence, \
             attempt, infra_failures, open_dependencies, signals_seen, since) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, $10, 0, $11)",
};

const ADD_DEPENDENCY: Sql = Sql {
    postgres: "-- task_dependency_add\n\
               INSERT INTO task_dependency (depends_on, task_id, settled) SELECT * FROM unnest($1::text[], $2::text[], $3::bool[]) \
               ON CONFLICT DO NOTHING",
    sqlite: "-- task_dependency_add\n\
             INSERT INTO task_dependency (depends_on, task_id, settled) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
};

/// The rows of the combinations of capabilities that tasks ask for, by their JSON; none has no row.
async fn capability_sets(transaction: &Transaction<'_>, tasks: &[Row<'_>]) -> Result<BTreeMap<String, i64>, Error> {
    let asked = tasks.iter().filter(|row| !row.task.capabilities.is_empty());
    let asked: Vec<String> =
        asked.map(|row| row.capabilities.get().to_owned()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut sets = BTreeMap::new();
    if asked.is_empty() {
        return Ok(sets);
    }
    let find =
        sql!("-- capability_sets_find\nSELECT capabilities, id FROM capability_set WHERE capabilities ", (any 1));
    let values = [Value::Texts(&asked)];
    for tries in 0..2 {
        for mut row in transaction.query(find, &values).await? {
            sets.insert(row.text()?, row.integer()?);
        }
        let missing: Vec<Vec<Value<'_>>> =
            asked.iter().filter(|asked| !sets.contains_key(*asked)).map(|asked| vec![asked.into()]).collect();
        if missing.is_empty() {
            break;
        }
        if tries > 0 {
            return Err(Error::new(Code::Internal, "a set of capabilities cannot be kept"));
        }
        transaction.write_rows(ADD_CAPABILITY_SET, &missing).await?;
    }
    Ok(sets)
}

const ADD_CAPABILITY_SET: Sql = Sql {
    postgres: "-- capability_set_add\n\
               INSERT INTO capability_set (capabilities) SELECT * FROM unnest($1::text[]) ON CONFLICT (capabilities) DO NOTHING",
    sqlite: "-- capability_set_add\n\
             INSERT INTO capability_set (capabilities) VALUES ($1) ON CONFLICT (capabilities) DO NOTHING",
};
