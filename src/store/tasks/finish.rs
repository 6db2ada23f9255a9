//! The end of a worker's turn.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{try_join, try_join5};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    LeaseRefused, close,
    cost::{self, Spent},
    dependents::{self, Followed, Over},
    held::{self, Held},
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::{
        idempotency::Key,
        tasks::{Cost, Failure, Lease, Outcome, Priority, State, Verdict, answers::Finished},
        workflows::{self, OnTaskFailure},
    },
    error::Error,
    store::{
        Sql, Transaction, Value,
        events::{self, By},
        idempotency::Answers,
        payload,
        workflows::flow::{self, Delta, Flow},
    },
};

/// The end of a worker's turn.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Its right.
    pub lease: Lease,
    /// How it ends.
    pub outcome: Outcome,
    /// What was spent since the last time.
    pub cost: Option<Cost>,
    /// Where in a wait the next attempt begins, 0 to 1: spreads attempts that failed together.
    pub jitter: f64,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// Failures kept with a task.
const ERRORS_KEPT: usize = 20;

/// A failure as it is kept.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct KeptFailure {
    pub attempt: i64,
    pub at: String,
    #[serde(flatten)]
    pub failure: Failure,
    pub agent_id: Option<String>,
}

/// The list of failures with one more, newest first.
pub(in crate::store) fn with_failure(errors: &str, newest: KeptFailure) -> String {
    let mut kept: Vec<KeptFailure> = serde_json::from_str(errors).unwrap_or_default();
    kept.insert(0, newest);
    kept.truncate(ERRORS_KEPT);
    serde_json::to_string(&kept).unwrap_or_else(|_| "[]".to_owned())
}

/// Ends turns whose leases are the current ones.
pub(super) async fn finish(
    transaction: &Transaction<'_>,
    asked: &[Finish],
) -> Result<Vec<Result<Finished, LeaseRefused>>, Error> {
    let (mut finished, mut work) = (Vec::with_capacity(asked.len()), WorkOfAgents::default());
    while let Some(left) = asked.get(finished.len()..).filter(|left| !left.is_empty()) {
        let (first, flows) = finish_first(transaction, distinct(left), &mut work).await?;
        finished.extend(first);
        // Those that come next are judged by what these leave.
        try_join(flow::write(transaction, &flows), transaction.write()).await?;
    }
    // Agents are locked after all workflows and tasks.
    work.write(transaction).await?;
    Ok(finished)
}

/// The first of these that have neither a task nor a key in common.
fn distinct(asked: &[Finish]) -> &[Finish] {
    let (mut tasks, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut is_new = |finish: &'_ Finish| {
        tasks.insert(finish.lease.task_id.clone()) && finish.key.as_ref().is_none_or(|key| keys.insert(key.key.clone()))
    };
    let count = asked.iter().take_while(|finish| is_new(finish)).count();
    asked.get(..count).unwrap_or_default()
}

/// Ends the first of these turns, up to one that ends its workflow with other tasks open: those after it are judged by what it left.
async fn finish_first(
    transaction: &Transaction<'_>,
    asked: &[Finish],
    work: &mut WorkOfAgents,
) -> Result<(Vec<Result<Finished, LeaseRefused>>, Vec<(Flow, Instant)>), Error> {
    let ids: Vec<String> = asked.iter().map(|finish| finish.lease.task_id.clone()).collect();
    let mut flows = flow::lock_of_tasks(transaction, &ids).await?;
    let mut held = held::lock_these(transaction, &ids).await?;
    // After the locks: a repeat may have waited for its own first call.
    let keys = asked.iter().map(|finish| (finish.key.as_ref(), finish.now));
    let mut answers = Answers::find(transaction, keys).await?;
    let (mut finished, mut turns) = (Vec::with_capacity(asked.len()), Vec::new());
    for asked in asked {
        if let Some(first) = answers.first(asked.key.as_ref())? {
            finished.push(Some(first));
            continue;
        }
        let held = held.remove(&asked.lease.task_id).map(|held| held.at(asked.now));
        let verdict = held.as_ref().and_then(|held| held.run.finish(&asked.lease, &asked.outcome));
        let (held, verdict) = match (held, verdict) {
            (Some(held), Some(verdict)) => (held, verdict),
            (held, _) => {
                finished.push(Some(Err(held::refusal(transaction, &asked.lease, held.as_ref()).await?)));
                continue;
            }
        };
        let flow = held.workflow_id.as_ref().and_then(|id| flows.get(id));
        let ends_others = verdict == Verdict::Die && flow.is_some_and(|flow| flow.policy == OnTaskFailure::Fail);
        turns.push(Turn::new(asked, held, verdict));
        finished.push(None);
        if ends_others {
            break;
        }
    }
    turns.iter().for_each(|turn| work.add(turn));
    let (ended, changed) = end(transaction, &turns, &mut flows).await?;
    let mut ended = ended.into_iter();
    let mut turns = turns.iter();
    let mut answer = |known: Option<Result<Finished, LeaseRefused>>| match known {
        Some(known) => Some(known),
        None => {
            let (turn, ended) = (turns.next()?, ended.next()?);
            answers.keep(transaction, turn.asked.key.as_ref(), turn.asked.now, &ended);
            Some(Ok(ended))
        }
    };
    let finished = finished.into_iter().filter_map(&mut answer).collect();
    Ok((finished, changed.into_iter().filter_map(|(id, now)| Some((flows.remove(&id)?, now))).collect()))
}

