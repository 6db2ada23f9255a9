//! Work that no call asks for: what ends by time, what is summed up, what is told to the world outside.
//!
//! Every process runs these beside its calls. Of those that are for all, one process does the work at a time: the first that finds some
//! leads for a while and prolongs that as long as there is some. Nothing depends on it being one, because each job is a transition that may
//! run anywhere and at any time; and as long as there is nothing to do, nothing is written.

mod sessions;
mod transition;
mod webhooks;

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time;

pub use self::transition::Transition;
use crate::{
    background::Background,
    changes::Changes,
    clock::{Clock, Instant},
    domain::workflows::KEPT_MS,
    error::{Code, Error},
    ids,
    services::{agents::Agents, locks::Locks, sessions::Sessions, webhooks::Webhooks},
    store::Store,
};

/// Between two rounds while nothing happens.
const IDLE: Duration = Duration::from_secs(5);
/// Between two rounds while something does.
const BUSY: Duration = Duration::from_secs(1);
/// How long a process leads after it last did something: soon after its end another one takes over.
pub const LEADS: Duration = Duration::from_secs(10);
/// Workflows to forget in one transaction: each takes its whole history with it.
const FORGOTTEN_MAX: u64 = 50;
/// The name of those who do the work for all.
const LEADER: &str = "jobs";

/// A piece of work.
#[async_trait::async_trait]
pub trait Job: Send + Sync {
    /// Its name in the log.
    fn name(&self) -> &'static str;

    /// Not more often than this.
    fn every(&self) -> Duration;

    /// Who does it.
    fn scope(&self) -> Scope {
        Scope::Leader
    }

    /// Does what there is to do at this moment. Running it again does nothing more.
    ///
    /// # Errors
    /// When it cannot be done now; it is tried again.
    async fn run_once(&self, now: Instant) -> Result<Report, Error>;
}

/// Who does a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every process, for itself.
    Process,
    /// One process for all.
    Leader,
    /// One process for all, in a task of its own: it waits for somebody outside, and holds back no other job.
    Outside,
}

/// What a job did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// So many things were changed.
    pub changed: u64,
}

/// What jobs work on.
#[derive(Clone)]
pub struct Works {
    /// Processes.
    pub sessions: Sessions,
    /// Agents.
    pub agents: Agents,
    /// Locks.
    pub locks: Locks,
    /// Ends of workflows, told.
    pub webhooks: Webhooks,
    /// Everything else that is kept.
    pub store: Arc<Store>,
}

/// Every job. A new one is a line here.
pub fn all(works: Works) -> Vec<Arc<dyn Job>> {
    let Works { sessions, agents, locks, webhooks, store } = works;
    let (second, some) = (Duration::from_secs(1), Duration::from_secs(10));
    let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
    vec![
        Arc::new(sessions::Beat(sessions.clone())),
        Arc::new(sessions::Reap(sessions.clone())),
        Transition::of("processes of long ago", hour, sessions, |sessions, now| Box::pin(sessions.forget(now))),
        Transition::of("expired leases", second, Arc::clone(&store), |store, now| Box::pin(store.expire_leases(now))),
        Transition::of("due tasks", second, Arc::clone(&store), |store, now| Box::pin(store.promote_due(now))),
        Transition::of("overdue workflows", second, Arc::clone(&store), |store, now| {
            Box::pin(store.end_overdue_workflows(now))
        }),
        Transition::of("old workflows", minute, Arc::clone(&store), |store, now| {
            Box::pin(store.forget_workflows(now.plus_ms(-KEPT_MS), FORGOTTEN_MAX))
        }),
        Transition::of("old agents", hour, agents.clone(), |agents, now| {
            Box::pin(agents.forget(now.plus_ms(-KEPT_MS)))
        }),
        Transition::of("lost agents", some, agents, |agents, now| Box::pin(agents.lose(now))),
        Transition::of("expired locks", second, locks, |locks, now| Box::pin(locks.expire(now))),
        Transition::of("daily costs", some, Arc::clone(&store), |store, _| Box::pin(store.roll_up_costs())),
        Transition::of("expired keys", minute, store, |store, now| Box::pin(store.sweep_keys(now))),
        Arc::new(webhooks::FanOut(webhooks.clone())),
        Arc::new(webhooks::Deliver(webhooks)),
    ]
}

/// Where jobs run.
pub struct Beside {
    /// Beside the calls.
    pub background: Background,
    /// Something is known to be kept already. Otherwise they begin with the first change.
    pub something_is_kept: bool,
}

/// The jobs of this process. Cloning shares.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

struct Shared {
    jobs: Vec<Arc<dyn Job>>,
    leaders: Arc<Store>,
    /// What this process is called among those who could lead.
    name: String,
    clock: Arc<dyn Clock>,
    changes: Arc<Changes>,
    beside: Beside,
    failing: Mutex<BTreeSet<&'static str>>,
    /// Held while the store is told, so that this process never leads after its end.
    leading: tokio::sync::Mutex<Leading>,
}

/// What this process has said of itself.
#[derive(Default, PartialEq, Eq)]
enum Leading {
    /// Nothing.
    #[default]
    Never,
    /// That it leads.
    Once,
    /// That it ends.
    Over,
}

/// How long to rest beyond the shortest pause: not at all while something happens, or somebody waits for what time brings about.
fn rest(changed: u64, waiting: usize) -> Duration {
    if changed == 0 && waiting == 0 { IDLE - BUSY } else { Duration::ZERO }
}

