//! This server process among the others: what is claimed, locked and registered through it ends with it.
//!
//! It is made known when it first holds something. Calls only note in memory which agent made them; a job tells the store, for all of
//! them at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::OnceCell;

use crate::{
    clock::{Clock, Instant},
    domain::{
        sessions::{self, Attention},
        tasks::Lease,
    },
    error::Error,
    ids,
    ports::process::Processes,
    store::Store,
    store::sessions::{Beat, End, Ended, OpenSession},
};

/// Why a process is ended of which nothing is heard.
const SILENT: &str = "silent";

/// Agents and leases to remember between two signs of life.
const NOTED_MAX: usize = 10_000;

/// This process, and those beside it. Cloning shares.
#[derive(Clone)]
pub struct Sessions(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    processes: Arc<dyn Processes>,
    clock: Arc<dyn Clock>,
    /// How long a lease runs from a sign of life of its holder.
    lease_time: Duration,
    id: OnceCell<String>,
    /// This process has ended. Held while the store is told of it, so that a sign of life never comes after the end.
    ended: tokio::sync::Mutex<bool>,
    noted: Mutex<Noted>,
    attention: Mutex<Attention>,
}

/// Who made calls.
#[derive(Default)]
struct Noted {
    /// Every agent of this process so far, with how many of its calls said more than that somebody else holds a lock.
    agents: BTreeMap<String, i64>,
    /// Those since the last sign of life.
    lately: BTreeSet<String>,
    /// Leases under which a call was made since: task and fence.
    leases: BTreeSet<(String, i64)>,
    /// A call named nobody.
    nameless: bool,
}

impl Noted {
    /// Counts calls of an agent; false when there are too many agents to note another.
    fn count(&mut self, agent: &str, calls: i64) -> bool {
        let has_room = self.agents.len() < NOTED_MAX || self.agents.contains_key(agent);
        if has_room {
            *self.agents.entry(agent.to_owned()).or_default() += calls;
        }
        has_room
    }

    fn working(&self) -> impl Iterator<Item = &String> {
        self.agents.iter().filter(|(_, calls)| **calls > 0).map(|(agent, _)| agent)
    }
}

/// What was seen of the other processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Processes that were ended.
    pub sessions: u64,
    /// What ended with them.
    pub ended: Ended,
}

impl Sessions {
    /// Over a store. Nothing is written before [`Sessions::current`] is asked for.
    pub fn new(store: Arc<Store>, processes: Arc<dyn Processes>, clock: Arc<dyn Clock>, lease_time: Duration) -> Self {
        let shared = Shared {
            store,
            processes,
            clock,
            lease_time,
            id: OnceCell::new(),
            ended: tokio::sync::Mutex::default(),
            noted: Mutex::default(),
            attention: Mutex::default(),
        };
        Self(Arc::new(shared))
    }

