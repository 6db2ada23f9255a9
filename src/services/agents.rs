//! Agents: who works here.

use std::sync::Arc;

use crate::{
    clock::{Clock, Instant},
    config::{Access, Limits},
    domain::{
        agents::{self, AgentView, Counts, Status},
        idempotency::Key,
        json::{self, Json},
        names::nearest,
        page::{self, Cursor},
        sessions, text,
    },
    error::{Code, Error},
    ids,
    store::Store,
    store::agents::{List, Register, RegisterRefused, Registered, Silence, Update, UpdateRefused, Updated},
};

use super::{idempotency::repeat, sessions::Sessions};

/// Agents of one answer when the caller says nothing, and at the most.
const LIMIT: (u64, u64) = (50, 500);

/// The agents. Cloning shares.
#[derive(Clone)]
pub struct Agents {
    store: Arc<Store>,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
    access: Arc<Access>,
    limits: Limits,
}

/// An agent that tells of itself.
#[derive(Debug, Default)]
pub struct Registration {
    /// Its id; a new one when it has none.
    pub agent_id: Option<String>,
    /// What it is for.
    pub role: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What else it tells, as a JSON object.
    pub metadata: Option<Json>,
    /// How it is.
    pub status: Option<String>,
    /// Proves that it is the same as before.
    pub token: Option<String>,
    /// Of the call.
    pub key: Option<Key>,
}

/// What an agent reports.
#[derive(Debug, Default)]
pub struct AgentReport {
    /// Which.
    pub agent_id: String,
    /// How it is.
    pub status: Option<String>,
    /// What it measured, as a JSON object.
    pub metrics: Option<Json>,
    /// What it tells of itself, as a JSON object.
    pub metadata: Option<Json>,
    /// Only if it still has this version.
    pub expected_version: Option<i64>,
    /// Of the call.
    pub key: Option<Key>,
}

/// Which agents to list.
#[derive(Debug, Default)]
pub struct AgentFilter {
    /// With this role.
    pub role: Option<String>,
    /// Who can do this.
    pub capability: Option<String>,
    /// Who are so.
    pub status: Option<String>,
    /// At the most.
    pub limit: Option<u64>,
    /// After the last answer.
    pub cursor: Option<String>,
}

/// Agents, and how many there are.
#[derive(Debug)]
pub struct AgentList {
    /// Those asked for.
    pub agents: Vec<AgentView>,
    /// All, by how they are.
    pub counts: Counts,
    /// Where the rest begins.
    pub next: Option<String>,
}

impl Agents {
    /// Over a store.
    pub fn new(
        store: Arc<Store>,
        sessions: Sessions,
        clock: Arc<dyn Clock>,
        access: Arc<Access>,
        limits: Limits,
    ) -> Self {
        Self { store, sessions, clock, access, limits }
    }

    /// Makes an agent known, or changes what is known of it.
    ///
    /// # Errors
    /// `conflict` when another one has its id.
    pub async fn register(&self, asked: Registration) -> Result<Registered, Error> {
        self.access.writing("register_agent")?;
        let agent_id = match &asked.agent_id {
            Some(id) => text::name("agent_id", id)?,
            None => ids::new(ids::Kind::Agent),
        };
        let register = Register {
            role: text::name("role", &asked.role)?,
            capabilities: text::names("capabilities", &asked.capabilities, agents::CAPABILITIES_MAX)?,
            metadata: details("metadata", asked.metadata)?,
            status: asked.status.map_or(Ok(Status::Idle), |word| Status::argument("status", &word))?,
            token: asked.token,
            new_token: ids::secret()?,
            session_id: self.sessions.current().await?,
            key: asked.key,
            now: self.clock.now(),
            agent_id: agent_id.clone(),
        };
        let registered = self.store.register_agent(register).await?.map_err(|refused| taken(&agent_id, refused))?;
        self.sessions.heard(Some(&agent_id), None);
        Ok(registered)
    }

    /// Changes how an agent is.
    ///
    /// # Errors
    /// `not_found`, or `conflict` when somebody changed it since.
    pub async fn update(&self, asked: AgentReport) -> Result<Updated, Error> {
        self.access.writing("update_agent")?;
        let agent_id = text::name("agent_id", &asked.agent_id)?;
        let metrics = details("metrics", asked.metrics)?;
        let update = Update {
            agent_id: agent_id.clone(),
            status: asked.status.map(|word| Status::argument("status", &word)).transpose()?,
            degraded: metrics.as_ref().is_some_and(agents::is_degraded),
            metrics,
            metadata: details("metadata", asked.metadata)?,
            expected_version: asked.expected_version,
            key: asked.key,
            now: self.clock.now(),
        };
        self.store.update_agent(update).await?.map_err(|refused| unchanged(&agent_id, refused))
    }

