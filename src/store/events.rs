//! The history: written in the transaction of what it tells of.

use super::{Sql, Transaction, collected::EventRow};
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

/// When, and by whom.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct By<'a> {
    pub now: Instant,
    pub actor: Option<&'a str>,
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
    fn row(&self) -> EventRow {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        EventRow {
            at: self.at,
            entity: self.entity,
            entity_id: self.entity_id.to_owned(),
            workflow_id: owned(self.workflow_id),
            kind: self.kind,
            actor: owned(self.actor),
            data: owned(self.data),
        }
    }
}

/// Adds an event at once, and wakes who publishes. Its number, which is larger than those of all events that could be seen before.
pub(super) async fn numbered(transaction: &Transaction<'_>, event: &Event<'_>) -> Result<i64, Error> {
    transaction.touch(Topic::Events);
    transaction.write().await?;
    let rows = transaction
        .query(
            Sql::both(
                "-- event_add_numbered\n\
                 INSERT INTO event (at, entity, entity_id, workflow_id, type, actor, data) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                 RETURNING seq",
            ),
            &event.row().values(),
        )
        .await?;
    match rows.into_iter().next() {
        Some(mut row) => row.integer(),
        None => Err(Error::new(Code::Internal, "an event was written and has no number")),
    }
}

/// Adds an event, written with the others of the transaction in this order, and wakes who publishes.
pub(super) fn write(transaction: &Transaction<'_>, event: &Event<'_>) {
    transaction.touch(Topic::Events);
    transaction.note(event.row());
}
