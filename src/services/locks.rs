//! Locks: one holder at a time, with a token that proves it and an end of its own.

use std::{sync::Arc, time::Duration};

use crate::{
    changes::{Changes, Interest, Topic},
    clock::{Clock, Instant},
    config::Access,
    domain::{
        idempotency::Key,
        json,
        locks::{self, LockView, Token},
        sessions::between,
        text,
    },
    error::{Code, Error},
    ids,
    store::Store,
    store::locks::{Acquire, AcquireRefused, HeldLock, Proven, TokenRefused},
};

use super::{idempotency::repeat, sessions::Sessions};

/// Who waits looks again after this time, should nothing have woken it.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The locks. Cloning shares.
#[derive(Clone)]
pub struct Locks {
    store: Arc<Store>,
    sessions: Sessions,
    changes: Arc<Changes>,
    clock: Arc<dyn Clock>,
    access: Arc<Access>,
}

/// What to do to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Take it.
    Acquire,
    /// Keep it for longer.
    Renew,
    /// Let go of it.
    Release,
    /// See who holds it.
    Inspect,
}

/// A call about a lock.
#[derive(Debug)]
pub struct LockRequest {
    /// What to do.
    pub action: Action,
    /// To which.
    pub resource: String,
    /// For whom.
    pub agent_id: Option<String>,
    /// For how long, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// How long to wait for it, in milliseconds.
    pub wait_ms: Option<u64>,
    /// Proves that it is held.
    pub token: Option<String>,
    /// Of the call.
    pub key: Option<Key>,
}

/// What came of it.
#[derive(Debug)]
pub enum LockAnswer {
    /// It is the caller's.
    Acquired(HeldLock),
    /// Somebody holds it.
    Held(LockView),
    /// It was let go of.
    Released(i64),
    /// Nobody holds it.
    Free,
    /// This one holds it; nothing was asked for.
    Seen(LockView),
}

impl Locks {
    /// Over a store.
    pub fn new(
        store: Arc<Store>,
        sessions: Sessions,
        changes: Arc<Changes>,
        clock: Arc<dyn Clock>,
        access: Arc<Access>,
    ) -> Self {
        Self { store, sessions, changes, clock, access }
    }

    /// Takes, keeps, lets go of or looks at a lock.
    ///
    /// # Errors
    /// `invalid` for what an action does not take, `lease_lost` when a token is worth nothing any more.
    pub async fn manage(&self, asked: LockRequest) -> Result<LockAnswer, Error> {
        let resource = text::name("resource", &asked.resource)?;
        if asked.action != Action::Inspect {
            self.access.writing("manage_lock")?;
        }
        let token = asked.token.as_deref().map(str::parse::<Token>).transpose();
        let now = self.clock.now();
        match asked.action {
            Action::Inspect => {
                let seen = self.store.inspect_lock(&resource, now).await?;
                Ok(seen.map_or(LockAnswer::Free, LockAnswer::Seen))
            }
            Action::Acquire => self.acquire(resource, token?, asked).await,
            Action::Renew => {
                let (token, session_id) = (needed(token?)?, self.sessions.current().await?);
                let proven = Proven { resource: resource.clone(), token, session_id, key: asked.key, now };
                let renewed = self.store.renew_lock(proven, ttl(asked.ttl_ms)?).await?;
                renewed.map(LockAnswer::Acquired).map_err(|refused| ended(&resource, refused))
            }
            Action::Release => {
                let (token, session_id) = (needed(token?)?, String::new());
                let proven = Proven { resource: resource.clone(), token, session_id, key: asked.key, now };
                let released = self.store.release_lock(proven).await?;
                released.map(|lock| LockAnswer::Released(lock.fence)).map_err(|refused| ended(&resource, refused))
            }
        }
    }

