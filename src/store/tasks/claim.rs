//! Leases for agents.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::try_join;
use serde_json::json;

use super::{due, expire, waiting};
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
    store::{
        Row, Sql, Transaction, Value,
        agents::{self, Caller},
        events::{self, By},
        idempotency::Answers,
        payload,
        sql::sql,
        workflows::flow,
    },
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

/// What a claim found.
pub(super) enum Found {
    /// Tasks.
    Tasks(Claimed),
    /// Nothing.
    Nothing(Left),
    /// The key leads to no answer.
    Repeat(Repeat),
}

/// What a claim that found nothing left for a transaction of its own, in which it holds no task.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Left {
    /// Leases have run out, and nobody has put their tasks back yet.
    pub lapsed: bool,
    /// The time of tasks has come whose workflow somebody else had.
    pub due: bool,
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

impl From<Repeat> for Found {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

/// Puts back the tasks whose leases have run out and makes those ready whose time has come, waiting for their workflows, and claims then.
pub(super) async fn claim_what_is_left(transaction: &Transaction<'_>, asked: &Claim) -> Result<Found, Error> {
    expire::expire(transaction, asked.now).await?;
    due::promote(transaction, asked.now).await?;
    let found = claim(transaction, std::slice::from_ref(asked)).await?;
    Ok(found.into_iter().next().unwrap_or(Found::Nothing(Left::default())))
}

/// Leases for each claim the first tasks that its agent can do. A claim that finds nothing is not remembered under its key.
pub(super) async fn claim(transaction: &Transaction<'_>, asked: &[Claim]) -> Result<Vec<Found>, Error> {
    let mut answers = Answers::find(transaction, asked.iter().map(|claim| (claim.key.as_ref(), claim.now))).await?;
    let mut found: BTreeMap<usize, Found> = BTreeMap::new();
    let mut left: Vec<(usize, &Claim)> = asked.iter().enumerate().collect();
    while !left.is_empty() {
        // Of those with the same key one after the other.
        let mut keys = BTreeSet::new();
        let (these, later) =
            left.into_iter().partition(|(_, claim)| claim.key.as_ref().is_none_or(|key| keys.insert(&key.key)));
        left = later;
        let mut first = Vec::new();
        for (place, claim) in these {
            match answers.first::<Claimed, Found>(claim.key.as_ref())? {
                Some(answer) => drop(found.insert(place, answer.map_or_else(|repeat| repeat, Found::Tasks))),
                None => first.push((place, claim)),
            }
        }
        let claims: Vec<&Claim> = first.iter().map(|(_, claim)| *claim).collect();
        for ((place, claim), claimed) in first.into_iter().zip(lease(transaction, &claims).await?) {
            if let Found::Tasks(claimed) = &claimed {
                answers.keep(transaction, claim.key.as_ref(), claim.now, claimed);
            }
            found.insert(place, claimed);
        }
    }
    Ok(found.into_values().collect())
}

/// What a claim takes from: tasks of these queues, which need one of these combinations of capabilities.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Source<'a> {
    queues: Option<&'a [String]>,
    sets: Vec<i64>,
}

async fn lease(transaction: &Transaction<'_>, claims: &[&Claim]) -> Result<Vec<Found>, Error> {
    let Some(now) = claims.iter().map(|claim| claim.now).max() else { return Ok(Vec::new()) };
    let callers: Vec<Caller<'_>> = claims
        .iter()
        .map(|claim| Caller {
            agent_id: &claim.agent_id,
            session_id: &claim.session_id,
            token: &claim.agent_token,
            now: claim.now,
        })
        .collect();
    let (able, promoted) =
        try_join(agents::present(transaction, &callers), due::promote_free(transaction, now)).await?;
    let has_sets = able.values().any(|able| !able.is_empty());
    let sets = if has_sets { waiting::sets(transaction).await? } else { waiting::Sets::new() };
    let mut sources: BTreeMap<Source<'_>, Vec<usize>> = BTreeMap::new();
    for (place, claim) in claims.iter().enumerate() {
        let able = able.get(&claim.agent_id).map_or(&[][..], Vec::as_slice);
        let fits = sets.iter().filter(|(_, needed)| needed.iter().all(|one| able.contains(one)));
        // 0 is the combination of none.
        let sets = std::iter::once(0).chain(fits.map(|(id, _)| *id)).collect();
        sources.entry(Source { queues: claim.queues.as_deref(), sets }).or_default().push(place);
    }
    let mut claimed: Vec<Vec<ClaimedTask>> = claims.iter().map(|_| Vec::new()).collect();
    for (source, places) in sources {
        let takers: Vec<(usize, &Claim)> =
            places.into_iter().filter_map(|place| Some((place, *claims.get(place)?))).collect();
        lease_from(transaction, &source, &takers, &mut claimed).await?;
    }
    let finds_nothing = claimed.iter().any(Vec::is_empty);
    let lapsed = finds_nothing && expire::is_due(transaction, now).await?;
    let left = Left { lapsed, due: promoted.passed_over };
    let found = |tasks: Vec<ClaimedTask>| match tasks.is_empty() {
        true => Found::Nothing(left),
        false => Found::Tasks(Claimed { tasks }),
    };
    Ok(claimed.into_iter().map(found).collect())
}

