//! Group commit: callers that wait while a transaction is carried out are taken together in the next; those that do the same side by side,
//! all others one after the other.
//!
//! Two lanes, each with a connection: while one waits for the disk, the other carries out the next transaction. Only one carries out
//! statements at a time, so that transactions of one process hardly ever wait for each other in a circle: what leaves with a commit, and
//! steps that were put aside, run beside the other lane. There are no savepoints: when a step has to be taken back, the transaction is, and
//! goes again without that step, which then is alone in one of its own.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use tokio::sync::{Mutex, mpsc};

use super::{
    Shared, failure, listen,
    put_off::Unsettled,
    session::{self, End, PostgresSession, STATEMENT_TIME, Transaction},
};
use crate::{
    adapters::postgres::pool::{Work, Writes},
    changes::Topic,
    error::{Code, Error},
    store::{Beside, Later, Step},
};

/// Transactions under way at once.
const LANES: usize = 2;
/// More callers than this in one transaction only delay the first of them.
const STEPS_MAX: usize = 128;
/// Callers that wait beyond those of a transaction; more are told to come again.
const WAITING_MAX: usize = 2_048;
/// Steps that a transaction goes without before all are carried out alone.
const ASIDE_MAX: usize = 3;
/// How often a step that another process was in the way of is carried out.
const TRIES_MAX: usize = 5;
/// What COMMIT may take.
const COMMIT_TIME: Duration = Duration::from_secs(10);

type Steps = Vec<Box<dyn Step>>;

/// The way to the lanes, which start when they are first needed and end when this goes, or the process does, and nobody waits any more.
pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: OnceLock<mpsc::Sender<Box<dyn Step>>>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, queue: OnceLock::new() }
    }

    /// Takes a step in; it answers by itself.
    pub(super) fn take(&self, step: Box<dyn Step>) -> Result<(), Error> {
        let queue = self.queue.get_or_init(|| self.start());
        queue.try_send(step).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Error::new(Code::Busy, "too many calls are waiting for the record store")
                    .retry_after(Duration::from_millis(500))
            }
            mpsc::error::TrySendError::Closed(_) => Error::new(Code::Unavailable, "the record store has stopped"),
        })
    }

    fn start(&self) -> mpsc::Sender<Box<dyn Step>> {
        let (queue, steps) = mpsc::channel(WAITING_MAX);
        let steps = Arc::new(Mutex::new(steps));
        for _ in 0..LANES {
            let lane = Lane { shared: Arc::clone(&self.shared), queue: Arc::clone(&steps) };
            self.shared.background.spawn(lane.run());
        }
        queue
    }
}

struct Lane {
    shared: Arc<Shared>,
    /// Whoever holds it carries out statements.
    queue: Arc<Mutex<mpsc::Receiver<Box<dyn Step>>>>,
}

/// Steps that are taken in, and what became of them.
#[derive(Default)]
struct Batch {
    steps: Steps,
    /// For each step why its changes do not stand.
    failures: Vec<Option<Error>>,
    touched: Vec<Topic>,
    /// What is to be written with the commit.
    put_off: Vec<Later>,
}

/// How carrying out ended.
enum Ran {
    /// All that stands can be committed.
    ToCommit,
    /// The step in this place has to be taken back, and all with it; none: one of them, nobody knows which.
    Spoilt(Option<usize>, Error),
}

/// What a lane has after carrying out.
#[derive(Default)]
struct Carried {
    /// What is to be committed.
    transaction: Option<(Work, Batch)>,
    /// What is to be carried out alone.
    aside: Steps,
    /// No transaction came about, and all were told why.
    failure: Option<Error>,
}

/// Why a transaction came to nothing.
enum Lost {
    /// The connection broke in the middle.
    Parted(Error),
    /// It cannot be had, or no other will be better.
    Because(Error),
}

impl Lane {
    async fn run(self) {
        loop {
            let mut queue = self.queue.lock().await;
            let mut steps = Steps::new();
            tokio::select! {
                biased;
                taken = queue.recv_many(&mut steps, STEPS_MAX) => if taken == 0 { return },
                // What was taken in is carried out.
                () = self.shared.background.stopping() => queue.close(),
            }
            steps.retain(|step| !step.is_given_up());
            if steps.is_empty() {
                continue;
            }
            let carried_out = self.carry_out(steps).await;
            if let Some(error) = carried_out.failure.as_ref().filter(|error| error.code == Code::Unavailable) {
                // Nobody waits for what has just been tried.
                let mut waiting = Steps::new();
                while let Ok(step) = queue.try_recv() {
                    waiting.push(step);
                }
                fail_all(waiting, error);
            }
            drop(queue);
            let mut aside = carried_out.aside;
            if let Some((work, batch)) = carried_out.transaction
                && let Err((steps, error)) = self.settle(work, batch).await
            {
                match (steps.len(), may_succeed(&error)) {
                    (1, false) => fail_all(steps, &error),
                    _ => aside.extend(steps),
                }
            }
            for step in aside {
                self.alone(step).await;
            }
        }
    }

