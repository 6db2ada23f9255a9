//! Agents: who works here, and when they were last heard of.

pub(super) mod list;
mod register;
mod update;

use std::collections::BTreeMap;

pub use self::{
    list::List,
    register::{Register, RegisterRefused, Registered},
    update::{Update, UpdateRefused, Updated},
};
use super::{
    Store, Transaction, Value,
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
    store::Sql,
    store::sql::sql,
};

/// Agents that were not heard of since are lost.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    /// Those whose server process is gone.
    pub without_session: Instant,
    /// All.
    pub at_all: Instant,
}

/// Agents that one transaction makes lost.
const LOST_AT_ONCE: i64 = 500;
/// Agents and events that one transaction forgets.
const FORGOTTEN_AT_ONCE: i64 = 500;

impl Store {
    /// Makes an agent known, or changes what is known of it when the same one comes again.
    pub async fn register_agent(&self, register: Register) -> Result<Result<Registered, RegisterRefused>, Error> {
        self.transact_agents(register, |transaction, asked| {
            Box::pin(once(transaction, asked.key.as_ref(), asked.now, register::register(transaction, asked)))
        })
        .await
    }

    /// Changes how an agent is.
    pub async fn update_agent(&self, update: Update) -> Result<Result<Updated, UpdateRefused>, Error> {
        self.transact_agents(update, |transaction, asked| {
            Box::pin(once(transaction, asked.key.as_ref(), asked.now, update::update(transaction, asked)))
        })
        .await
    }

    /// Agents by what they are, in the order of their ids, and all of them counted.
    pub async fn list_agents(&self, list: List) -> Result<(Vec<AgentView>, Counts), Error> {
        self.read(list, |transaction, asked| Box::pin(list::list(transaction, asked))).await
    }

    /// Forgets agents that were gone before then, and what was written of agents, locks and processes; up to so many. How many.
    pub async fn forget_agents(&self, before: Instant) -> Result<u64, Error> {
        self.transact(before, |transaction, before| Box::pin(forget(transaction, *before))).await
    }

    /// Makes agents lost that were silent for too long, up to so many. How many.
    pub async fn lose_agents(&self, silence: Silence, now: Instant) -> Result<u64, Error> {
        self.transact_agents((silence, now), |transaction, (silence, now)| {
            Box::pin(lose(transaction, Lost::Silent(*silence), *now))
        })
        .await
    }
}

/// What can be forgotten, in one transaction. The history of a task that an agent worked on is the task's.
async fn forget(transaction: &Transaction<'_>, before: Instant) -> Result<u64, Error> {
    let agents = transaction
        .execute(sql!("-- agent_forget\n\
             DELETE FROM agent WHERE heartbeat_at <= $1 AND id IN (SELECT a.id FROM agent a WHERE a.status IN ('stopped', 'lost') \
             AND a.heartbeat_at <= $1 AND NOT EXISTS (SELECT 1 FROM task_run r WHERE r.owner = a.id AND r.state = 'leased') \
             ORDER BY a.heartbeat_at LIMIT $2", (lock "OF a SKIP LOCKED"), ")"),
            &[before.into(), FORGOTTEN_AT_ONCE.into()],
        )
        .await?;
    let events = transaction
        .execute(
            Sql::both(
                "-- agent_forget_events\n\
             DELETE FROM event WHERE seq IN (SELECT e.seq FROM event e WHERE e.at <= $1 AND e.workflow_id IS NULL \
             AND e.entity IN ('agent', 'session', 'lock') AND NOT EXISTS (SELECT 1 FROM sink s WHERE s.seq < e.seq) \
             ORDER BY e.at LIMIT $2)",
            ),
            &[before.into(), FORGOTTEN_AT_ONCE.into()],
        )
        .await?;
    Ok(agents + events)
}

