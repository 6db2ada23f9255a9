//! The two tables as plain rows, written from their words and not from the code that is tested.

use callboard::domain::{
    tasks::{OnDependencyFailure, State as Task},
    workflows::{Action, OnTaskFailure, State},
};

use super::Plan;

/// How a worker ends its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Completed,
    Failed,
    FailedForGood,
    Released,
}

#[derive(Debug)]
struct Row {
    state: Task,
    fence: i64,
    attempts: i64,
    attempts_max: i64,
    infra_failures: i64,
    /// Those it waits for whose end it has not seen.
    waits_for: Vec<usize>,
    policy: OnDependencyFailure,
    priority: i64,
    run_at: i64,
    sort_key: i64,
    lease_until: i64,
}

/// A workflow and its tasks. Times are milliseconds from its beginning.
#[derive(Debug)]
pub struct Model {
    state: State,
    started: bool,
    policy: OnTaskFailure,
    deadline: Option<i64>,
    cancel_at: i64,
    now: i64,
    tasks: Vec<Row>,
}

impl Model {
    pub fn new(policy: OnTaskFailure, deadline: Option<i64>) -> Self {
        Self { state: State::Pending, started: false, policy, deadline, cancel_at: 0, now: 0, tasks: Vec::new() }
    }

    pub fn seen(&self) -> (State, Vec<(Task, i64)>) {
        (self.state, self.tasks.iter().map(|task| (task.state, task.attempts)).collect())
    }

    pub fn fences(&self) -> Vec<i64> {
        self.tasks.iter().map(|task| task.fence).collect()
    }

    fn is_open(&self) -> bool {
        !matches!(self.state, State::Completed | State::Failed | State::Cancelled | State::TimedOut)
    }

    pub fn takes_tasks(&self) -> bool {
        self.is_open() && self.state != State::Cancelling
    }

    fn any(&self, states: &[Task]) -> bool {
        self.tasks.iter().any(|task| states.contains(&task.state))
    }

    /// enqueue → blocked, scheduled or ready, by open dependencies and run_at; or as one that was blocked when the others ended.
    pub fn add(&mut self, others: &[usize], plan: &Plan) {
        let waits_for: Vec<usize> = others.iter().copied().filter(|other| is_open(self.tasks[*other].state)).collect();
        let failed = others.iter().any(|other| matches!(self.tasks[*other].state, Task::Dead | Task::Cancelled));
        let run_at = self.now + plan.delay_s * 1_000;
        let state = match plan.policy {
            OnDependencyFailure::Cancel if failed => Task::Cancelled,
            OnDependencyFailure::Park if failed => Task::Parked,
            _ if !waits_for.is_empty() => Task::Blocked,
            _ if run_at > self.now => Task::Scheduled,
            _ => Task::Ready,
        };
        self.tasks.push(Row {
            state,
            fence: 0,
            attempts: 0,
            attempts_max: plan.attempts_max,
            infra_failures: 0,
            waits_for,
            policy: plan.policy,
            priority: plan.priority,
            run_at,
            sort_key: run_at - plan.priority * 60_000,
            lease_until: 0,
        });
    }

    /// ready → leased, in the order of the sort key.
    pub fn claim(&mut self, most: usize, lease_ms: i64) -> Vec<usize> {
        if !matches!(self.state, State::Pending | State::Running | State::Waiting) {
            return Vec::new();
        }
        let mut ready: Vec<usize> = (0..self.tasks.len()).filter(|at| self.tasks[*at].state == Task::Ready).collect();
        ready.sort_by_key(|at| (self.tasks[*at].sort_key, *at));
        ready.truncate(most);
        for at in &ready {
            let task = &mut self.tasks[*at];
            task.state = Task::Leased;
            task.fence += 1;
            task.attempts += 1;
            task.lease_until = self.now + lease_ms;
        }
        if !ready.is_empty() && self.state == State::Pending {
            (self.state, self.started) = (State::Running, true);
        }
        ready
    }