    /// The id of this process. The first call makes it known.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn current(&self) -> Result<String, Error> {
        let begin = async {
            let id = ids::new(ids::Kind::Session);
            self.0.store.begin_session(&id, &self.0.processes.own(), self.0.clock.now()).await?;
            Ok(id)
        };
        self.0.id.get_or_try_init(|| begin).await.cloned()
    }

    /// This process ends with its one call, and what it begins shall last: nothing is bound to it.
    pub fn detach(&self) {
        // Set before it could have been made known.
        let _ = self.0.id.set(String::new());
    }

    /// A call was made, by the agent it names. The store is told later.
    pub fn heard(&self, agent: Option<&str>, lease: Option<&str>) {
        let mut noted = self.noted();
        let Some(agent) = agent else {
            match lease.and_then(|token| token.parse::<Lease>().ok()) {
                Some(lease) if noted.leases.len() < NOTED_MAX => {
                    noted.leases.insert((lease.task_id, lease.fence));
                }
                Some(_) => {}
                None => noted.nameless = true,
            }
            return;
        };
        if noted.count(agent, 1) {
            noted.lately.insert(agent.to_owned());
        }
    }

    /// The call that this agent is making finds a lock held by somebody else: that proves nothing of who works here.
    pub fn kept_out(&self, agent: &str) {
        self.noted().count(agent, -1);
    }

    /// The only agent that ever made a call through this process, when there is exactly one. One that was only kept out of locks is none.
    pub fn only_agent(&self) -> Option<String> {
        let noted = self.noted();
        let mut agents = noted.working();
        agents.next().filter(|_| agents.next().is_none()).cloned()
    }

    /// Whether no other agent ever made a call through this process.
    pub fn is_alone(&self, agent: &str) -> bool {
        self.noted().working().all(|other| other == agent)
    }

    /// What this process is called where it has no id.
    pub fn process_name(&self) -> String {
        format!("process-{}", self.0.processes.own().pid)
    }

    /// Says that this process is there, if it was made known, and which agents made calls.
    ///
    /// # Errors
    /// When the store cannot be written; the agents are told of next time.
    pub async fn beat(&self, now: Instant) -> Result<(), Error> {
        let ended = self.0.ended.lock().await;
        if *ended { Ok(()) } else { self.tell(now).await }
    }

    async fn tell(&self, now: Instant) -> Result<(), Error> {
        let Some(id) = self.0.id.get() else { return Ok(()) };
        let only = self.only_agent();
        let (mut agents, leases) = {
            let mut noted = self.noted();
            let nameless = std::mem::take(&mut noted.nameless);
            let mut agents = std::mem::take(&mut noted.lately);
            agents.extend(only.filter(|_| nameless));
            (agents, std::mem::take(&mut noted.leases))
        };
        if id.is_empty() && agents.is_empty() && leases.is_empty() {
            return Ok(());
        }
        let beat = Beat {
            session_id: id.clone(),
            agents: agents.iter().cloned().collect(),
            leases: leases.iter().cloned().collect(),
            lease_until: now.after(self.0.lease_time),
            now,
        };
        let told = self.0.store.beat(beat).await;
        if told.is_err() {
            let mut noted = self.noted();
            noted.lately.append(&mut agents);
            noted.leases.extend(leases);
        }
        told
    }

    /// Ends processes that are gone.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn reap(&self, now: Instant) -> Result<Reaped, Error> {
        let open = self.0.store.open_sessions().await?;
        let attentive = self.0.attention.lock().unwrap_or_else(PoisonError::into_inner).look(now);
        let mut reaped = Reaped::default();
        for other in open {
            let Some(reason) = self.fate(&other, attentive, now) else { continue };
            let end = End {
                session_id: other.id,
                heartbeat_at: other.heartbeat_at,
                silent_since: (reason == SILENT).then(|| now.before(sessions::SILENCE_MAX)),
                grace: Duration::ZERO,
                reason,
                now,
            };
            if let Some(ended) = self.0.store.end_session(end).await? {
                reaped.sessions += 1;
                reaped.ended.leases += ended.leases;
                reaped.ended.locks += ended.locks;
                reaped.ended.agents += ended.agents;
            }
        }
        Ok(reaped)
    }

    /// Why another process is to be ended.
    fn fate(&self, other: &OpenSession, attentive: bool, now: Instant) -> Option<&'static str> {
        if self.0.id.get() == Some(&other.id) {
            return None;
        }
        let silent = sessions::between(other.heartbeat_at, now);
        let own = self.0.processes.own();
        let sight = self.0.processes.see(&other.process.place, other.process.pid);
        if sessions::is_gone(&own.place, &other.process, sight, silent) {
            return Some("gone");
        }
        (attentive && silent >= sessions::SILENCE_MAX).then_some(SILENT)
    }

    /// Forgets processes that ended long ago, up to so many. How many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget(&self, now: Instant) -> Result<u64, Error> {
        self.0.store.forget_sessions(now.before(sessions::REMEMBERED)).await
    }

    /// Ends this process in good order: its locks are free, and the tasks of its agents stay with them for a minute.
    ///
    /// # Errors
    /// When the store cannot be written; others find out later.
    pub async fn end(&self) -> Result<(), Error> {
        let Some(id) = self.0.id.get() else { return Ok(()) };
        let mut ended = self.0.ended.lock().await;
        let now = self.0.clock.now();
        self.tell(now).await?;
        *ended = true;
        if id.is_empty() {
            return Ok(());
        }
        let end = End {
            session_id: id.clone(),
            heartbeat_at: now,
            silent_since: None,
            grace: sessions::GRACE,
            reason: "stopped",
            now,
        };
        self.0.store.end_session(end).await.map(drop)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
