//! The record store itself, whatever is kept there.

use crate::domain::ops::BackendStatus;

/// What an operator can ask of it.
#[async_trait::async_trait]
pub trait RecordStore: Send + Sync {
    /// A fresh look. Makes nothing.
    async fn status(&self) -> BackendStatus;
}
