//! This process says that it is there, and ends those that are gone.

use std::time::Duration;

use super::{Job, Report, Scope};
use crate::{clock::Instant, domain::sessions::BEAT, error::Error, services::sessions::Sessions};

/// Says that this process is there.
pub(super) struct Beat(pub(super) Sessions);

/// Ends processes that are gone.
pub(super) struct Reap(pub(super) Sessions);

#[async_trait::async_trait]
impl Job for Beat {
    fn name(&self) -> &'static str {
        "sign of life"
    }

    fn every(&self) -> Duration {
        BEAT
    }

    fn scope(&self) -> Scope {
        Scope::Process
    }

    async fn run_once(&self, now: Instant) -> Result<Report, Error> {
        self.0.beat(now).await?;
        // It happens all the time, and is no sign that something else does.
        Ok(Report::default())
    }
}

#[async_trait::async_trait]
impl Job for Reap {
    fn name(&self) -> &'static str {
        "gone processes"
    }

    fn every(&self) -> Duration {
        BEAT
    }

    /// Every process looks: only one on the same machine sees at once that another is gone.
    fn scope(&self) -> Scope {
        Scope::Process
    }

    async fn run_once(&self, now: Instant) -> Result<Report, Error> {
        let reaped = self.0.reap(now).await?;
        if reaped.sessions > 0 {
            tracing::info!(
                sessions = reaped.sessions,
                leases = reaped.ended.leases,
                locks = reaped.ended.locks,
                agents = reaped.ended.agents,
                "server processes are gone, and what they held is free"
            );
        }
        Ok(Report { changed: reaped.sessions })
    }
}