    /// Carries out as many as go together. The others come back, to be carried out alone.
    async fn carry_out(&self, mut steps: Steps) -> Carried {
        let mut aside = Steps::new();
        let mut parted = false;
        while !steps.is_empty() {
            if let Err(error) = self.shared.ready().await {
                fail_all(steps.into_iter().chain(aside).collect(), &error);
                return Carried { failure: Some(error), ..Carried::default() };
            }
            let batch = Mutex::new(Batch { steps, ..Batch::default() });
            let opened = self.open(&batch).await;
            let batch = batch.into_inner();
            match opened {
                Ok((work, Ran::ToCommit)) => return Carried { transaction: Some((work, batch)), aside, failure: None },
                Ok((work, Ran::Spoilt(place, error))) => {
                    work.rollback_after_failure().await;
                    steps = batch.steps;
                    let is_known = place.is_some_and(|place| place < steps.len());
                    if steps.len() == 1 && aside.is_empty() && !failure::is_collision(&error) {
                        fail_all(std::mem::take(&mut steps), &error);
                    } else if let Some(place) = place.filter(|_| is_known) {
                        aside.push(steps.remove(place));
                    }
                    if !is_known || aside.len() >= ASIDE_MAX {
                        aside.append(&mut steps);
                    }
                }
                Err(Lost::Parted(_)) if !parted => {
                    parted = true;
                    steps = batch.steps;
                }
                Err(Lost::Parted(error) | Lost::Because(error)) => {
                    fail_all(batch.steps.into_iter().chain(aside).collect(), &error);
                    return Carried { failure: Some(error), ..Carried::default() };
                }
            }
        }
        Carried { aside, ..Carried::default() }
    }

    /// One step in a transaction of its own, again where another process was in the way.
    async fn alone(&self, step: Box<dyn Step>) {
        let mut steps = vec![step];
        let mut failed = Error::new(Code::Internal, "the step was not carried out");
        for _ in 0..TRIES_MAX {
            let context = Mutex::new(Batch { steps, ..Batch::default() });
            let opened = self.open(&context).await;
            let batch = context.into_inner();
            failed = match opened {
                Ok((work, Ran::ToCommit)) => match self.settle(work, batch).await {
                    Ok(()) => return,
                    Err((back, error)) => {
                        steps = back;
                        error
                    }
                },
                Ok((work, Ran::Spoilt(_, error))) => {
                    work.rollback_after_failure().await;
                    steps = batch.steps;
                    error
                }
                Err(Lost::Parted(error)) => {
                    (failed, steps) = (error, batch.steps);
                    continue;
                }
                Err(Lost::Because(error)) => return fail_all(batch.steps, &error),
            };
            if !may_succeed(&failed) {
                break;
            }
        }
        fail_all(steps, &failed);
    }

    async fn open(&self, batch: &Mutex<Batch>) -> Result<(Work, Ran), Lost> {
        let opened = self.shared.pool.open(Writes::Yes, STATEMENT_TIME, batch, run_all).await;
        opened.map_err(|error| {
            if failure::is_unmade(&error) {
                self.shared.unmade();
            }
            if session::is_parted(&error) { Lost::Parted(error) } else { Lost::Because(failure::of(error)) }
        })
    }

    /// Commits and answers. Steps come back when the transaction was taken back, with the reason.
    async fn settle(&self, work: Work, batch: Batch) -> Result<(), (Steps, Error)> {
        let Batch { steps, failures, touched, put_off } = batch;
        let settled = Transaction::new(&work).write_and_commit(&put_off, COMMIT_TIME).await;
        match settled {
            Ok(()) => {
                work.committed(listen::telling(&touched).as_deref());
                self.shared.changes.tell(&touched);
                for (step, failure) in steps.into_iter().zip(failures) {
                    step.answer(failure);
                }
                Ok(())
            }
            Err(Unsettled { error, is_taken_back: true }) => {
                work.rollback_after_failure().await;
                self.shared.pool.finds_itself_pooled(&error);
                Err((steps, error))
            }
            Err(Unsettled { error, is_taken_back: false }) => {
                fail_all(steps, &error);
                Ok(())
            }
        }
    }
}

/// Whether a transaction that came to nothing may come to something when it is carried out again.
fn may_succeed(error: &Error) -> bool {
    failure::is_collision(error) || session::is_parted(error)
}

/// Steps in the places in which they go together: those that may run beside each other. A step that has a key in common with one before it
/// comes after that one, and those that are to come last do.
fn groups(steps: &[Box<dyn Step>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let goes_with = |other: &usize| match (step.beside(), steps.get(*other).and_then(|other| other.beside())) {
            (Some(one), Some(other)) => one.fits(other),
            _ => false,
        };
        match groups.iter_mut().find(|group| group.iter().all(goes_with)) {
            Some(group) => group.push(place),
            None => groups.push(vec![place]),
        }
    }
    let is_last = |place: &usize| steps.get(*place).and_then(|step| step.beside()).is_some_and(Beside::is_last);
    groups.sort_by_key(|group| group.iter().any(is_last));
    groups
}

