//! Everything at a glance.

use futures_util::future::{try_join, try_join_all};

use super::super::{Row, Session, agents, tasks::held};
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

/// Tasks and queues come from one look through one index, however many there are.
const STATEMENTS: [&str; 3] = [
    "-- workflows_by_state\nSELECT state, count(*) FROM workflow GROUP BY state",
    "-- tasks_by_state\nSELECT state, held, queue, count(*), min(since) FROM task_run GROUP BY state, held, queue",
    "-- tasks_dead\nSELECT ended, count(*) FROM task WHERE ended = 'dead' GROUP BY ended",
];
/// Queues shown.
const QUEUES_MAX: usize = 100;

/// Counts by state, what can be claimed, and who is there.
pub(super) async fn overview(session: &dyn Session, now: Instant) -> Result<Overview, Error> {
    let answers = try_join_all(STATEMENTS.map(|sql| session.rows(sql, &[])));
    let (answers, agents) = try_join(answers, agents::list::counts(session)).await?;
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or_default();
    let mut overview = Overview { agents, ..Overview::default() };
    for mut row in next() {
        overview.workflows.insert(super::flow::state(&row.text()?)?, row.count()?);
    }
    for row in next() {
        add(&mut overview, row, now)?;
    }
    overview.queues.sort_by(|a, b| a.queue.cmp(&b.queue));
    overview.queues.truncate(QUEUES_MAX);
    for mut row in next() {
        overview.tasks.insert(held::state(&row.text()?)?, row.count()?);
    }
    for state in workflows::State::ALL {
        overview.workflows.entry(state).or_default();
    }
    for state in State::ALL.into_iter().filter(|state| state.is_open() || *state == State::Dead) {
        overview.tasks.entry(state).or_default();
    }
    Ok(overview)
}

/// Tasks of one queue in one state.
fn add(overview: &mut Overview, mut row: Row, now: Instant) -> Result<(), Error> {
    let (state, held) = (held::state(&row.text()?)?, row.bool()?);
    let (queue, count, oldest) = (row.text()?, row.count()?, row.time()?);
    *overview.tasks.entry(state).or_default() += count;
    if state == State::Ready && !held {
        overview.queues.push(QueueView { queue, ready: count, oldest_ready_ms: now.ms_since(oldest) });
    }
    Ok(())
}
