//! Workflows and changes of them as they are asked for, and what is accepted of them.

use crate::{
    clock::Instant,
    config::Limits,
    domain::{
        json::Json,
        money::Micros,
        names::nearest,
        text,
        webhooks::{self, Hosts},
        workflows::{
            Action, NewWebhook, NewWorkflow, OnTaskFailure, State,
            answers::{Found, Signal},
            figures::{GroupBy, Metric, Question},
        },
    },
    error::Error,
    ids,
    services::tasks::{self, request::TaskRequest},
    store::workflows::{List, Part},
};

/// The furthest deadline: ten years.
const DEADLINE_MS_MAX: u64 = 315_360_000_000;
/// The type when nothing is said.
const KIND_DEFAULT: &str = "workflow";
/// The longest window of figures: ten years.
const WINDOW_DAYS_MAX: u64 = 3_660;

/// A workflow as asked for.
#[derive(Debug, Default)]
pub struct CreateRequest {
    /// What it is about.
    pub name: String,
    /// What kind of work it is.
    pub kind: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskRequest>,
    /// What it is given.
    pub input: Option<Json>,
    /// It ends by itself after so many milliseconds.
    pub deadline_ms: Option<u64>,
    /// It is paused when its cost reaches this.
    pub budget: Option<Micros>,
    /// What a dead task does to it.
    pub on_task_failure: Option<OnTaskFailure>,
    /// The workflow it is part of.
    pub parent_id: Option<String>,
    /// Who is told of its end.
    pub webhook_url: Option<String>,
}

impl CreateRequest {
    pub(super) fn resolved(self, limits: &Limits, hosts: &Hosts, now: Instant) -> Result<NewWorkflow, Error> {
        if let Some(input) = &self.input {
            limits.payload("input", input.get())?;
        }
        let deadline_at = match self.deadline_ms {
            None => None,
            Some(asked @ 1..=DEADLINE_MS_MAX) => Some(now.plus_ms(asked as i64)),
            Some(asked) => {
                let message = format!("`deadline_ms` is {asked}; it takes 1 to {DEADLINE_MS_MAX}, counted from now");
                return Err(Error::invalid("deadline_ms", message));
            }
        };
        let webhook = match self.webhook_url {
            None => None,
            Some(url) => Some(NewWebhook {
                id: ids::new(ids::Kind::Webhook),
                url: webhooks::parse(&url, hosts)?.to_string(),
                secret: ids::secret()?,
            }),
        };
        if let Some(parent_id) = &self.parent_id {
            text::id("parent_id", parent_id)?;
        }
        if self.budget == Some(Micros(0)) {
            return Err(Error::invalid("budget_usd", "`budget_usd` is 0; it takes an amount of dollars above 0"));
        }
        Ok(NewWorkflow {
            id: ids::new(ids::Kind::Workflow),
            name: text::name("name", &self.name)?,
            kind: self.kind.map_or(Ok(KIND_DEFAULT.to_owned()), |kind| text::name("type", &kind))?,
            input: self.input,
            deadline_at,
            budget: self.budget,
            on_task_failure: self.on_task_failure.unwrap_or(OnTaskFailure::Fail),
            parent_id: self.parent_id,
            webhook,
            tasks: tasks::resolved(self.tasks, limits, now)?,
        })
    }
}

/// The end of a workflow as asked for.
#[derive(Debug)]
pub struct CompleteRequest {
    /// Which.
    pub workflow_id: String,
    /// How: completed, failed or cancelled.
    pub outcome: State,
    /// What came of it.
    pub result: Option<Json>,
    /// Why it failed.
    pub error: Option<String>,
    /// Only if it is still this.
    pub expected_version: Option<i64>,
}

impl CompleteRequest {
    pub(super) fn checked(self, limits: &Limits) -> Result<Self, Error> {
        text::id("workflow_id", &self.workflow_id)?;
        if let Some(result) = &self.result {
            limits.payload("result", result.get())?;
        }
        if let Some(error) = &self.error {
            text::bounded("error", error, text::PARAGRAPH_MAX)?;
        }
        Ok(self)
    }
}

/// Something to do to a workflow, as asked for.
#[derive(Debug)]
pub struct ControlRequest {
    /// Which.
    pub workflow_id: String,
    /// What.
    pub action: Action,
    /// What its workers are told.
    pub signal: Option<Signal>,
    /// Why.
    pub reason: Option<String>,
    /// Only if it is still this.
    pub expected_version: Option<i64>,
}

impl ControlRequest {
    pub(super) fn checked(self, limits: &Limits) -> Result<Self, Error> {
        text::id("workflow_id", &self.workflow_id)?;
        match (&self.signal, self.action == Action::Signal) {
            (None, true) => {
                return Err(Error::invalid(
                    "signal",
                    "`signal` is missing: the name of the signal that the workers receive",
                ));
            }
            (Some(_), false) => {
                let message = format!("`signal` only goes with action `signal`, not with `{}`", self.action.as_str());
                return Err(Error::invalid("signal", message));
            }
            (Some(signal), true) => {
                text::name("signal", &signal.name)?;
                if let Some(payload) = &signal.payload {
                    limits.payload("payload", payload.get())?;
                }
            }
            (None, false) => {}
        }
        if let Some(reason) = &self.reason {
            text::bounded("reason", reason, text::SENTENCE_MAX)?;
        }
        Ok(self)
    }
}

