//! Server processes, and what ends with them.

use std::time::Duration;

use super::{
    Store, Transaction, Value,
    agents::{self, Lost},
    events::{self, Event},
    locks,
};
use crate::{
    clock::Instant,
    domain::{
        json,
        sessions::{Place, Process},
    },
    error::Error,
    store::Sql,
    store::sql::sql,
};

/// A heartbeat of a process.
#[derive(Debug, Clone)]
pub struct Beat {
    /// Of which process.
    pub session_id: String,
    /// Agents that made a call through it.
    pub agents: Vec<String>,
    /// Leases under which calls were made through it: task and fence. The task may have passed on since, to who made none.
    pub leases: Vec<(String, i64)>,
    /// Their leases run until then, and never longer than their attempts may.
    pub lease_until: Instant,
    /// When.
    pub now: Instant,
}

/// A process that has not ended.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// Its id.
    pub id: String,
    /// Which process.
    pub process: Process,
    /// When it was last heard of.
    pub heartbeat_at: Instant,
}

/// The end of a process.
#[derive(Debug, Clone)]
pub struct End {
    /// Which.
    pub session_id: String,
    /// It has not been heard of since.
    pub heartbeat_at: Instant,
    /// It ends for its silence, which must have lasted since then.
    pub silent_since: Option<Instant>,
    /// How long what it held stays.
    pub grace: Duration,
    /// Why, in a word: stopped, gone, silent.
    pub reason: &'static str,
    /// When.
    pub now: Instant,
}

/// What ended with a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// Leases that end sooner now.
    pub leases: u64,
    /// Locks that end sooner now.
    pub locks: u64,
    /// Agents that are lost.
    pub agents: u64,
}

/// Processes that one transaction forgets.
const FORGOTTEN_AT_ONCE: i64 = 500;

struct Begin {
    id: String,
    process: Process,
    now: Instant,
}

impl Store {
    /// A process begins.
    pub async fn begin_session(&self, id: &str, process: &Process, now: Instant) -> Result<(), Error> {
        let asked = Begin { id: id.to_owned(), process: process.clone(), now };
        self.transact(asked, |transaction, asked| Box::pin(begin(transaction, asked))).await
    }

    /// A process says that it is there, and which agents it has heard of; renews their leases.
    pub async fn beat(&self, beat: Beat) -> Result<(), Error> {
        self.transact_agents(beat, |transaction, asked| Box::pin(beat_once(transaction, asked))).await
    }

    /// Processes that have begun and not ended.
    pub async fn open_sessions(&self) -> Result<Vec<OpenSession>, Error> {
        self.read((), |transaction, ()| Box::pin(open(transaction))).await
    }

    /// Forgets processes that ended before then, up to so many. How many.
    pub async fn forget_sessions(&self, before: Instant) -> Result<u64, Error> {
        self.transact(before, |transaction, before| {
            Box::pin(async move {
                let sql = Sql::both("-- session_forget\n\
                     DELETE FROM session WHERE id IN (SELECT id FROM session WHERE ended_at <= $1 ORDER BY ended_at LIMIT $2)");
                transaction.execute(sql, &[(*before).into(), FORGOTTEN_AT_ONCE.into()]).await
            })
        })
        .await
    }

    /// Ends a process, unless it has been heard of since: its leases and locks end `grace` later at the latest, its agents are lost.
    pub async fn end_session(&self, end: End) -> Result<Option<Ended>, Error> {
        self.transact_agents(end, |transaction, asked| Box::pin(end_once(transaction, asked))).await
    }
}

async fn begin(transaction: &Transaction<'_>, asked: &Begin) -> Result<(), Error> {
    let place = asked.process.place.word();
    transaction
        .execute(Sql::both("-- session_begin\n\
             INSERT INTO session (id, boot_id, pid, pid_start, started_at, heartbeat_at) VALUES ($1, $2, $3, $4, $5, $5) \
             ON CONFLICT (id) DO NOTHING"),
            &[(&asked.id).into(), (&place).into(), asked.process.pid.into(), asked.process.start.into(), asked.now.into()],
        )
        .await
        .map(drop)
}