    async fn acquire(&self, resource: String, token: Option<Token>, asked: LockRequest) -> Result<LockAnswer, Error> {
        let wait_ms = asked.wait_ms.unwrap_or_default();
        if wait_ms > locks::WAIT_MS_MOST {
            let message = format!("`wait_ms` is {wait_ms}; it takes 0 to {}", locks::WAIT_MS_MOST);
            return Err(Error::invalid("wait_ms", message));
        }
        let session_id = self.sessions.current().await?;
        let agent_id = asked.agent_id.map(|agent_id| text::name("agent_id", &agent_id)).transpose()?;
        let (owner, same) = self.holder(agent_id.clone(), &session_id);
        let mut acquire = Acquire {
            resource,
            owner,
            same,
            token,
            secret: ids::secret()?,
            session_id,
            ttl: ttl(asked.ttl_ms)?,
            key: asked.key,
            now: self.clock.now(),
        };
        let deadline = tokio::time::Instant::now() + Duration::from_millis(wait_ms);
        loop {
            // Interest is registered before the look: what happens in between wakes too.
            let watch = self.changes.watch(vec![Interest::In(Topic::Lock(acquire.resource.clone()))]);
            acquire.now = self.clock.now();
            let held = match self.store.acquire_lock(acquire.clone()).await? {
                Ok(held) => return Ok(LockAnswer::Acquired(held)),
                Err(AcquireRefused::Repeat(why)) => return Err(repeat(why)),
                Err(AcquireRefused::Held(held)) => held,
            };
            let deadline = self.changes.no_later_than(deadline);
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                if let Some(agent_id) = &agent_id {
                    self.sessions.kept_out(agent_id);
                }
                return Ok(LockAnswer::Held(held));
            }
            let ends = between(acquire.now, held.expires_at) + Duration::from_millis(1);
            let pause = left.min(ends).min(LOOK_AGAIN);
            // Woken or not, it is looked at again.
            let _ = tokio::time::timeout(pause, watch.changed()).await;
        }
    }

    /// Who a lock is taken for, and the holders that are the same one: an agent, and the process as long as that agent is the only one
    /// in it. Calls that name nobody may come from several, so one of them does not go on with what another took.
    fn holder(&self, agent_id: Option<String>, session_id: &str) -> (String, Vec<String>) {
        match agent_id.or_else(|| self.sessions.only_agent()) {
            Some(agent) if self.sessions.is_alone(&agent) => (agent.clone(), vec![agent, session_id.to_owned()]),
            Some(agent) => (agent.clone(), vec![agent]),
            None if session_id.is_empty() => (self.sessions.process_name(), Vec::new()),
            None => (session_id.to_owned(), Vec::new()),
        }
    }

    /// How many calls of this process wait for something, be it a lock or not.
    pub fn waiting(&self) -> tokio::sync::watch::Receiver<usize> {
        self.changes.count()
    }

    /// Removes locks whose time is over. How many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn expire(&self, now: Instant) -> Result<u64, Error> {
        self.store.expire_locks(now).await
    }
}

fn needed(token: Option<Token>) -> Result<Token, Error> {
    token.ok_or_else(|| {
        Error::invalid("token", "`token` is missing: it proves that the lock is yours")
            .hint("pass it exactly as `acquire` returned it")
    })
}

fn ttl(asked: Option<u64>) -> Result<Duration, Error> {
    match asked {
        None => Ok(locks::TTL_DEFAULT),
        Some(ms) if (locks::TTL_MS_LEAST..=locks::TTL_MS_MOST).contains(&ms) => Ok(Duration::from_millis(ms)),
        Some(ms) => Err(Error::invalid(
            "ttl_ms",
            format!("`ttl_ms` is {ms}; it takes {} to {}", locks::TTL_MS_LEAST, locks::TTL_MS_MOST),
        )),
    }
}

fn ended(resource: &str, refused: TokenRefused) -> Error {
    #[derive(serde::Serialize)]
    struct Current {
        held: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        holder: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        fence: Option<i64>,
    }
    match refused {
        TokenRefused::Repeat(why) => repeat(why),
        TokenRefused::Ended(now) => {
            let current = match now {
                Some(view) => Current { held: true, holder: Some(view.holder), fence: Some(view.fence) },
                None => Current { held: false, holder: None, fence: None },
            };
            Error::new(Code::LeaseLost, format!("the lock on `{resource}` that this token belongs to has ended"))
                .argument("token")
                .hint("acquire it again; someone else may have changed what it protects")
                .current(json::of(&current))
        }
    }
}