/// A turn that ends.
struct Turn<'a> {
    asked: &'a Finish,
    held: Held,
    verdict: Verdict,
    /// Where the task stands then.
    state: State,
    next_run_at: Option<Instant>,
}

impl<'a> Turn<'a> {
    fn new(asked: &'a Finish, held: Held, verdict: Verdict) -> Self {
        let (state, next_run_at) = match verdict {
            Verdict::Complete => (State::Completed, None),
            Verdict::Die => (State::Dead, None),
            Verdict::Cancel => (State::Cancelled, None),
            Verdict::Retry { wait_ms } => (State::RetryWait, Some(run_at(asked, wait_ms))),
            Verdict::Release => (State::Ready, None),
        };
        Self { asked, held, verdict, state, next_run_at }
    }

    fn task_id(&self) -> &str {
        &self.asked.lease.task_id
    }

    fn by(&self) -> By<'_> {
        By { now: self.asked.now, actor: self.held.owner.as_deref() }
    }

    /// What it means for the counts of its workflow, besides what follows for others.
    fn delta(&self) -> Delta {
        let none = Delta {
            cost: self.asked.cost.as_ref().map_or(0, |cost| cost.amount.0),
            leases_ended: i64::from(self.held.counts_as_leased),
            ..Delta::default()
        };
        match self.verdict {
            Verdict::Complete => Delta { open: -1, completed: 1, ..none },
            Verdict::Die => Delta { open: -1, dead: 1, ..none },
            Verdict::Cancel => Delta { open: -1, cancelled: 1, ..none },
            Verdict::Retry { .. } | Verdict::Release => none,
        }
    }
}

