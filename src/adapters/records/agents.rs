//! Agents: who works here, and when they were last heard of.

use super::{
    Session,
    events::{self, Event},
};
use crate::{clock::Instant, error::Error, ids};

/// Registers an agent that was never told of, with the role `agent` and no capabilities. One that is known stays as it is.
pub(super) async fn present(
    session: &dyn Session,
    agent_id: &str,
    session_id: &str,
    now: Instant,
) -> Result<(), Error> {
    let token = ids::new(ids::Kind::Document);
    let made = session
        .change(
            "-- agent_present\n\
             INSERT INTO agent (id, role, status, version, capabilities, token, session_id, registered_at, heartbeat_at, \
             tasks_completed, tasks_failed, busy_ms) VALUES ($1, 'agent', 'idle', 1, '[]', $2, $3, $4, $4, 0, 0, 0) \
             ON CONFLICT (id) DO NOTHING",
            &[agent_id.into(), (&token).into(), session_id.into(), now.into()],
        )
        .await?;
    if made == 0 {
        return Ok(());
    }
    let event = Event {
        at: now,
        entity: "agent",
        entity_id: agent_id,
        workflow_id: None,
        kind: "agent_registered",
        actor: Some(agent_id),
        data: Some(r#"{"role":"agent"}"#),
    };
    events::write(session, &event).await
}
