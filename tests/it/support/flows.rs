//! Workflows and tasks through the record store's ports, in few words, at a time that the test moves.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use callboard::{
    clock::Instant,
    domain::{
        idempotency::Key,
        json::Json,
        tasks::{
            self, Failure, Lease, Links, NewTask, OnDependencyFailure, Outcome, Priority,
            answers::{Change, ClaimedTask, Finished, Managed, TaskFilter, Updated},
        },
        workflows::{
            self, Action, NewWorkflow, OnTaskFailure,
            answers::{Changed, Signal},
            view::{TaskView, WorkflowView},
        },
    },
    store::{
        Sql, Store,
        tasks::{Claim, Enqueue, Finish, LeaseRefused, ListTasks, Manage, ManageRefused, Update},
        workflows::{ChangeRefused, Complete, Control, Create, Find, TaskPage},
    },
};

/// When tests begin.
pub const NOW: Instant = Instant(1_780_000_000_000_000);
/// How long leases run in tests: 15 minutes.
pub const LEASE_MS: i64 = 900_000;

/// A record store, the time there, and a queue that is one test's alone.
pub struct Board {
    pub store: Arc<Store>,
    pub queue: String,
    now: AtomicI64,
}

/// A new workflow and its tasks' ids in their order.
#[derive(Debug, Clone)]
pub struct Made {
    pub id: String,
    pub tasks: Vec<String>,
}

