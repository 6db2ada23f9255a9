//! Agents: who works here, and when they were last heard of.

pub(super) mod list;

use super::{
    Beside, Records, Session, Value,
    events::{self, Event},
    idempotency::once,
};
use crate::{
    clock::Instant,
    domain::{
        agents::{AgentView, Counts, Status},
        json::{self, Json},
    },
    error::{Code, Error},
    ports::agents::{AgentStore, List, Register, RegisterRefused, Registered, Silence, Update, UpdateRefused, Updated},
};

/// Agents that one transaction makes lost.
const LOST_AT_ONCE: i64 = 500;
/// Agents and events that one transaction forgets.
const FORGOTTEN_AT_ONCE: i64 = 500;
/// Ids to look through for one that is near.
const KNOWN_MAX: i64 = 1_000;

#[async_trait::async_trait]
impl AgentStore for Records {
    async fn register(&self, register: Register) -> Result<Result<Registered, RegisterRefused>, Error> {
        self.transact_beside(Beside::last(), register, |session, asked| {
            Box::pin(once(session, asked.key.as_ref(), asked.now, register_once(session, asked)))
        })
        .await
    }

    async fn update(&self, update: Update) -> Result<Result<Updated, UpdateRefused>, Error> {
        self.transact_beside(Beside::last(), update, |session, asked| {
            Box::pin(once(session, asked.key.as_ref(), asked.now, update_once(session, asked)))
        })
        .await
    }

    async fn list(&self, list: List) -> Result<(Vec<AgentView>, Counts), Error> {
        self.look(list, |session, asked| Box::pin(list::list(session, asked))).await
    }

    async fn forget_gone(&self, before: Instant) -> Result<u64, Error> {
        self.transact(before, |session, before| Box::pin(forget(session, *before))).await
    }

    async fn lose(&self, silence: Silence, now: Instant) -> Result<u64, Error> {
        self.transact_beside(Beside::last(), (silence, now), |session, (silence, now)| {
            Box::pin(lose(session, Lost::Silent(*silence), *now))
        })
        .await
    }
}

/// What can be forgotten, in one transaction. The history of a task that an agent worked on is the task's.
async fn forget(session: &dyn Session, before: Instant) -> Result<u64, Error> {
    let agents = session
        .change(
            "-- agent_forget\n\
             DELETE FROM agent WHERE heartbeat_at <= $1 AND id IN (SELECT a.id FROM agent a WHERE a.status IN ('stopped', 'lost') \
             AND a.heartbeat_at <= $1 AND NOT EXISTS (SELECT 1 FROM task_run r WHERE r.owner = a.id AND r.state = 'leased') \
             ORDER BY a.heartbeat_at LIMIT $2 FOR UPDATE OF a SKIP LOCKED)",
            &[before.into(), FORGOTTEN_AT_ONCE.into()],
        )
        .await?;
    let events = session
        .change(
            "-- agent_forget_events\n\
             DELETE FROM event WHERE seq IN (SELECT e.seq FROM event e WHERE e.at <= $1 AND e.workflow_id IS NULL \
             AND e.entity IN ('agent', 'session', 'lock') AND NOT EXISTS (SELECT 1 FROM sink s WHERE s.seq < e.seq) \
             ORDER BY e.at LIMIT $2)",
            &[before.into(), FORGOTTEN_AT_ONCE.into()],
        )
        .await?;
    Ok(agents + events)
}

