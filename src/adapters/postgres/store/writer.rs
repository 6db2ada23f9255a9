//! Group commit: callers that wait while a transaction is carried out are taken together in the next, those of the same batched transition
//! as one step.
//!
//! Two lanes, each with a connection: while one waits for the disk, the other carries out the next transaction. Only one carries out
//! statements at a time, so transactions of one process never deadlock. There are no savepoints: when a step fails, the transaction
//! is rolled back, and goes again without that step, whose callers are carried out alone.

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture, poll};
use tokio::sync::{Mutex, mpsc};

use super::{
    Shared,
    failure::{self, Fault},
    listen,
    session::{PostgresSession, STATEMENT_TIME},
};
use crate::{
    adapters::postgres::{
        failure::{in_commit, silent_in_commit},
        pool::{Work, Writes},
    },
    changes::Topic,
    error::{Code, Error, Place},
    store::step::{Step, merged},
};

/// Transactions under way at once.
const LANES: usize = 2;
/// More callers than this in one transaction only delay the first of them.
const CALLERS_MAX: usize = 128;
/// Callers that wait beyond those of a transaction; more are told to come again.
const WAITING_MAX: usize = 2_048;
/// Steps that a transaction goes without before all are carried out alone.
const APART_MAX: usize = 3;
/// How often a step that another transaction was in the way of is carried out.
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
    pub(super) fn submit(&self, step: Box<dyn Step>) -> Result<(), Error> {
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

/// Steps in a transaction that is open.
struct Batch {
    steps: Steps,
    touched: Vec<Topic>,
    failed: Option<Failed>,
}

/// Why the changes of a transaction do not stand.
struct Failed {
    /// The step by which it failed; none: by no step alone.
    place: Option<usize>,
    /// Whether the same may succeed when it is run again.
    may_pass: bool,
    error: Error,
}

impl Lane {
    async fn run(self) {
        loop {
            let mut queue = self.queue.lock().await;
            let mut steps = Steps::new();
            tokio::select! {
                biased;
                taken = queue.recv_many(&mut steps, CALLERS_MAX) => if taken == 0 { return },
                // What was taken in is carried out.
                () = self.shared.background.stopping() => queue.close(),
            }
            steps.retain(|step| !step.is_given_up());
            let mut alone = Steps::new();
            let opened = match self.carry_out(merged(steps), &mut alone).await {
                Ok(opened) => opened,
                Err(error) => {
                    // Nobody waits for what has just been tried.
                    let mut waiting = std::mem::take(&mut alone);
                    while error.code == Code::Unavailable
                        && let Ok(step) = queue.try_recv()
                    {
                        waiting.push(step);
                    }
                    fail_all(waiting, &error);
                    None
                }
            };
            drop(queue);
            if let Some((work, batch)) = opened
                && let Err((steps, failed)) = self.commit(work, batch).await
            {
                set_apart(steps, &failed, &mut alone);
            }
            for step in alone {
                self.alone(step).await;
            }
        }
    }

    /// Carries out as many as go together; the callers of the others are to be carried out alone. An error is for all callers, and those
    /// of `steps` have been told.
    async fn carry_out(&self, mut steps: Steps, alone: &mut Steps) -> Result<Option<(Work, Batch)>, Error> {
        let mut rounds = 0;
        while !steps.is_empty() {
            match self.open(&mut steps).await {
                Ok(opened) => return Ok(Some(opened)),
                Err(failed) => match failed.place {
                    Some(place) if place < steps.len() => {
                        rounds += 1;
                        set_apart(vec![steps.remove(place)], &failed, alone);
                        if rounds >= APART_MAX {
                            alone.extend(steps.drain(..).flat_map(Step::split));
                        }
                    }
                    _ => {
                        fail_all(steps, &failed.error);
                        return Err(failed.error);
                    }
                },
            }
        }
        Ok(None)
    }

    /// A step in a transaction of its own, again where another transaction was in the way.
    async fn alone(&self, step: Box<dyn Step>) {
        let mut steps = vec![step];
        let mut error = Error::new(Code::Internal, "the step was not carried out");
        for _ in 0..TRIES_MAX {
            let failed = match self.open(&mut steps).await {
                Ok((work, batch)) => match self.commit(work, batch).await {
                    Ok(()) => return,
                    Err((back, failed)) => {
                        steps = back;
                        failed
                    }
                },
                Err(failed) => failed,
            };
            error = failed.error;
            if !failed.may_pass {
                break;
            }
        }
        fail_all(steps, &error);
    }

    /// Runs the steps in a transaction that is to be committed. When it fails, it is rolled back, and they are where they were.
    async fn open(&self, steps: &mut Steps) -> Result<(Work, Batch), Failed> {
        let mut tries = 0;
        loop {
            tries += 1;
            let ready = self.shared.ready().await;
            ready.map_err(|error| Failed { place: None, may_pass: false, error })?;
            let batch = Mutex::new(Batch { steps: std::mem::take(steps), touched: Vec::new(), failed: None });
            let opened = self.shared.pool.open(Writes::Yes, STATEMENT_TIME, &batch, run_all).await;
            let mut batch = batch.into_inner();
            match (opened, batch.failed.take()) {
                (Ok((work, ())), None) => return Ok((work, batch)),
                (Ok((work, ())), Some(failed)) => {
                    work.rollback_after_failure().await;
                    *steps = batch.steps;
                    return Err(failed);
                }
                (Err(error), failed) => {
                    *steps = batch.steps;
                    if Fault::of(&error) == Fault::Unmade {
                        self.shared.unmade();
                    }
                    let Some(failed) = failed else {
                        return Err(Failed { place: None, may_pass: false, error: failure::of(error) });
                    };
                    // It broke in the middle: another connection may be better, once.
                    if !failed.may_pass || tries > 1 {
                        return Err(Failed { place: None, ..failed });
                    }
                }
            }
        }
    }

    /// Commits and answers. Steps come back when the transaction was rolled back, with the reason.
    async fn commit(&self, work: Work, batch: Batch) -> Result<(), (Steps, Failed)> {
        let Batch { steps, touched, .. } = batch;
        let settled = {
            let mut committed = pin!(work.batch_execute("COMMIT"));
            match poll!(&mut committed) {
                // The connection broke before, and takes nothing any more: COMMIT never left.
                Poll::Ready(Err(error)) => {
                    let error = failure::of(crate::adapters::postgres::failure::meaning(error));
                    return Err((steps, Failed { place: None, may_pass: true, error }));
                }
                Poll::Ready(Ok(())) => Ok(()),
                Poll::Pending => match work.answered(committed, COMMIT_TIME).await {
                    Ok(settled) => settled.map_err(in_commit),
                    Err(silence) => Err(silent_in_commit(silence)),
                },
            }
        };
        match settled {
            Ok(()) => {
                work.committed(listen::telling(&touched).as_deref());
                self.shared.changes.tell(&touched);
                steps.into_iter().for_each(|step| step.answer(None));
                Ok(())
            }
            Err(error) if error.code == Code::OutcomeUnknown => {
                fail_all(steps, &error);
                Ok(())
            }
            Err(error) => {
                work.rollback_after_failure().await;
                let may_pass = Fault::of(&error).may_pass();
                Err((steps, Failed { place: None, may_pass, error: failure::of(error) }))
            }
        }
    }
}

/// The callers of steps that failed are carried out alone, except a lone one that would fail again.
fn set_apart(steps: Steps, failed: &Failed, alone: &mut Steps) {
    for step in steps {
        if step.callers() == 1 && !failed.may_pass && failed.place.is_some() {
            step.answer(Some(failed.error.for_each()));
        } else {
            alone.extend(step.split());
        }
    }
}

/// Each step from the beginning, one after the other, up to the first that fails. The error is that of the connection.
fn run_all<'a>(work: &'a Work, batch: &'a Mutex<Batch>) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        let mut batch = batch.lock().await;
        let Batch { steps, touched, failed } = &mut *batch;
        *failed = None;
        let session = PostgresSession::new(work);
        for (place, step) in steps.iter_mut().enumerate() {
            let outcome = one(&session, step.as_mut()).await;
            let fault = session.fault();
            let Some(error) = outcome.err().or_else(|| fault.map(|_| missing_outcome())) else { continue };
            let may_pass = fault.is_some_and(Fault::may_pass);
            let (error, of_connection) = match fault {
                Some(Fault::Parted | Fault::Silent) => broken(error),
                // The pool is to know what it found out.
                Some(Fault::Mixed | Fault::Unmade) => {
                    let place = Place { backend_code: error.place.backend_code.clone(), ..Place::default() };
                    let of_connection = error.for_each().place(place);
                    (error, Some(of_connection))
                }
                Some(Fault::Collision | Fault::Statement) | None => (error, None),
            };
            *failed = Some(Failed { place: Some(place), may_pass, error });
            return of_connection.map_or(Ok(()), Err);
        }
        *touched = session.into_touched();
        Ok(())
    })
}

/// What a step is told, and the pool, when the connection is of no use any more.
fn broken(error: Error) -> (Error, Option<Error>) {
    let broke = || Error::new(Code::Unavailable, "the connection broke").retry_after(Duration::from_millis(200));
    let told = if error.code == Code::Unavailable { error } else { failure::of(broke()) };
    (told, Some(broke()))
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

fn missing_outcome() -> Error {
    Error::new(Code::Internal, "a transition went on after a statement had failed")
}

/// Every caller gets the words; the cause was one, and goes to the log.
fn fail_all(steps: Steps, error: &Error) {
    let (code, cause) = (error.code.as_str(), error.cause_text());
    tracing::debug!(error.code = code, cause, "a transaction of the record store failed: {error}");
    steps.into_iter().for_each(|step| step.answer(Some(error.for_each())));
}
