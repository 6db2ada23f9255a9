//! Ends of workflows are told to who asked for it.

use std::time::Duration;

use super::{Job, Report, Scope};
use crate::{clock::Instant, error::Error, services::webhooks::Webhooks};

/// Makes messages of events.
pub(super) struct FanOut(pub(super) Webhooks);

/// Sends messages.
pub(super) struct Deliver(pub(super) Webhooks);

#[async_trait::async_trait]
impl Job for FanOut {
    fn name(&self) -> &'static str {
        "webhook messages"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run_once(&self, now: Instant) -> Result<Report, Error> {
        Ok(Report { changed: self.0.fan_out(now).await? })
    }
}

#[async_trait::async_trait]
impl Job for Deliver {
    fn name(&self) -> &'static str {
        "webhook deliveries"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn scope(&self) -> Scope {
        Scope::Outside
    }

    async fn run_once(&self, _now: Instant) -> Result<Report, Error> {
        Ok(Report { changed: self.0.deliver().await? })
    }
}
