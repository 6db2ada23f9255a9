//! Everything at a glance.

use futures_util::future::{try_join, try_join_all};

use super::super::{
    Row, Transaction, Value, agents,
    tasks::{held, waiting},
};
use crate::{
    clock::Instant,
    domain::{
        tasks::{State, waiting::WaitingFor},
        workflows::{
            self,
            view::{Overview, QueueView},
        },
    },
    error::Error,
    store::Sql,
    store::sql::sql,
};

/// Tasks and queues come from one look through one index, however many there are.
const STATEMENTS: [Sql; 3] = [
    Sql::both("-- workflows_by_state\nSELECT state, count(*) FROM workflow GROUP BY state"),
    Sql::both(
        "-- tasks_by_state\nSELECT state, held, queue, count(*), min(since) FROM task_run GROUP BY state, held, queue",
    ),
    Sql::both("-- tasks_dead\nSELECT ended, count(*) FROM task WHERE ended = 'dead' GROUP BY ended"),
];
/// Queues shown.
const QUEUES_MAX: usize = 100;

/// Counts by state, what can be claimed, and who is there.
pub(super) async fn overview(transaction: &Transaction<'_>, now: Instant) -> Result<Overview, Error> {
    let answers = try_join_all(STATEMENTS.map(|sql| transaction.query(sql, &[])));
    let (answers, agents) = try_join(answers, agents::list::counts(transaction)).await?;
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
    wants(transaction, &mut overview).await?;
    for state in workflows::State::ALL {
        overview.workflows.entry(state).or_default();
    }
    for state in State::ALL.into_iter().filter(|state| state.is_open() || *state == State::Dead) {
        overview.tasks.entry(state).or_default();
    }
    Ok(overview)
}

/// Tasks that nobody who is there can do; workflows, and tasks of none, at which somebody has to look.
async fn wants(transaction: &Transaction<'_>, overview: &mut Overview) -> Result<(), Error> {
    let missing = waiting::missing(transaction).await?;
    let ids: Vec<i64> = missing.keys().copied().collect();
    let mut found = Vec::new();
    if !ids.is_empty() {
        let sql = sql!("-- tasks_unable\n\
             SELECT capability_set, count(*) FROM task_run WHERE state = 'ready' AND NOT held AND capability_set ", (any 1), " \
             GROUP BY capability_set ORDER BY capability_set");
        found = transaction.query(sql, &[Value::Integers(&ids)]).await?;
    }
    let mut count = 0;
    for mut row in found {
        let set = row.integer()?;
        count += row.count()?;
        overview.missing.extend(missing.get(&set).cloned());
    }
    overview.missing.truncate(MISSING_MAX);
    for waiting_for in WaitingFor::ALL {
        overview.waits.entry(waiting_for).or_default();
    }
    if count > 0 {
        waiting::add(&mut overview.waits, Some(WaitingFor::Capability), count);
        overview.waits.entry(WaitingFor::Nothing).and_modify(|claimable| *claimable = claimable.saturating_sub(count));
    }
    let (sql, values) =
        if count == 0 { (ATTENTION, &[][..]) } else { (ATTENTION_OR_UNABLE, &[Value::Integers(&ids)][..]) };
    let found = transaction.query(sql, values).await?;
    overview.needs_attention = found.into_iter().next().map_or(Ok(0), |mut row| row.count())?;
    Ok(())
}

const ATTENTION: Sql = Sql::both(
    "-- work_attention\n\
    SELECT (SELECT count(*) FROM workflow WHERE completed_at IS NULL AND (needs_attention OR tasks_parked > 0)) \
    + (SELECT count(*) FROM task_run WHERE workflow_id IS NULL AND state = 'parked')",
);
const ATTENTION_OR_UNABLE: Sql = sql!("-- work_attention_or_unable\n\
    SELECT (SELECT count(*) FROM workflow WHERE completed_at IS NULL AND (needs_attention OR tasks_parked > 0 OR id IN \
    (SELECT workflow_id FROM task_run WHERE state = 'ready' AND NOT held AND capability_set ", (any 1), "))) \
    + (SELECT count(*) FROM task_run WHERE workflow_id IS NULL AND state = 'parked') \
    + (SELECT count(*) FROM task_run WHERE workflow_id IS NULL AND state = 'ready' AND capability_set ", (any 1), ")");
/// Combinations of capabilities shown.
const MISSING_MAX: usize = 20;

/// Tasks of one queue in one state.
fn add(overview: &mut Overview, mut row: Row, now: Instant) -> Result<(), Error> {
    let (state, held) = (held::state(&row.text()?)?, row.bool()?);
    let (queue, count, oldest) = (row.text()?, row.count()?, row.time()?);
    *overview.tasks.entry(state).or_default() += count;
    // Those that nobody can do are told apart later.
    waiting::add(&mut overview.waits, WaitingFor::of(state, held, true), count);
    if state == State::Ready && !held {
        overview.queues.push(QueueView { queue, ready: count, oldest_ready_ms: now.ms_since(oldest) });
    }
    Ok(())
}