/// A queue row that is locked and can be claimed.
struct Ready {
    sort_key: i64,
    task_id: String,
    workflow_id: Option<String>,
    fence: i64,
    attempt: i64,
}

/// Leases the first tasks of a source, to one claim after the other.
async fn lease_from(
    transaction: &Transaction<'_>,
    source: &Source<'_>,
    takers: &[(usize, &Claim)],
    claimed: &mut [Vec<ClaimedTask>],
) -> Result<(), Error> {
    let wanted = takers.iter().map(|(_, claim)| claim.secrets.len()).sum();
    let ready = ready(transaction, source, wanted).await?;
    if ready.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = ready.iter().map(|ready| ready.task_id.clone()).collect();
    let (mut carried, mut results) =
        try_join(carried(transaction, &ids), dependency_results(transaction, &ids)).await?;
    let places = takers.iter().flat_map(|(place, claim)| claim.secrets.iter().map(|secret| (*place, *claim, secret)));
    let mut leases = Vec::with_capacity(ready.len());
    let mut of_workflows: BTreeMap<String, flow::Claimed<'_>> = BTreeMap::new();
    for (ready, (place, claim, secret)) in ready.into_iter().zip(places) {
        let Some(carried) = carried.remove(&ready.task_id) else { continue };
        let results = results.remove(&ready.task_id).unwrap_or_default();
        let runs_until = carried.runtime_ms_max.map(|most| claim.now.plus_ms(most));
        let task = carried.task(claim, ready, secret, results);
        tell(transaction, claim, &task);
        if let Some(workflow_id) = &task.workflow_id {
            let by = By { now: claim.now, actor: Some(&claim.agent_id) };
            of_workflows.entry(workflow_id.clone()).or_insert(flow::Claimed { by, tasks: 0 }).tasks += 1;
            transaction.touch(Topic::Workflow(workflow_id.clone()));
        }
        leases.push((claim, task.lease.clone(), task.lease_until, runs_until));
        if let Some(claimed) = claimed.get_mut(place) {
            claimed.push(task);
        }
    }
    let rows: Vec<Vec<Value<'_>>> = leases
        .iter()
        .map(|(claim, lease, lease_until, runs_until)| {
            vec![
                (&lease.task_id).into(),
                (&claim.agent_id).into(),
                (&claim.session_id).into(),
                (&lease.secret).into(),
                (*lease_until).into(),
                (*runs_until).into(),
                claim.now.into(),
            ]
        })
        .collect();
    try_join(transaction.write_rows(LEASE, &rows), flow::begin(transaction, &of_workflows)).await.map(drop)
}

const LEASE: Sql = Sql {
    postgres: "-- task_lease\n\
               UPDATE task_run SET state = 'leased', fence = fence + 1, attempt = attempt + 1, owner = lease.owner, \
               session_id = lease.session_id, secret = lease.secret, lease_until = lease.until, runs_until = lease.runs_until, \
               claimed_at = lease.now, since = lease.now FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], \
               $6::timestamptz[], $7::timestamptz[]) AS lease (task_id, owner, session_id, secret, until, runs_until, now) \
               WHERE task_run.task_id = lease.task_id",
    sqlite: "-- task_lease\n\
             UPDATE task_run SET state = 'leased', fence = fence + 1, attempt = attempt + 1, owner = $2, session_id = $3, secret = $4, \
             lease_until = $5, runs_until = $6, claimed_at = $7, since = $7 WHERE task_id = $1",
};