async fn register_once(session: &dyn Session, asked: &Register) -> Result<Result<Registered, RegisterRefused>, Error> {
    let capabilities = json::of(&asked.capabilities);
    let metadata = asked.metadata.as_ref().map_or(Value::Null, |json| Value::Text(json.get()));
    let made = session
        .change(
            "-- agent_add\n\
             INSERT INTO agent (id, role, status, version, capabilities, metadata, token, session_id, registered_at, heartbeat_at, \
             tasks_completed, tasks_failed, busy_ms) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $8, 0, 0, 0) \
             ON CONFLICT (id) DO NOTHING",
            &[
                (&asked.agent_id).into(),
                (&asked.role).into(),
                asked.status.as_str().into(),
                capabilities.get().into(),
                metadata,
                (&asked.new_token).into(),
                (&asked.session_id).into(),
                asked.now.into(),
            ],
        )
        .await?;
    if made == 1 {
        registered(session, &asked.agent_id, &asked.role, asked.now)?;
        return Ok(Ok(answer(asked, &asked.new_token, 1, asked.status)));
    }
    let found = session
        .rows(
            "-- agent_find\nSELECT role, status, version, token, session_id FROM agent WHERE id = $1 FOR UPDATE",
            &[(&asked.agent_id).into()],
        )
        .await?;
    let Some(mut row) = found.into_iter().next() else {
        return Err(Error::new(Code::Internal, "an agent that exists was not found"));
    };
    let (role, status, version, token) = (row.text()?, status(&row.text()?)?, row.integer()?, row.text()?);
    let session_id = row.text_or_none()?.unwrap_or_default();
    // Who calls once and is gone is bound to no process, and has to prove itself.
    let same_session = !session_id.is_empty() && session_id == asked.session_id;
    let proven = asked.token.as_deref() == Some(token.as_str());
    let token_is_wrong = asked.token.is_some() && !proven;
    if token_is_wrong || !(proven || same_session || status.is_vacant()) {
        let status = shown(session, &asked.agent_id, status).await?;
        return Ok(Err(RegisterRefused::Taken { role, status, version, token_is_wrong }));
    }
    // Who takes the place of one that is gone is another one: the old token proves nothing any more.
    let token = if proven || same_session { token } else { asked.new_token.clone() };
    session
        .change(
            "-- agent_again\n\
             UPDATE agent SET role = $2, status = $3, version = version + 1, capabilities = $4, metadata = coalesce($5, metadata), \
             token = $6, session_id = $7, heartbeat_at = CASE WHEN heartbeat_at > $8 THEN heartbeat_at ELSE $8 END WHERE id = $1",
            &[
                (&asked.agent_id).into(),
                (&asked.role).into(),
                asked.status.as_str().into(),
                capabilities.get().into(),
                metadata,
                (&token).into(),
                (&asked.session_id).into(),
                asked.now.into(),
            ],
        )
        .await?;
    registered(session, &asked.agent_id, &asked.role, asked.now)?;
    let status = shown(session, &asked.agent_id, asked.status).await?;
    Ok(Ok(answer(asked, &token, version + 1, status)))
}

fn answer(asked: &Register, token: &str, version: i64, status: Status) -> Registered {
    Registered { agent_id: asked.agent_id.clone(), token: token.to_owned(), version, status }
}

/// How an agent is shown that says this of itself; as in lists, one that holds a task is busy.
async fn shown(session: &dyn Session, agent_id: &str, status: Status) -> Result<Status, Error> {
    if !matches!(status, Status::Starting | Status::Idle) {
        return Ok(status);
    }
    let sql = "-- agent_holds\nSELECT 1 FROM task_run WHERE owner = $1 AND state = 'leased' LIMIT 1";
    let held = session.rows(sql, &[agent_id.into()]).await?;
    Ok(if held.is_empty() { status } else { Status::Busy })
}

