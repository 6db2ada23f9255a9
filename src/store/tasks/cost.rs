//! What work has cost.

use super::super::Session;
use crate::{clock::Instant, domain::tasks::Cost, error::Error};

/// Who spent it on what.
pub(super) struct Spender<'a> {
    pub task_id: &'a str,
    pub workflow_id: Option<&'a str>,
    pub agent_id: Option<&'a str>,
}

/// Adds to a task's cost, and to the reports of the day. The workflow's own cost is changed with its counts.
pub(super) async fn add(session: &dyn Session, cost: &Cost, by: &Spender<'_>, now: Instant) -> Result<(), Error> {
    let day = now.day();
    futures_util::future::try_join(
        session.change(
            "-- task_cost\nUPDATE task SET cost_micros = cost_micros + $2 WHERE id = $1",
            &[by.task_id.into(), cost.amount.0.into()],
        ),
        session.change(
            "-- cost_add\n\
             INSERT INTO cost (at, day, type, agent_id, model, cost_micros, input_tokens, output_tokens) \
             VALUES ($1, $2, COALESCE((SELECT type FROM workflow WHERE id = $3), ''), $4, $5, $6, $7, $8)",
            &[
                now.into(),
                (&day).into(),
                by.workflow_id.into(),
                by.agent_id.unwrap_or_default().into(),
                cost.model.as_deref().unwrap_or_default().into(),
                cost.amount.0.into(),
                cost.input_tokens.into(),
                cost.output_tokens.into(),
            ],
        ),
    )
    .await
    .map(drop)
}