/// Carries out what was decided, each table by one statement, and lets dependents and workflows follow. The workflows whose counts have changed,
/// and when, are the caller's to write.
async fn end(
    transaction: &Transaction<'_>,
    turns: &[Turn<'_>],
    flows: &mut BTreeMap<String, Flow>,
) -> Result<(Vec<Finished>, BTreeMap<String, Instant>), Error> {
    turns.iter().for_each(|turn| tell(transaction, turn));
    let over = |turn: &'_ Turn<'_>| -> bool {
        turn.held.has_dependents && matches!(turn.state, State::Completed | State::Dead)
    };
    let have_dependents: Vec<&Turn<'_>> = turns.iter().filter(|turn| over(turn)).collect();
    let ended = have_dependents
        .iter()
        .map(|turn| Over { task_id: turn.task_id().to_owned(), state: turn.state, by: turn.by() })
        .collect();
    let (followed, ()) = try_join(dependents::follow_all(transaction, ended), write(transaction, turns)).await?;
    let mut followed = followed.into_iter();
    for turn in turns {
        if let Some(flow) = turn.held.workflow_id.as_ref().and_then(|id| flows.get_mut(id)) {
            flow.leases_ended(i64::from(turn.held.counts_as_leased));
        }
    }
    let mut finished = Vec::with_capacity(turns.len());
    let mut changed = BTreeMap::new();
    for turn in turns {
        let followed = if over(turn) { followed.next().unwrap_or_default() } else { Followed::default() };
        let mut delta = turn.delta();
        delta += followed.delta;
        let mut workflow_state = None;
        if let Some(id) = &turn.held.workflow_id
            && let Some(flow) = flows.get_mut(id)
        {
            transaction.touch(Topic::Workflow(id.clone()));
            flow.add(delta);
            flow.follow(transaction, delta, turn.by()).await?;
            workflow_state = Some(flow.state);
            changed.insert(id.clone(), turn.asked.now);
        }
        let goes_on = workflow_state.is_none_or(workflows::State::lets_claim);
        finished.push(Finished {
            task_id: turn.task_id().to_owned(),
            state: turn.state,
            next_run_at: turn.next_run_at,
            unblocked: if goes_on { followed.unblocked } else { Vec::new() },
            workflow_state,
        });
    }
    Ok((finished, changed))
}

/// Writes tasks, their queue rows and costs.
async fn write(transaction: &Transaction<'_>, turns: &[Turn<'_>]) -> Result<(), Error> {
    let is_over = |turn: &&Turn<'_>| matches!(turn.state, State::Completed | State::Dead | State::Cancelled);
    let over: Vec<_> = turns.iter().filter(is_over).map(|turn| (over(turn), turn.asked.now)).collect();
    let failures: Vec<(&Turn<'_>, Option<String>)> = turns
        .iter()
        .filter(|turn| turn.state == State::RetryWait)
        .map(|turn| (turn, errors(turn.asked, &turn.held)))
        .collect();
    let retries: Vec<Vec<Value<'_>>> = failures
        .iter()
        .map(|(turn, _)| {
            let run_at = turn.next_run_at.unwrap_or(turn.asked.now);
            let priority = Priority::new(turn.held.priority).unwrap_or(Priority::NORMAL);
            vec![turn.task_id().into(), run_at.into(), priority.sort_key(run_at).into(), turn.asked.now.into()]
        })
        .collect();
    let failed: Vec<Vec<Value<'_>>> =
        failures.iter().map(|(turn, errors)| vec![turn.task_id().into(), errors.as_ref().into()]).collect();
    let released: Vec<Vec<Value<'_>>> = turns
        .iter()
        .filter(|turn| turn.state == State::Ready)
        .map(|turn| vec![turn.task_id().into(), turn.asked.now.into()])
        .collect();
    for turn in turns.iter().filter(|turn| matches!(turn.state, State::RetryWait | State::Ready)) {
        // Who waits for a task of this queue learns when the next one is due.
        transaction.touch(Topic::Queue(turn.held.queue.clone()));
    }
    let spent: Vec<Spent<'_>> = turns.iter().filter_map(spent).collect();
    try_join5(
        close::end_all(transaction, &over),
        transaction.write_rows(RETRY, &retries),
        transaction.write_rows(FAILED, &failed),
        transaction.write_rows(RELEASE, &released),
        cost::add(transaction, &spent),
    )
    .await
    .map(drop)
}

/// Its lease ends with a failure, and it is claimed again at its time.
const RETRY: Sql = Sql {
    postgres: "-- task_run_retry\n\
               UPDATE task_run SET state = 'retry_wait', fence = fence + 1, secret = NULL, lease_until = NULL, runs_until = NULL, \
               session_id = NULL, run_at = new.run_at, sort_key = new.sort_key, since = new.since \
               FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::timestamptz[]) AS new (task_id, run_at, sort_key, since) \
               WHERE task_run.task_id = new.task_id",
    sqlite: "-- task_run_retry\n\
             UPDATE task_run SET state = 'retry_wait', fence = fence + 1, secret = NULL, lease_until = NULL, runs_until = NULL, \
             session_id = NULL, run_at = $2, sort_key = $3, since = $4 WHERE task_id = $1",
};

const FAILED: Sql = Sql {
    postgres: "-- task_errors\n\
               UPDATE task SET errors = new.errors FROM unnest($1::text[], $2::text[]) AS new (id, errors) WHERE task.id = new.id",
    sqlite: "-- task_errors\nUPDATE task SET errors = $2 WHERE id = $1",
};

/// Back to its old place, as if it had not been claimed.
const RELEASE: Sql = Sql {
    postgres: "-- task_run_release\n\
               UPDATE task_run SET state = 'ready', fence = fence + 1, attempt = attempt - 1, secret = NULL, lease_until = NULL, \
               runs_until = NULL, session_id = NULL, since = new.since FROM unnest($1::text[], $2::timestamptz[]) \
               AS new (task_id, since) WHERE task_run.task_id = new.task_id",
    sqlite: "-- task_run_release\n\
             UPDATE task_run SET state = 'ready', fence = fence + 1, attempt = attempt - 1, secret = NULL, lease_until = NULL, \
             runs_until = NULL, session_id = NULL, since = $2 WHERE task_id = $1",
};

fn spent<'a>(turn: &'a Turn<'_>) -> Option<Spent<'a>> {
    Some(Spent {
        cost: turn.asked.cost.as_ref()?,
        task_id: turn.task_id(),
        workflow_id: turn.held.workflow_id.as_deref(),
        agent_id: turn.held.owner.as_deref(),
        now: turn.asked.now,
    })
}

fn over<'a>(turn: &'a Turn<'_>) -> close::Ended<'a> {
    let result = match &turn.asked.outcome {
        Outcome::Completed { result } => result.as_ref().map(payload::pack),
        Outcome::Failed(_) | Outcome::Released => None,
    };
    let fence = turn.held.run.fence;
    close::Ended {
        task_id: turn.task_id(),
        state: turn.state,
        fence: if turn.state == State::Completed { fence } else { fence + 1 },
        attempt: turn.held.run.attempt,
        owner: turn.held.owner.as_deref(),
        result,
        errors: errors(turn.asked, &turn.held),
    }
}

fn errors(asked: &Finish, held: &Held) -> Option<String> {
    let Outcome::Failed(failure) = &asked.outcome else { return None };
    let newest = KeptFailure {
        attempt: held.run.attempt,
        at: asked.now.rfc3339(),
        failure: failure.clone(),
        agent_id: held.owner.clone(),
    };
    Some(with_failure(&held.errors, newest))
}

/// When the next attempt may begin.
fn run_at(asked: &Finish, wait_ms: (u64, u64)) -> Instant {
    let (shortest, longest) = wait_ms;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "milliseconds of at most a day, times a part of one"
    )]
    let wait = shortest + ((longest - shortest) as f64 * asked.jitter.clamp(0.0, 1.0)) as u64;
    asked.now.plus_ms(i64::try_from(wait).unwrap_or(i64::MAX))
}