/// The first tasks of a source that nobody else has, locked.
async fn ready(transaction: &Transaction<'_>, source: &Source<'_>, wanted: usize) -> Result<Vec<Ready>, Error> {
    let any = sql!(
        "-- task_claim_any\n\
         SELECT sort_key, task_id, workflow_id, fence, attempt FROM task_run WHERE state = 'ready' AND NOT held AND capability_set ",
        (any 1), " ORDER BY sort_key, task_id LIMIT $2", (lock "SKIP LOCKED")
    );
    let of_queue = sql!(
        "-- task_claim\n\
         SELECT sort_key, task_id, workflow_id, fence, attempt FROM task_run WHERE state = 'ready' AND NOT held AND queue = $3 \
         AND capability_set ", (any 1), " ORDER BY sort_key, task_id LIMIT $2", (lock "SKIP LOCKED")
    );
    let (sets, most) = (Value::Integers(&source.sets), i64::try_from(wanted).unwrap_or(i64::MAX).into());
    let mut rows = Vec::new();
    match source.queues {
        None => rows = transaction.query(any, &[sets, most]).await?,
        Some(queues) => {
            for queue in queues {
                rows.extend(transaction.query(of_queue, &[sets, most, queue.into()]).await?);
            }
        }
    }
    let read = |mut row: Row| {
        Ok(Ready {
            sort_key: row.integer()?,
            task_id: row.text()?,
            workflow_id: row.text_or_none()?,
            fence: row.integer()?,
            attempt: row.integer()?,
        })
    };
    let mut ready = rows.into_iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    ready.sort_by(|one, other| (one.sort_key, &one.task_id).cmp(&(other.sort_key, &other.task_id)));
    ready.dedup_by(|one, other| one.task_id == other.task_id);
    ready.truncate(wanted);
    Ok(ready)
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

async fn carried(transaction: &Transaction<'_>, ids: &[String]) -> Result<HashMap<String, Carried>, Error> {
    let found = transaction
        .query(sql!("-- tasks_carried\n\
             SELECT id, key, title, description, queue, max_attempts, max_runtime_ms, priority, input, checkpoint, question, answer \
             FROM task WHERE id ", (any 1)),
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
    fn task(
        self,
        claim: &Claim,
        ready: Ready,
        secret: &str,
        dependency_results: BTreeMap<String, Json>,
    ) -> ClaimedTask {
        let lease_until = claim.now.plus_ms(claim.lease_ms);
        let runs_until = self.runtime_ms_max.map(|most| claim.now.plus_ms(most));
        ClaimedTask {
            lease: Lease { task_id: ready.task_id.clone(), fence: ready.fence + 1, secret: secret.to_owned() },
            lease_until: runs_until.map_or(lease_until, |runs_until| runs_until.min(lease_until)),
            attempt: ready.attempt + 1,
            attempts_max: self.attempts_max,
            input: self.input,
            checkpoint: self.checkpoint,
            question: self.question,
            answer: self.answer,
            priority: self.priority,
            dependency_results,
            task_id: ready.task_id,
            workflow_id: ready.workflow_id,
            key: self.key,
            title: self.title,
            description: self.description,
            queue: self.queue,
        }
    }
}

fn tell(transaction: &Transaction<'_>, claim: &Claim, task: &ClaimedTask) {
    let data = json!({"attempt": task.attempt, "fence": task.lease.fence, "lease_until": task.lease_until.rfc3339()});
    let event = events::Event {
        at: claim.now,
        entity: "task",
        entity_id: &task.task_id,
        workflow_id: task.workflow_id.as_deref(),
        kind: "task_claimed",
        actor: Some(&claim.agent_id),
        data: Some(&data.to_string()),
    };
    events::write(transaction, &event);
}

/// What came of the tasks that these waited for, by key or id. No join, which PostgreSQL would begin at either end.
async fn dependency_results(
    transaction: &Transaction<'_>,
    ids: &[String],
) -> Result<HashMap<String, BTreeMap<String, Json>>, Error> {
    let found = transaction
        .query(
            sql!("-- task_dependency_results\n\
             SELECT d.task_id, d.depends_on, (SELECT key FROM task WHERE id = d.depends_on), \
             (SELECT result FROM task WHERE id = d.depends_on AND ended = 'completed') \
             FROM task_dependency d WHERE d.task_id ", (any 1)),
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
