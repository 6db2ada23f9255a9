//! Messages to webhooks: made of events, each once, and taken by one sender at a time.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde_json::value::RawValue;

use super::{
    Row, Store, Transaction, Value,
    events::{self, Event},
    payload,
};
use crate::{
    changes::Topic,
    clock::Instant,
    domain::json::{self, Json},
    error::Error,
    ids,
    store::Sql,
    store::sql::sql,
};

/// A message on its way.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id; the same for each attempt.
    pub id: String,
    /// Whom it goes to.
    pub webhook_id: String,
    /// The workflow it tells of.
    pub workflow_id: String,
    /// What happened to that.
    pub kind: String,
    /// JSON, sent as it is.
    pub body: String,
    /// Which attempt this is; the first is 1.
    pub attempt: i64,
    /// Where it goes to.
    pub url: String,
    /// The key of its signature.
    pub secret: String,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Delivered {
        /// The status it was answered with.
        status: u16,
    },
    /// It was not, and is sent again.
    Again {
        /// When.
        at: Instant,
        /// The status it was answered with, if it was.
        status: Option<u16>,
        /// Why, in words.
        error: String,
    },
    /// It was not, and will not be.
    Dead {
        /// The status it was answered with, if it was.
        status: Option<u16>,
        /// Why, in words.
        error: String,
    },
}

/// The name of this taker of events.
const SINK: &str = "webhooks";
/// Events that one transaction makes messages of.
const EVENTS_AT_ONCE: usize = 200;
/// Bytes of results that one message carries.
const RESULTS_BYTES_MAX: usize = 64 << 10;
/// Tasks whose results one message carries.
const RESULTS_MAX: usize = 100;
/// Numbers of events are given before their transactions end, so a smaller one may come to be seen after a larger one. No transaction takes
/// as long as this: what is older is complete, and what is younger is looked at again.
const SETTLED: Duration = Duration::from_mins(5);

impl Store {
    /// Makes messages of the ends of workflows that somebody asked to be told of, each exactly once, up to so many. How many.
    pub async fn fan_out(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |transaction, now| Box::pin(fan_out(transaction, *now))).await
    }

    /// Takes messages that are due to be sent. Until `until` nobody else does; who is killed meanwhile has not sent them.
    pub async fn take_due_deliveries(&self, now: Instant, until: Instant, most: usize) -> Result<Vec<Delivery>, Error> {
        let asked = Take { now, until, most: i64::try_from(most).unwrap_or(i64::MAX) };
        self.transact(asked, |transaction, asked| Box::pin(take(transaction, asked))).await
    }

    /// Notes how sending a message went; nothing when somebody else has taken it since.
    pub async fn settle_delivery(&self, delivery: &Delivery, outcome: Outcome, now: Instant) -> Result<bool, Error> {
        let asked = Settle { delivery: delivery.clone(), outcome, now };
        self.transact(asked, |transaction, asked| Box::pin(settle(transaction, asked))).await
    }
}

struct Take {
    now: Instant,
    until: Instant,
    most: i64,
}

struct Settle {
    delivery: Delivery,
    outcome: Outcome,
    now: Instant,
}

/// An event that somebody is to be told of.
struct Told {
    webhook_id: String,
    seq: i64,
    kind: String,
    workflow_id: String,
    at: Instant,
    data: Option<String>,
    name: Option<String>,
    error: Option<String>,
    /// It has a result, which may be too large to be sent.
    has_result: bool,
    result: Option<Json>,
}

async fn fan_out(transaction: &Transaction<'_>, now: Instant) -> Result<u64, Error> {
    let found =
        transaction.query(Sql::both("-- sink_find\nSELECT seq FROM sink WHERE name = $1"), &[SINK.into()]).await?;
    let confirmed = found.into_iter().next().map_or(Ok(0), |mut row| row.integer())?;
    let rows = transaction
        .query(Sql::both("-- webhook_events\n\
             SELECT w.id, e.seq, e.type, e.workflow_id, e.at, e.data, f.name, r.error, COALESCE(length(r.result), 0), \
             CASE WHEN length(r.result) <= $3 THEN r.result END FROM event e JOIN webhook w ON w.workflow_id = e.workflow_id \
             LEFT JOIN workflow f ON f.id = e.workflow_id LEFT JOIN workflow_result r ON r.workflow_id = e.workflow_id \
             WHERE e.seq > $1 AND e.type IN ('workflow_completed', 'workflow_failed', 'workflow_cancelled', 'workflow_timed_out') \
             AND NOT EXISTS (SELECT 1 FROM webhook_delivery d WHERE d.webhook_id = w.id AND d.seq = e.seq) \
             ORDER BY e.seq LIMIT $2"),
            &[confirmed.into(), (EVENTS_AT_ONCE as i64).into(), (RESULTS_BYTES_MAX as i64).into()],
        )
        .await?;
    let is_all = rows.len() < EVENTS_AT_ONCE;
    let mut made = 0;
    for row in rows {
        made += deliver_later(transaction, told(row)?, now).await?;
    }
    if is_all {
        confirm(transaction, confirmed, now).await?;
    }
    Ok(made)
}