    /// Agents by what they are.
    ///
    /// # Errors
    /// `invalid` for a status that is none, or a cursor of another question.
    pub async fn list(&self, asked: AgentFilter) -> Result<AgentList, Error> {
        let limit = match asked.limit {
            None => LIMIT.0,
            Some(limit) if (1..=LIMIT.1).contains(&limit) => limit,
            Some(limit) => {
                return Err(Error::invalid("limit", format!("`limit` is {limit}; it takes 1 to {}", LIMIT.1)));
            }
        };
        let status = asked.status.map(|word| Status::argument("status", &word)).transpose()?;
        let question = format!("agents\0{:?}\0{:?}\0{status:?}", asked.role, asked.capability);
        let offset =
            asked.cursor.map_or(Ok(0), |token| Cursor::decode(&token, &question).map(|cursor| cursor.offset))?;
        // One more than asked for tells whether there is a rest.
        let list = List { role: asked.role, capability: asked.capability, status, offset, limit: limit + 1 };
        let (mut agents, counts) = self.store.list_agents(list).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = agents.len() > most;
        agents.truncate(most);
        let more = page::fit(&mut agents, self.limits.listed_bytes(asked.limit), AgentView::bytes) || more;
        let next = more.then(|| Cursor { offset: offset + agents.len() as u64 }.encode(&question));
        Ok(AgentList { agents, counts, next })
    }

    /// Makes agents lost that were silent for too long. How many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn lose(&self, now: Instant) -> Result<u64, Error> {
        let silence =
            Silence { without_session: now.before(sessions::SILENCE_MAX), at_all: now.before(agents::SILENCE_MAX) };
        self.store.lose_agents(silence, now).await
    }

    /// Forgets agents that were gone before then, and what was written of agents, locks and processes. How many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget(&self, before: Instant) -> Result<u64, Error> {
        self.store.forget_agents(before).await
    }
}

/// What an agent tells of itself: an object, and not a long one.
fn details(argument: &'static str, given: Option<Json>) -> Result<Option<Json>, Error> {
    match given {
        Some(json) if json.get().len() > agents::DETAILS_BYTES_MAX => Err(Error::invalid(
            argument,
            format!("`{argument}` has {} bytes; it takes up to {}", json.get().len(), agents::DETAILS_BYTES_MAX),
        )),
        given => Ok(given),
    }
}

#[derive(serde::Serialize)]
struct Current<'a> {
    status: &'a str,
    version: i64,
}

fn taken(agent_id: &str, refused: RegisterRefused) -> Error {
    match refused {
        RegisterRefused::Repeat(why) => repeat(why),
        RegisterRefused::Taken { role, status, version, token_is_wrong } => {
            let error = Error::new(
                Code::Conflict,
                format!("`{agent_id}` is already registered as `{role}` through another server process"),
            )
            .current(json::of(&Current { status: status.as_str(), version }));
            if token_is_wrong {
                error.argument("agent_token").hint("this is not the agent_token it was registered with")
            } else {
                error.argument("agent_id").hint(
                    "if this is you, pass the agent_token that register_agent returned; otherwise choose another agent_id, or leave it out to get a new one",
                )
            }
        }
    }
}

fn unchanged(agent_id: &str, refused: UpdateRefused) -> Error {
    match refused {
        UpdateRefused::Repeat(why) => repeat(why),
        UpdateRefused::NoSuchAgent { known } => Error::new(Code::NotFound, format!("no agent `{agent_id}`"))
            .argument("agent_id")
            .did_you_mean(nearest(agent_id, known.iter().map(String::as_str)))
            .hint("register_agent registers one; list_agents shows them"),
        UpdateRefused::Version { version, status } => {
            Error::new(Code::Conflict, format!("`{agent_id}` has changed: it is at version {version} now"))
                .argument("expected_version")
                .hint("check `current`, then decide")
                .current(json::of(&Current { status: status.as_str(), version }))
        }
    }
}
