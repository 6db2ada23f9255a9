//! What transitions of workflows answer, and what their workers are told.

use serde::{Deserialize, Serialize};

use super::{
    State,
    view::{Carried, Created, TaskView, WorkflowView},
};
use crate::domain::json::Json;

/// What a workflow's workers are told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signal {
    /// What it is about.
    pub name: String,
    /// Whatever belongs to it.
    pub payload: Option<Json>,
}

/// A workflow after a change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Changed {
    /// Which.
    pub workflow_id: String,
    /// Where it stands now.
    pub state: State,
    /// Its version now.
    pub version: i64,
    /// The new workflow, on fork.
    pub fork: Option<Created>,
}

/// A workflow with what was asked for.
#[derive(Debug, Clone)]
pub struct Found {
    /// The workflow. None when the id was that of a task of no workflow.
    pub workflow: Option<WorkflowView>,
    /// The task whose id it was.
    pub task: Option<TaskView>,
    /// Input, result, error.
    pub carried: Carried,
    /// Its tasks.
    pub tasks: Vec<TaskView>,
    /// Tasks were asked for.
    pub with_tasks: bool,
}
