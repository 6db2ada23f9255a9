//! Tools about agents.

use std::collections::BTreeMap;

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Json, Keyed, Parameters, ToolError, Tools,
    raw::{Lenient, Object},
};
use crate::{
    domain::agents::{AgentView, HeldTask},
    services::agents::{AgentFilter, AgentList, AgentReport, Registration},
};

/// Arguments of register_agent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterAgent {
    /// What it is for, e.g. writer.
    #[serde(alias = "agent_type", alias = "type", alias = "agent_role")]
    #[schemars(extend("x-aliases" = ["agent_type", "type", "agent_role"]))]
    role: String,
    /// Its own id (default: a new one).
    agent_id: Option<String>,
    /// What it can do.
    capabilities: Option<Lenient<Vec<String>>>,
    /// model, port, process_id, …
    #[serde(alias = "configuration", alias = "config")]
    #[schemars(extend("x-aliases" = ["configuration", "config"]))]
    metadata: Option<Object>,
    /// Default idle.
    status: Option<String>,
    /// As returned before, to register again.
    agent_token: Option<String>,
}

/// Answer of register_agent.
#[derive(Serialize, JsonSchema)]
pub struct RegisterAnswer {
    agent_id: String,
    agent_token: String,
    version: i64,
    status: &'static str,
}

/// Arguments of list_agents.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAgents {
    #[serde(alias = "agent_type", alias = "type", alias = "agent_role")]
    #[schemars(extend("x-aliases" = ["agent_type", "type", "agent_role"]))]
    role: Option<String>,
    /// Only those that have it.
    capability: Option<String>,
    /// idle, busy, lost, stopped, …
    status: Option<String>,
    /// Default 50.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u64>,
    cursor: Option<String>,
}

/// Answer of list_agents.
#[derive(Serialize, JsonSchema)]
pub struct ListAnswer {
    counts: BTreeMap<&'static str, u64>,
    next: Option<String>,
    untrusted: bool,
    agents: Vec<AgentRow>,
}

#[derive(Serialize, JsonSchema)]
struct AgentRow {
    agent_id: String,
    role: String,
    status: &'static str,
    version: i64,
    capabilities: Vec<String>,
    last_heartbeat: String,
    started_at: String,
    current_task_id: Option<String>,
    current_tasks: Vec<TaskRow>,
    task_count: i64,
    success_rate: Option<f64>,
    average_response_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Object>,
}

#[derive(Serialize, JsonSchema)]
struct TaskRow {
    task_id: String,
    workflow_id: Option<String>,
    lease_until: String,
}

/// Arguments of update_agent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAgent {
    agent_id: String,
    /// idle, busy, stopped, error, …
    status: Option<String>,
    /// memory_usage, cpu_usage, degraded, …
    metrics: Option<Object>,
    /// Replaces the old one.
    #[serde(alias = "configuration", alias = "config")]
    #[schemars(extend("x-aliases" = ["configuration", "config"]))]
    metadata: Option<Object>,
    /// Refused when the version has changed.
    expected_version: Option<i64>,
}

/// Answer of update_agent.
#[derive(Serialize, JsonSchema)]
pub struct UpdateAnswer {
    agent_id: String,
    version: i64,
    status: &'static str,
}

#[tool_router(router = agent_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Register an agent with its role and capabilities, before it claims tasks.
    #[tool]
    async fn register_agent(
        &self,
        Parameters(arguments): Parameters<RegisterAgent>,
        Keyed(key): Keyed,
    ) -> Result<Json<RegisterAnswer>, ToolError> {
        let registration = Registration {
            agent_id: arguments.agent_id,
            role: arguments.role,
            capabilities: arguments.capabilities.map(|Lenient(names)| names).unwrap_or_default(),
            metadata: arguments.metadata.map(|Object(json)| json),
            status: arguments.status,
            token: arguments.agent_token,
            key,
        };
        let registered = self.app.agents.register(registration).await?;
        Ok(Json(RegisterAnswer {
            agent_id: registered.agent_id,
            agent_token: registered.token,
            version: registered.version,
            status: registered.status.as_str(),
        }))
    }

    /// List agents: role, status, last heartbeat, current tasks, success rate.
    #[tool]
    async fn list_agents(&self, Parameters(arguments): Parameters<ListAgents>) -> Result<Json<ListAnswer>, ToolError> {
        let filter = AgentFilter {
            role: arguments.role,
            capability: arguments.capability,
            status: arguments.status,
            limit: arguments.limit,
            cursor: arguments.cursor,
        };
        Ok(Json(self.app.agents.list(filter).await?.into()))
    }

    /// Report an agent's status, metrics or metadata. Any call that names it counts as its heartbeat.
    #[tool]
    async fn update_agent(
        &self,
        Parameters(arguments): Parameters<UpdateAgent>,
        Keyed(key): Keyed,
    ) -> Result<Json<UpdateAnswer>, ToolError> {
        let agent_id = arguments.agent_id.clone();
        let report = AgentReport {
            agent_id: arguments.agent_id,
            status: arguments.status,
            metrics: arguments.metrics.map(|Object(json)| json),
            metadata: arguments.metadata.map(|Object(json)| json),
            expected_version: arguments.expected_version,
            key,
        };
        let updated = self.app.agents.update(report).await?;
        Ok(Json(UpdateAnswer { agent_id, version: updated.version, status: updated.status.as_str() }))
    }
}

impl From<AgentList> for ListAnswer {
    fn from(list: AgentList) -> Self {
        let total = list.counts.values().sum();
        let by_status = list.counts.into_iter().map(|(status, count)| (status.as_str(), count));
        Self {
            counts: by_status.chain([("total", total)]).collect(),
            next: list.next,
            untrusted: true,
            agents: list.agents.into_iter().map(AgentRow::from).collect(),
        }
    }
}

impl From<AgentView> for AgentRow {
    fn from(agent: AgentView) -> Self {
        Self {
            success_rate: agent.success_rate(),
            average_response_time: agent.task_seconds(),
            agent_id: agent.id,
            role: agent.role,
            status: agent.status.as_str(),
            version: agent.version,
            capabilities: agent.capabilities,
            last_heartbeat: agent.heartbeat_at.rfc3339(),
            started_at: agent.registered_at.rfc3339(),
            current_task_id: agent.tasks.first().map(|task| task.task_id.clone()),
            current_tasks: agent.tasks.into_iter().map(TaskRow::from).collect(),
            task_count: agent.tasks_completed + agent.tasks_failed,
            metrics: agent.metrics.map(Object),
            metadata: agent.metadata.map(Object),
        }
    }
}

impl From<HeldTask> for TaskRow {
    fn from(task: HeldTask) -> Self {
        Self { task_id: task.task_id, workflow_id: task.workflow_id, lease_until: task.lease_until.rfc3339() }
    }
}
