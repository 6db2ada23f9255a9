//! Agents as they are shown.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{names, status};
use crate::{
    adapters::records::{Row, Session, Value},
    domain::{
        agents::{AgentView, Counts, HeldTask},
        json::{self, Json},
    },
    error::{Code, Error},
    ports::agents::List,
};

/// Those that fit, and all of them counted.
pub(super) async fn list(session: &dyn Session, asked: &List) -> Result<(Vec<AgentView>, Counts), Error> {
    // An unescaped quote after a comma begins an entry, the first one's bracket taken for a comma.
    let capability = asked.capability.as_ref().map(|name| format!(",{}", json::of(name)));
    // Who holds a task is busy, whatever it says.
    let rows = session
        .rows(
            "-- agent_list\n\
             SELECT id, role, shown, version, capabilities, metadata, metrics, registered_at, heartbeat_at, tasks_completed, \
             tasks_failed, busy_ms FROM (SELECT a.*, CASE WHEN a.status IN ('starting', 'idle') AND EXISTS (SELECT 1 \
             FROM task_run r WHERE r.owner = a.id AND r.state = 'leased') THEN 'busy' ELSE a.status END AS shown FROM agent a) b \
             WHERE role = coalesce($1, role) AND shown = coalesce($2, shown) \
             AND coalesce(replace(',' || substr(capabilities, 2), $3, '') <> ',' || substr(capabilities, 2), 1 = 1) ORDER BY id LIMIT $4 OFFSET $5",
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
    let mut held = held(session, &ids).await?;
    for agent in &mut agents {
        agent.tasks = held.remove(&agent.id).unwrap_or_default();
    }
    Ok((agents, counts(session).await?))
}

fn agent(mut row: Row) -> Result<AgentView, Error> {
    Ok(AgentView {
        id: row.text()?,
        role: row.text()?,
        status: status(&row.text()?)?,
        version: row.integer()?,
        capabilities: names(&row.text()?)?,
        metadata: kept(row.text_or_none()?)?,
        metrics: kept(row.text_or_none()?)?,
        registered_at: row.time()?,
        heartbeat_at: row.time()?,
        tasks_completed: row.integer()?,
        tasks_failed: row.integer()?,
        busy_ms: row.integer()?,
        tasks: Vec::new(),
    })
}

async fn held(session: &dyn Session, ids: &[String]) -> Result<BTreeMap<String, Vec<HeldTask>>, Error> {
    let rows = session
        .rows(
            "-- agent_tasks\n\
             SELECT owner, task_id, workflow_id, lease_until FROM task_run WHERE owner = ANY($1) AND state = 'leased' \
             ORDER BY owner, claimed_at, task_id",
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
async fn counts(session: &dyn Session) -> Result<Counts, Error> {
    let rows = session
        .rows(
            "-- agent_counts\n\
             SELECT shown, count(*) FROM (SELECT CASE WHEN a.status IN ('starting', 'idle') AND EXISTS (SELECT 1 \
             FROM task_run r WHERE r.owner = a.id AND r.state = 'leased') THEN 'busy' ELSE a.status END AS shown FROM agent a) b \
             GROUP BY shown",
            &[],
        )
        .await?;
    rows.into_iter().map(|mut row| Ok((status(&row.text()?)?, row.count()?))).collect()
}

fn kept(text: Option<String>) -> Result<Option<Json>, Error> {
    text.map(RawValue::from_string)
        .transpose()
        .map_err(|error| Error::new(Code::Internal, "stored JSON cannot be read").cause(error))
}