    pub fn renew(&mut self, at: usize, fence: i64, lease_ms: i64) -> bool {
        let task = &mut self.tasks[at];
        let held = task.state == Task::Leased && task.fence == fence;
        if held {
            task.lease_until = self.now + lease_ms;
        }
        held
    }

    pub fn park(&mut self, at: usize, fence: i64) -> bool {
        let cancelling = self.state == State::Cancelling;
        let task = &mut self.tasks[at];
        if task.state != Task::Leased || task.fence != fence {
            return false;
        }
        task.fence += 1;
        // A question is no failed attempt.
        task.attempts -= i64::from(!cancelling);
        task.state = if cancelling { Task::Cancelled } else { Task::Parked };
        self.follow(false);
        true
    }

    pub fn finish(&mut self, at: usize, fence: i64, turn: Turn) -> bool {
        let (cancelling, now) = (self.state == State::Cancelling, self.now);
        let task = &mut self.tasks[at];
        let late = task.state == Task::Ready && turn == Turn::Completed;
        if task.fence != fence || !(task.state == Task::Leased || late) {
            return false;
        }
        if turn == Turn::Completed {
            task.state = Task::Completed;
            self.let_go(at);
            self.follow(false);
            return true;
        }
        task.fence += 1;
        let mut died = false;
        if cancelling {
            task.state = Task::Cancelled;
        } else if turn == Turn::Released {
            task.state = Task::Ready;
            task.attempts -= 1;
        } else if turn == Turn::FailedForGood || task.attempts >= task.attempts_max {
            task.state = Task::Dead;
            died = true;
            self.let_go(at);
        } else {
            // The shortest wait: half of five seconds, twice as much with each attempt.
            task.state = Task::RetryWait;
            task.run_at = now + (2_500 << (task.attempts - 1));
            task.sort_key = task.run_at - task.priority * 60_000;
        }
        self.follow(died);
        true
    }

    pub fn answer(&mut self, at: usize) -> bool {
        if self.tasks[at].state != Task::Parked {
            return false;
        }
        self.free_parked(at);
        self.follow(false);
        true
    }

    fn free_parked(&mut self, at: usize) {
        let task = &mut self.tasks[at];
        task.state = if !task.waits_for.is_empty() {
            Task::Blocked
        } else if task.run_at > self.now {
            Task::Scheduled
        } else {
            Task::Ready
        };
    }

    pub fn retry(&mut self, at: usize) -> bool {
        if self.tasks[at].state != Task::Dead || !self.takes_tasks() {
            return false;
        }
        let now = self.now;
        let task = &mut self.tasks[at];
        task.state = Task::Ready;
        task.fence += 1;
        (task.attempts, task.infra_failures, task.run_at) = (0, 0, now);
        task.sort_key = now - task.priority * 60_000;
        task.waits_for.clear();
        self.follow(false);
        true
    }

    pub fn cancel(&mut self, at: usize) -> bool {
        if !is_open(self.tasks[at].state) {
            return false;
        }
        self.tasks[at].state = Task::Cancelled;
        self.let_go(at);
        self.follow(false);
        true
    }

    pub fn control(&mut self, action: Action) -> bool {
        let fits = match action {
            Action::Start => self.state == State::Pending,
            Action::Pause => matches!(self.state, State::Pending | State::Running | State::Waiting),
            Action::Resume => self.state == State::Paused,
            Action::Cancel | Action::Signal => self.takes_tasks(),
            Action::Fork => !self.is_open(),
        };
        if !fits {
            return false;
        }
        match action {
            Action::Start => (self.state, self.started) = (State::Running, true),
            Action::Pause => self.state = State::Paused,
            Action::Resume => self.state = if self.started { State::Running } else { State::Pending },
            Action::Cancel => {
                self.cancel_all(&[Task::Leased]);
                (self.state, self.cancel_at) = (State::Cancelling, self.now + 60_000);
            }
            Action::Signal if self.state == State::Waiting => {
                for at in 0..self.tasks.len() {
                    if self.tasks[at].state == Task::Parked {
                        self.free_parked(at);
                    }
                }
            }
            Action::Signal | Action::Fork => return true,
        }
        if action != Action::Pause {
            self.follow(false);
        }
        true
    }