fn told(mut row: Row) -> Result<Told, Error> {
    Ok(Told {
        webhook_id: row.text()?,
        seq: row.integer()?,
        kind: row.text()?,
        workflow_id: row.text()?,
        at: row.time()?,
        data: row.text_or_none()?,
        name: row.text_or_none()?,
        error: row.text_or_none()?,
        has_result: row.integer()? > 0,
        result: payload::read(&mut row)?,
    })
}

/// Results of a workflow's tasks by their keys or ids, those first that were made first; and whether there are others, too large or too many.
async fn results(transaction: &Transaction<'_>, workflow_id: &str) -> Result<(BTreeMap<String, Json>, bool), Error> {
    let rows = transaction
        .query(
            Sql::both(
                "-- webhook_results\n\
             SELECT COALESCE(key, id), CASE WHEN length(result) <= $2 THEN result END FROM task WHERE workflow_id = $1 \
             AND ended = 'completed' AND result IS NOT NULL ORDER BY id LIMIT $3",
            ),
            &[workflow_id.into(), (RESULTS_BYTES_MAX as i64).into(), (RESULTS_MAX as i64 + 1).into()],
        )
        .await?;
    let (mut results, mut are_more) = (BTreeMap::new(), rows.len() > RESULTS_MAX);
    for mut row in rows.into_iter().take(RESULTS_MAX) {
        let key = row.text()?;
        match payload::read(&mut row)? {
            Some(result) => drop(results.insert(key, result)),
            None => are_more = true,
        }
    }
    Ok((results, are_more))
}

async fn deliver_later(transaction: &Transaction<'_>, mut told: Told, now: Instant) -> Result<u64, Error> {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        id: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
        workflow_id: &'a str,
        name: Option<&'a str>,
        state: &'a str,
        outcome: &'a str,
        error: Option<&'a str>,
        seq: i64,
        at: String,
        data: Option<Json>,
        result: Option<Json>,
        task_results: BTreeMap<String, Json>,
        truncated: bool,
    }
    let id = ids::new(ids::Kind::Delivery);
    let outcome = told.kind.trim_start_matches("workflow_");
    let mut left = RESULTS_BYTES_MAX;
    // What was compressed is larger than it was stored.
    let mut fits = |json: &Json| match left.checked_sub(json.get().len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let result = told.result.take().filter(|result| fits(result));
    let (mut task_results, are_more) = results(transaction, &told.workflow_id).await?;
    let all = task_results.len();
    task_results.retain(|_, result| fits(result));
    let truncated = are_more || task_results.len() < all || (told.has_result && result.is_none());
    let body = json::of(&Body {
        id: &id,
        kind: &told.kind,
        workflow_id: &told.workflow_id,
        name: told.name.as_deref(),
        state: outcome,
        outcome,
        error: told.error.as_deref(),
        seq: told.seq,
        at: told.at.rfc3339(),
        data: told.data.clone().and_then(|text| RawValue::from_string(text).ok()),
        result,
        task_results,
        truncated,
    });
    transaction.touch(Topic::Events);
    transaction
        .execute(Sql::both("-- webhook_delivery_add\n\
             INSERT INTO webhook_delivery (id, webhook_id, workflow_id, seq, type, body, state, attempt, due_at, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, $7, $7) ON CONFLICT (webhook_id, seq) DO NOTHING"),
            &[
                (&id).into(),
                (&told.webhook_id).into(),
                (&told.workflow_id).into(),
                told.seq.into(),
                (&told.kind).into(),
                body.get().into(),
                now.into(),
            ],
        )
        .await
}