/// How an agent is shown that says this of itself; as in lists, one that holds a task is busy.
async fn shown(transaction: &Transaction<'_>, agent_id: &str, status: Status) -> Result<Status, Error> {
    if !matches!(status, Status::Starting | Status::Idle) {
        return Ok(status);
    }
    let sql = Sql::both("-- agent_holds\nSELECT 1 FROM task_run WHERE owner = $1 AND state = 'leased' LIMIT 1");
    let held = transaction.query(sql, &[agent_id.into()]).await?;
    Ok(if held.is_empty() { status } else { Status::Busy })
}

/// An agent that makes a call.
pub(super) struct Caller<'a> {
    pub agent_id: &'a str,
    pub session_id: &'a str,
    /// Its token, should it not be known.
    pub token: &'a str,
    pub now: Instant,
}

/// Registers agents that were never told of, with the role `agent` and no capabilities. Those that are known stay as they are. What each of
/// them can do.
pub(super) async fn present(
    transaction: &Transaction<'_>,
    callers: &[Caller<'_>],
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let ids: Vec<String> = callers.iter().map(|caller| caller.agent_id.to_owned()).collect();
    let sql = sql!("-- agents_known\nSELECT id, capabilities FROM agent WHERE id ", (any 1));
    let mut able = BTreeMap::new();
    for mut row in transaction.query(sql, &[Value::Texts(&ids)]).await? {
        able.insert(row.text()?, names(&row.text()?)?);
    }
    let unknown: BTreeMap<&str, &Caller<'_>> = callers
        .iter()
        .filter(|caller| !able.contains_key(caller.agent_id))
        .map(|caller| (caller.agent_id, caller))
        .collect();
    let rows: Vec<Vec<Value<'_>>> = unknown
        .values()
        .map(|caller| vec![caller.agent_id.into(), caller.token.into(), caller.session_id.into(), caller.now.into()])
        .collect();
    for mut row in transaction.query_rows(ADD_UNKNOWN, &rows).await? {
        let id = row.text()?;
        if let Some(caller) = unknown.get(id.as_str()) {
            registered(transaction, &id, "agent", caller.now);
        }
    }
    Ok(able)
}

const ADD_UNKNOWN: Sql = Sql {
    postgres: "-- agent_present\n\
               INSERT INTO agent (id, role, status, version, capabilities, token, session_id, registered_at, heartbeat_at, \
               tasks_completed, tasks_failed, busy_ms) SELECT id, 'agent', 'idle', 1, '[]', token, session_id, now, now, 0, 0, 0 \
               FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS new (id, token, session_id, now) \
               ON CONFLICT (id) DO NOTHING RETURNING id",
    sqlite: "-- agent_present\n\
             INSERT INTO agent (id, role, status, version, capabilities, token, session_id, registered_at, heartbeat_at, \
             tasks_completed, tasks_failed, busy_ms) VALUES ($1, 'agent', 'idle', 1, '[]', $2, $3, $4, $4, 0, 0, 0) \
             ON CONFLICT (id) DO NOTHING RETURNING id",
};

/// What an agent can do; none when it is not known.
pub(super) async fn able(transaction: &Transaction<'_>, agent_id: &str) -> Result<Option<Vec<String>>, Error> {
    let known = transaction
        .query(Sql::both("-- agent_able\nSELECT capabilities FROM agent WHERE id = $1"), &[agent_id.into()])
        .await?;
    known.into_iter().next().map(|mut row| names(&row.text()?)).transpose()
}

/// Agents made a call: they and what they hold stay for another while. One that was taken to be lost is not.
pub(super) async fn seen(
    transaction: &Transaction<'_>,
    agents: &[String],
    session_id: &str,
    lease_until: Instant,
    now: Instant,
) -> Result<(), Error> {
    let leases = [Value::Texts(agents), lease_until.into()];
    transaction
        .execute(Sql::lock("-- agent_leases_lock\n\
             SELECT task_id FROM task_run WHERE owner = ANY($1) AND state = 'leased' AND lease_until < $2 ORDER BY task_id FOR UPDATE"),
            &leases,
        )
        .await?;
    transaction
        .execute(
            sql!("-- agent_leases\n\
             UPDATE task_run SET lease_until = CASE WHEN runs_until < $2 THEN runs_until ELSE $2 END, session_id = $3 \
             WHERE owner ", (any 1), " AND state = 'leased' AND lease_until < $2"),
            &[Value::Texts(agents), lease_until.into(), session_id.into()],
        )
        .await?;
    transaction
        .execute(
            Sql::lock("-- agents_lock\nSELECT id FROM agent WHERE id = ANY($1) ORDER BY id FOR UPDATE"),
            &[Value::Texts(agents)],
        )
        .await?;
    transaction
        .execute(sql!("-- agent_seen\nUPDATE agent SET heartbeat_at = $2, session_id = $3 WHERE id ", (any 1), " AND heartbeat_at <= $2"),
            &[Value::Texts(agents), now.into(), session_id.into()],
        )
        .await?;
    let back = transaction
        .query(sql!("-- agent_recover\n\
             UPDATE agent SET status = 'idle', version = version + 1 WHERE id ", (any 1), " AND status = 'lost' RETURNING id"),
            &[Value::Texts(agents)],
        )
        .await?;
    for mut row in back {
        let id = row.text()?;
        tell(transaction, &id, "agent_recovered", Some(&id), None, now);
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
pub(super) async fn lose(transaction: &Transaction<'_>, lost: Lost<'_>, now: Instant) -> Result<u64, Error> {
    let gone = match lost {
        Lost::Session(id) => {
            transaction
                .query(
                    sql!(
                        "-- agent_lose_session\n\
                     UPDATE agent SET status = 'lost', version = version + 1 WHERE id IN (SELECT id FROM agent \
                     WHERE session_id = $1 AND status NOT IN ('stopped', 'lost') ORDER BY id",
                        (lock),
                        ") RETURNING id"
                    ),
                    &[id.into()],
                )
                .await?
        }
        Lost::Silent(silence) => {
            transaction
                .query(
                    sql!("-- agent_lose_silent\n\
                     UPDATE agent SET status = 'lost', version = version + 1 WHERE id IN (SELECT a.id FROM agent a \
                     WHERE a.status NOT IN ('stopped', 'lost') AND (a.heartbeat_at <= $1 \
                     AND a.heartbeat_at <= ", (now), " - (CAST($4 AS timestamptz) - CAST($1 AS timestamptz)) \
                     OR (a.heartbeat_at <= $2 AND a.session_id <> '' \
                     AND a.heartbeat_at <= ", (now), " - (CAST($4 AS timestamptz) - CAST($2 AS timestamptz)) \
                     AND NOT EXISTS (SELECT 1 FROM session s WHERE s.id = a.session_id AND s.ended_at IS NULL))) \
                     ORDER BY a.heartbeat_at LIMIT $3", (lock "OF a SKIP LOCKED"), ") RETURNING id"),
                    &[silence.at_all.into(), silence.without_session.into(), LOST_AT_ONCE.into(), now.into()],
                )
                .await?
        }
    };
    let count = gone.len() as u64;
    for mut row in gone {
        tell(transaction, &row.text()?, "agent_lost", None, None, now);
    }
    Ok(count)
}

fn registered(transaction: &Transaction<'_>, agent_id: &str, role: &str, now: Instant) {
    #[derive(serde::Serialize)]
    struct Data<'a> {
        role: &'a str,
    }
    tell(transaction, agent_id, "agent_registered", Some(agent_id), Some(&json::of(&Data { role })), now)
}

fn tell(
    transaction: &Transaction<'_>,
    agent_id: &str,
    kind: &'static str,
    actor: Option<&str>,
    data: Option<&Json>,
    now: Instant,
) {
    let event = Event {
        at: now,
        entity: "agent",
        entity_id: agent_id,
        workflow_id: None,
        kind,
        actor,
        data: data.map(|data| data.get()),
    };
    events::write(transaction, &event);
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
