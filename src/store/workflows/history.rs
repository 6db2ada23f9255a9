//! The history as it is shown.

use super::super::{Row, Transaction, payload};
use crate::{domain::workflows::view::EventView, error::Error, store::sql::sql};

/// Events to show.
#[derive(Debug, Clone)]
pub struct History {
    /// Which.
    pub part: Part,
    /// Up to so many.
    pub most: u64,
}

/// A part of the history.
#[derive(Debug, Clone)]
pub enum Part {
    /// Of a workflow and its tasks, the first after a number.
    Workflow {
        /// Which workflow.
        id: String,
        /// The number.
        after: i64,
    },
    /// Of a workflow and its tasks, the last.
    EndOfWorkflow {
        /// Which workflow.
        id: String,
    },
    /// Of one task or anything else, the first after a number.
    Entity {
        /// Which.
        id: String,
        /// The number.
        after: i64,
    },
    /// Of one agent and what it did, the first after a number.
    Agent {
        /// Which.
        id: String,
        /// The number.
        after: i64,
    },
    /// Of everything, the first after a number.
    All {
        /// The number.
        after: i64,
    },
}

/// What [`event`] reads.
macro_rules! events {
    () => {
        "SELECT seq, at, type, entity, entity_id, workflow_id, actor, data FROM event "
    };
}

/// What happened, oldest first.
pub(super) async fn events(transaction: &Transaction<'_>, asked: &History) -> Result<Vec<EventView>, Error> {
    let most = i64::try_from(asked.most).unwrap_or(i64::MAX).into();
    let found = match &asked.part {
        Part::Workflow { id, after } => {
            let sql = sql!(
                "-- events_of_workflow\n",
                [events!()],
                "WHERE workflow_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
            );
            transaction.query(sql, &[id.into(), (*after).into(), most]).await?
        }
        Part::EndOfWorkflow { id } => {
            let sql = sql!(
                "-- events_of_workflow_newest\n",
                [events!()],
                "WHERE workflow_id = $1 ORDER BY seq DESC LIMIT $2"
            );
            let mut newest = transaction.query(sql, &[id.into(), most]).await?;
            newest.reverse();
            newest
        }
        Part::Entity { id, after } => {
            let sql =
                sql!("-- events_of_entity\n", [events!()], "WHERE entity_id = $1 AND seq > $2 ORDER BY seq LIMIT $3");
            transaction.query(sql, &[id.into(), (*after).into(), most]).await?
        }
        Part::Agent { id, after } => {
            let sql = sql!(
                "-- events_of_agent\nSELECT * FROM (",
                [events!()],
                "WHERE entity_id = $1 AND entity = 'agent' AND seq > $2 ORDER BY seq LIMIT $3) AS own UNION SELECT * FROM (",
                [events!()],
                "WHERE actor = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS did ORDER BY seq LIMIT $3"
            );
            transaction.query(sql, &[id.into(), (*after).into(), most]).await?
        }
        Part::All { after } => {
            let sql = sql!("-- events_of_all\n", [events!()], "WHERE seq > $1 ORDER BY seq LIMIT $2");
            transaction.query(sql, &[(*after).into(), most]).await?
        }
    };
    found.into_iter().map(event).collect()
}

fn event(mut row: Row) -> Result<EventView, Error> {
    Ok(EventView {
        seq: row.integer()?,
        at: row.time()?,
        kind: row.text()?,
        entity: row.text()?,
        entity_id: row.text()?,
        workflow_id: row.text_or_none()?,
        actor: row.text_or_none()?,
        data: payload::json(&mut row)?,
    })
}
