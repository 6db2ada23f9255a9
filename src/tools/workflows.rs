//! Tools for orchestrators: workflows, their status, history and figures.

mod change;
mod figures;
mod status;

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    change::{ChangeAnswer, CompleteWorkflow, ControlWorkflow, CreateAnswer, CreateWorkflow},
    figures::{AnalyticsAnswer, EventsAnswer, GetAnalytics, GetEvents},
    status::{GetStatus, StatusAnswer, WorkflowRow},
};
use super::{Json, Keyed, Parameters, ToolError, Tools, arguments::Moment};
use crate::{domain::workflows::State, services::workflows::request::ListRequest};

/// Arguments of list_workflows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListWorkflows {
    /// open: any that has not ended.
    #[schemars(extend("enum" = listed_states()))]
    state: Option<String>,
    r#type: Option<String>,
    /// RFC 3339.
    created_after: Option<Moment>,
    /// Words in name, id or reason.
    text: Option<String>,
    #[schemars(range(min = 1, max = 10_000))]
    limit: Option<u64>,
    cursor: Option<String>,
}

/// What list_workflows takes for a state.
fn listed_states() -> Vec<&'static str> {
    State::ALL.into_iter().map(State::as_str).chain(["open"]).collect()
}

/// Answer of list_workflows.
#[derive(Serialize, JsonSchema)]
pub struct ListAnswer {
    next: Option<String>,
    workflows: Vec<WorkflowRow>,
}

#[tool_router(router = workflow_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Create a workflow of tasks that agents claim: with dependencies, priorities, retries, a deadline and a budget.
    #[tool]
    async fn create_workflow(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<CreateWorkflow>,
    ) -> Result<Json<CreateAnswer>, ToolError> {
        Ok(Json(self.app.workflows.create(arguments.into(), key).await?.into()))
    }

    /// Show the state of work: everything at a glance, or one workflow or task; can wait for changes.
    #[tool]
    async fn get_orchestration_status(
        &self,
        Parameters(arguments): Parameters<GetStatus>,
    ) -> Result<Json<StatusAnswer>, ToolError> {
        Ok(Json(self.app.board.status(arguments.request()?).await?.into()))
    }

    /// List workflows, newest first.
    #[tool]
    async fn list_workflows(
        &self,
        Parameters(arguments): Parameters<ListWorkflows>,
    ) -> Result<Json<ListAnswer>, ToolError> {
        let ListWorkflows { state, r#type, created_after, text, limit, cursor } = arguments;
        let created_after = created_after.map(|moment| moment.0);
        let request = ListRequest { state, kind: r#type, created_after, text, limit, cursor };
        let (workflows, next) = self.app.workflows.list(request).await?;
        Ok(Json(ListAnswer { next, workflows: workflows.into_iter().map(Into::into).collect() }))
    }

    /// End a workflow as completed, failed or cancelled. One whose tasks are all done completes on its own; this adds its result.
    #[tool]
    async fn complete_workflow(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<CompleteWorkflow>,
    ) -> Result<Json<ChangeAnswer>, ToolError> {
        Ok(Json(self.app.workflows.complete(arguments.into(), key).await?.into()))
    }

    /// Start, pause, resume, cancel or signal a workflow, or fork an ended one: the new one continues from its completed tasks.
    #[tool]
    async fn control_workflow(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<ControlWorkflow>,
    ) -> Result<Json<ChangeAnswer>, ToolError> {
        Ok(Json(self.app.workflows.control(arguments.into(), key).await?.into()))
    }

    /// Show the durable history of a workflow or task, or what an agent did, oldest first.
    #[tool]
    async fn get_events(&self, Parameters(arguments): Parameters<GetEvents>) -> Result<Json<EventsAnswer>, ToolError> {
        let (events, next) = self.app.workflows.events(arguments.request()?).await?;
        Ok(Json(EventsAnswer::new(events, next)))
    }

    /// Get figures over ended workflows: success rate, duration, cost, throughput; failures with their errors, also of open ones.
    #[tool]
    async fn get_analytics(
        &self,
        Parameters(arguments): Parameters<GetAnalytics>,
    ) -> Result<Json<AnalyticsAnswer>, ToolError> {
        Ok(Json(AnalyticsAnswer::new(self.app.workflows.analytics(arguments.into()).await?)))
    }
}
