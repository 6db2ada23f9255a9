//! Agents that make themselves known.

use serde::{Deserialize, Serialize};

use super::{registered, shown, status};
use crate::{
    clock::Instant,
    domain::{
        agents::Status,
        idempotency::{Key, Repeat},
        json::{self, Json},
    },
    error::{Code, Error},
    store::Sql,
    store::sql::sql,
    store::{Transaction, Value},
};

/// An agent to be known.
#[derive(Debug, Clone)]
pub struct Register {
    /// Its id.
    pub agent_id: String,
    /// What it is for.
    pub role: String,
    /// What it can do; sorted, each once.
    pub capabilities: Vec<String>,
    /// What it tells of itself, as a JSON object.
    pub metadata: Option<Json>,
    /// How it is.
    pub status: Status,
    /// Proves that it is the same, when it comes again.
    pub token: Option<String>,
    /// Its token, should it be new.
    pub new_token: String,
    /// The server process behind it.
    pub session_id: String,
    /// Of the call.
    pub key: Option<Key>,
    /// When.
    pub now: Instant,
}

/// A known agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its id.
    pub agent_id: String,
    /// Proves later that it is the same.
    pub token: String,
    /// Raised with each change.
    pub version: i64,
    /// How it is.
    pub status: Status,
}

/// Why an agent is not registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterRefused {
    /// Another one has this id.
    Taken {
        /// What that one is for.
        role: String,
        /// How it is.
        status: Status,
        /// Its version.
        version: i64,
        /// A token was given, and is not that one's.
        token_is_wrong: bool,
    },
    /// The key leads to no answer.
    Repeat(Repeat),
}
impl From<Repeat> for RegisterRefused {
    fn from(repeat: Repeat) -> Self {
        Self::Repeat(repeat)
    }
}

pub(super) async fn register(
    transaction: &Transaction<'_>,
    asked: &Register,
) -> Result<Result<Registered, RegisterRefused>, Error> {
    let capabilities = json::of(&asked.capabilities);
    let metadata = asked.metadata.as_ref().map_or(Value::Null, |json| Value::Text(json.get()));
    let made = transaction
        .execute(Sql::both("-- agent_add\n\
             INSERT INTO agent (id, role, status, version, capabilities, metadata, token, session_id, registered_at, heartbeat_at, \
             tasks_completed, tasks_failed, busy_ms) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $8, 0, 0, 0) \
             ON CONFLICT (id) DO NOTHING"),
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
        registered(transaction, &asked.agent_id, &asked.role, asked.now);
        return Ok(Ok(answer(asked, &asked.new_token, 1, asked.status)));
    }
    let found = transaction
        .query(
            sql!("-- agent_find\nSELECT role, status, version, token, session_id FROM agent WHERE id = $1", (lock)),
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
        let status = shown(transaction, &asked.agent_id, status).await?;
        return Ok(Err(RegisterRefused::Taken { role, status, version, token_is_wrong }));
    }
    // Who takes the place of one that is gone is another one: the old token proves nothing any more.
    let token = if proven || same_session { token } else { asked.new_token.clone() };
    transaction
        .execute(Sql::both("-- agent_again\n\
             UPDATE agent SET role = $2, status = $3, version = version + 1, capabilities = $4, metadata = coalesce($5, metadata), \
             token = $6, session_id = $7, heartbeat_at = CASE WHEN heartbeat_at > $8 THEN heartbeat_at ELSE $8 END WHERE id = $1"),
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
    registered(transaction, &asked.agent_id, &asked.role, asked.now);
    let status = shown(transaction, &asked.agent_id, asked.status).await?;
    Ok(Ok(answer(asked, &token, version + 1, status)))
}

fn answer(asked: &Register, token: &str, version: i64, status: Status) -> Registered {
    Registered { agent_id: asked.agent_id.clone(), token: token.to_owned(), version, status }
}
