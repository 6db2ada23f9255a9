//! Transitions on their way to the disk, with who waits for them.

use std::any::Any;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{Session, Transaction};
use crate::error::{Code, Error};

/// One transition: what is done in the transaction. It captures nothing, and gets what was asked. It may run more than once, after a
/// rollback of what it did before. When it fails, whatever it wrote is rolled back.
pub type Transition<C, T> = for<'a> fn(&'a Transaction<'a>, &'a C) -> BoxFuture<'a, Result<T, Error>>;

/// The same for several callers at once, with an answer for each, in their order. It locks all their rows first, in the order of their ids;
/// decides one caller after the other; and writes what came of it with one statement for each table. When it fails, each of them is
/// run alone.
pub type Batched<C, T> = for<'a> fn(&'a Transaction<'a>, &'a [C]) -> BoxFuture<'a, Result<Vec<T>, Error>>;

/// What a step locks. Rows are locked in the order workflows, tasks, agents, locks, so that no two transactions deadlock; the steps of one
/// transaction run in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Workflows, and their tasks after them.
    Workflows,
    /// The same, and then the agents that did the work.
    Turns,
    /// Tasks that nobody else has, without their workflows: who comes after these and locks a workflow could wait for somebody who has it and
    /// waits for its tasks.
    Claims,
    /// Agents and locks.
    Agents,
}

/// A transition on its way to the disk, of one caller or several.
pub trait Step: Any + Send {
    /// Nobody waits for it any more: it need not begin.
    fn is_given_up(&self) -> bool;

    /// When it runs among the steps of a transaction.
    fn order(&self) -> Order;

    /// How many callers wait for it.
    fn callers(&self) -> usize;

    /// Takes in the callers of another step of the same batched transition; gives any other step back.
    fn merge(&mut self, other: Box<dyn Step>) -> Option<Box<dyn Step>>;

    /// A step for each caller.
    fn split(self: Box<Self>) -> Vec<Box<dyn Step>>;

    /// Does it. May be called again after a rollback.
    ///
    /// # Errors
    /// What it wrote must be rolled back.
    fn run<'a>(&'a mut self, session: &'a dyn Session) -> BoxFuture<'a, Result<(), Error>>;

    /// Answers the callers: with how the last run ended when the transaction is on disk, else with `failure`.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

/// The steps of a transaction, in their order, with those of the same batched transition merged.
pub fn merged(steps: Vec<Box<dyn Step>>) -> Vec<Box<dyn Step>> {
    let mut merged: Vec<Box<dyn Step>> = Vec::new();
    for step in steps {
        let mut left = Some(step);
        for one in &mut merged {
            left = left.and_then(|step| one.merge(step));
        }
        merged.extend(left);
    }
    merged.sort_by_key(|step| step.order());
    merged
}

/// How a transition takes its callers.
pub(super) enum Run<C, T> {
    /// Each by itself.
    One(Transition<C, T>),
    /// All together.
    All(Batched<C, T>),
}

impl<C, T> Clone for Run<C, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, T> Copy for Run<C, T> {}

/// Callers of one transition; several only of a batched one.
pub(super) struct Callers<C, T> {
    order: Order,
    run: Run<C, T>,
    asked: Vec<C>,
    replies: Vec<oneshot::Sender<Result<T, Error>>>,
    /// What the last run came to.
    answers: Vec<T>,
}

impl<C, T> Callers<C, T> {
    pub(super) fn one(order: Order, asked: C, run: Run<C, T>) -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (reply, answer) = oneshot::channel();
        (Self { order, run, asked: vec![asked], replies: vec![reply], answers: Vec::new() }, answer)
    }
}

impl<C: Send + Sync + 'static, T: Send + 'static> Step for Callers<C, T> {
    fn is_given_up(&self) -> bool {
        self.replies.iter().all(oneshot::Sender::is_closed)
    }

    fn order(&self) -> Order {
        self.order
    }

    fn callers(&self) -> usize {
        self.asked.len()
    }

    fn merge(&mut self, other: Box<dyn Step>) -> Option<Box<dyn Step>> {
        if matches!(self.run, Run::One(_)) || !(other.as_ref() as &dyn Any).is::<Self>() {
            return Some(other);
        }
        if let Ok(other) = (other as Box<dyn Any>).downcast::<Self>() {
            self.asked.extend(other.asked);
            self.replies.extend(other.replies);
        }
        None
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Step>> {
        let Self { order, run, asked, replies, .. } = *self;
        let one = |(asked, reply)| {
            Box::new(Self { order, run, asked: vec![asked], replies: vec![reply], answers: Vec::new() })
                as Box<dyn Step>
        };
        asked.into_iter().zip(replies).map(one).collect()
    }

    fn run<'a>(&'a mut self, session: &'a dyn Session) -> BoxFuture<'a, Result<(), Error>> {
        let Self { run, asked, answers, .. } = self;
        Box::pin(async move {
            let transaction = Transaction::new(session);
            answers.clear();
            match run {
                Run::One(run) => {
                    for asked in asked.iter() {
                        answers.push(run(&transaction, asked).await?);
                    }
                }
                Run::All(run) => *answers = run(&transaction, asked).await?,
            }
            transaction.write().await
        })
    }

    fn answer(self: Box<Self>, failure: Option<Error>) {
        let Self { replies, answers, .. } = *self;
        let mut answers = answers.into_iter();
        for reply in replies {
            let answer = match &failure {
                Some(error) => Err(error.for_each()),
                None => answers.next().ok_or_else(|| Error::new(Code::Internal, "the transition was not run")),
            };
            // The caller may be gone; what it asked for stands all the same.
            let _ = reply.send(answer);
        }
    }
}

/// What callers are told whose step was dropped.
pub(super) fn stopped() -> Error {
    Error::new(Code::OutcomeUnknown, "the record store stopped during the call")
        .hint("repeat the call with the same idempotency_key, or check whether it took effect")
}