async fn update_once(session: &dyn Session, asked: &Update) -> Result<Result<Updated, UpdateRefused>, Error> {
    let found = session
        .rows("-- agent_state\nSELECT version, status FROM agent WHERE id = $1 FOR UPDATE", &[(&asked.agent_id).into()])
        .await?;
    let Some(mut row) = found.into_iter().next() else {
        let known = session
            .rows("-- agent_ids\nSELECT id FROM agent ORDER BY heartbeat_at DESC LIMIT $1", &[KNOWN_MAX.into()])
            .await?;
        let known = known.into_iter().map(|mut row| row.text()).collect::<Result<_, _>>()?;
        return Ok(Err(UpdateRefused::NoSuchAgent { known }));
    };
    let (version, before) = (row.integer()?, status(&row.text()?)?);
    if asked.expected_version.is_some_and(|expected| expected != version) {
        let status = shown(session, &asked.agent_id, before).await?;
        return Ok(Err(UpdateRefused::Version { version, status }));
    }
    // One that reports is not lost, whatever it says of itself.
    let after = asked.status.unwrap_or(if before == Status::Lost { Status::Idle } else { before });
    let text = |json: &Option<Json>| json.as_ref().map(|json| json.get().to_owned());
    let (metrics, metadata) = (text(&asked.metrics), text(&asked.metadata));
    session
        .change(
            "-- agent_update\n\
             UPDATE agent SET status = $2, metrics = coalesce($3, metrics), metadata = coalesce($4, metadata), \
             version = version + 1, heartbeat_at = CASE WHEN heartbeat_at > $5 THEN heartbeat_at ELSE $5 END WHERE id = $1",
            &[
                (&asked.agent_id).into(),
                after.as_str().into(),
                metrics.as_ref().into(),
                metadata.as_ref().into(),
                asked.now.into(),
            ],
        )
        .await?;
    let kind = match after {
        Status::Error => Some("agent_degraded"),
        _ if asked.degraded => Some("agent_degraded"),
        Status::Stopped if before != after => Some("agent_stopped"),
        _ if before != after => Some("agent_changed"),
        // Measurements alone may come every few seconds, and are no history.
        _ if asked.metadata.is_some() => Some("agent_updated"),
        _ => None,
    };
    if let Some(kind) = kind {
        #[derive(serde::Serialize)]
        struct Data<'a> {
            from: &'static str,
            to: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            metrics: Option<&'a Json>,
        }
        let data = json::of(&Data { from: before.as_str(), to: after.as_str(), metrics: asked.metrics.as_ref() });
        tell(session, &asked.agent_id, kind, Some(&asked.agent_id), Some(&data), asked.now)?;
    }
    let status = shown(session, &asked.agent_id, after).await?;
    Ok(Ok(Updated { version: version + 1, status }))
}

/// Registers an agent that was never told of, with the role `agent` and no capabilities. One that is known stays as it is. What it can do.
pub(super) async fn present(
    session: &dyn Session,
    agent_id: &str,
    session_id: &str,
    token: &str,
    now: Instant,
) -> Result<Vec<String>, Error> {
    if let Some(able) = able(session, agent_id).await? {
        return Ok(able);
    }
    let made = session
        .change(
            "-- agent_present\n\
             INSERT INTO agent (id, role, status, version, capabilities, token, session_id, registered_at, heartbeat_at, \
             tasks_completed, tasks_failed, busy_ms) VALUES ($1, 'agent', 'idle', 1, '[]', $2, $3, $4, $4, 0, 0, 0) \
             ON CONFLICT (id) DO NOTHING",
            &[agent_id.into(), token.into(), session_id.into(), now.into()],
        )
        .await?;
    if made == 1 {
        registered(session, agent_id, "agent", now)?;
    }
    Ok(Vec::new())
}

/// What an agent can do; none when it is not known.
pub(super) async fn able(session: &dyn Session, agent_id: &str) -> Result<Option<Vec<String>>, Error> {
    let known = session.rows("-- agent_able\nSELECT capabilities FROM agent WHERE id = $1", &[agent_id.into()]).await?;
    known.into_iter().next().map(|mut row| names(&row.text()?)).transpose()
}

/// Agents made a call: they and what they hold stay for another while. One that was taken to be lost is not.
pub(super) async fn seen(
    session: &dyn Session,
    agents: &[String],
    session_id: &str,
    lease_until: Instant,
    now: Instant,
) -> Result<(), Error> {
    let leases = [Value::Texts(agents), lease_until.into()];
    session
        .lock(
            "-- agent_leases_lock\n\
             SELECT task_id FROM task_run WHERE owner = ANY($1) AND state = 'leased' AND lease_until < $2 ORDER BY task_id FOR UPDATE",
            &leases,
        )
        .await?;
    session
        .change(
            "-- agent_leases\n\
             UPDATE task_run SET lease_until = CASE WHEN runs_until < $2 THEN runs_until ELSE $2 END, session_id = $3 \
             WHERE owner = ANY($1) AND state = 'leased' AND lease_until < $2",
            &[Value::Texts(agents), lease_until.into(), session_id.into()],
        )
        .await?;
    session
        .lock("-- agents_lock\nSELECT id FROM agent WHERE id = ANY($1) ORDER BY id FOR UPDATE", &[Value::Texts(agents)])
        .await?;
    session
        .change(
            "-- agent_seen\nUPDATE agent SET heartbeat_at = $2, session_id = $3 WHERE id = ANY($1) AND heartbeat_at <= $2",
            &[Value::Texts(agents), now.into(), session_id.into()],
        )
        .await?;
    let back = session
        .rows(
            "-- agent_recover\n\
             UPDATE agent SET status = 'idle', version = version + 1 WHERE id = ANY($1) AND status = 'lost' RETURNING id",
            &[Value::Texts(agents)],
        )
        .await?;
    for mut row in back {
        let id = row.text()?;
        tell(session, &id, "agent_recovered", Some(&id), None, now)?;
    }
    Ok(())
}

