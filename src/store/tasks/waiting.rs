//! What tasks wait for: by their states, and by who is there to do them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    super::{Row, Transaction, Value, agents},
    held,
};
use crate::{
    domain::tasks::{
        State,
        waiting::{Unclaimed, WaitingFor, Waits},
    },
    error::{Code, Error},
    store::Sql,
    store::sql::sql,
};

/// Queues to look at, for who has claimed nothing.
#[derive(Debug, Clone)]
pub struct LookForWaiting {
    /// Who.
    pub agent_id: String,
    /// Which queues; none for all.
    pub queues: Option<Vec<String>>,
}

/// Tasks of queues that are counted at the most.
const COUNTED_MAX: i64 = 10_000;
/// Names of capabilities that an answer holds at the most.
const NAMES_MAX: usize = 20;

/// Combinations of capabilities by their rows; 0, which is none, is not among them.
pub(in crate::store) type Sets = BTreeMap<i64, Vec<String>>;

/// All combinations that tasks have asked for.
pub(super) async fn sets(transaction: &Transaction<'_>) -> Result<Sets, Error> {
    let read = |mut row: Row| {
        let (id, needed) = (row.integer()?, row.text()?);
        let needed = serde_json::from_str(&needed)
            .map_err(|error| Error::new(Code::Internal, "a stored set of capabilities cannot be read").cause(error))?;
        Ok((id, needed))
    };
    let rows =
        transaction.query(Sql::both("-- capability_sets\nSELECT id, capabilities FROM capability_set"), &[]).await?;
    rows.into_iter().map(read).collect()
}

/// The combinations that no agent has who is there.
pub(in crate::store) async fn missing(transaction: &Transaction<'_>) -> Result<Sets, Error> {
    let mut sets = sets(transaction).await?;
    if sets.is_empty() {
        return Ok(sets);
    }
    let sql =
        Sql::both("-- agents_able\nSELECT DISTINCT capabilities FROM agent WHERE status NOT IN ('stopped', 'lost')");
    for mut row in transaction.query(sql, &[]).await? {
        let able: HashSet<String> = agents::names(&row.text()?)?.into_iter().collect();
        sets.retain(|_, needed| !needed.iter().all(|one| able.contains(one)));
    }
    Ok(sets)
}

/// Adds tasks to those that wait.
pub(in crate::store) fn add(waits: &mut Waits, waiting_for: Option<WaitingFor>, count: u64) {
    if let Some(waiting_for) = waiting_for {
        *waits.entry(waiting_for).or_default() += count;
    }
}

/// What the tasks of workflows wait for.
pub(in crate::store) async fn of_workflows(
    transaction: &Transaction<'_>,
    ids: &[String],
) -> Result<BTreeMap<String, Waits>, Error> {
    let mut all: BTreeMap<String, Waits> = BTreeMap::new();
    if ids.is_empty() {
        return Ok(all);
    }
    let found = transaction
        .query(
            sql!("-- workflows_waits\n\
             SELECT workflow_id, state, held, capability_set, count(*) FROM task_run \
             WHERE workflow_id ", (any 1), " AND state <> 'leased' GROUP BY workflow_id, state, held, capability_set"),
            &[Value::Texts(ids)],
        )
        .await?;
    let mut groups = Vec::with_capacity(found.len());
    for mut row in found {
        groups.push((row.text()?, held::state(&row.text()?)?, row.bool()?, row.integer()?, row.count()?));
    }
    let asks = groups.iter().any(|(_, state, held, set, _)| *state == State::Ready && !held && *set != 0);
    let missing = if asks { missing(transaction).await? } else { Sets::new() };
    for (id, state, held, set, count) in groups {
        let waiting_for = WaitingFor::of(state, held, !missing.contains_key(&set));
        add(all.entry(id).or_default(), waiting_for, count);
    }
    Ok(all)
}

/// What queues hold that an agent cannot claim.
pub(super) async fn unclaimed(transaction: &Transaction<'_>, asked: &LookForWaiting) -> Result<Unclaimed, Error> {
    let able: HashSet<String> =
        agents::able(transaction, &asked.agent_id).await?.unwrap_or_default().into_iter().collect();
    let mut unclaimed = Unclaimed::default();
    let (mut counted, mut lacking, mut known) = (0, BTreeSet::new(), None);
    for mut row in groups(transaction, asked.queues.as_deref()).await? {
        let (state, held, set) = (held::state(&row.text()?)?, row.bool()?, row.integer()?);
        let (count, run_at) = (row.count()?, row.time_or_none()?);
        counted += count;
        if known.is_none() && set != 0 {
            known = Some(sets(transaction).await?);
        }
        let needed = known.as_ref().and_then(|known| known.get(&set)).map_or(&[][..], Vec::as_slice);
        let lacks: Vec<&String> = needed.iter().filter(|one| !able.contains(*one)).collect();
        let waiting_for = WaitingFor::of(state, held, lacks.is_empty());
        match waiting_for {
            None => unclaimed.leased += count,
            Some(WaitingFor::Capability) => lacking.extend(lacks.into_iter().cloned()),
            Some(WaitingFor::RunAt) if !held => {
                unclaimed.next_run_at = unclaimed.next_run_at.into_iter().chain(run_at).min();
            }
            Some(_) => {}
        }
        add(&mut unclaimed.waits, waiting_for, count);
    }
    unclaimed.more = counted > COUNTED_MAX.unsigned_abs();
    unclaimed.lacking = lacking.into_iter().take(NAMES_MAX).collect();
    Ok(unclaimed)
}

/// Tasks of queues (none: all), by what decides, up to a bound.
async fn groups(transaction: &Transaction<'_>, queues: Option<&[String]>) -> Result<Vec<Row>, Error> {
    let most = (COUNTED_MAX + 1).into();
    match queues {
        None => {
            transaction
                .query(Sql::both("-- tasks_unclaimed\n\
                     SELECT state, held, capability_set, count(*), min(run_at) FROM \
                     (SELECT state, held, capability_set, run_at FROM task_run LIMIT $1) AS counted \
                     GROUP BY state, held, capability_set"),
                    &[most],
                )
                .await
        }
        // By the index of states, which holds the queue too.
        Some(queues) => {
            transaction
                .query(sql!("-- tasks_unclaimed_of\n\
                     SELECT state, held, capability_set, count(*), min(run_at) FROM \
                     (SELECT state, held, capability_set, run_at FROM task_run WHERE state IN ('blocked', 'scheduled', 'ready', \
                     'leased', 'parked', 'retry_wait') AND held IN (false, true) AND queue ", (any 1), " LIMIT $2) AS counted \
                     GROUP BY state, held, capability_set"),
                    &[Value::Texts(queues), most],
                )
                .await
        }
    }
}
