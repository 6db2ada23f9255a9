//! What an agent can ask for about workflows: decides by the domain's rules, acts through the record store, and puts refusals into words.

mod refusal;
pub mod request;

use std::{sync::Arc, time::Duration};

use self::request::{
    AnalyticsRequest, CompleteRequest, ControlRequest, CreateRequest, EventsRequest, ListRequest, StatusRequest,
};
use super::tasks;
use crate::{
    changes::{Changes, Interest, Topic},
    clock::{Clock, Instant},
    config::{Access, Limits},
    domain::{
        idempotency::Key,
        page::{self, Cursor},
        text,
        webhooks::Hosts,
        workflows::{
            answers::{Changed, Found},
            figures::{Figure, Question},
            view::{Created, EventView, Overview, TaskView, WorkflowView},
        },
    },
    error::{Code, Error},
    ids,
    store::Store,
    store::workflows::{Complete, Control, Create, Find, History, List, Part, TaskPage},
};

/// A waiting call looks again after this, whatever it was told.
const LOOK_AGAIN: Duration = Duration::from_millis(5_000);

/// Workflows.
#[derive(Clone)]
pub struct Workflows {
    store: Arc<Store>,
    changes: Arc<Changes>,
    clock: Arc<dyn Clock>,
    access: Arc<Access>,
    limits: Limits,
    hosts: Arc<Hosts>,
    /// All news are signed with the operator's secret, which nobody is told, and not with the webhook's own.
    one_secret: bool,
}

/// What workflows stand on.
pub struct Parts {
    /// Where they are kept.
    pub store: Arc<Store>,
    /// Who waits for them.
    pub changes: Arc<Changes>,
    /// The record store's clock.
    pub clock: Arc<dyn Clock>,
    /// Whether writing is on.
    pub access: Arc<Access>,
    /// Bounds.
    pub limits: Limits,
    /// Where news may be sent that is not public.
    pub hosts: Arc<Hosts>,
    /// All news are signed with one secret of the operator's.
    pub one_secret: bool,
}

/// What a look at a workflow showed.
pub struct Status {
    /// The workflow with what was asked for.
    pub found: Found,
    /// Its newest events, when asked for, oldest first.
    pub events: Option<Vec<EventView>>,
    /// Nothing is newer than what the caller knows.
    pub unchanged: bool,
    /// Not everything that was asked for fits into an answer.
    pub truncated: bool,
}

/// Figures over many workflows.
pub struct Figures {
    /// What was asked for.
    pub question: Question,
    /// In their order.
    pub figures: Vec<Figure>,
    /// Where the rest begins.
    pub next: Option<String>,
}

