//! Random histories of a workflow on every record store beside a small model of the two tables: whatever is done, both answer the same, and
//! every state is the same. What fails is cut down to the shortest history that does; seeds are fixed.

mod model;

use std::sync::Arc;

use callboard::{
    clock::Instant,
    domain::{
        tasks::{self, Lease, Links, NewTask, OnDependencyFailure, Outcome, Priority, answers::Change},
        workflows::{self, Action, NewWorkflow, OnTaskFailure},
    },
    store::{self, Store, workflows::Part},
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{RngAlgorithm, TestError, TestRng, TestRunner},
};

use self::model::{Model, Turn};
use crate::{
    contract::records,
    support::{
        flows::{Board, LEASE_MS, NOW, completed, failed, flow, fresh, task},
        postgres,
    },
};

/// A task to make: which earlier ones it waits for (by bits), and what it is.
#[derive(Debug, Clone)]
pub struct Plan {
    waits_for: u8,
    policy: OnDependencyFailure,
    priority: i64,
    delay_s: i64,
    attempts_max: i64,
}

/// What is done. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Op {
    Claim(usize),
    Finish(usize, Turn),
    Park(usize),
    Renew(usize),
    Answer(usize),
    Retry(usize),
    Cancel(usize),
    Control(Action),
    Complete(workflows::State),
    Add(Plan),
    Pass(i64),
}

