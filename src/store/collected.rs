//! What transitions collect and what is written at their end, with one statement for each table.

use super::{Session, Sql, Value, rows::write_rows};
use crate::{clock::Instant, error::Error};

/// An event on its way to the table.
pub(super) struct EventRow {
    pub at: Instant,
    pub entity: &'static str,
    pub entity_id: String,
    pub workflow_id: Option<String>,
    pub kind: &'static str,
    pub actor: Option<String>,
    pub data: Option<String>,
}

impl EventRow {
    /// In the order of the statements' columns.
    pub fn values(&self) -> Vec<Value<'_>> {
        vec![
            self.at.into(),
            self.entity.into(),
            (&self.entity_id).into(),
            self.workflow_id.as_ref().into(),
            self.kind.into(),
            self.actor.as_ref().into(),
            self.data.as_ref().into(),
        ]
    }
}

/// An answer on its way to the table.
pub(super) struct KeptAnswer {
    pub key: String,
    pub request_hash: String,
    pub answer: String,
    pub expires_at: Instant,
}

/// Writes the events of a transaction.
pub(super) async fn insert_events(session: &dyn Session, events: &[EventRow]) -> Result<(), Error> {
    let sql = Sql {
        postgres: "-- event_add\n\
                   INSERT INTO event (at, entity, entity_id, workflow_id, type, actor, data) \
                   SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])",
        sqlite: "-- event_add\n\
                 INSERT INTO event (at, entity, entity_id, workflow_id, type, actor, data) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    };
    let rows: Vec<Vec<Value<'_>>> = events.iter().map(EventRow::values).collect();
    write_rows(session, sql, &rows).await.map(drop)
}

/// Writes the answers of a transaction.
pub(super) async fn insert_answers(session: &dyn Session, answers: &[KeptAnswer]) -> Result<(), Error> {
    let sql = Sql {
        postgres: "-- idempotency_keep\n\
                   INSERT INTO idempotency (key, request_hash, answer, expires_at) \
                   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])",
        sqlite: "-- idempotency_keep\nINSERT INTO idempotency (key, request_hash, answer, expires_at) VALUES ($1, $2, $3, $4)",
    };
    let rows: Vec<Vec<Value<'_>>> = answers
        .iter()
        .map(|kept| {
            vec![(&kept.key).into(), (&kept.request_hash).into(), (&kept.answer).into(), kept.expires_at.into()]
        })
        .collect();
    write_rows(session, sql, &rows).await.map(drop)
}