impl Workflows {
    /// Over their parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, changes, clock, access, limits, hosts, one_secret } = parts;
        Self { store, changes, clock, access, limits, hosts, one_secret }
    }

    /// Makes a workflow with its tasks.
    pub async fn create(&self, request: CreateRequest, key: Option<Key>) -> Result<Created, Error> {
        self.access.writing("create_workflow")?;
        let now = self.clock.now();
        let parent_id = request.parent_id.clone();
        let workflow = request.resolved(&self.limits, &self.hosts, now)?;
        let active_max = self.limits.active_workflows_max as u64;
        let create = Create { workflow, active_max, key, now };
        let mut created = self
            .store
            .create_workflow(create)
            .await?
            .map_err(|refused| refusal::of_create(refused, parent_id.as_deref()))?;
        if self.one_secret {
            created.webhook_secret = None;
        }
        Ok(created)
    }

    /// Ends a workflow.
    pub async fn complete(&self, request: CompleteRequest, key: Option<Key>) -> Result<Changed, Error> {
        self.access.writing("complete_workflow")?;
        let CompleteRequest { workflow_id, outcome, result, error, expected_version } =
            request.checked(&self.limits)?;
        let id = workflow_id.clone();
        let complete = Complete { workflow_id, outcome, result, error, expected_version, key, now: self.clock.now() };
        self.store.complete_workflow(complete).await?.map_err(|refused| refusal::of_change(refused, &id, None))
    }

    /// Starts, pauses, resumes, cancels, tells, or forks a workflow.
    pub async fn control(&self, request: ControlRequest, key: Option<Key>) -> Result<Changed, Error> {
        self.access.writing("control_workflow")?;
        let ControlRequest { workflow_id, action, signal, reason, expected_version } = request.checked(&self.limits)?;
        let id = workflow_id.clone();
        let control = Control {
            workflow_id,
            action,
            signal,
            reason,
            expected_version,
            fork_id: ids::new(ids::Kind::Workflow),
            active_max: self.limits.active_workflows_max as u64,
            key,
            now: self.clock.now(),
        };
        self.store.control_workflow(control).await?.map_err(|refused| refusal::of_change(refused, &id, Some(action)))
    }

    /// One workflow, by its id or that of one of its tasks; waits until it is newer than what the caller knows.
    pub async fn status(&self, request: StatusRequest) -> Result<Status, Error> {
        let wait = tasks::wait(request.wait_ms)?;
        text::id(request.argument, &request.id)?;
        let deadline = tokio::time::Instant::now() + wait;
        let mut workflow_id = request.id.clone();
        // Whoever waits is woken by each change: what else was asked for is read once, when there is something to answer.
        let look = if wait.is_zero() {
            request.clone()
        } else {
            StatusRequest { tasks: false, results: false, ..request.clone() }
        };
        loop {
            let watch = self.changes.watch(vec![Interest::In(Topic::Workflow(workflow_id.clone()))]);
            let found = self.find(&look).await?;
            if let Some(workflow) = found.workflow.as_ref().filter(|workflow| workflow.id != workflow_id) {
                // It was the id of a task, and changes are told of its workflow.
                workflow_id.clone_from(&workflow.id);
                continue;
            }
            let known = request.knows(&found);
            let over = found.workflow.as_ref().is_none_or(|workflow| !workflow.state.is_open());
            // Whoever waits without a version waits for the end.
            let waits = if request.since_version.is_some() { known } else { !over };
            let (now, deadline) = (tokio::time::Instant::now(), self.changes.no_later_than(deadline));
            if !waits || over || now >= deadline {
                let found = if look == request { found } else { self.find(&request).await? };
                return self.shown(&request, found).await;
            }
            // An error is the time that is up.
            let _ = tokio::time::timeout_at(deadline.min(now + LOOK_AGAIN), watch.changed()).await;
        }
    }

    async fn find(&self, request: &StatusRequest) -> Result<Found, Error> {
        let tasks = request.tasks.then_some(TaskPage {
            most: self.limits.workflow_tasks_max as u64,
            carried: request.results,
            carried_bytes_max: self.limits.bytes_max,
        });
        let find =
            Find { id: request.id.clone(), carried: request.results, tasks, stalled_before: self.stalled_before() };
        let found = self.store.find_workflow(find).await?;
        found.ok_or_else(|| refusal::no_workflow(&request.id, request.argument))
    }

    /// What was found, as far as it fits into an answer.
    async fn shown(&self, request: &StatusRequest, mut found: Found) -> Result<Status, Error> {
        let mut left = self.limits.bytes_max.saturating_sub(found.carried.bytes());
        let cut = page::fit(&mut found.tasks, left, TaskView::bytes);
        let left_out = found.tasks.iter().any(|task| !task.left_out.is_empty());
        left = left.saturating_sub(found.tasks.iter().map(TaskView::bytes).sum());
        let mut events = self.newest_events(request, &found).await?;
        let mut cut_events = false;
        if let Some(events) = &mut events {
            // The newest are kept.
            events.reverse();
            cut_events = page::fit(events, left.max(self.limits.bytes_default), EventView::bytes);
            events.reverse();
        }
        Ok(Status { unchanged: request.knows(&found), found, events, truncated: cut || left_out || cut_events })
    }

    async fn newest_events(&self, request: &StatusRequest, found: &Found) -> Result<Option<Vec<EventView>>, Error> {
        let Some(workflow) = found.workflow.as_ref().filter(|_| request.events) else { return Ok(None) };
        let history = History { part: Part::EndOfWorkflow { id: workflow.id.clone() }, most: EVENTS_SHOWN };
        self.store.events(history).await.map(Some)
    }

    /// Everything at a glance.
    pub async fn overview(&self) -> Result<Overview, Error> {
        self.store.overview(self.clock.now()).await
    }

    /// Workflows, newest first, and where the rest begins.
    pub async fn list(&self, request: ListRequest) -> Result<(Vec<WorkflowView>, Option<String>), Error> {
        let rows = self.limits.rows(request.limit.or(Some(LISTED_DEFAULT)), "limit")?;
        let bytes = self.limits.listed_bytes(request.limit);
        let (filter, question, cursor) = request.checked()?;
        let before = match cursor {
            None => None,
            Some(token) => Some(place(&Cursor::decode_text(&token, &question)?)?),
        };
        let list = List { before, most: rows as u64 + 1, stalled_before: self.stalled_before(), ..filter };
        let mut workflows = self.store.list_workflows(list).await?;
        let more = workflows.len() > rows;
        workflows.truncate(rows);
        let more = page::fit(&mut workflows, bytes, WorkflowView::bytes) || more;
        let last = workflows.last().filter(|_| more);
        let next = last.map(|last| Cursor::encode_text(&format!("{}.{}", last.created_at.0, last.id), &question));
        Ok((workflows, next))
    }

    /// The history of a workflow or of anything that has an id, and the number to go on after.
    pub async fn events(&self, request: EventsRequest) -> Result<(Vec<EventView>, Option<i64>), Error> {
        let wait = tasks::wait(request.wait_ms)?;
        let rows = self.limits.rows(request.limit, "limit")?;
        for id in [&request.workflow_id, &request.entity_id].into_iter().flatten() {
            text::id(request.argument, id)?;
        }
        let deadline = tokio::time::Instant::now() + wait;
        let topic = request.workflow_id.clone().map_or(Topic::Events, Topic::Workflow);
        let history = History { part: request.part(), most: rows as u64 + 1 };
        loop {
            let watch = self.changes.watch(vec![Interest::In(topic.clone())]);
            let mut events = self.store.events(history.clone()).await?;
            if events.is_empty() && request.after.is_none() {
                self.must_exist(&request).await?;
            }
            let (now, deadline) = (tokio::time::Instant::now(), self.changes.no_later_than(deadline));
            if !events.is_empty() || now >= deadline {
                let more = events.len() > rows;
                events.truncate(rows);
                let more = page::fit(&mut events, self.limits.listed_bytes(request.limit), EventView::bytes) || more;
                let next = events.last().filter(|_| more).map(|last| last.seq);
                return Ok((events, next));
            }
            // An error is the time that is up.
            let _ = tokio::time::timeout_at(deadline.min(now + LOOK_AGAIN), watch.changed()).await;
        }
    }

    /// "Nothing happened" and "there is no such thing" are two answers.
    async fn must_exist(&self, request: &EventsRequest) -> Result<(), Error> {
        let Some(id) = request.workflow_id.as_ref().or(request.entity_id.as_ref()) else { return Ok(()) };
        let argument = request.argument;
        let find = Find { id: id.clone(), carried: false, tasks: None, stalled_before: self.stalled_before() };
        let found = self.store.find_workflow(find).await?;
        found.map(drop).ok_or_else(|| refusal::no_workflow(id, argument))
    }

    /// Figures over many workflows.
    pub async fn analytics(&self, mut request: AnalyticsRequest) -> Result<Figures, Error> {
        let rows = self.limits.rows(request.limit.or(Some(FIGURES_DEFAULT)), "limit")?;
        let bytes = self.limits.listed_bytes(request.limit);
        let asked = format!("{:?}{:?}{:?}", request.metric, request.window, request.group_by);
        let cursor = request.cursor.take().map(|token| Cursor::decode(&token, &asked)).transpose()?;
        let offset = cursor.map_or(0, |cursor| cursor.offset);
        let question = request.checked(self.clock.now(), rows as u64 + 1, offset)?;
        let mut figures = self.store.analytics(question.clone()).await?;
        let more = figures.len() > rows;
        figures.truncate(rows);
        let more = page::fit(&mut figures, bytes, Figure::bytes) || more;
        let next = more.then(|| Cursor { offset: offset + figures.len() as u64 }.encode(&asked));
        question.sort(&mut figures);
        Ok(Figures { question, figures, next })
    }

    /// A lease that ends before this was not renewed for half of its time.
    fn stalled_before(&self) -> Instant {
        let half = i64::try_from(self.limits.lease_time.as_millis() / 2).unwrap_or(i64::MAX);
        self.clock.now().plus_ms(half)
    }
}

/// Rows of list_workflows when nothing is said.
const LISTED_DEFAULT: u64 = 50;
/// Rows of get_analytics when nothing is said.
const FIGURES_DEFAULT: u64 = 50;
/// Events that come with a status.
const EVENTS_SHOWN: u64 = 100;

/// The place of a workflow in the list, from a cursor.
fn place(text: &str) -> Result<(Instant, String), Error> {
    let refuse = || Error::new(Code::Invalid, "`cursor` does not belong to this call").argument("cursor");
    let (at, id) = text.split_once('.').ok_or_else(refuse)?;
    Ok((Instant(at.parse().map_err(|error| refuse().cause(error))?), id.to_owned()))
}
