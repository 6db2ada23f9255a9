//! Tasks that are to be.

use super::{OnDependencyFailure, Priority};
use crate::{clock::Instant, domain::json::Json};

/// A task to enqueue, with all its arguments in order.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its id.
    pub id: String,
    /// Its name within its workflow.
    pub key: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// What is to be done.
    pub description: Option<String>,
    /// Where it is claimed from.
    pub queue: String,
    /// How urgent it is.
    pub priority: Priority,
    /// What its worker is given.
    pub input: Option<Json>,
    /// What its worker must be able to do; sorted, each once.
    pub capabilities: Vec<String>,
    /// Not before this.
    pub run_at: Option<Instant>,
    /// Attempts at the most.
    pub attempts_max: i64,
    /// The longest one attempt may take, in milliseconds.
    pub runtime_ms_max: Option<i64>,
    /// What happens when one that it waits for dies.
    pub on_dependency_failure: OnDependencyFailure,
    /// Whom it waits for.
    pub waits_for: Links,
}

/// Whom a task waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Tasks of the same call, by their place.
    pub here: Vec<usize>,
    /// Tasks that exist already in the workflow, by key or id.
    pub existing: Vec<String>,
}
