//! Who does the work of all.

use crate::{clock::Instant, error::Error};

/// One process at a time for each name.
#[async_trait::async_trait]
pub trait LeaderStore: Send + Sync {
    /// Who leads now, if anybody does.
    async fn leader(&self, name: &str, now: Instant) -> Result<Option<String>, Error>;

    /// Leads until then, unless somebody else does.
    async fn lead(&self, name: &str, holder: &str, now: Instant, until: Instant) -> Result<bool, Error>;

    /// Leads no longer, if it did: somebody else may at once.
    async fn step_down(&self, name: &str, holder: &str) -> Result<(), Error>;
}
