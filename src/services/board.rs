//! How everything stands: workflows, tasks, agents, and what they stand on.

use std::sync::Arc;

use super::{
    ops::Ops,
    workflows::{Status, Workflows, request::StatusRequest},
};
use crate::{
    domain::{
        ops::{BackendStatus, Load},
        workflows::view::Overview,
    },
    error::Error,
    ports::process::Process,
};

/// The whole board.
#[derive(Clone)]
pub struct Board {
    workflows: Workflows,
    ops: Ops,
    process: Arc<dyn Process>,
}

/// What a look showed.
pub enum Answer {
    /// One workflow or task.
    One(Box<Status>),
    /// Everything.
    All(Box<Glance>),
}

/// Everything at a glance.
pub struct Glance {
    /// Counts.
    pub overview: Overview,
    /// Each backend, freshly looked at.
    pub backends: Vec<BackendStatus>,
    /// What an accepted write is worth.
    pub durability: &'static str,
    /// What this process takes.
    pub load: Load,
}

impl Board {
    /// Over what it shows.
    pub fn new(workflows: Workflows, ops: Ops, process: Arc<dyn Process>) -> Self {
        Self { workflows, ops, process }
    }

    /// One workflow or task, or everything.
    pub async fn status(&self, request: Option<StatusRequest>) -> Result<Answer, Error> {
        if let Some(request) = request {
            return self.workflows.status(request).await.map(|status| Answer::One(Box::new(status)));
        }
        let (overview, backends) = tokio::join!(self.workflows.overview(), self.ops.backends());
        let store = backends.iter().find(|backend| backend.name == "store");
        let durability = match store.map(|store| store.kind) {
            Some("postgresql") => "every accepted write is on disk (postgresql, synchronous_commit=on)",
            _ => "every accepted write is on disk (sqlite, synchronous=FULL)",
        };
        let load = self.process.load();
        Ok(Answer::All(Box::new(Glance { overview: overview?, backends, durability, load })))
    }
}
