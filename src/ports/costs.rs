//! What was spent, by day.

use crate::error::Error;

/// Costs are written down as they come, and summed up later.
#[async_trait::async_trait]
pub trait CostStore: Send + Sync {
    /// Adds costs to those of their day, up to so many, each exactly once. How many.
    async fn roll_up(&self) -> Result<u64, Error>;
}
