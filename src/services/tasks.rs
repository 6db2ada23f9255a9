//! What an agent can ask for about tasks: decides by the domain's rules, acts through the record store, and puts refusals into words.

mod refusal;
pub mod request;

use std::{sync::Arc, time::Duration};

use self::request::{ClaimRequest, EnqueueRequest, FinishRequest, ManageRequest, TaskRequest, UpdateRequest, Wanted};
use super::sessions::Sessions;
use crate::{
    changes::{Changes, Interest, Topic},
    clock::{Clock, Instant},
    config::{Access, Limits},
    domain::{
        idempotency::Key,
        page::{self, Cursor},
        tasks::{
            Lease, NewTask, Outcome,
            answers::{ClaimedTask, Finished, Managed, TaskFilter, Updated},
            waiting::Unclaimed,
        },
        text,
        workflows::view::{EnqueuedTask, TaskView},
    },
    error::{Code, Error},
    ids,
    store::Store,
    store::tasks::{Claim, Enqueue, Finish, ListTasks, LookForWaiting, Manage, Update},
};

/// How long a call may wait for something to happen.
pub const WAIT_MAX: Duration = Duration::from_millis(20_000);
/// A waiting call looks again after this, whatever it was told.
const LOOK_AGAIN: Duration = Duration::from_millis(5_000);

/// Tasks and their leases.
#[derive(Clone)]
pub struct Tasks {
    store: Arc<Store>,
    changes: Arc<Changes>,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
    access: Arc<Access>,
    limits: Limits,
}

/// What tasks stand on.
pub struct Parts {
    /// Where they are kept.
    pub store: Arc<Store>,
    /// Who waits for them.
    pub changes: Arc<Changes>,
    /// This server process.
    pub sessions: Sessions,
    /// The record store's clock.
    pub clock: Arc<dyn Clock>,
    /// Whether writing is on.
    pub access: Arc<Access>,
    /// Bounds.
    pub limits: Limits,
}

