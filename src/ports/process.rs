//! This process on its machine.

use crate::domain::ops::Load;

/// What the machine says of this process.
pub trait Process: Send + Sync {
    /// What it takes.
    fn load(&self) -> Load;
}