/// What the steps in these places have to themselves.
fn keys(steps: &[Box<dyn Step>], group: &[usize]) -> Vec<String> {
    let beside = group.iter().filter_map(|place| steps.get(*place)?.beside());
    beside.flat_map(|beside| beside.keys.iter().cloned()).collect()
}

/// Group after group, each step from the beginning.
fn run_all<'a>(work: &'a Work, batch: &'a Mutex<Batch>) -> BoxFuture<'a, Result<Ran, Error>> {
    Box::pin(async move {
        let mut batch = batch.lock().await;
        let Batch { steps, failures, touched, put_off } = &mut *batch;
        failures.clear();
        failures.resize_with(steps.len(), || None);
        touched.clear();
        put_off.clear();
        let transaction = Transaction::new(work);
        for group in groups(steps) {
            // Those that come next read what these have added. Counts of agents nobody reads, and agents come last.
            let (counts, added) = std::mem::take(put_off).into_iter().partition(Later::is_change);
            *put_off = counts;
            if let Err(failed) = transaction.write(&added).await {
                return spoilt(&transaction, None, Err(failed.error));
            }
            transaction.next_group(keys(steps, &group));
            let sessions: Vec<_> = group.iter().map(|_| PostgresSession::new(&transaction)).collect();
            let mut outcomes = run_group(&sessions, steps, &group).await;
            if transaction.end().is_some() {
                // All that failed after the first failed because of it.
                let culprit = sessions.iter().position(PostgresSession::is_culprit);
                let told = culprit.or_else(|| outcomes.iter().position(Result::is_err));
                let outcome = told.and_then(|place| outcomes.get_mut(place)).map(|one| std::mem::replace(one, Ok(())));
                let place = culprit.and_then(|place| group.get(place).copied());
                return spoilt(&transaction, place, outcome.unwrap_or(Ok(())));
            }
            let mut writes = Vec::new();
            for ((place, session), outcome) in group.iter().zip(sessions).zip(outcomes) {
                match outcome {
                    Ok(()) => {
                        let (told, later) = session.into_left();
                        touched.extend(told);
                        writes.extend(later);
                    }
                    Err(error) if session.is_unchanged() && !failure::is_collision(&error) => {
                        if let Some(failure) = failures.get_mut(*place) {
                            *failure = Some(error);
                        }
                    }
                    Err(error) => return Ok(Ran::Spoilt(Some(*place), error)),
                }
            }
            // The history is in the order of what was done, whoever did it.
            writes.sort_by_key(|(place, _)| *place);
            put_off.extend(writes.into_iter().map(|(_, write)| write));
        }
        Ok(Ran::ToCommit)
    })
}

/// The steps in these places, side by side when there are several.
async fn run_group(sessions: &[PostgresSession<'_>], steps: &mut Steps, group: &[usize]) -> Vec<Result<(), Error>> {
    let chosen = steps.iter_mut().enumerate().filter(|(place, _)| group.contains(place));
    join_all(sessions.iter().zip(chosen).map(|(session, (_, step))| one(session, step.as_mut()))).await
}

/// How a transaction ends in which a statement has failed: `outcome` is that of the step in `place`, where one is known to be why.
fn spoilt(transaction: &Transaction<'_>, place: Option<usize>, outcome: Result<(), Error>) -> Result<Ran, Error> {
    match transaction.end() {
        None | Some(End::Failed) => Ok(Ran::Spoilt(place, outcome.err().unwrap_or_else(unheeded))),
        Some(end) => Err(end.of_connection(outcome)),
    }
}

/// A panic is the step's own failure, and not the lane's.
async fn one(session: &PostgresSession<'_>, step: &mut dyn Step) -> Result<(), Error> {
    let ran = AssertUnwindSafe(step.run(session)).catch_unwind().await;
    let outcome = ran.unwrap_or_else(|_panic| Err(Error::new(Code::Internal, "a transition failed unexpectedly")));
    if outcome.is_ok() && !session.is_settled() {
        return Err(Error::new(Code::Internal, "a transition ended before its statements did"));
    }
    outcome
}

fn unheeded() -> Error {
    Error::new(Code::Internal, "a transition went on after a statement had failed")
}

/// Every caller gets the words; the cause was one, and goes to the log.
fn fail_all(steps: Steps, error: &Error) {
    let (code, cause) = (error.code.as_str(), error.cause_text());
    tracing::debug!(error.code = code, cause, "a transaction of the record store failed: {error}");
    steps.into_iter().for_each(|step| step.answer(Some(error.for_each())));
}
