//! A job that is one transition of a store: it is repeated while there is more.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{Job, Report};
use crate::{clock::Instant, error::Error};

/// Repeats of a transition in one run. What is left then comes in the next.
const REPEATS_MAX: usize = 20;

/// What is done: how many things were changed, of which one transaction takes a bounded number.
type Run<S> = for<'a> fn(&'a S, Instant) -> BoxFuture<'a, Result<u64, Error>>;

/// A transition that time brings about.
pub struct Transition<S> {
    name: &'static str,
    every: Duration,
    of: S,
    run: Run<S>,
}

impl<S: Send + Sync + 'static> Transition<S> {
    /// `run`, not more often than `every`.
    pub fn of(name: &'static str, every: Duration, of: S, run: Run<S>) -> Arc<dyn Job> {
        Arc::new(Self { name, every, of, run })
    }
}

#[async_trait::async_trait]
impl<S: Send + Sync> Job for Transition<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn every(&self) -> Duration {
        self.every
    }

    async fn run_once(&self, now: Instant) -> Result<Report, Error> {
        let mut report = Report::default();
        for _ in 0..REPEATS_MAX {
            match (self.run)(&self.of, now).await? {
                0 => break,
                changed => report.changed += changed,
            }
        }
        Ok(report)
    }
}
