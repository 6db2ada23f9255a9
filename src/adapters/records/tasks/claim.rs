//! Leases for agents.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{try_join, try_join_all};
use serde_json::json;

use super::{
    super::{
        Row, Session, Value, agents, events,
        idempotency::once,
        payload,
        workflows::flow::{self, By},
    },
    due, expire,
};
use crate::{
    domain::{
        idempotency::Repeat,
        tasks::{
            Lease,
            answers::{Claimed, ClaimedTask},
        },
        workflows,
    },
    error::{Code, Error},
    ports::tasks::Claim,
};

/// Why a claim is not remembered under its key.
enum Refused {
    /// It found nothing.
    Nothing,
    /// The key leads to no answer.
    Repeat(Repeat),
}

impl From<Repeat> for Refused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

/// Leases the first tasks that the agent can do.
pub(super) async fn claim(session: &dyn Session, asked: &Claim) -> Result<Result<Claimed, Repeat>, Error> {
    let claimed = once(session, asked.key.as_ref(), asked.now, async {
        let tasks = lease(session, asked).await?;
        Ok(if tasks.is_empty() { Err(Refused::Nothing) } else { Ok(Claimed { tasks }) })
    });
    Ok(match claimed.await? {
        Ok(claimed) => Ok(claimed),
        Err(Refused::Nothing) => Ok(Claimed { tasks: Vec::new() }),
        Err(Refused::Repeat(repeat)) => Err(repeat),
    })
}

async fn lease(session: &dyn Session, asked: &Claim) -> Result<Vec<ClaimedTask>, Error> {
    let able = agents::present(session, &asked.agent_id, &asked.session_id, &asked.agent_token, asked.now);
    let (able, _) = try_join(able, due::promote(session, asked.now)).await?;
    let sets = fitting_sets(session, &able).await?;
    let mut chosen = candidates(session, asked, &sets).await?;
    if chosen.is_empty() && expire::expire(session, asked.now).await? > 0 {
        // Leases that have run out are put back by a job; a lone call must not wait for it.
        chosen = candidates(session, asked, &sets).await?;
    }
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let leased = try_join_all(chosen.iter().zip(&asked.secrets).map(|(id, secret)| one(session, asked, id, secret)));
    let mut tasks: Vec<ClaimedTask> = leased.await?.into_iter().flatten().collect();
    dependency_results(session, &mut tasks).await?;
    start_workflows(session, &tasks, asked).await?;
    Ok(tasks)
}

/// Combinations of capabilities that an agent with these has; 0 is none.
async fn fitting_sets(session: &dyn Session, able: &[String]) -> Result<Vec<i64>, Error> {
    let mut sets = vec![0];
    if able.is_empty() {
        return Ok(sets);
    }
    for mut row in session.rows("-- capability_sets\nSELECT id, capabilities FROM capability_set", &[]).await? {
        let (id, needed) = (row.integer()?, row.text()?);
        let needed: Vec<String> = serde_json::from_str(&needed)
            .map_err(|error| Error::new(Code::Internal, "a stored set of capabilities cannot be read").cause(error))?;
        if needed.iter().all(|one| able.contains(one)) {
            sets.push(id);
        }
    }
    Ok(sets)
}

