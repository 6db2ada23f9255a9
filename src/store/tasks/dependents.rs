//! What follows for tasks that wait for others that are over.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join4;
use serde_json::json;

use super::close;
use crate::{
    changes::Topic,
    clock::Instant,
    domain::tasks::{OnDependencyFailure, Priority, State},
    error::{Code, Error},
    store::{Row, Sql, Transaction, Value, events::By, sql::sql, workflows::flow::Delta},
};

/// A task that is over.
#[derive(Clone)]
pub(in crate::store) struct Over<'a> {
    pub task_id: String,
    pub state: State,
    /// By whom.
    pub by: By<'a>,
}

/// What came of one end.
#[derive(Debug, Default)]
pub(in crate::store) struct Followed {
    /// Tasks that can be claimed now.
    pub unblocked: Vec<String>,
    /// For the workflow's counts.
    pub delta: Delta,
}

/// A task that waits.
struct Waiting {
    id: String,
    workflow_id: Option<String>,
    /// What it still waits for.
    open: i64,
    priority: Priority,
    run_at: Instant,
    policy: OnDependencyFailure,
    fence: i64,
    attempt: i64,
    queue: String,
    /// It waits for an answer, too.
    parked: bool,
    /// What is to become of it is decided.
    decided: bool,
}

impl Waiting {
    fn tell(&self, transaction: &Transaction<'_>, kind: &'static str, by: By<'_>) {
        close::tell(transaction, self.workflow_id.as_deref(), std::slice::from_ref(&self.id), kind, by);
    }
}