/// Who is lost.
pub(super) enum Lost<'a> {
    /// Everybody whose server process this was.
    Session(&'a str),
    /// Who was silent for too long.
    Silent(Silence),
}

/// Makes agents lost. How many.
pub(super) async fn lose(session: &dyn Session, lost: Lost<'_>, now: Instant) -> Result<u64, Error> {
    let gone = match lost {
        Lost::Session(id) => {
            session
                .rows(
                    "-- agent_lose_session\n\
                     UPDATE agent SET status = 'lost', version = version + 1 WHERE id IN (SELECT id FROM agent \
                     WHERE session_id = $1 AND status NOT IN ('stopped', 'lost') ORDER BY id FOR UPDATE) RETURNING id",
                    &[id.into()],
                )
                .await?
        }
        Lost::Silent(silence) => {
            session
                .rows(
                    "-- agent_lose_silent\n\
                     UPDATE agent SET status = 'lost', version = version + 1 WHERE id IN (SELECT a.id FROM agent a \
                     WHERE a.status NOT IN ('stopped', 'lost') AND (a.heartbeat_at <= $1 \
                     AND a.heartbeat_at <= clock_timestamp() - (CAST($4 AS timestamptz) - CAST($1 AS timestamptz)) \
                     OR (a.heartbeat_at <= $2 AND a.session_id <> '' \
                     AND a.heartbeat_at <= clock_timestamp() - (CAST($4 AS timestamptz) - CAST($2 AS timestamptz)) \
                     AND NOT EXISTS (SELECT 1 FROM session s WHERE s.id = a.session_id AND s.ended_at IS NULL))) \
                     ORDER BY a.heartbeat_at LIMIT $3 FOR UPDATE OF a SKIP LOCKED) RETURNING id",
                    &[silence.at_all.into(), silence.without_session.into(), LOST_AT_ONCE.into(), now.into()],
                )
                .await?
        }
    };
    let count = gone.len() as u64;
    for mut row in gone {
        tell(session, &row.text()?, "agent_lost", None, None, now)?;
    }
    Ok(count)
}

fn registered(session: &dyn Session, agent_id: &str, role: &str, now: Instant) -> Result<(), Error> {
    #[derive(serde::Serialize)]
    struct Data<'a> {
        role: &'a str,
    }
    tell(session, agent_id, "agent_registered", Some(agent_id), Some(&json::of(&Data { role })), now)
}

fn tell(
    session: &dyn Session,
    agent_id: &str,
    kind: &'static str,
    actor: Option<&str>,
    data: Option<&Json>,
    now: Instant,
) -> Result<(), Error> {
    let event = Event {
        at: now,
        entity: "agent",
        entity_id: agent_id,
        workflow_id: None,
        kind,
        actor,
        data: data.map(|data| data.get()),
    };
    events::write(session, &event)
}

/// A stored status.
pub(super) fn status(word: &str) -> Result<Status, Error> {
    Status::parse(word).ok_or_else(|| {
        Error::new(Code::Internal, "the record store holds a status that is none").cause(format!("`{word}` in agent"))
    })
}

/// Stored names.
pub(super) fn names(text: &str) -> Result<Vec<String>, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::new(Code::Internal, "stored capabilities cannot be read").cause(error))
}
