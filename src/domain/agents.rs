//! Agents: who works here, what they can do, and how they are.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{json::Json, names::nearest};
use crate::{clock::Instant, error::Error};

/// Capabilities of an agent at the most.
pub const CAPABILITIES_MAX: usize = 100;
/// Bytes of what an agent tells of itself at the most: metadata, metrics.
pub const DETAILS_BYTES_MAX: usize = 64 << 10;
/// An agent that made no call for so long is lost.
pub const SILENCE_MAX: Duration = Duration::from_mins(15);

/// How an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is not ready yet.
    Starting,
    /// It can take work.
    Idle,
    /// It works.
    Busy,
    /// It takes nothing new.
    Stopping,
    /// It has ended.
    Stopped,
    /// Nothing is heard of it any more.
    Lost,
    /// Something is wrong with it.
    Error,
}

impl Status {
    /// All, in the order of lists.
    pub const ALL: [Self; 7] =
        [Self::Starting, Self::Idle, Self::Busy, Self::Stopping, Self::Stopped, Self::Lost, Self::Error];

    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
            Self::Error => "error",
        }
    }

    /// Reads the word, also one that others use for the same.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "starting" | "pending" | "created" | "initializing" => Self::Starting,
            "idle" | "started" | "ready" | "active" | "online" | "available" => Self::Idle,
            "busy" | "running" | "working" => Self::Busy,
            "stopping" | "terminating" | "draining" => Self::Stopping,
            "stopped" | "terminated" | "offline" | "completed" => Self::Stopped,
            "lost" | "unreachable" | "stale" => Self::Lost,
            "error" | "failed" | "degraded" | "crashed" => Self::Error,
            _ => return None,
        })
    }

    /// Reads the word of an argument.
    ///
    /// # Errors
    /// `invalid`, with near words.
    pub fn argument(name: &'static str, word: &str) -> Result<Self, Error> {
        Self::parse(word).ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str);
            Error::invalid(name, format!("`{name}` is `{word}`; it takes {}", words.join(", ")))
                .did_you_mean(nearest(word, words))
        })
    }

    /// Whether its place may be taken by another who comes under its name.
    pub fn is_vacant(self) -> bool {
        matches!(self, Self::Stopped | Self::Lost)
    }
}

/// Whether what an agent measures of itself says that it is not well: `degraded` true, or `health` or `status` with a word for it.
pub fn is_degraded(metrics: &Json) -> bool {
    #[derive(Deserialize, Default)]
    struct Said {
        #[serde(default)]
        degraded: Option<serde_json::Value>,
        #[serde(default)]
        health: Option<serde_json::Value>,
        #[serde(default)]
        status: Option<serde_json::Value>,
    }
    let said: Said = serde_json::from_str(metrics.get()).unwrap_or_default();
    let bad = |value: Option<serde_json::Value>| {
        value.is_some_and(|value| {
            value.as_str().is_some_and(|word| {
                matches!(word.to_ascii_lowercase().as_str(), "degraded" | "unhealthy" | "error" | "critical" | "failed")
            })
        })
    };
    said.degraded.is_some_and(|value| value == true) || bad(said.health) || bad(said.status)
}

/// An agent as it is shown.
#[derive(Debug, Clone)]
pub struct AgentView {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub role: String,
    /// How it is; busy while it holds a task.
    pub status: Status,
    /// Raised with each change.
    pub version: i64,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What it told of itself.
    pub metadata: Option<Json>,
    /// What it measured last.
    pub metrics: Option<Json>,
    /// Since when it is known.
    pub registered_at: Instant,
    /// When it was last heard of.
    pub heartbeat_at: Instant,
    /// Tasks it completed.
    pub tasks_completed: i64,
    /// Tasks it failed.
    pub tasks_failed: i64,
    /// Time it worked on those, in milliseconds.
    pub busy_ms: i64,
    /// Tasks it holds.
    pub tasks: Vec<HeldTask>,
}

impl AgentView {
    /// About so many bytes in an answer.
    pub fn bytes(&self) -> usize {
        let told = [&self.metadata, &self.metrics].into_iter().flatten();
        300 + self.id.len()
            + self.role.len()
            + self.capabilities.iter().map(|name| name.len() + 3).sum::<usize>()
            + told.map(|told| told.get().len()).sum::<usize>()
            + self.tasks.len() * 150
    }

    /// Its share of tasks that were completed; none before the first.
    pub fn success_rate(&self) -> Option<f64> {
        let all = self.tasks_completed + self.tasks_failed;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.tasks_completed as f64 / all as f64;
        (all > 0).then_some((rate * 10_000.0).round() / 10_000.0)
    }

    /// Seconds that a task took it on average; none before the first.
    pub fn task_seconds(&self) -> Option<f64> {
        let all = self.tasks_completed + self.tasks_failed;
        (all > 0).then(|| {
            #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
            let seconds = (self.busy_ms / all) as f64 / 1_000.0;
            seconds
        })
    }
}

/// A task that an agent holds.
#[derive(Debug, Clone)]
pub struct HeldTask {
    /// Its id.
    pub task_id: String,
    /// The workflow it is part of.
    pub workflow_id: Option<String>,
    /// Until when.
    pub lease_until: Instant,
}

/// Agents by how they are.
pub type Counts = BTreeMap<Status, u64>;

#[cfg(test)]
mod tests {
    use super::{Status, is_degraded};
    use crate::domain::json::Json;

    #[test]
    fn the_words_of_others_are_understood() {
        for (word, status) in [
            ("pending", Status::Starting),
            ("created", Status::Starting),
            ("Running", Status::Busy),
            ("terminated", Status::Stopped),
            ("failed", Status::Error),
        ] {
            assert_eq!(Status::parse(word), Some(status), "{word}");
        }
        assert!(Status::ALL.iter().all(|status| Status::parse(status.as_str()) == Some(*status)));
        let error = Status::argument("status", "idel").unwrap_err();
        assert_eq!(error.did_you_mean, ["idle"]);
    }

    #[test]
    fn an_agent_that_is_not_well_says_so_in_several_ways() {
        let json = |text: &str| -> Json { serde_json::from_str(text).unwrap() };
        for bad in [r#"{"degraded":true}"#, r#"{"health":"Degraded","cpu_usage":1}"#, r#"{"status":"unhealthy"}"#] {
            assert!(is_degraded(&json(bad)), "{bad}");
        }
        for good in ["{}", r#"{"degraded":false}"#, r#"{"health":{"a":1}}"#, r#"{"cpu_usage":99.5}"#, r#"{"status":3}"#]
        {
            assert!(!is_degraded(&json(good)), "{good}");
        }
    }
}