/// The first tasks by sort key, locked.
async fn candidates(session: &dyn Session, asked: &Claim, sets: &[i64]) -> Result<Vec<String>, Error> {
    let most = i64::try_from(asked.secrets.len()).unwrap_or(i64::MAX);
    let mut found: Vec<(i64, String)> = Vec::new();
    match &asked.queues {
        None => {
            let rows = session
                .rows(
                    "-- task_claim_any\n\
                     SELECT sort_key, task_id FROM task_run WHERE state = 'ready' AND NOT held AND capability_set = ANY($1) \
                     ORDER BY sort_key, task_id LIMIT $2 FOR UPDATE SKIP LOCKED",
                    &[Value::Integers(sets), most.into()],
                )
                .await?;
            read_candidates(rows, &mut found)?;
        }
        Some(queues) => {
            for queue in queues {
                let rows = session
                    .rows(
                        "-- task_claim\n\
                         SELECT sort_key, task_id FROM task_run WHERE state = 'ready' AND NOT held AND queue = $3 \
                         AND capability_set = ANY($1) ORDER BY sort_key, task_id LIMIT $2 FOR UPDATE SKIP LOCKED",
                        &[Value::Integers(sets), most.into(), queue.into()],
                    )
                    .await?;
                read_candidates(rows, &mut found)?;
            }
        }
    }
    found.sort();
    found.truncate(asked.secrets.len());
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

fn read_candidates(rows: Vec<Row>, found: &mut Vec<(i64, String)>) -> Result<(), Error> {
    for mut row in rows {
        found.push((row.integer()?, row.text()?));
    }
    Ok(())
}

async fn one(session: &dyn Session, asked: &Claim, id: &str, secret: &str) -> Result<Option<ClaimedTask>, Error> {
    let (now, lease_until) = (asked.now, asked.now.plus_ms(asked.lease_ms));
    let found = session
        .rows(
            "-- task_carried\n\
             SELECT workflow_id, key, title, description, queue, max_attempts, max_runtime_ms, input, checkpoint, question, answer, \
             priority FROM task WHERE id = $1",
            &[id.into()],
        )
        .await?;
    let Some(mut row) = found.into_iter().next() else { return Ok(None) };
    let (workflow_id, key, title, description, queue) =
        (row.text_or_none()?, row.text_or_none()?, row.text_or_none()?, row.text_or_none()?, row.text()?);
    let (attempts_max, runtime_ms) = (row.integer()?, row.integer_or_none()?);
    let runs_until = runtime_ms.map(|runtime| now.plus_ms(runtime));
    let lease_until = runs_until.map_or(lease_until, |end| end.min(lease_until));
    let changed = session
        .rows(
            "-- task_lease\n\
             UPDATE task_run SET state = 'leased', fence = fence + 1, attempt = attempt + 1, owner = $2, session_id = $3, secret = $4, \
             lease_until = $5, runs_until = $6, claimed_at = $7, since = $7 WHERE task_id = $1 AND state = 'ready' \
             RETURNING fence, attempt",
            &[
                id.into(),
                (&asked.agent_id).into(),
                (&asked.session_id).into(),
                secret.into(),
                lease_until.into(),
                runs_until.into(),
                now.into(),
            ],
        )
        .await?;
    let Some(mut leased) = changed.into_iter().next() else { return Ok(None) };
    let (fence, attempt) = (leased.integer()?, leased.integer()?);
    let task = ClaimedTask {
        task_id: id.to_owned(),
        lease: Lease { task_id: id.to_owned(), fence, secret: secret.to_owned() },
        lease_until,
        attempt,
        attempts_max,
        input: payload::json(&mut row)?,
        checkpoint: payload::json(&mut row)?,
        question: payload::json(&mut row)?,
        answer: payload::json(&mut row)?,
        priority: row.integer()?,
        dependency_results: BTreeMap::new(),
        workflow_id,
        key,
        title,
        description,
        queue,
    };
    let data = json!({"attempt": attempt, "fence": fence, "lease_until": lease_until.rfc3339()});
    let event = events::Event {
        at: now,
        entity: "task",
        entity_id: id,
        workflow_id: task.workflow_id.as_deref(),
        kind: "task_claimed",
        actor: Some(&asked.agent_id),
        data: Some(&data.to_string()),
    };
    events::write(session, &event).await?;
    Ok(Some(task))
}

/// What came of the tasks that these waited for.
async fn dependency_results(session: &dyn Session, tasks: &mut [ClaimedTask]) -> Result<(), Error> {
    let ids: Vec<String> = tasks.iter().map(|task| task.task_id.clone()).collect();
    let found = session
        .rows(
            "-- task_dependency_results\n\
             SELECT d.task_id, t.id, t.key, t.result FROM task_dependency d JOIN task t ON t.id = d.depends_on \
             WHERE d.task_id = ANY($1) AND t.ended = 'completed' AND t.result IS NOT NULL",
            &[Value::Texts(&ids)],
        )
        .await?;
    for mut row in found {
        let (task_id, id, key, result) = (row.text()?, row.text()?, row.text_or_none()?, payload::read(&mut row)?);
        if let (Some(task), Some(result)) = (tasks.iter_mut().find(|task| task.task_id == task_id), result) {
            task.dependency_results.insert(key.unwrap_or(id), result);
        }
    }
    Ok(())
}

/// The first claim of a workflow's task begins it.
async fn start_workflows(session: &dyn Session, tasks: &[ClaimedTask], asked: &Claim) -> Result<(), Error> {
    let ids: Vec<String> =
        tasks.iter().filter_map(|task| task.workflow_id.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let pending = session
        .rows(
            "-- workflows_pending\nSELECT id FROM workflow WHERE id = ANY($1) AND state = 'pending' ORDER BY id",
            &[Value::Texts(&ids)],
        )
        .await?;
    let by = By { now: asked.now, actor: Some(&asked.agent_id) };
    for mut row in pending {
        let Some(mut flow) = flow::lock(session, &row.text()?).await? else { continue };
        if flow.state == workflows::State::Pending {
            flow.version += 1;
            flow.enter(session, workflows::State::Running, None, by).await?;
        }
    }
    Ok(())
}