async fn beat_once(transaction: &Transaction<'_>, beat: &Beat) -> Result<(), Error> {
    // Whoever took it to be gone was wrong.
    transaction
        .execute(Sql::both("-- session_beat\nUPDATE session SET heartbeat_at = $2, ended_at = NULL WHERE id = $1 AND heartbeat_at <= $2"),
            &[(&beat.session_id).into(), beat.now.into()],
        )
        .await?;
    let mut heard = beat.agents.clone();
    if !beat.leases.is_empty() {
        let tasks: Vec<String> = beat.leases.iter().map(|(task, _)| task.clone()).collect();
        let leases: Vec<String> = beat.leases.iter().map(|(task, fence)| format!("{task}.{fence}")).collect();
        let holders = transaction
            .query(sql!("-- session_holders\n\
                 SELECT DISTINCT owner FROM task_run WHERE task_id ", (any 1), " AND task_id || '.' || fence ", (any 2), " \
                 AND state = 'leased' AND owner IS NOT NULL"),
                &[Value::Texts(&tasks), Value::Texts(&leases)],
            )
            .await?;
        for mut holder in holders {
            heard.push(holder.text()?);
        }
    }
    if heard.is_empty() {
        return Ok(());
    }
    heard.sort();
    heard.dedup();
    agents::seen(transaction, &heard, &beat.session_id, beat.lease_until, beat.now).await
}

async fn open(transaction: &Transaction<'_>) -> Result<Vec<OpenSession>, Error> {
    let rows = transaction
        .query(Sql::both("-- session_open\n\
             SELECT id, boot_id, pid, pid_start, heartbeat_at FROM session WHERE ended_at IS NULL ORDER BY heartbeat_at, id"),
            &[],
        )
        .await?;
    rows.into_iter()
        .map(|mut row| {
            let id = row.text()?;
            let place = Place::parse(&row.text()?);
            let process = Process { place, pid: row.integer()?, start: row.integer()? };
            Ok(OpenSession { id, process, heartbeat_at: row.time()? })
        })
        .collect()
}

async fn end_once(transaction: &Transaction<'_>, end: &End) -> Result<Option<Ended>, Error> {
    let ended = transaction
        .execute(
            sql!(
                "-- session_end\n\
             UPDATE session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL AND heartbeat_at <= $3 \
             AND (NOT $5 OR heartbeat_at <= ",
                (now),
                " - (CAST($2 AS timestamptz) - CAST($4 AS timestamptz)))"
            ),
            &[
                (&end.session_id).into(),
                end.now.into(),
                end.heartbeat_at.into(),
                end.silent_since.unwrap_or(end.now).into(),
                end.silent_since.is_some().into(),
            ],
        )
        .await?;
    if ended == 0 {
        return Ok(None);
    }
    let until = end.now.after(end.grace);
    transaction
        .execute(Sql::lock("-- session_leases_lock\n\
             SELECT task_id FROM task_run WHERE session_id = $1 AND state = 'leased' AND lease_until > $2 ORDER BY task_id FOR UPDATE"),
            &[(&end.session_id).into(), until.into()],
        )
        .await?;
    let leases = transaction
        .execute(
            Sql::both(
                "-- session_end_leases\n\
             UPDATE task_run SET lease_until = $2 WHERE session_id = $1 AND state = 'leased' AND lease_until > $2",
            ),
            &[(&end.session_id).into(), until.into()],
        )
        .await?;
    let agents = agents::lose(transaction, Lost::Session(&end.session_id), end.now).await?;
    let locks = locks::end_with(transaction, &end.session_id, end.now).await?;
    let ended = Ended { leases, locks, agents };
    tell(transaction, end, ended);
    Ok(Some(ended))
}

fn tell(transaction: &Transaction<'_>, end: &End, ended: Ended) {
    #[derive(serde::Serialize)]
    struct Data {
        reason: &'static str,
        grace_ms: u128,
        leases: u64,
        locks: u64,
        agents: u64,
    }
    let Ended { leases, locks, agents } = ended;
    let data = json::of(&Data { reason: end.reason, grace_ms: end.grace.as_millis(), leases, locks, agents });
    let event = Event {
        at: end.now,
        entity: "session",
        entity_id: &end.session_id,
        workflow_id: None,
        kind: "session_ended",
        actor: None,
        data: Some(data.get()),
    };
    events::write(transaction, &event);
}
