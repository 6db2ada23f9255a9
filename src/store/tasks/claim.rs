//! Leases for agents.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::{try_join, try_join_all, try_join3};
use serde_json::json;

use super::{
    super::{
        Beside, Kind, Row, Session, Value, agents, events,
        idempotency::once,
        payload,
        workflows::flow::{self, By},
    },
    due, expire, waiting,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::{Key, Repeat},
        json::Json,
        tasks::{
            Lease,
            answers::{Claimed, ClaimedTask},
        },
    },
    error::Error,
};

/// A claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who.
    pub agent_id: String,
    /// The server process behind it.
    pub session_id: String,
    /// From which queues; none for any.
    pub queues: Option<Vec<String>>,
    /// A secret for each task that may be leased; as many at the most.
    pub secrets: Vec<String>,
    /// How long a lease runs, in milliseconds.
    pub lease_ms: i64,
    /// A token for the agent, should it not be registered.
    pub agent_token: String,
    /// Of the call. A claim that finds nothing is not remembered.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Leases that are asked for at once, after the first.
const TOGETHER: usize = 16;

/// The statement that leases one task: agent, session, secret, end and now are its values from the second on.
macro_rules! lease {
    ($name:literal, $task:literal) => {
        concat!(
            $name,
            "UPDATE task_run SET state = 'leased', fence = fence + 1, attempt = attempt + 1, owner = $2, session_id = $3, \
             secret = $4, lease_until = $5, runs_until = NULL, claimed_at = $6, since = $6 WHERE task_id = ",
            $task,
            " RETURNING task_id, workflow_id, fence, attempt"
        )
    };
}

/// What a claim found.
pub(super) enum Found {
    /// Tasks.
    Tasks(Claimed),
    /// Nothing.
    Nothing(Left),
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// What a claim that found nothing left for transitions of their own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Left {
    /// Leases have run out, and nobody has put their tasks back yet.
    pub lapsed: bool,
    /// The time of tasks has come whose workflow somebody else had.
    pub due: bool,
}

impl From<Repeat> for Found {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

impl Found {
    /// For whoever asked.
    pub(super) fn answer(self) -> Result<Claimed, Repeat> {
        match self {
            Self::Tasks(claimed) => Ok(claimed),
            Self::Nothing(_) => Ok(Claimed { tasks: Vec::new() }),
            Self::Repeat(repeat) => Err(repeat),
        }
    }
}

/// A task that was leased.
struct Leased<'a> {
    task_id: String,
    workflow_id: Option<String>,
    fence: i64,
    attempt: i64,
    secret: &'a str,
}

/// Leases the first tasks that the agent can do. A claim that finds nothing is not remembered under its key.
pub(super) async fn claim(session: &dyn Session, asked: &Claim) -> Result<Found, Error> {
    let found = once(session, asked.key.as_ref(), asked.now, async {
        let (tasks, due) = lease(session, asked).await?;
        if tasks.is_empty() {
            return Ok(Err(Found::Nothing(Left { lapsed: expire::is_due(session, asked.now).await?, due })));
        }
        Ok(Ok(Claimed { tasks }))
    });
    Ok(found.await?.map_or_else(|found| found, Found::Tasks))
}

/// Claims from one order of tasks take each by one statement, and can go side by side.
pub(super) fn beside(asked: &Claim) -> Option<Beside> {
    let has_one_order = asked.queues.as_ref().is_none_or(|queues| queues.len() == 1);
    has_one_order.then(|| Beside::of(Kind::Claim, [asked.key.as_ref().map(|key| key.key.as_str())]))
}

