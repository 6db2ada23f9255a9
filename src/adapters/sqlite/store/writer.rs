//! Group commit: one thread owns the writing. Callers that wait while it commits are committed together next, each in a savepoint of its
//! own, so that one caller's failure rolls back that caller's changes alone.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{failure, others::Others, session::SqliteSession};
use crate::{
    adapters::sqlite::{call::Call, file::File},
    changes::Topic,
    error::{Code, Error},
    store::step::{Step, merged},
};

/// More callers than this in one commit only delay the first of them.
const STEPS_PER_COMMIT_MAX: usize = 512;
/// Callers that wait beyond those of a commit.
const WAITING_MAX: usize = 2_048;
/// What a commit may take, waiting for other processes included.
const TIME: Duration = Duration::from_secs(20);

/// How long the end of the process waits for what was taken in.
const END_TIME: Duration = Duration::from_secs(3);

/// The way to the thread, which starts when it is first needed and ends with this, when all that was taken in is on disk.
pub(super) struct Writer {
    file: Arc<File>,
    others: Arc<Others>,
    running: OnceLock<Running>,
}

struct Running {
    queue: mpsc::Sender<Box<dyn Step>>,
    /// Disconnected when the thread has ended.
    ended: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Writer {
    pub(super) fn new(file: Arc<File>, others: Arc<Others>) -> Self {
        Self { file, others, running: OnceLock::new() }
    }

    /// Takes a step in; it answers by itself.
    pub(super) fn submit(&self, step: Box<dyn Step>) -> Result<(), Error> {
        let running = self.running.get_or_init(|| self.start());
        running.queue.try_send(step).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Error::new(Code::Busy, "too many calls are waiting for the record store")
                    .retry_after(Duration::from_millis(500))
            }
            mpsc::error::TrySendError::Closed(_) => Error::new(Code::Unavailable, "the record store has stopped"),
        })
    }

    fn start(&self) -> Running {
        let (queue, steps) = mpsc::channel(WAITING_MAX);
        let (ends, ended) = std::sync::mpsc::channel();
        let (file, others) = (Arc::clone(&self.file), Arc::clone(&self.others));
        let started = thread::Builder::new().name("records".to_owned()).spawn(move || {
            run(&file, &others, steps);
            drop(ends);
        });
        if let Err(error) = started {
            // The queue's other end is gone then, and every caller is told.
            tracing::error!("the thread of the record store cannot be started: {error}");
        }
        Running { queue, ended: Mutex::new(ended) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(Running { queue, ended }) = self.running.take() else { return };
        drop(queue);
        // Disconnected is what is waited for.
        let _ = ended.into_inner().unwrap_or_else(PoisonError::into_inner).recv_timeout(END_TIME);
    }
}

fn run(file: &File, others: &Others, mut steps: mpsc::Receiver<Box<dyn Step>>) {
    let mut taken = Vec::new();
    while steps.blocking_recv_many(&mut taken, STEPS_PER_COMMIT_MAX) > 0 {
        taken.retain(|step| !step.is_given_up());
        if taken.is_empty() {
            continue;
        }
        let call = Call::new(TIME);
        let mut batch = Batch { waiting: merged(std::mem::take(&mut taken)).into(), ..Batch::default() };
        let committed = file.write(&call, |connection| {
            let committed = commit(connection, &call, &mut batch);
            others.probe(connection);
            committed
        });
        match committed {
            Ok(()) => {
                others.changes().tell(&batch.touched);
                for (step, failure) in batch.done {
                    step.answer(failure);
                }
            }
            Err(error) => {
                let done = batch.done.into_iter().map(|(step, _)| step);
                fail_all(done.chain(batch.waiting), &failure::reworded(error));
            }
        }
    }
}

/// The steps of a commit.
#[derive(Default)]
struct Batch {
    waiting: VecDeque<Box<dyn Step>>,
    /// Those that were run, and why their changes do not stand.
    done: Vec<(Box<dyn Step>, Option<Error>)>,
    touched: Vec<Topic>,
}

fn commit(connection: &mut Connection, call: &Call, batch: &mut Batch) -> Result<(), Error> {
    let meaning = |error| failure::of(error, call);
    let session = SqliteSession::new(connection, call);
    session.order("BEGIN IMMEDIATE").map_err(meaning)?;
    while let Some(mut step) = batch.waiting.pop_front() {
        let outcome = one(&session, step.as_mut(), call);
        let touched = session.take_touched();
        if session.is_autocommit() {
            // Some failures of the disk roll everything back.
            batch.waiting.push_front(step);
            return Err(outcome.err().unwrap_or_else(|| Error::new(Code::Unavailable, "the record store failed")));
        }
        match outcome {
            Ok(()) => {
                batch.touched.extend(touched);
                batch.done.push((step, None));
            }
            // Each of the callers alone.
            Err(_) if step.callers() > 1 => {
                step.split().into_iter().rev().for_each(|step| batch.waiting.push_front(step));
            }
            Err(error) => batch.done.push((step, Some(error))),
        }
    }
    session.order("COMMIT").map_err(|error| {
        let error = failure::in_commit(error, call);
        // What was not committed must not stay open for the next.
        let _ = session.order("ROLLBACK");
        error
    })
}

/// One step in its savepoint. A panic is its own failure, and not the thread's.
fn one(session: &SqliteSession<'_>, step: &mut dyn Step, call: &Call) -> Result<(), Error> {
    let meaning = |error| failure::of(error, call);
    session.order("SAVEPOINT step").map_err(meaning)?;
    let ran = catch_unwind(AssertUnwindSafe(|| step.run(session).now_or_never()));
    let outcome = match ran {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(Error::new(Code::Internal, "a transition waited for something that is not a statement")),
        Err(_panic) => Err(Error::new(Code::Internal, "a transition failed unexpectedly")),
    };
    if session.is_autocommit() {
        return outcome;
    }
    if outcome.is_err() {
        session.order("ROLLBACK TO step").map_err(meaning)?;
    }
    session.order("RELEASE step").map_err(meaning)?;
    outcome
}

/// Every caller gets the words; the cause was one, and goes to the log.
fn fail_all(steps: impl Iterator<Item = Box<dyn Step>>, error: &Error) {
    let (code, cause) = (error.code.as_str(), error.cause_text());
    tracing::warn!(error.code = code, cause, "a commit of the record store failed: {error}");
    steps.for_each(|step| step.answer(Some(error.for_each())));
}
