//! This process on its machine, and the others there.

use crate::domain::{
    ops::Load,
    sessions::{Place, Process as ProcessId, Sight},
};

/// What the machine says of this process.
pub trait Process: Send + Sync {
    /// What it takes.
    fn load(&self) -> Load;
}

/// The processes of this machine.
pub trait Processes: Send + Sync {
    /// This one.
    fn own(&self) -> ProcessId;

    /// What is seen of a process number here.
    fn see(&self, place: &Place, pid: i64) -> Sight;
}
