//! What agents say of themselves.

use serde::{Deserialize, Serialize};

use super::{shown, status, tell};
use crate::{
    clock::Instant,
    domain::{
        agents::Status,
        idempotency::{Key, Repeat},
        json::{self, Json},
    },
    error::Error,
    store::Sql,
    store::Transaction,
    store::sql::sql,
};

/// Ids to look through for one that is near.
const KNOWN_MAX: i64 = 1_000;

/// A change of an agent.
#[derive(Debug, Clone)]
pub struct Update {
    /// Which.
    pub agent_id: String,
    /// How it is now.
    pub status: Option<Status>,
    /// What it measured, as a JSON object.
    pub metrics: Option<Json>,
    /// It is not well.
    pub degraded: bool,
    /// What it tells of itself, as a JSON object.
    pub metadata: Option<Json>,
    /// Only if it still has this version.
    pub expected_version: Option<i64>,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// A changed agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// Its version.
    pub version: i64,
    /// How it is.
    pub status: Status,
}

/// Why an agent is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateRefused {
    /// Nobody has this id.
    NoSuchAgent {
        /// Ids that exist.
        known: Vec<String>,
    },
    /// Somebody changed it.
    Version {
        /// Its version.
        version: i64,
        /// How it is.
        status: Status,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}
impl From<Repeat> for UpdateRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

pub(super) async fn update(
    transaction: &Transaction<'_>,
    asked: &Update,
) -> Result<Result<Updated, UpdateRefused>, Error> {
    let found = transaction
        .query(
            sql!("-- agent_state\nSELECT version, status FROM agent WHERE id = $1", (lock)),
            &[(&asked.agent_id).into()],
        )
        .await?;
    let Some(mut row) = found.into_iter().next() else {
        let known = transaction
            .query(
                Sql::both("-- agent_ids\nSELECT id FROM agent ORDER BY heartbeat_at DESC LIMIT $1"),
                &[KNOWN_MAX.into()],
            )
            .await?;
        let known = known.into_iter().map(|mut row| row.text()).collect::<Result<_, _>>()?;
        return Ok(Err(UpdateRefused::NoSuchAgent { known }));
    };
    let (version, before) = (row.integer()?, status(&row.text()?)?);
    if asked.expected_version.is_some_and(|expected| expected != version) {
        let status = shown(transaction, &asked.agent_id, before).await?;
        return Ok(Err(UpdateRefused::Version { version, status }));
    }
    // One that reports is not lost, whatever it says of itself.
    let after = asked.status.unwrap_or(if before == Status::Lost { Status::Idle } else { before });
    let text = |json: &Option<Json>| json.as_ref().map(|json| json.get().to_owned());
    let (metrics, metadata) = (text(&asked.metrics), text(&asked.metadata));
    transaction
        .execute(Sql::both("-- agent_update\n\
             UPDATE agent SET status = $2, metrics = coalesce($3, metrics), metadata = coalesce($4, metadata), \
             version = version + 1, heartbeat_at = CASE WHEN heartbeat_at > $5 THEN heartbeat_at ELSE $5 END WHERE id = $1"),
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
        tell(transaction, &asked.agent_id, kind, Some(&asked.agent_id), Some(&data), asked.now);
    }
    let status = shown(transaction, &asked.agent_id, after).await?;
    Ok(Ok(Updated { version: version + 1, status }))
}
