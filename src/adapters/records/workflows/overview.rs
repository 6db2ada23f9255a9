//! Everything at a glance.

use futures_util::future::try_join_all;

use super::super::{Row, Session, tasks};
use crate::{
    clock::Instant,
    domain::{
        tasks::State,
        workflows::{
            self,
            view::{Overview, QueueView},
        },
    },
    error::Error,
};

const STATEMENTS: [&str; 5] = [
    "-- workflows_by_state\nSELECT state, count(*) FROM workflow GROUP BY state",
    "-- tasks_by_state\nSELECT state, count(*) FROM task_run GROUP BY state",
    "-- tasks_dead\nSELECT ended, count(*) FROM task WHERE ended = 'dead' GROUP BY ended",
    "-- queues\nSELECT queue, count(*), min(since) FROM task_run WHERE state = 'ready' AND NOT held GROUP BY queue ORDER BY queue LIMIT 100",
    "-- agents_by_status\nSELECT status, count(*) FROM agent GROUP BY status",
];

/// Counts by state, what can be claimed, and who is there.
pub(super) async fn overview(session: &dyn Session, now: Instant) -> Result<Overview, Error> {
    let mut answers = try_join_all(STATEMENTS.map(|sql| session.rows(sql, &[]))).await?.into_iter();
    let mut next = || answers.next().unwrap_or_default();
    let mut overview = Overview::default();
    for mut row in next() {
        overview.workflows.insert(super::flow::state(&row.text()?)?, row.count()?);
    }
    for mut row in next().into_iter().chain(next()) {
        overview.tasks.insert(tasks::show::state(&row.text()?)?, row.count()?);
    }
    overview.queues = next().into_iter().map(|row| queue(row, now)).collect::<Result<_, _>>()?;
    for mut row in next() {
        overview.agents.insert(row.text()?, row.count()?);
    }
    for state in workflows::State::ALL {
        overview.workflows.entry(state).or_default();
    }
    for state in State::ALL.into_iter().filter(|state| state.is_open() || *state == State::Dead) {
        overview.tasks.entry(state).or_default();
    }
    Ok(overview)
}

fn queue(mut row: Row, now: Instant) -> Result<QueueView, Error> {
    Ok(QueueView { queue: row.text()?, ready: row.count()?, oldest_ready_ms: now.ms_since(row.time()?) })
}