/// What becomes of those that wait.
#[derive(Default)]
struct Decided<'a> {
    /// They wait for nothing any more, from when on, and by whom.
    free: Vec<(usize, Instant, By<'a>)>,
    /// Somebody has to answer: the question.
    park: Vec<(usize, String, By<'a>)>,
    cancel: Vec<(usize, By<'a>)>,
}

/// The same for one end.
pub(in crate::store) async fn follow(
    transaction: &Transaction<'_>,
    task_id: &str,
    state: State,
    by: By<'_>,
) -> Result<Followed, Error> {
    let over = Over { task_id: task_id.to_owned(), state, by };
    Ok(follow_all(transaction, vec![over]).await?.pop().unwrap_or_default())
}

/// Lets those that wait for tasks follow their ends, one after the other, and those that wait for them, level by level as far as it goes.
/// Each dependency counts once. What came of each end.
pub(in crate::store) async fn follow_all<'a>(
    transaction: &Transaction<'_>,
    over: Vec<Over<'a>>,
) -> Result<Vec<Followed>, Error> {
    let mut followed: Vec<Followed> = over.iter().map(|_| Followed::default()).collect();
    let mut level: Vec<(usize, Over<'a>)> = over.into_iter().enumerate().collect();
    while !level.is_empty() {
        let ids: Vec<String> = level.iter().map(|(_, over)| over.task_id.clone()).collect();
        let (mut waiting, mut links) = waiting(transaction, &ids).await?;
        let places: BTreeMap<String, usize> =
            waiting.iter().enumerate().map(|(place, task)| (task.id.clone(), place)).collect();
        let (mut decided, mut next) = (Decided::default(), Vec::new());
        for (root, over) in &level {
            let Some(came_of) = followed.get_mut(*root) else { continue };
            for task_id in links.remove(&over.task_id).unwrap_or_default() {
                let Some(place) = places.get(&task_id).copied() else { continue };
                let Some(task) = waiting.get_mut(place) else { continue };
                task.open -= 1;
                // Of those that are parked somebody is asked already what shall become of them.
                if task.parked || task.decided {
                    continue;
                }
                let Some(becomes) = task.policy.after(over.state, task.open) else { continue };
                task.decided = true;
                decide(transaction, (place, task), over, becomes, came_of, &mut decided);
                if becomes == State::Cancelled {
                    next.push((*root, Over { task_id, state: becomes, by: over.by }));
                }
            }
        }
        decided.write(transaction, &waiting).await?;
        level = next;
    }
    Ok(followed)
}

/// What one of them becomes, by one end.
fn decide<'a>(
    transaction: &Transaction<'_>,
    (place, task): (usize, &Waiting),
    over: &Over<'a>,
    becomes: State,
    came_of: &mut Followed,
    decided: &mut Decided<'a>,
) {
    match becomes {
        State::Cancelled => {
            task.tell(transaction, "task_cancelled", over.by);
            came_of.delta.open -= 1;
            came_of.delta.cancelled += 1;
            decided.cancel.push((place, over.by));
        }
        State::Parked => {
            task.tell(transaction, "task_parked", over.by);
            came_of.delta.parked += 1;
            let question = json!({"dependency": over.task_id, "state": over.state.as_str()}).to_string();
            decided.park.push((place, question, over.by));
        }
        _ => {
            let run_at = task.run_at.max(over.by.now);
            if run_at <= over.by.now {
                transaction.touch(Topic::Queue(task.queue.clone()));
                task.tell(transaction, "task_ready", over.by);
                came_of.unblocked.push(task.id.clone());
            }
            decided.free.push((place, run_at, over.by));
        }
    }
}

/// Those that wait for any of these, with what they waited for before, and who waits for which. Their rows count already as if all were
/// followed.
async fn waiting(
    transaction: &Transaction<'_>,
    ids: &[String],
) -> Result<(Vec<Waiting>, BTreeMap<String, BTreeSet<String>>), Error> {
    let ids = [Value::Texts(ids)];
    let found = transaction
        .query(
            sql!(
                "-- task_dependents\n\
                 UPDATE task_run SET open_dependencies = open_dependencies - (SELECT count(*) FROM task_dependency d \
                 WHERE d.task_id = task_run.task_id AND NOT d.settled AND d.depends_on ", (any 1), ") \
                 WHERE state IN ('blocked', 'parked') \
                 AND task_id IN (SELECT task_id FROM task_dependency WHERE NOT settled AND depends_on ", (any 1), ") \
                 RETURNING task_id, workflow_id, open_dependencies, priority, run_at, \
                 (SELECT on_dependency_failure FROM task WHERE id = task_run.task_id), fence, attempt, queue, state"
            ),
            &ids,
        )
        .await?;
    let mut waiting = found.into_iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    let mut links: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if waiting.is_empty() {
        return Ok((waiting, links));
    }
    let settle = sql!(
        "-- task_dependency_settle\n\
         UPDATE task_dependency SET settled = true WHERE NOT settled AND depends_on ", (any 1), " RETURNING depends_on, task_id"
    );
    let mut counted: BTreeMap<String, i64> = BTreeMap::new();
    for mut row in transaction.query(settle, &ids).await? {
        let (depends_on, task_id) = (row.text()?, row.text()?);
        *counted.entry(task_id.clone()).or_default() += 1;
        links.entry(depends_on).or_default().insert(task_id);
    }
    for task in &mut waiting {
        task.open += counted.get(&task.id).copied().unwrap_or_default();
    }
    Ok((waiting, links))
}

fn read(mut row: Row) -> Result<Waiting, Error> {
    Ok(Waiting {
        id: row.text()?,
        workflow_id: row.text_or_none()?,
        open: row.integer()?,
        priority: Priority::new(row.integer()?).unwrap_or(Priority::NORMAL),
        run_at: row.time()?,
        policy: policy(&row.text()?)?,
        fence: row.integer()?,
        attempt: row.integer()?,
        queue: row.text()?,
        parked: row.text()? == "parked",
        decided: false,
    })
}

/// Reads a stored policy.
pub(in crate::store) fn policy(word: &str) -> Result<OnDependencyFailure, Error> {
    OnDependencyFailure::parse(word).ok_or_else(|| {
        Error::new(Code::Internal, "the record store holds a value that cannot be read")
            .cause(format!("`{word}` in column on_dependency_failure of task"))
    })
}

impl Decided<'_> {
    async fn write(&self, transaction: &Transaction<'_>, waiting: &[Waiting]) -> Result<(), Error> {
        let free: Vec<Vec<Value<'_>>> = self
            .free
            .iter()
            .filter_map(|(place, run_at, by)| {
                let task = waiting.get(*place)?;
                let state = if *run_at <= by.now { State::Ready } else { State::Scheduled };
                Some(vec![
                    (&task.id).into(),
                    state.as_str().into(),
                    (*run_at).into(),
                    task.priority.sort_key(*run_at).into(),
                    by.now.into(),
                ])
            })
            .collect();
        let parked: Vec<(&str, &str, Instant)> = self
            .park
            .iter()
            .filter_map(|(place, question, by)| Some((waiting.get(*place)?.id.as_str(), question.as_str(), by.now)))
            .collect();
        let park: Vec<Vec<Value<'_>>> = parked.iter().map(|(id, _, now)| vec![(*id).into(), (*now).into()]).collect();
        let ask: Vec<Vec<Value<'_>>> =
            parked.iter().map(|(id, question, _)| vec![(*id).into(), (*question).into()]).collect();
        let cancel: Vec<(close::Ended<'_>, Instant)> = self
            .cancel
            .iter()
            .filter_map(|(place, by)| {
                let task = waiting.get(*place)?;
                let ended = close::Ended {
                    task_id: &task.id,
                    state: State::Cancelled,
                    fence: task.fence + 1,
                    attempt: task.attempt,
                    owner: None,
                    result: None,
                    errors: None,
                };
                Some((ended, by.now))
            })
            .collect();
        try_join4(
            transaction.write_rows(FREE, &free),
            transaction.write_rows(PARK, &park),
            transaction.write_rows(ASK, &ask),
            close::end_all(transaction, &cancel),
        )
        .await
        .map(drop)
    }
}

/// It waits for nothing any more: ready from now on, or at its time.
const FREE: Sql = Sql {
    postgres: "-- task_run_free\n\
               UPDATE task_run SET state = new.state, open_dependencies = 0, run_at = new.run_at, sort_key = new.sort_key, \
               since = new.since FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::timestamptz[]) \
               AS new (task_id, state, run_at, sort_key, since) WHERE task_run.task_id = new.task_id",
    sqlite: "-- task_run_free\n\
             UPDATE task_run SET state = $2, open_dependencies = 0, run_at = $3, sort_key = $4, since = $5 WHERE task_id = $1",
};

/// It waits for somebody to decide. An answer makes it ready, whatever else it waited for is settled as it comes.
const PARK: Sql = Sql {
    postgres: "-- task_run_park_blocked\n\
               UPDATE task_run SET state = 'parked', since = new.since FROM unnest($1::text[], $2::timestamptz[]) AS new (task_id, since) \
               WHERE task_run.task_id = new.task_id",
    sqlite: "-- task_run_park_blocked\nUPDATE task_run SET state = 'parked', since = $2 WHERE task_id = $1",
};

const ASK: Sql = Sql {
    postgres: "-- task_ask\n\
               UPDATE task SET question = new.question FROM unnest($1::text[], $2::text[]) AS new (id, question) WHERE task.id = new.id",
    sqlite: "-- task_ask\nUPDATE task SET question = $2 WHERE id = $1",
};
