//! The rounds of jobs, with jobs of the tests' own.

use std::{sync::Arc, time::Duration};

use callboard::{
    adapters::sqlite::store::RecordFile,
    background::Background,
    clock::{Instant, SystemClock},
    config::Migrate,
    error::Error,
    jobs::{Beside, Job, Jobs, Report, Scope},
    store::Store,
};
use tokio::{sync::Notify, time::timeout};

use crate::support::patience::{PATIENCE, SOON};

/// A job that waits for somebody outside, who may never answer.
struct Outside {
    name: &'static str,
    answers: bool,
    began: Notify,
}

#[async_trait::async_trait]
impl Job for Outside {
    fn name(&self) -> &'static str {
        self.name
    }

    fn every(&self) -> Duration {
        Duration::ZERO
    }

    fn scope(&self) -> Scope {
        Scope::Outside
    }

    async fn run_once(&self, _now: Instant) -> Result<Report, Error> {
        self.began.notify_one();
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(Report { changed: 1 })
    }
}

#[tokio::test]
async fn an_outside_job_that_never_ends_holds_back_no_other() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::new(Arc::new(RecordFile::new(home.path().join("callboard.db"), Migrate::Auto)));
    let [silent, prompt] = [("silent", false), ("prompt", true)]
        .map(|(name, answers)| Arc::new(Outside { name, answers, began: Notify::new() }));
    let background = Background::default();
    let beside = Beside { background: background.clone(), something_is_kept: true };
    let all: Vec<Arc<dyn Job>> = vec![silent.clone(), prompt.clone()];
    Jobs::new(all, Arc::new(store), Arc::new(SystemClock), Arc::default(), beside).start();
    timeout(PATIENCE, silent.began.notified()).await.unwrap();
    // The second run comes after the silent one has begun.
    for _ in 0..2 {
        timeout(PATIENCE, prompt.began.notified()).await.unwrap();
    }
    background.stop(SOON).await;
}
