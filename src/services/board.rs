//! How everything stands: workflows, tasks, agents, and what they stand on.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    ops::Ops,
    workflows::{Status, Workflows, request::StatusRequest},
};
use crate::{
    clock::{Clock, Instant},
    domain::{
        ops::{BackendStatus, Load},
        workflows::view::Overview,
    },
    error::{Code, Error},
    ports::process::Process,
};

/// The whole board.
#[derive(Clone)]
pub struct Board {
    workflows: Workflows,
    ops: Ops,
    process: Arc<dyn Process>,
    clock: Arc<dyn Clock>,
    /// What the last look showed, for when the record store cannot be asked.
    seen: Arc<Mutex<Option<(Overview, Instant)>>>,
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
    /// Counts; none when they cannot be looked at and never were.
    pub overview: Option<Overview>,
    /// Since when nobody could look.
    pub stale_as_of: Option<Instant>,
    /// Each backend, freshly looked at.
    pub backends: Vec<BackendStatus>,
    /// What an accepted write is worth.
    pub durability: &'static str,
    /// What this process takes.
    pub load: Load,
}

impl Board {
    /// Over what it shows.
    pub fn new(workflows: Workflows, ops: Ops, process: Arc<dyn Process>, clock: Arc<dyn Clock>) -> Self {
        Self { workflows, ops, process, clock, seen: Arc::default() }
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
        let (overview, stale_as_of) = self.known(overview)?;
        Ok(Answer::All(Box::new(Glance { overview, stale_as_of, backends, durability, load })))
    }

    /// What was looked at now, else what is remembered: the rest of the answer says what is wrong with the store.
    fn known(&self, looked: Result<Overview, Error>) -> Result<(Option<Overview>, Option<Instant>), Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match looked {
            Ok(overview) => {
                *seen = Some((overview.clone(), self.clock.now()));
                Ok((Some(overview), None))
            }
            Err(error) if matches!(error.code, Code::Unavailable | Code::Timeout | Code::Busy) => {
                Ok(seen.clone().map_or((None, None), |(overview, at)| (Some(overview), Some(at))))
            }
            Err(error) => Err(error),
        }
    }
}