/// A look at a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRequest {
    /// Its id, or that of one of its tasks.
    pub id: String,
    /// The argument it came in.
    pub argument: &'static str,
    /// With its tasks.
    pub tasks: bool,
    /// With input, results and errors.
    pub results: bool,
    /// With its events.
    pub events: bool,
    /// What the caller knows already.
    pub since_version: Option<i64>,
    /// How long to wait for something newer, in milliseconds.
    pub wait_ms: Option<u64>,
}

impl StatusRequest {
    /// Whether nothing of it is newer than what the caller knows.
    pub(super) fn knows(&self, found: &Found) -> bool {
        let version = found.workflow.as_ref().map(|workflow| workflow.version);
        self.since_version.zip(version).is_some_and(|(since, version)| version <= since)
    }
}

/// Workflows to list, as asked for.
#[derive(Debug)]
pub struct ListRequest {
    /// In this state: a state's word, or `open`.
    pub state: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// Made after this time.
    pub created_after: Option<String>,
    /// With these words in name, id or reason.
    pub text: Option<String>,
    /// Rows at the most.
    pub limit: Option<u64>,
    /// Where the answer before ended.
    pub cursor: Option<String>,
}

impl ListRequest {
    /// The filter, what identifies it, and the cursor.
    pub(super) fn checked(self) -> Result<(List, String, Option<String>), Error> {
        let question = format!("{:?}{:?}{:?}{:?}", self.state, self.kind, self.created_after, self.text);
        let states = match self.state.as_deref() {
            None => Vec::new(),
            Some("open") => State::ALL.into_iter().filter(|state| state.is_open()).collect(),
            Some(word) => vec![State::parse(word).ok_or_else(|| {
                let words: Vec<&str> = ["open"].into_iter().chain(State::ALL.map(State::as_str)).collect();
                Error::invalid("state", format!("`{}` is not a state of a workflow", text::shown(word)))
                    .did_you_mean(nearest(word, words.iter().copied()))
                    .hint(format!("it takes {}", words.join(", ")))
            })?],
        };
        let created_after = self.created_after.as_deref().map(|time| {
            Instant::parse(time).ok_or_else(|| {
                let message = format!("`created_after` is `{}`; it takes {}", text::shown(time), Instant::WRITTEN);
                Error::invalid("created_after", message)
            })
        });
        let list = List {
            states,
            kind: self.kind,
            created_after: created_after.transpose()?,
            text: self.text.map(|words| text::bounded("text", &words, text::NAME_MAX)).transpose()?,
            before: None,
            most: 0,
            stalled_before: Instant(0),
        };
        Ok((list, question, self.cursor))
    }
}

/// A history as asked for.
#[derive(Debug)]
pub struct EventsRequest {
    /// Of a workflow and its tasks.
    pub workflow_id: Option<String>,
    /// Of one task or agent.
    pub entity_id: Option<String>,
    /// After this number.
    pub after: Option<i64>,
    /// Rows at the most.
    pub limit: Option<u64>,
    /// How long to wait for something newer, in milliseconds.
    pub wait_ms: Option<u64>,
    /// The argument that says of what.
    pub argument: &'static str,
}

impl EventsRequest {
    pub(super) fn part(&self) -> Part {
        let after = self.after.unwrap_or_default();
        match (&self.workflow_id, &self.entity_id) {
            (Some(id), _) => Part::Workflow { id: id.clone(), after },
            (None, Some(id)) if self.argument == "agent_id" => Part::Agent { id: id.clone(), after },
            (None, Some(id)) => Part::Entity { id: id.clone(), after },
            (None, None) => Part::All { after },
        }
    }
}

/// Figures as asked for.
#[derive(Debug)]
pub struct AnalyticsRequest {
    /// What.
    pub metric: Metric,
    /// `7d`, `24h`.
    pub window: Option<String>,
    /// By what.
    pub group_by: Option<GroupBy>,
    /// Rows at the most.
    pub limit: Option<u64>,
    /// Where the answer before ended.
    pub cursor: Option<String>,
}

impl AnalyticsRequest {
    pub(super) fn checked(self, now: Instant, most: u64, offset: u64) -> Result<Question, Error> {
        let days_default = if self.metric == Metric::SuccessRate { 7 } else { 30 };
        let ms = match self.window.as_deref() {
            None => days_default * 86_400_000,
            Some(text) => window_ms(text)?,
        };
        let group_by = self.group_by.unwrap_or(match self.metric {
            Metric::Throughput => GroupBy::Day,
            Metric::SuccessRate | Metric::Duration | Metric::Cost | Metric::Failures => GroupBy::Type,
        });
        if matches!(group_by, GroupBy::Agent | GroupBy::Model) && self.metric != Metric::Cost {
            return Err(Error::invalid("group_by", "`group_by` agent and model only go with metric `cost`"));
        }
        Ok(Question { metric: self.metric, group_by, since: now.plus_ms(-ms), most, offset })
    }
}

/// `90m`, `24h`, `7d` in milliseconds.
fn window_ms(window: &str) -> Result<i64, Error> {
    let refuse = || {
        Error::invalid("window", format!("`{}` is not a duration", text::shown(window)))
            .hint(format!("write it like 90m, 24h or 7d, up to {WINDOW_DAYS_MAX}d"))
    };
    let unit = window.chars().last().ok_or_else(refuse)?;
    let number: u64 = window
        .get(..window.len() - unit.len_utf8())
        .unwrap_or_default()
        .parse()
        .map_err(|error| refuse().cause(error))?;
    let ms = match unit {
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err(refuse()),
    };
    let all =
        number.checked_mul(ms).filter(|all| (1..=WINDOW_DAYS_MAX * 86_400_000).contains(all)).ok_or_else(refuse)?;
    i64::try_from(all).map_err(|error| refuse().cause(error))
}