/// Tasks; or none, and whether there are some whose time has come that could not be made ready.
async fn lease(session: &dyn Session, asked: &Claim) -> Result<(Vec<ClaimedTask>, bool), Error> {
    let able = agents::present(session, &asked.agent_id, &asked.session_id, &asked.agent_token, asked.now);
    let promoted = async {
        match session.for_all("task_runs_due") {
            Some(_) => due::promote_free(session, asked.now).await.map(Some),
            None => Ok(None),
        }
    };
    let (able, mut promoted) = try_join(able, promoted).await?;
    let sets = fitting_sets(session, &able).await?;
    let mut leased = first_of_those(session, asked, &sets).await?;
    // Whoever made due tasks ready for all may have come a moment earlier.
    if leased.is_empty() && promoted.is_none() {
        let late = due::promote_free(session, asked.now).await?;
        if late.count > 0 {
            leased = first_of_those(session, asked, &sets).await?;
        }
        promoted = Some(late);
    }
    if leased.is_empty() {
        return Ok((Vec::new(), promoted.is_some_and(|promoted| promoted.passed_over)));
    }
    let ids: Vec<String> = leased.iter().map(|leased| leased.task_id.clone()).collect();
    let claimed_of: BTreeSet<String> = leased.iter().filter_map(|leased| leased.workflow_id.clone()).collect();
    let by = By { now: asked.now, actor: Some(&asked.agent_id) };
    let (mut carried, mut results, begun) = try_join3(
        carried(session, &ids),
        dependency_results(session, &ids),
        flow::begin(session, claimed_of.iter().cloned().collect(), by),
    )
    .await?;
    let mut tasks = Vec::with_capacity(leased.len());
    for leased in leased {
        let Some(carried) = carried.remove(&leased.task_id) else { continue };
        let results = results.remove(&leased.task_id).unwrap_or_default();
        tasks.push(carried.task(session, asked, leased, results).await?);
    }
    begun.iter().try_for_each(|begun| begun.tell(session, by))?;
    claimed_of.into_iter().for_each(|workflow_id| session.touch(Topic::Workflow(workflow_id)));
    Ok((tasks, false))
}

/// Combinations of capabilities that an agent with these has; 0 is none.
async fn fitting_sets(session: &dyn Session, able: &[String]) -> Result<Vec<i64>, Error> {
    let mut sets = vec![0];
    if able.is_empty() {
        return Ok(sets);
    }
    let all = waiting::sets(session).await?;
    sets.extend(all.into_iter().filter(|(_, needed)| needed.iter().all(|one| able.contains(one))).map(|(id, _)| id));
    Ok(sets)
}

/// The first tasks of the queues that are asked for.
async fn first_of_those<'a>(session: &dyn Session, asked: &'a Claim, sets: &[i64]) -> Result<Vec<Leased<'a>>, Error> {
    match asked.queues.as_deref() {
        None => first_of(session, asked, None, sets).await,
        Some([queue]) => first_of(session, asked, Some(queue), sets).await,
        Some(queues) => first_of_all(session, asked, queues, sets).await,
    }
}

/// The first tasks of one order: of a queue, or of all.
async fn first_of<'a>(
    session: &dyn Session,
    asked: &'a Claim,
    queue: Option<&str>,
    sets: &[i64],
) -> Result<Vec<Leased<'a>>, Error> {
    let Some((first, others)) = asked.secrets.split_first() else { return Ok(Vec::new()) };
    let mut all: Vec<Leased<'_>> = next(session, asked, queue, sets, first).await?.into_iter().collect();
    for some in others.chunks(TOGETHER) {
        if all.is_empty() {
            break;
        }
        let leased = try_join_all(some.iter().map(|secret| next(session, asked, queue, sets, secret))).await?;
        let is_last = leased.iter().any(Option::is_none);
        all.extend(leased.into_iter().flatten());
        if is_last {
            break;
        }
    }
    Ok(all)
}

