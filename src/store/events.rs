//! The history: written in the transaction of what it tells of.

use super::{Kept, Later, Session};
use crate::{
    changes::Topic,
    clock::Instant,
    error::{Code, Error},
};

/// What happened to what.
pub(super) struct Event<'a> {
    /// When.
    pub at: Instant,
    /// workflow, task, agent, session, lock, webhook.
    pub entity: &'static str,
    /// Which.
    pub entity_id: &'a str,
    /// The workflow it belongs to.
    pub workflow_id: Option<&'a str>,
    /// What happened: `task_completed`.
    pub kind: &'static str,
    /// The agent that did it; none for this server itself.
    pub actor: Option<&'a str>,
    /// What else is to be known, as the text of a JSON object.
    pub data: Option<&'a str>,
}

/// What somebody said, as the data of an event: in full when it is short. The task keeps it in any case.
pub(super) fn said(name: &str, json: &str) -> String {
    if json.len() <= SAID_BYTES_MAX {
        format!(r#"{{"{name}":{json}}}"#)
    } else {
        format!(r#"{{"{name}_bytes":{}}}"#, json.len())
    }
}

/// Bytes of what somebody said that are written into the history too.
const SAID_BYTES_MAX: usize = 4_096;

impl Event<'_> {
    /// In the order of the statements' columns.
    fn values(&self) -> Vec<Kept> {
        vec![
            self.at.into(),
            self.entity.into(),
            self.entity_id.into(),
            self.workflow_id.into(),
            self.kind.into(),
            self.actor.into(),
            self.data.into(),
        ]
    }
}

/// Adds an event, and wakes who publishes. Its number, which is larger than those of all events that could be seen before.
pub(super) async fn numbered(session: &dyn Session, event: &Event<'_>) -> Result<i64, Error> {
    session.touch(Topic::Events);
    session.flush().await?;
    let values = event.values();
    let rows = session
        .rows(
            "-- event_add_numbered\n\
             INSERT INTO event (at, entity, entity_id, workflow_id, type, actor, data) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             RETURNING seq",
            &values.iter().map(Kept::value).collect::<Vec<_>>(),
        )
        .await?;
    match rows.into_iter().next() {
        Some(mut row) => row.integer(),
        None => Err(Error::new(Code::Internal, "an event was written and has no number")),
    }
}

/// Adds an event, and wakes who publishes.
///
/// # Errors
/// `invalid` for what no store can keep.
pub(super) fn write(session: &dyn Session, event: &Event<'_>) -> Result<(), Error> {
    session.touch(Topic::Events);
    session.later(Later {
        sql: "-- event_add\n\
              INSERT INTO event (at, entity, entity_id, workflow_id, type, actor, data) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        many: "-- events_add\n\
               INSERT INTO event (at, entity, entity_id, workflow_id, type, actor, data) \
               SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])",
        values: event.values(),
    })
}