    pub fn complete(&mut self, outcome: State) -> bool {
        let open = self.tasks.iter().any(|task| is_open(task.state));
        let fits = self.is_open()
            && (self.state != State::Cancelling || outcome == State::Cancelled)
            && !(outcome == State::Completed && open);
        if fits {
            self.end(outcome);
        }
        fits
    }

    /// Time passes; what has run out is put back, what is due becomes ready, what is overdue ends.
    pub fn pass(&mut self, milliseconds: i64) {
        self.now += milliseconds;
        for at in 0..self.tasks.len() {
            let cancelling = self.state == State::Cancelling;
            let now = self.now;
            let task = &mut self.tasks[at];
            if task.state != Task::Leased || task.lease_until > now {
                continue;
            }
            task.infra_failures += 1;
            let died = !cancelling && task.infra_failures > 5;
            task.state = match (cancelling, died) {
                (true, _) => Task::Cancelled,
                (_, true) => Task::Dead,
                _ => Task::Ready,
            };
            if died {
                task.fence += 1;
                self.let_go(at);
            }
            self.follow(died);
        }
        for task in &mut self.tasks {
            if matches!(task.state, Task::Scheduled | Task::RetryWait) && task.run_at <= self.now {
                task.state = Task::Ready;
            }
        }
        let late = self.deadline.is_some_and(|deadline| deadline <= self.now);
        match self.state {
            State::Pending | State::Running | State::Waiting if late => self.end(State::TimedOut),
            State::Cancelling if self.cancel_at <= self.now => self.end(State::Cancelled),
            _ => {}
        }
    }

    /// Those that wait for it see how it ended.
    fn let_go(&mut self, ended: usize) {
        let (how, now) = (self.tasks[ended].state, self.now);
        let mut gone = Vec::new();
        for (at, task) in self.tasks.iter_mut().enumerate() {
            let Some(place) = task.waits_for.iter().position(|other| *other == ended) else { continue };
            if !matches!(task.state, Task::Blocked | Task::Parked) {
                continue;
            }
            task.waits_for.remove(place);
            if task.state == Task::Parked {
                continue;
            }
            let free = how == Task::Completed || task.policy == OnDependencyFailure::Continue;
            if free && task.waits_for.is_empty() {
                task.run_at = task.run_at.max(now);
                task.sort_key = task.run_at - task.priority * 60_000;
                task.state = if task.run_at > now { Task::Scheduled } else { Task::Ready };
            } else if !free && task.policy == OnDependencyFailure::Park {
                task.state = Task::Parked;
            } else if !free {
                task.state = Task::Cancelled;
                gone.push(at);
            }
        }
        for at in gone {
            self.let_go(at);
        }
    }

    /// What becomes of the workflow by itself.
    pub fn follow(&mut self, died: bool) {
        if self.state == State::Cancelling && !self.any(&[Task::Leased]) {
            return self.end(State::Cancelled);
        }
        if !matches!(self.state, State::Pending | State::Running | State::Waiting) {
            return;
        }
        let over = !self.tasks.iter().any(|task| is_open(task.state));
        if self.policy == OnTaskFailure::Fail && self.any(&[Task::Dead]) {
            self.end(State::Failed);
        } else if self.policy == OnTaskFailure::Pause && died {
            self.state = State::Paused;
        } else if over {
            self.end(if self.any(&[Task::Completed, Task::Dead]) { State::Completed } else { State::Cancelled });
        } else if self.state != State::Pending {
            let live = self.any(&[Task::Ready, Task::Scheduled, Task::Leased, Task::RetryWait]);
            self.state = if live { State::Running } else { State::Waiting };
        }
    }

    fn end(&mut self, state: State) {
        self.cancel_all(&[]);
        self.state = state;
    }

    fn cancel_all(&mut self, but: &[Task]) {
        for task in self.tasks.iter_mut().filter(|task| is_open(task.state) && !but.contains(&task.state)) {
            task.state = Task::Cancelled;
        }
    }
}

fn is_open(state: Task) -> bool {
    !matches!(state, Task::Completed | Task::Dead | Task::Cancelled)
}