/// The first task of an order that nobody else has, leased by the statement that finds it.
async fn next<'a>(
    session: &dyn Session,
    asked: &Claim,
    queue: Option<&str>,
    sets: &[i64],
    secret: &'a str,
) -> Result<Option<Leased<'a>>, Error> {
    let any = lease!(
        "-- task_claim_any\n",
        "(SELECT task_id FROM task_run WHERE state = 'ready' AND NOT held AND capability_set = ANY($1) \
         ORDER BY sort_key, task_id LIMIT 1 FOR UPDATE SKIP LOCKED)"
    );
    let of_queue = lease!(
        "-- task_claim\n",
        "(SELECT task_id FROM task_run WHERE state = 'ready' AND NOT held AND queue = $7 AND capability_set = ANY($1) \
         ORDER BY sort_key, task_id LIMIT 1 FOR UPDATE SKIP LOCKED)"
    );
    let values = [
        Value::Integers(sets),
        (&asked.agent_id).into(),
        (&asked.session_id).into(),
        secret.into(),
        asked.now.plus_ms(asked.lease_ms).into(),
        asked.now.into(),
        queue.into(),
    ];
    let found = match queue {
        Some(_) => session.rows(of_queue, &values).await?,
        None => session.rows(any, &values[..6]).await?,
    };
    found.into_iter().next().map(|row| read_leased(row, secret)).transpose()
}

/// The first tasks of several queues: found in each of them first, and leased then.
async fn first_of_all<'a>(
    session: &dyn Session,
    asked: &'a Claim,
    queues: &[String],
    sets: &[i64],
) -> Result<Vec<Leased<'a>>, Error> {
    let most = i64::try_from(asked.secrets.len()).unwrap_or(i64::MAX);
    let mut found: Vec<(i64, String)> = Vec::new();
    for queue in queues {
        let rows = session
            .rows(
                "-- tasks_to_claim\n\
                 SELECT sort_key, task_id FROM task_run WHERE state = 'ready' AND NOT held AND queue = $3 \
                 AND capability_set = ANY($1) ORDER BY sort_key, task_id LIMIT $2 FOR UPDATE SKIP LOCKED",
                &[Value::Integers(sets), most.into(), queue.into()],
            )
            .await?;
        for mut row in rows {
            found.push((row.integer()?, row.text()?));
        }
    }
    found.sort();
    let leased = found.iter().zip(&asked.secrets).map(|((_, id), secret)| this(session, asked, id, secret));
    Ok(try_join_all(leased).await?.into_iter().flatten().collect())
}

async fn this<'a>(
    session: &dyn Session,
    asked: &Claim,
    id: &str,
    secret: &'a str,
) -> Result<Option<Leased<'a>>, Error> {
    let found = session
        .rows(
            lease!("-- task_lease\n", "$1 AND state = 'ready'"),
            &[
                id.into(),
                (&asked.agent_id).into(),
                (&asked.session_id).into(),
                secret.into(),
                asked.now.plus_ms(asked.lease_ms).into(),
                asked.now.into(),
            ],
        )
        .await?;
    found.into_iter().next().map(|row| read_leased(row, secret)).transpose()
}

fn read_leased(mut row: Row, secret: &str) -> Result<Leased<'_>, Error> {
    let (task_id, workflow_id) = (row.text()?, row.text_or_none()?);
    Ok(Leased { task_id, workflow_id, fence: row.integer()?, attempt: row.integer()?, secret })
}

/// What a task carries.
struct Carried {
    key: Option<String>,
    title: Option<String>,
    description: Option<String>,
    queue: String,
    attempts_max: i64,
    runtime_ms_max: Option<i64>,
    priority: i64,
    input: Option<Json>,
    checkpoint: Option<Json>,
    question: Option<Json>,
    answer: Option<Json>,
}