impl Tasks {
    /// Over their parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, changes, sessions, clock, access, limits } = parts;
        Self { store, changes, sessions, clock, access, limits }
    }

    /// Adds tasks, to a workflow or to none.
    pub async fn enqueue(&self, request: EnqueueRequest, key: Option<Key>) -> Result<Vec<EnqueuedTask>, Error> {
        self.access.writing("enqueue_tasks")?;
        text::id("workflow_id", request.workflow_id.as_deref().unwrap_or_default())?;
        let now = self.clock.now();
        let tasks =
            request::resolve(request.tasks, request::Place::of(request.workflow_id.is_some()), &self.limits, now)?;
        let (workflow_id, tasks_max) = (request.workflow_id.clone(), self.limits.workflow_tasks_max as u64);
        let enqueue = Enqueue { workflow_id: request.workflow_id, tasks, tasks_max, key, now };
        self.store
            .enqueue_tasks(enqueue)
            .await?
            .map_err(|refused| refusal::of_enqueue(refused, workflow_id.as_deref(), &self.limits))
    }

    /// Leases tasks to an agent, and waits for some when there are none. When there are none in the end: why.
    pub async fn claim(
        &self,
        request: ClaimRequest,
        key: Option<Key>,
    ) -> Result<(Vec<ClaimedTask>, Option<Unclaimed>), Error> {
        self.access.writing("claim_tasks")?;
        let Wanted { agent_id, queues, max, wait } = request.checked()?;
        let session_id = self.sessions.current().await?;
        let interests = match &queues {
            None => vec![Interest::AnyQueue],
            Some(queues) => queues.iter().map(|queue| Interest::In(Topic::Queue(queue.clone()))).collect(),
        };
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // Registered before the look: what is enqueued after it wakes this call.
            let watch = self.changes.watch(interests.clone());
            let claim = Claim {
                agent_id: agent_id.clone(),
                session_id: session_id.clone(),
                queues: queues.clone(),
                secrets: (0..max).map(|_| ids::secret()).collect::<Result<_, _>>()?,
                lease_ms: self.lease_ms(),
                agent_token: ids::secret()?,
                key: key.clone(),
                now: self.clock.now(),
            };
            let claimed = self.store.claim_tasks(claim).await?.map_err(super::idempotency::repeat)?;
            let (now, deadline) = (tokio::time::Instant::now(), self.changes.no_later_than(deadline));
            if !claimed.tasks.is_empty() {
                return Ok((claimed.tasks, None));
            }
            if now >= deadline {
                let look = LookForWaiting { agent_id, queues };
                return Ok((Vec::new(), Some(self.store.unclaimed(look).await?)));
            }
            let again = now + self.until_due(queues.clone()).await?.min(LOOK_AGAIN);
            // An error is the time that is up.
            let _ = tokio::time::timeout_at(deadline.min(again), watch.changed()).await;
        }
    }

    /// Until a task becomes ready by itself, which nobody tells.
    async fn until_due(&self, queues: Option<Vec<String>>) -> Result<Duration, Error> {
        let Some(due) = self.store.next_due(queues).await? else { return Ok(LOOK_AGAIN) };
        Ok(Duration::from_millis(due.ms_since(self.clock.now())).max(Duration::from_millis(1)))
    }

    /// Renews a lease and notes what its worker says.
    pub async fn update(&self, request: UpdateRequest, key: Option<Key>) -> Result<Updated, Error> {
        self.access.writing("update_task")?;
        let UpdateRequest { lease_token, progress, message, checkpoint, cost, question } =
            request.checked(&self.limits)?;
        let lease: Lease = lease_token.parse()?;
        let (lease_ms, now) = (self.lease_ms(), self.clock.now());
        let update = Update { lease: lease.clone(), progress, message, checkpoint, cost, question, lease_ms, key, now };
        self.store.update_task(update).await?.map_err(|refused| refusal::of_lease(refused, &lease))
    }

    /// Ends a worker's turn. Of one lease at most one end is ever accepted.
    pub async fn finish(&self, request: FinishRequest, key: Option<Key>) -> Result<Finished, Error> {
        self.access.writing("finish_task")?;
        let FinishRequest { lease_token, outcome, cost } = request;
        let lease: Lease = lease_token.parse()?;
        if let Outcome::Completed { result: Some(result) } = &outcome {
            self.limits.payload("result", result.get())?;
        }
        let (jitter, now) = (ids::chance(), self.clock.now());
        let finish = Finish { lease: lease.clone(), outcome, cost, jitter, key, now };
        self.store.finish_task(finish).await?.map_err(|refused| refusal::of_lease(refused, &lease))
    }

    /// Tasks by id or by what they are, and where the rest begins.
    pub async fn list(
        &self,
        filter: TaskFilter,
        ids: Vec<String>,
        limit: Option<u64>,
        cursor: Option<String>,
    ) -> Result<(Vec<TaskView>, Option<String>), Error> {
        let (rows, bytes) = (self.limits.rows(limit, "limit")?, self.limits.listed_bytes(limit));
        let question = format!("{filter:?}{ids:?}");
        let after = cursor.as_deref().map(|token| Cursor::decode_text(token, &question)).transpose()?;
        let most = rows as u64 + 1;
        let list = ListTasks { filter, ids, after, most, carried: false, carried_bytes_max: bytes };
        let mut tasks = self.store.list_tasks(list).await?;
        let more = tasks.len() > rows;
        tasks.truncate(rows);
        let more = page::fit(&mut tasks, bytes, TaskView::bytes) || more;
        let next = tasks.last().filter(|_| more).map(|task| Cursor::encode_text(&task.id, &question));
        Ok((tasks, next))
    }

    /// Changes tasks by id, all or none, or all that fit a filter.
    pub async fn manage(&self, request: ManageRequest, key: Option<Key>) -> Result<Managed, Error> {
        self.access.writing("manage_tasks")?;
        let ManageRequest { change, ids, filter, dry_run, limit } = request.checked(&self.limits)?;
        let most = self.limits.rows(limit, "limit")? as u64;
        let most = if ids.is_empty() { most } else { ids.len() as u64 };
        let word = change.clone();
        let manage = Manage { change, ids, filter, dry_run, most, key, now: self.clock.now() };
        self.store.manage_tasks(manage).await?.map_err(|refused| refusal::of_manage(refused, &word))
    }

    fn lease_ms(&self) -> i64 {
        i64::try_from(self.limits.lease_time.as_millis()).unwrap_or(i64::MAX)
    }
}

/// New tasks as they are asked for, checked and in order; for a workflow that is made at the same time.
pub(super) fn resolved(requests: Vec<TaskRequest>, limits: &Limits, now: Instant) -> Result<Vec<NewTask>, Error> {
    request::resolve(requests, request::Place::NewWorkflow, limits, now)
}

/// How long to wait.
pub(super) fn wait(asked_ms: Option<u64>) -> Result<Duration, Error> {
    let most = u64::try_from(WAIT_MAX.as_millis()).unwrap_or(u64::MAX);
    match asked_ms {
        None => Ok(Duration::ZERO),
        Some(asked) if asked <= most => Ok(Duration::from_millis(asked)),
        Some(asked) => {
            Err(Error::new(Code::Invalid, format!("`wait_ms` is {asked}; it takes 0 to {most}")).argument("wait_ms"))
        }
    }
}