impl Jobs {
    /// Over the store of who leads. Nothing runs before [`Jobs::start`].
    pub fn new(
        jobs: Vec<Arc<dyn Job>>,
        leaders: Arc<Store>,
        clock: Arc<dyn Clock>,
        changes: Arc<Changes>,
        beside: Beside,
    ) -> Self {
        let name = ids::new(ids::Kind::Session);
        let (failing, leading) = Default::default();
        Self(Arc::new(Shared { jobs, leaders, name, clock, changes, beside, failing, leading }))
    }

    /// Starts the rounds; when nothing is known to be kept, with the first change.
    pub fn start(&self) {
        let jobs = self.clone();
        self.0.beside.background.spawn(async move {
            if !jobs.0.beside.something_is_kept {
                let mut told = jobs.0.changes.told();
                tokio::select! {
                    _ = told.changed() => {}
                    () = jobs.0.beside.background.stopping() => return,
                }
            }
            // The first calls of a client go before.
            tokio::select! {
                () = time::sleep(BUSY) => {}
                () = jobs.0.beside.background.stopping() => return,
            }
            let all = jobs.0.jobs.iter().cloned();
            let (outside, inside): (Vec<_>, Vec<_>) = all.partition(|job| job.scope() == Scope::Outside);
            for job in outside {
                let jobs = jobs.clone();
                let background = jobs.0.beside.background.clone();
                background.spawn(async move { jobs.rounds(&[job]).await });
            }
            jobs.rounds(&inside).await;
        });
    }

    async fn rounds(&self, jobs: &[Arc<dyn Job>]) {
        // When each of them is due again; none before its first run.
        let mut due = vec![None; jobs.len()];
        let mut told = self.0.changes.told();
        loop {
            told.mark_unchanged();
            let changed = tokio::select! {
                changed = self.round(jobs, &mut due) => changed,
                () = self.0.beside.background.stopping() => return,
            };
            let pause = async {
                time::sleep(BUSY).await;
                // Woken by what is committed here; what others commit is found in the next round.
                let waiting = *self.0.changes.count().borrow();
                let _ = time::timeout(rest(changed, waiting), told.changed()).await;
            };
            tokio::select! {
                () = pause => {}
                () = self.0.beside.background.stopping() => return,
            }
        }
    }

    /// Runs those of `jobs` that are due. How many things were changed.
    async fn round(&self, jobs: &[Arc<dyn Job>], due: &mut [Option<time::Instant>]) -> u64 {
        let now = time::Instant::now();
        let mut ready = Vec::new();
        for (job, due) in jobs.iter().zip(due) {
            if due.is_none_or(|due| due <= now) {
                *due = Some(now + job.every());
                ready.push(Arc::clone(job));
            }
        }
        self.run(&ready).await
    }

    /// Runs every job once, as a round does in which all are due.
    pub async fn run_once(&self) -> u64 {
        self.run(&self.0.jobs).await
    }

    async fn run(&self, due: &[Arc<dyn Job>]) -> u64 {
        let now = self.0.clock.now();
        let (own, of_all): (Vec<_>, Vec<_>) = due.iter().partition(|job| job.scope() == Scope::Process);
        let mut changed = self.each(&own, now).await;
        if !of_all.is_empty() && self.may_lead(now).await {
            let done = self.each(&of_all, now).await;
            if done > 0 {
                self.lead(now).await;
            }
            changed += done;
        }
        changed
    }

    async fn each(&self, jobs: &[&Arc<dyn Job>], now: Instant) -> u64 {
        let mut changed = 0;
        for job in jobs {
            // A fault in one job must not keep the others from being done.
            let ran = AssertUnwindSafe(job.run_once(now)).catch_unwind().await;
            match ran.unwrap_or_else(|_panic| Err(Error::new(Code::Internal, "the job failed unexpectedly"))) {
                Ok(report) => {
                    changed += report.changed;
                    self.noted().remove(job.name());
                }
                Err(error) => self.failed(job.name(), &error),
            }
        }
        changed
    }

    /// A fault of ours is told once, until the job is done again. The store may also just be away: that is tried again, and calls say so.
    fn failed(&self, job: &'static str, error: &Error) {
        let is_new = self.noted().insert(job);
        let cause = error.cause_text();
        if is_new && error.code == Code::Internal {
            tracing::error!(job.name = job, cause, "a job failed: {error}");
        } else {
            tracing::debug!(job.name = job, cause, "a job failed: {error}");
        }
    }

    /// Jobs that could not be done the last time.
    pub fn failing(&self) -> BTreeSet<&'static str> {
        self.noted().clone()
    }

    fn noted(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lead(&self, now: Instant) {
        let mut leading = self.0.leading.lock().await;
        if *leading == Leading::Over {
            return;
        }
        *leading = Leading::Once;
        if let Err(error) = self.0.leaders.lead(LEADER, &self.0.name, now, now.after(LEADS)).await {
            tracing::debug!("this process could not announce that it leads: {error}");
        }
    }

    /// Gives up the lead at a clean end: the next process need not wait until it runs out.
    ///
    /// # Errors
    /// When the store cannot be told; then it runs out.
    pub async fn end(&self) -> Result<(), Error> {
        let said = std::mem::replace(&mut *self.0.leading.lock().await, Leading::Over);
        if said == Leading::Once { self.0.leaders.step_down(LEADER, &self.0.name).await } else { Ok(()) }
    }

    async fn may_lead(&self, now: Instant) -> bool {
        match self.0.leaders.leader(LEADER, now).await {
            Ok(leader) => leader.is_none_or(|leader| leader == self.0.name),
            Err(error) => {
                tracing::debug!("the leading process could not be determined: {error}");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::rest;

    #[test]
    fn nobody_waits_for_a_process_that_rests() {
        assert!(rest(0, 0) > Duration::from_secs(1));
        assert_eq!([rest(1, 0), rest(0, 1)], [Duration::ZERO; 2]);
    }
}