async fn carried(session: &dyn Session, ids: &[String]) -> Result<HashMap<String, Carried>, Error> {
    let found = session
        .rows(
            "-- tasks_carried\n\
             SELECT id, key, title, description, queue, max_attempts, max_runtime_ms, priority, input, checkpoint, question, answer \
             FROM task WHERE id = ANY($1)",
            &[Value::Texts(ids)],
        )
        .await?;
    let read = |mut row: Row| {
        let id = row.text()?;
        let carried = Carried {
            key: row.text_or_none()?,
            title: row.text_or_none()?,
            description: row.text_or_none()?,
            queue: row.text()?,
            attempts_max: row.integer()?,
            runtime_ms_max: row.integer_or_none()?,
            priority: row.integer()?,
            input: payload::json(&mut row)?,
            checkpoint: payload::json(&mut row)?,
            question: payload::json(&mut row)?,
            answer: payload::json(&mut row)?,
        };
        Ok((id, carried))
    };
    found.into_iter().map(read).collect()
}

impl Carried {
    /// With its lease, which ends with the attempt at the latest.
    async fn task(
        self,
        session: &dyn Session,
        asked: &Claim,
        leased: Leased<'_>,
        dependency_results: BTreeMap<String, Json>,
    ) -> Result<ClaimedTask, Error> {
        let mut lease_until = asked.now.plus_ms(asked.lease_ms);
        if let Some(runs_until) = self.runtime_ms_max.map(|most| asked.now.plus_ms(most)) {
            lease_until = runs_until.min(lease_until);
            bound(session, &leased.task_id, lease_until, runs_until).await?;
        }
        tell(session, asked, &leased, lease_until)?;
        Ok(ClaimedTask {
            lease: Lease { task_id: leased.task_id.clone(), fence: leased.fence, secret: leased.secret.to_owned() },
            lease_until,
            attempt: leased.attempt,
            attempts_max: self.attempts_max,
            input: self.input,
            checkpoint: self.checkpoint,
            question: self.question,
            answer: self.answer,
            priority: self.priority,
            dependency_results,
            task_id: leased.task_id,
            workflow_id: leased.workflow_id,
            key: self.key,
            title: self.title,
            description: self.description,
            queue: self.queue,
        })
    }
}

async fn bound(session: &dyn Session, task_id: &str, lease_until: Instant, runs_until: Instant) -> Result<(), Error> {
    let sql = "-- task_bound\nUPDATE task_run SET lease_until = $2, runs_until = $3 WHERE task_id = $1";
    session.change(sql, &[task_id.into(), lease_until.into(), runs_until.into()]).await.map(drop)
}

fn tell(session: &dyn Session, asked: &Claim, leased: &Leased<'_>, lease_until: Instant) -> Result<(), Error> {
    let data = json!({"attempt": leased.attempt, "fence": leased.fence, "lease_until": lease_until.rfc3339()});
    let event = events::Event {
        at: asked.now,
        entity: "task",
        entity_id: &leased.task_id,
        workflow_id: leased.workflow_id.as_deref(),
        kind: "task_claimed",
        actor: Some(&asked.agent_id),
        data: Some(&data.to_string()),
    };
    events::write(session, &event)
}

/// What came of the tasks that these waited for, by key or id. No join, which PostgreSQL would begin at either end.
async fn dependency_results(
    session: &dyn Session,
    ids: &[String],
) -> Result<HashMap<String, BTreeMap<String, Json>>, Error> {
    let found = session
        .rows(
            "-- task_dependency_results\n\
             SELECT d.task_id, d.depends_on, (SELECT key FROM task WHERE id = d.depends_on), \
             (SELECT result FROM task WHERE id = d.depends_on AND ended = 'completed') \
             FROM task_dependency d WHERE d.task_id = ANY($1)",
            &[Value::Texts(ids)],
        )
        .await?;
    let mut results: HashMap<String, BTreeMap<String, Json>> = HashMap::new();
    for mut row in found {
        let (task_id, id, key, result) = (row.text()?, row.text()?, row.text_or_none()?, payload::read(&mut row)?);
        if let Some(result) = result {
            results.entry(task_id).or_default().insert(key.unwrap_or(id), result);
        }
    }
    Ok(results)
}