fn tell(transaction: &Transaction<'_>, turn: &Turn<'_>) {
    let Turn { asked, held, state, next_run_at, .. } = turn;
    let kind = match state {
        State::Completed => "task_completed",
        State::Dead => "task_dead",
        State::RetryWait => "task_failed",
        State::Cancelled => "task_cancelled",
        _ => "task_released",
    };
    let failure = match &asked.outcome {
        Outcome::Failed(failure) => Some(failure),
        Outcome::Completed { .. } | Outcome::Released => None,
    };
    let duration_ms = held.claimed_at.map(|claimed_at| asked.now.ms_since(claimed_at));
    let data = json!({
        "attempt": held.run.attempt,
        "duration_ms": duration_ms,
        "error": failure,
        "next_run_at": next_run_at.map(Instant::rfc3339),
    });
    let event = events::Event {
        at: asked.now,
        entity: "task",
        entity_id: turn.task_id(),
        workflow_id: held.workflow_id.as_deref(),
        kind,
        actor: held.owner.as_deref(),
        data: Some(&data.to_string()),
    };
    events::write(transaction, &event);
}

/// What agents have done: turns that were completed and that failed, and the time they took in ms.
#[derive(Default)]
struct WorkOfAgents(BTreeMap<String, (i64, i64, i64)>);

impl WorkOfAgents {
    fn add(&mut self, turn: &Turn<'_>) {
        let (completed, failed) = match turn.state {
            State::Completed => (1, 0),
            State::Dead | State::RetryWait => (0, 1),
            _ => return,
        };
        let Some(owner) = &turn.held.owner else { return };
        let busy_ms = turn.held.claimed_at.map_or(0, |claimed_at| turn.asked.now.ms_since(claimed_at));
        let work = self.0.entry(owner.clone()).or_default();
        work.0 += completed;
        work.1 += failed;
        work.2 = work.2.saturating_add(i64::try_from(busy_ms).unwrap_or(i64::MAX));
    }

    async fn write(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let rows: Vec<Vec<Value<'_>>> = self
            .0
            .iter()
            .map(|(agent, (completed, failed, ms))| {
                vec![agent.into(), (*completed).into(), (*failed).into(), (*ms).into()]
            })
            .collect();
        transaction.write_rows(COUNT, &rows).await.map(drop)
    }
}

const COUNT: Sql = Sql {
    postgres: "-- agents_count\n\
               WITH locked AS MATERIALIZED (SELECT id FROM agent WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE) \
               UPDATE agent SET tasks_completed = tasks_completed + more.completed, tasks_failed = tasks_failed + more.failed, \
               busy_ms = busy_ms + more.ms \
               FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS more (id, completed, failed, ms), locked \
               WHERE agent.id = locked.id AND more.id = locked.id",
    sqlite: "-- agents_count\n\
             UPDATE agent SET tasks_completed = tasks_completed + $2, tasks_failed = tasks_failed + $3, busy_ms = busy_ms + $4 \
             WHERE id = $1",
};
