//! Agents as they are shown.

use std::collections::BTreeMap;

use super::{names, status};
use crate::{
    domain::{
        agents::{AgentView, Counts, HeldTask, Status},
        json,
    },
    error::Error,
    store::sql::sql,
    store::{Row, Transaction, Value, payload},
};

/// Which agents.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// With this role.
    pub role: Option<String>,
    /// Who can do this.
    pub capability: Option<String>,
    /// Who are so.
    pub status: Option<Status>,
    /// Less the first.
    pub offset: u64,
    /// At the most.
    pub limit: u64,
}

/// Agents with how they are shown: who holds a task is busy, whatever it says.
macro_rules! agents_shown {
    () => {
        "(SELECT a.*, CASE WHEN a.status IN ('starting', 'idle') AND EXISTS (SELECT 1 \
         FROM task_run r WHERE r.owner = a.id AND r.state = 'leased') THEN 'busy' ELSE a.status END AS shown FROM agent a) b"
    };
}

/// Those that fit, and all of them counted.
pub(super) async fn list(transaction: &Transaction<'_>, asked: &List) -> Result<(Vec<AgentView>, Counts), Error> {
    // An unescaped quote after a comma begins an entry, the first one's bracket taken for a comma.
    let capability = asked.capability.as_ref().map(|name| format!(",{}", json::of(name)));
    let rows = transaction
        .query(sql!("-- agent_list\n\
                 SELECT id, role, shown, version, capabilities, metadata, metrics, registered_at, heartbeat_at, tasks_completed, \
                 tasks_failed, busy_ms FROM ", [agents_shown!()], " WHERE role = coalesce($1, role) AND shown = coalesce($2, shown) \
                 AND coalesce(replace(',' || substr(capabilities, 2), $3, '') <> ',' || substr(capabilities, 2), 1 = 1) \
                 ORDER BY id LIMIT $4 OFFSET $5"),
            &[
                asked.role.as_ref().into(),
                asked.status.map(|status| status.as_str()).into(),
                capability.as_ref().into(),
                i64::try_from(asked.limit).unwrap_or(i64::MAX).into(),
                i64::try_from(asked.offset).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    let mut agents = rows.into_iter().map(agent).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<String> = agents.iter().map(|agent| agent.id.clone()).collect();
    let mut held = held(transaction, &ids).await?;
    for agent in &mut agents {
        agent.tasks = held.remove(&agent.id).unwrap_or_default();
    }
    Ok((agents, counts(transaction).await?))
}

fn agent(mut row: Row) -> Result<AgentView, Error> {
    Ok(AgentView {
        id: row.text()?,
        role: row.text()?,
        status: status(&row.text()?)?,
        version: row.integer()?,
        capabilities: names(&row.text()?)?,
        metadata: payload::json(&mut row)?,
        metrics: payload::json(&mut row)?,
        registered_at: row.time()?,
        heartbeat_at: row.time()?,
        tasks_completed: row.integer()?,
        tasks_failed: row.integer()?,
        busy_ms: row.integer()?,
        tasks: Vec::new(),
    })
}

async fn held(transaction: &Transaction<'_>, ids: &[String]) -> Result<BTreeMap<String, Vec<HeldTask>>, Error> {
    let rows = transaction
        .query(sql!("-- agent_tasks\n\
             SELECT owner, task_id, workflow_id, lease_until FROM task_run WHERE owner ", (any 1), " AND state = 'leased' \
             ORDER BY owner, claimed_at, task_id"),
            &[Value::Texts(ids)],
        )
        .await?;
    let mut held: BTreeMap<String, Vec<HeldTask>> = BTreeMap::new();
    for mut row in rows {
        let owner = row.text()?;
        let task = HeldTask { task_id: row.text()?, workflow_id: row.text_or_none()?, lease_until: row.time()? };
        held.entry(owner).or_default().push(task);
    }
    Ok(held)
}

/// All agents by how they are.
pub(in crate::store) async fn counts(transaction: &Transaction<'_>) -> Result<Counts, Error> {
    let sql = sql!("-- agent_counts\nSELECT shown, count(*) FROM ", [agents_shown!()], " GROUP BY shown");
    let rows = transaction.query(sql, &[]).await?;
    rows.into_iter().map(|mut row| Ok((status(&row.text()?)?, row.count()?))).collect()
}