/// Everything up to what is settled has been looked at.
async fn confirm(transaction: &Transaction<'_>, confirmed: i64, now: Instant) -> Result<(), Error> {
    let settled = now.before(SETTLED);
    let newest = transaction
        .query(
            Sql::both("-- sink_settled\nSELECT seq FROM event WHERE at <= $1 ORDER BY at DESC LIMIT 1"),
            &[settled.into()],
        )
        .await?;
    let newest = newest.into_iter().next().map_or(Ok(0), |mut row| row.integer())?;
    if newest <= confirmed {
        return Ok(());
    }
    transaction
        .execute(
            Sql::both(
                "-- sink_move\n\
             INSERT INTO sink (name, seq) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq \
             WHERE sink.seq < excluded.seq",
            ),
            &[SINK.into(), newest.into()],
        )
        .await
        .map(drop)
}

async fn take(transaction: &Transaction<'_>, asked: &Take) -> Result<Vec<Delivery>, Error> {
    let rows = transaction
        .query(sql!("-- webhook_delivery_take\n\
             UPDATE webhook_delivery SET state = 'sending', attempt = attempt + 1, due_at = $2 WHERE id IN (SELECT id \
             FROM webhook_delivery WHERE state IN ('waiting', 'sending') AND due_at <= $1 AND due_at <= ", (now), " ORDER BY due_at, id LIMIT $3 \
            ", (lock "SKIP LOCKED"), ") RETURNING id, webhook_id, workflow_id, type, body, attempt"),
            &[asked.now.into(), asked.until.into(), asked.most.into()],
        )
        .await?;
    let mut taken = Vec::with_capacity(rows.len());
    for mut row in rows {
        taken.push(Delivery {
            id: row.text()?,
            webhook_id: row.text()?,
            workflow_id: row.text()?,
            kind: row.text()?,
            body: row.text()?,
            attempt: row.integer()?,
            url: String::new(),
            secret: String::new(),
        });
    }
    if taken.is_empty() {
        return Ok(taken);
    }
    let ids: Vec<String> = taken.iter().map(|delivery| delivery.webhook_id.clone()).collect();
    let hooks = transaction
        .query(sql!("-- webhook_find\nSELECT id, url, secret FROM webhook WHERE id ", (any 1)), &[Value::Texts(&ids)])
        .await?;
    let mut known = HashMap::new();
    for mut row in hooks {
        known.insert(row.text()?, (row.text()?, row.text()?));
    }
    for delivery in &mut taken {
        // Whose webhook is gone keeps an empty URL, which nobody may call.
        if let Some((url, secret)) = known.get(&delivery.webhook_id) {
            (delivery.url, delivery.secret) = (url.clone(), secret.clone());
        }
    }
    Ok(taken)
}

async fn settle(transaction: &Transaction<'_>, asked: &Settle) -> Result<bool, Error> {
    let (state, due_at, completed_at, status, error) = match &asked.outcome {
        Outcome::Delivered { status } => ("delivered", asked.now, Some(asked.now), Some(*status), None),
        Outcome::Again { at, status, error } => ("waiting", *at, None, *status, Some(error)),
        Outcome::Dead { status, error } => ("dead", asked.now, Some(asked.now), *status, Some(error)),
    };
    let delivery = &asked.delivery;
    // Of an attempt that took too long somebody else has made another.
    let settled = transaction
        .execute(
            Sql::both(
                "-- webhook_delivery_settle\n\
             UPDATE webhook_delivery SET state = $3, due_at = $4, completed_at = $5, last_status = $6, last_error = $7 \
             WHERE id = $1 AND attempt = $2 AND state = 'sending'",
            ),
            &[
                (&delivery.id).into(),
                delivery.attempt.into(),
                state.into(),
                due_at.into(),
                completed_at.into(),
                status.map(i64::from).into(),
                error.into(),
            ],
        )
        .await?;
    if settled == 1 && state == "dead" {
        #[derive(serde::Serialize)]
        struct Data<'a> {
            delivery_id: &'a str,
            attempts: i64,
            status: Option<u16>,
            error: Option<&'a String>,
        }
        let data = json::of(&Data { delivery_id: &delivery.id, attempts: delivery.attempt, status, error });
        let event = Event {
            at: asked.now,
            entity: "webhook",
            entity_id: &delivery.webhook_id,
            workflow_id: Some(&delivery.workflow_id),
            kind: "webhook_dead",
            actor: None,
            data: Some(data.get()),
        };
        events::write(transaction, &event);
    }
    Ok(settled == 1)
}