fn plan() -> impl Strategy<Value = Plan> {
    let policies = [OnDependencyFailure::Cancel, OnDependencyFailure::Continue, OnDependencyFailure::Park];
    let delay = prop_oneof![4 => Just(0), 1 => Just(90)];
    (any::<u8>(), any::<u8>(), select(policies.to_vec()), 0..10_i64, delay, 1..4_i64).prop_map(
        |(one, other, policy, priority, delay_s, attempts_max)| Plan {
            waits_for: one & other,
            policy,
            priority,
            delay_s,
            attempts_max,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..64_usize;
    let turns = [Turn::Completed, Turn::Failed, Turn::FailedForGood, Turn::Released];
    let actions = [Action::Start, Action::Pause, Action::Resume, Action::Resume, Action::Signal, Action::Cancel];
    let outcomes = [workflows::State::Completed, workflows::State::Failed, workflows::State::Cancelled];
    prop_oneof![
        8 => (1..4_usize).prop_map(Op::Claim),
        8 => (n.clone(), select(turns.to_vec())).prop_map(|(lease, turn)| Op::Finish(lease, turn)),
        3 => n.clone().prop_map(Op::Park),
        1 => n.clone().prop_map(Op::Renew),
        3 => n.clone().prop_map(Op::Answer),
        3 => n.clone().prop_map(Op::Retry),
        1 => n.prop_map(Op::Cancel),
        4 => select(actions.to_vec()).prop_map(Op::Control),
        1 => select(outcomes.to_vec()).prop_map(Op::Complete),
        2 => plan().prop_map(Op::Add),
        5 => select(vec![1_000, 5_000, 60_000, LEASE_MS]).prop_map(Op::Pass),
    ]
}

type History = (OnTaskFailure, Option<i64>, Vec<Plan>, Vec<Op>);

fn history() -> impl Strategy<Value = History> {
    let policies = [OnTaskFailure::Continue, OnTaskFailure::Continue, OnTaskFailure::Fail, OnTaskFailure::Pause];
    let deadline = prop_oneof![4 => Just(None), 1 => Just(Some(1_000_000))];
    (select(policies.to_vec()), deadline, vec(plan(), 1..6), vec(op(), 1..40))
}

fn new_task(plan: &Plan, key: usize, now: Instant, here: Vec<usize>, existing: Vec<String>) -> NewTask {
    NewTask {
        priority: Priority::new(plan.priority).unwrap(),
        run_at: (plan.delay_s > 0).then(|| now.plus_ms(plan.delay_s * 1_000)),
        attempts_max: plan.attempts_max,
        on_dependency_failure: plan.policy,
        waits_for: Links { here, existing },
        ..task(&key.to_string())
    }
}

/// A workflow on a store and in the model.
struct Both {
    board: Board,
    model: Model,
    id: String,
    tasks: Vec<String>,
    /// All that were ever given, and the place of their task.
    leases: Vec<(usize, Lease)>,
    version: i64,
    states: (workflows::State, Vec<tasks::State>),
}

impl Both {
    async fn begin(store: &Arc<Store>, (policy, deadline_ms, plans, _): &History) -> Self {
        let board = Board::new(store, &fresh("history"));
        let mut model = Model::new(*policy, *deadline_ms);
        let mut tasks = Vec::new();
        for (place, plan) in plans.iter().enumerate() {
            let here: Vec<usize> = (0..place).filter(|other| plan.waits_for >> other & 1 == 1).collect();
            model.add(&here, plan);
            tasks.push(new_task(plan, place, NOW, here, Vec::new()));
        }
        let deadline_at = deadline_ms.map(|after| NOW.plus_ms(after));
        let made = board.create(NewWorkflow { deadline_at, ..flow(*policy, tasks) }).await;
        Self {
            board,
            model,
            id: made.id,
            tasks: made.tasks,
            leases: Vec::new(),
            version: 0,
            states: (workflows::State::Pending, Vec::new()),
        }
    }

    /// Does it to both; whether both took it.
    async fn act(&mut self, op: &Op) {
        let (place, lease) = match op {
            Op::Finish(n, _) | Op::Park(n) | Op::Renew(n) => match self.leases.len() {
                0 => return,
                all => self.leases[n % all].clone(),
            },
            Op::Answer(n) | Op::Retry(n) | Op::Cancel(n) => {
                (n % self.tasks.len(), Lease { task_id: String::new(), fence: 0, secret: String::new() })
            }
            _ => (0, Lease { task_id: String::new(), fence: 0, secret: String::new() }),
        };
        let (board, model) = (&self.board, &mut self.model);
        let id = self.tasks[place].as_str();
        let (did, expected) = match op {
            Op::Claim(most) => return self.claim(*most).await,
            Op::Add(plan) => return self.add(plan).await,
            Op::Finish(_, turn) => {
                let outcome = match turn {
                    Turn::Completed => completed(),
                    Turn::Failed => failed("flaky"),
                    Turn::FailedForGood => failed("invalid"),
                    Turn::Released => Outcome::Released,
                };
                (board.finish(&lease, outcome).await.is_ok(), model.finish(place, lease.fence, *turn))
            }
            Op::Park(_) => (board.park(&lease).await.is_ok(), model.park(place, lease.fence)),
            Op::Renew(_) => (board.update(&lease).await.is_ok(), model.renew(place, lease.fence, LEASE_MS)),
            Op::Answer(_) => (board.manage(Change::Answer(None), &[id]).await.is_ok(), model.answer(place)),
            Op::Retry(_) => (board.manage(Change::Retry, &[id]).await.is_ok(), model.retry(place)),
            Op::Cancel(_) => (board.manage(Change::Cancel, &[id]).await.is_ok(), model.cancel(place)),
            Op::Control(action) => (board.control(&self.id, *action).await.is_ok(), model.control(*action)),
            Op::Complete(outcome) => {
                let complete = board.complete_of(&self.id, *outcome);
                (board.store.complete_workflow(complete).await.unwrap().is_ok(), model.complete(*outcome))
            }
            Op::Pass(milliseconds) => {
                board.pass_ms(*milliseconds);
                board.sweep().await;
                model.pass(*milliseconds);
                (true, true)
            }
        };
        assert_eq!(did, expected, "{op:?} was taken by one and not by the other");
    }

    async fn claim(&mut self, most: usize) {
        let claimed = self.board.claim("agent", most).await;
        let got: Vec<usize> =
            claimed.iter().map(|claimed| self.tasks.iter().position(|id| *id == claimed.task_id).unwrap()).collect();
        assert_eq!(got, self.model.claim(most, LEASE_MS), "claimed, in this order");
        self.leases.extend(got.into_iter().zip(claimed.into_iter().map(|claimed| claimed.lease)));
    }

    async fn add(&mut self, plan: &Plan) {
        let others: Vec<usize> =
            (0..self.tasks.len().min(8)).filter(|other| plan.waits_for >> other & 1 == 1).collect();
        let existing = others.iter().map(|place| self.tasks[*place].clone()).collect();
        let new = new_task(plan, self.tasks.len(), self.board.now(), Vec::new(), existing);
        let added = self.board.store.enqueue_tasks(self.board.enqueue(Some(&self.id), vec![new])).await.unwrap();
        assert_eq!(added.is_ok(), self.model.takes_tasks(), "tasks are taken");
        for task in added.into_iter().flatten() {
            self.model.add(&others, plan);
            self.model.follow(false);
            self.tasks.push(task.task_id);
        }
    }

    /// That both are in the same state.
    async fn compare(&mut self) {
        let (workflow, tasks) = self.board.look(&self.id).await;
        let seen: Vec<(tasks::State, i64)> = tasks.iter().map(|task| (task.state, task.attempts)).collect();
        assert_eq!((workflow.state, seen), self.model.seen());
        for (task, fence) in tasks.iter().zip(self.model.fences()) {
            assert!(task.state == tasks::State::Cancelled || task.fence == fence, "{task:?} has not the fence {fence}");
        }
        // A claim, a promotion, an expiry: whatever changes a state raises the version, and nothing lowers it.
        let states = (workflow.state, tasks.iter().map(|task| task.state).collect());
        let least = self.version + i64::from(states != self.states);
        assert!(workflow.version >= least, "version {} after {}: {states:?}", workflow.version, self.version);
        (self.version, self.states) = (workflow.version, states);
    }

    /// That of all completed tasks each was completed once, and leaves nothing to the next.
    async fn end(self) {
        let done = self.board.look(&self.id).await.0.counts.completed;
        let part = Part::Workflow { id: self.id.clone(), after: 0 };
        let events = self.board.store.events(store::workflows::History { part, most: 10_000 }).await.unwrap();
        let completions = events.iter().filter(|event| event.kind == "task_completed").count();
        assert_eq!(i64::try_from(completions).unwrap(), done);
        let complete = self.board.complete_of(&self.id, workflows::State::Cancelled);
        let _ended = self.board.store.complete_workflow(complete).await.unwrap();
    }
}

async fn run(store: &Arc<Store>, history: &History) {
    let mut both = Both::begin(store, history).await;
    both.compare().await;
    for op in &history.3 {
        both.act(op).await;
        both.compare().await;
    }
    both.end().await;
}

fn explore(seed: u8, cases: u32, open: &records::Open) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let store = Arc::new(Store::new(open()));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let found = TestRunner::new_with_rng(config, rng).run(&history(), |history| {
        runtime.block_on(run(&store, &history));
        Ok(())
    });
    if let Err(TestError::Fail(reason, history)) = found {
        panic!("seed {seed}: {reason}\nthe shortest history that does it:\n{history:#?}");
    }
    found.unwrap();
}

/// `CALLBOARD_TEST_TRANSITIONS` sets how many histories are tried.
fn cases(usually: u32) -> u32 {
    set("CALLBOARD_TEST_TRANSITIONS").unwrap_or(usually)
}

/// `CALLBOARD_TEST_SEED` sets which.
fn seed(usually: u8) -> u8 {
    set("CALLBOARD_TEST_SEED").unwrap_or(usually)
}

fn set<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn sqlite_does_what_the_tables_say() {
    let home = tempfile::tempdir().unwrap();
    explore(seed(1), cases(120), &records::in_file(home.path()));
}

#[test]
fn postgresql_does_what_the_tables_say() {
    explore(seed(2), cases(40), &records::on_postgres(&postgres::shared().database()));
}