/// An id or secret that no other test has.
pub fn fresh(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}_{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// JSON from its text.
pub fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

/// A key of a call with these arguments.
pub fn key(key: &str, arguments: &str) -> Option<Key> {
    Some(Key { key: key.to_owned(), request_hash: arguments.to_owned() })
}

/// A task that waits for nothing.
pub fn task(key: &str) -> NewTask {
    NewTask {
        id: String::new(),
        key: Some(key.to_owned()),
        title: None,
        description: None,
        queue: String::new(),
        priority: Priority::NORMAL,
        input: None,
        capabilities: Vec::new(),
        run_at: None,
        attempts_max: 5,
        runtime_ms_max: None,
        on_dependency_failure: OnDependencyFailure::Cancel,
        waits_for: Links::default(),
    }
}

/// A task that waits for others of the same call, by their places.
pub fn after(key: &str, places: &[usize]) -> NewTask {
    NewTask { waits_for: Links { here: places.to_vec(), existing: Vec::new() }, ..task(key) }
}

/// The same, with what happens when one of those fails.
pub fn after_or(key: &str, places: &[usize], on_dependency_failure: OnDependencyFailure) -> NewTask {
    NewTask { on_dependency_failure, ..after(key, places) }
}

/// A workflow.
pub fn flow(on_task_failure: OnTaskFailure, tasks: Vec<NewTask>) -> NewWorkflow {
    NewWorkflow {
        id: fresh("wf"),
        name: "test".to_owned(),
        kind: "research".to_owned(),
        input: None,
        deadline_at: None,
        budget: None,
        on_task_failure,
        parent_id: None,
        webhook: None,
        tasks,
    }
}

/// It is done.
pub fn completed() -> Outcome {
    Outcome::Completed { result: Some(json(r#"{"rows":12}"#)) }
}

/// It failed with this code.
pub fn failed(code: &str) -> Outcome {
    Outcome::Failed(Failure {
        code: Some(code.to_owned()),
        message: "it did not work".to_owned(),
        retryable: None,
        retry_after_ms: None,
    })
}

impl Board {
    /// Over a store, with a queue of its own.
    pub fn new(store: &Arc<Store>, queue: &str) -> Self {
        Self { store: Arc::clone(store), queue: queue.to_owned(), now: AtomicI64::new(NOW.0) }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        Instant(self.now.load(Ordering::SeqCst))
    }

    /// Moves it on.
    pub fn pass_ms(&self, milliseconds: i64) {
        self.now.fetch_add(milliseconds * 1_000, Ordering::SeqCst);
    }

    fn here(&self, mut tasks: Vec<NewTask>) -> Vec<NewTask> {
        for task in &mut tasks {
            task.id = fresh("tk");
            if task.queue.is_empty() {
                task.queue.clone_from(&self.queue);
            }
        }
        tasks
    }

    /// Makes a workflow.
    pub async fn create(&self, mut workflow: NewWorkflow) -> Made {
        workflow.tasks = self.here(workflow.tasks);
        let create = Create { workflow, active_max: 10_000, key: None, now: self.now() };
        let made = self.store.create_workflow(create).await.unwrap().unwrap();
        Made { id: made.workflow_id, tasks: made.tasks.into_iter().map(|task| task.task_id).collect() }
    }

    /// What enqueues tasks, to be changed or sent.
    pub fn enqueue(&self, workflow_id: Option<&str>, tasks: Vec<NewTask>) -> Enqueue {
        let workflow_id = workflow_id.map(str::to_owned);
        Enqueue { workflow_id, tasks: self.here(tasks), tasks_max: 1_000, key: None, now: self.now() }
    }

    /// What claims, to be changed or sent.
    pub fn claim_of(&self, agent_id: &str, most: usize) -> Claim {
        Claim {
            agent_id: agent_id.to_owned(),
            session_id: "session".to_owned(),
            queues: Some(vec![self.queue.clone()]),
            secrets: (0..most).map(|_| fresh("secret")).collect(),
            lease_ms: LEASE_MS,
            agent_token: fresh("token"),
            key: None,
            now: self.now(),
        }
    }

    /// Claims.
    pub async fn claim(&self, agent_id: &str, most: usize) -> Vec<ClaimedTask> {
        self.store.claim_tasks(self.claim_of(agent_id, most)).await.unwrap().unwrap().tasks
    }

    /// Claims the one task that must be there.
    pub async fn one(&self) -> ClaimedTask {
        let mut tasks = self.claim("agent", 1).await;
        assert_eq!(tasks.len(), 1, "nothing to claim in {}", self.queue);
        tasks.remove(0)
    }

    /// Ends a turn.
    pub async fn finish(&self, lease: &Lease, outcome: Outcome) -> Result<Finished, LeaseRefused> {
        let lease = lease.clone();
        let finish = Finish { lease, outcome, cost: None, jitter: 0.0, key: None, now: self.now() };
        self.store.finish_task(finish).await.unwrap()
    }

    /// What updates, to be changed or sent.
    pub fn update_of(&self, lease: &Lease) -> Update {
        Update {
            lease: lease.clone(),
            progress: None,
            message: None,
            checkpoint: None,
            cost: None,
            question: None,
            lease_ms: LEASE_MS,
            key: None,
            now: self.now(),
        }
    }

    /// Renews a lease.
    pub async fn update(&self, lease: &Lease) -> Result<Updated, LeaseRefused> {
        self.store.update_task(self.update_of(lease)).await.unwrap()
    }

    /// Parks a task with a question and a checkpoint.
    pub async fn park(&self, lease: &Lease) -> Result<Updated, LeaseRefused> {
        let (question, checkpoint) = (Some(json(r#""which?""#)), Some(json(r#"{"page":3}"#)));
        self.store.update_task(Update { question, checkpoint, ..self.update_of(lease) }).await.unwrap()
    }

    /// What changes tasks by id, to be changed or sent.
    pub fn manage_of(&self, change: Change, ids: &[&str]) -> Manage {
        Manage {
            change,
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            filter: TaskFilter::default(),
            dry_run: false,
            most: 100,
            key: None,
            now: self.now(),
        }
    }

    /// Changes tasks by id.
    pub async fn manage(&self, change: Change, ids: &[&str]) -> Result<Managed, ManageRefused> {
        self.store.manage_tasks(self.manage_of(change, ids)).await.unwrap()
    }

    /// What does something to a workflow, to be changed or sent.
    pub fn control_of(&self, workflow_id: &str, action: Action) -> Control {
        let signal = (action == Action::Signal).then(|| Signal { name: "go".to_owned(), payload: Some(json("[1]")) });
        Control {
            workflow_id: workflow_id.to_owned(),
            action,
            signal,
            reason: None,
            expected_version: None,
            fork_id: fresh("wf"),
            active_max: 10_000,
            key: None,
            now: self.now(),
        }
    }

    /// Does something to a workflow.
    pub async fn control(&self, workflow_id: &str, action: Action) -> Result<Changed, ChangeRefused> {
        self.store.control_workflow(self.control_of(workflow_id, action)).await.unwrap()
    }

    /// What ends a workflow, to be changed or sent.
    pub fn complete_of(&self, workflow_id: &str, outcome: workflows::State) -> Complete {
        Complete {
            workflow_id: workflow_id.to_owned(),
            outcome,
            result: None,
            error: None,
            expected_version: None,
            key: None,
            now: self.now(),
        }
    }

    /// Puts back leases that have run out, makes ready what is due, ends what is overdue.
    pub async fn sweep(&self) {
        self.store.expire_leases(self.now()).await.unwrap();
        self.store.promote_due(self.now()).await.unwrap();
        self.store.end_overdue_workflows(self.now()).await.unwrap();
    }

    /// A workflow and its tasks, whose counts agree.
    pub async fn look(&self, id: &str) -> (WorkflowView, Vec<TaskView>) {
        let tasks = Some(TaskPage { most: 1_000, carried: true, carried_bytes_max: usize::MAX });
        let find = Find { id: id.to_owned(), carried: true, tasks, stalled_before: self.now() };
        let found = self.store.find_workflow(find).await.unwrap().unwrap_or_else(|| panic!("no workflow {id}"));
        let (workflow, tasks) = (found.workflow.unwrap(), found.tasks);
        agree(&workflow, &tasks);
        let parked = tasks.iter().filter(|task| task.state == tasks::State::Parked).count();
        assert_eq!(self.parked(id).await, parked as u64, "{workflow:?}");
        (workflow, tasks)
    }

    /// Parked tasks as a workflow counts them, which is not shown.
    async fn parked(&self, id: &str) -> u64 {
        let counted = self.store.read(id.to_owned(), |session, id| {
            Box::pin(async move {
                let sql = "-- parked\nSELECT tasks_parked FROM workflow WHERE id = $1";
                session.query(Sql::both(sql), &[id.into()]).await?.remove(0).count()
            })
        });
        counted.await.unwrap()
    }

    /// Where a workflow and its tasks stand, the tasks in the order in which they were made.
    pub async fn states(&self, id: &str) -> (workflows::State, Vec<tasks::State>) {
        let (workflow, tasks) = self.look(id).await;
        (workflow.state, tasks.into_iter().map(|task| task.state).collect())
    }

    /// One task.
    pub async fn task(&self, id: &str) -> TaskView {
        let list = ListTasks {
            filter: TaskFilter::default(),
            ids: vec![id.to_owned()],
            after: None,
            most: 2,
            carried: true,
            carried_bytes_max: usize::MAX,
        };
        let mut tasks = self.store.list_tasks(list).await.unwrap();
        assert_eq!(tasks.len(), 1, "{id}");
        tasks.remove(0)
    }
}

/// What a workflow counts is what its tasks say, and something can still happen to it if it goes on.
pub fn agree(workflow: &WorkflowView, tasks: &[TaskView]) {
    use tasks::State::{Blocked, Cancelled, Completed, Dead, Leased, Parked};
    let count = |fits: &dyn Fn(tasks::State) -> bool| {
        i64::try_from(tasks.iter().filter(|task| fits(task.state)).count()).unwrap()
    };
    let counts = workflows::Counts {
        all: count(&|_| true),
        open: count(&tasks::State::is_open),
        completed: count(&|state| state == Completed),
        dead: count(&|state| state == Dead),
        cancelled: count(&|state| state == Cancelled),
    };
    let seen = || {
        let states: Vec<_> = tasks.iter().map(|task| (&task.key, &task.id, task.state)).collect();
        format!("{workflow:?}\n{states:?}")
    };
    assert_eq!(workflow.counts, counts, "{}", seen());
    let live = count(&|state| state.is_open() && state != Parked && state != Blocked);
    let parked = count(&|state| state == Parked);
    match workflow.state {
        workflows::State::Pending => assert!(counts.all == 0 || counts.open > 0 && live + parked > 0, "{}", seen()),
        workflows::State::Running => assert!(counts.all == 0 || live > 0, "{}", seen()),
        workflows::State::Waiting => assert!(live == 0 && parked > 0, "{}", seen()),
        workflows::State::Cancelling => assert!(count(&|state| state == Leased) > 0, "{}", seen()),
        workflows::State::Paused => assert!(counts.open == 0 || live + parked > 0, "{}", seen()),
        workflows::State::Completed
        | workflows::State::Failed
        | workflows::State::Cancelled
        | workflows::State::TimedOut => assert_eq!(counts.open, 0, "{}", seen()),
    }
    assert_eq!(workflow.completed_at.is_some(), !workflow.state.is_open(), "{}", seen());
}
