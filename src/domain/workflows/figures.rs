//! Figures over many workflows: what can be asked, and what comes back.

use serde::{Deserialize, Serialize};

use crate::clock::Instant;

/// What is to be counted.
#[derive(Debug, Clone)]
pub struct Question {
    /// What.
    pub metric: Metric,
    /// By what.
    pub group_by: GroupBy,
    /// Only what ended (for cost: was reported) since.
    pub since: Instant,
    /// Up to so many rows.
    pub most: u64,
    /// After so many.
    pub offset: u64,
}

impl Question {
    /// Puts figures of groups in the order of their groups, whichever of them were chosen.
    pub fn sort(&self, figures: &mut [Figure]) {
        if self.metric != Metric::Failures && self.group_by != GroupBy::Workflow {
            figures.sort_by(|a, b| (&a.group, &a.subgroup).cmp(&(&b.group, &b.subgroup)));
        }
    }
}

impl Figure {
    /// About so many bytes in an answer.
    pub fn bytes(&self) -> usize {
        let texts = [&self.group, &self.subgroup, &self.name, &self.error].into_iter().flatten();
        250 + texts.map(String::len).sum::<usize>()
    }
}

/// What can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// How many of the ended ones are completed.
    SuccessRate,
    /// How long they took.
    Duration,
    /// What they cost.
    Cost,
    /// How many there were.
    Throughput,
    /// Which failed, with their errors.
    Failures,
}

/// By what figures are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// The type of workflow.
    Type,
    /// The day it ended, UTC.
    Day,
    /// Day and type.
    DayAndType,
    /// Each workflow: the longest, the most expensive.
    Workflow,
    /// Where they stand.
    State,
    /// Who worked, for cost.
    Agent,
    /// What was paid for, for cost.
    Model,
    /// All together.
    Nothing,
}

/// One row of figures. What does not apply is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// The group: a type, a day, an id, a state, an agent, a model.
    pub group: Option<String>,
    /// The second part of the group.
    pub subgroup: Option<String>,
    /// Workflows, or reports of cost.
    pub count: i64,
    /// Completed ones.
    pub completed: i64,
    /// Failed and timed out ones.
    pub failed: i64,
    /// Cancelled ones.
    pub cancelled: i64,
    /// Mean time from start to end, in milliseconds.
    pub duration_ms_mean: Option<f64>,
    /// The longest.
    pub duration_ms_max: Option<i64>,
    /// All money.
    pub cost_micros: i64,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// What is known of one workflow, or of a task of none: its name.
    pub name: Option<String>,
    /// Where it stands.
    pub state: Option<String>,
    /// Failed attempts: its own or those of its tasks, up to twenty of each.
    pub attempts_failed: Option<i64>,
    /// Its error.
    pub error: Option<String>,
    /// When it ended.
    pub completed_at: Option<Instant>,
}
