//! The record store, whatever database keeps it: its transitions, each written once as statements of a [`Session`].
//!
//! Each transition is a function over a session and what was asked; the rules that decide are the
//! domain's. A [`Backend`] commits transitions, several callers' together where they wait for the same disk: `adapters/sqlite/store`
//! for the embedded file, `adapters/postgres/store` for PostgreSQL.

pub mod agents;
mod beside;
mod events;
pub mod idempotency;
pub mod keepable;
pub mod later;
pub mod locks;
mod payload;
pub mod session;
pub mod sessions;
pub mod tasks;
mod upkeep;
pub mod webhooks;
pub mod workflows;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use self::workflows::create::Room;
pub use self::{
    beside::{Beside, Kind},
    later::{Kept, Later},
    session::{Cell, Hold, Row, Session, Value},
};
use crate::{
    changes::Changes,
    domain::ops::BackendStatus,
    error::{Code, Error},
};

/// One transition: what is done in the transaction. It captures nothing, and gets what was asked as a context. It may run more than once;
/// what it did before was taken back then. When it fails, whatever it wrote is taken back, and only that.
pub type Transition<C, T> = for<'a> fn(&'a dyn Session, &'a C) -> BoxFuture<'a, Result<T, Error>>;

/// A database that keeps records.
#[async_trait::async_trait]
pub trait Backend: Send + Sync {
    /// Takes a step in: it is run in a transaction, alone or with others, and answered once that is on disk.
    ///
    /// # Errors
    /// `unavailable` or `busy`, when it cannot be taken in.
    async fn commit(&self, step: Box<dyn Step>) -> Result<(), Error>;

    /// Runs a step that only reads, beside the writes.
    ///
    /// # Errors
    /// `unavailable` or `busy`, when it cannot be taken in.
    async fn look(&self, step: Box<dyn Step>) -> Result<(), Error>;

    /// Who waits for changes here.
    fn changes(&self) -> &Arc<Changes>;

    /// One look at it.
    async fn status(&self) -> BackendStatus;
}

/// A caller's transition on its way to the disk.
pub trait Step: Send {
    /// Nobody waits for it any more: it need not begin.
    fn is_given_up(&self) -> bool;

    /// Beside which others it may run in one transaction; none: beside no other.
    fn beside(&self) -> Option<&Beside>;

    /// Does it. May be called again; what was done before was taken back then.
    ///
    /// # Errors
    /// What it wrote must be taken back; nothing else of the transaction.
    fn run<'a>(&'a mut self, session: &'a dyn Session) -> BoxFuture<'a, Result<(), Error>>;

    /// Tells the caller: with how the last run ended when the transaction is on disk, else with `failure`.
    fn answer(self: Box<Self>, failure: Option<Error>);
}

/// The record store. Cloning shares.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    room: Arc<Room>,
}

impl Store {
    /// Over the database that keeps them.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, room: Arc::default() }
    }

    /// Who waits for changes here.
    pub fn changes(&self) -> &Arc<Changes> {
        self.backend.changes()
    }

    /// Carries out a transition: its changes are on disk when this returns, or nothing is changed.
    ///
    /// # Errors
    /// Those of the transition, and of its commit.
    pub async fn transact<C, T>(&self, context: C, run: Transition<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.commit(None, context, run).await
    }

    /// The same, where a backend can beside others of its kind.
    ///
    /// # Errors
    /// Those of the transition, and of its commit.
    pub async fn transact_beside<C, T>(&self, beside: Beside, context: C, run: Transition<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.commit(Some(beside), context, run).await
    }

    async fn commit<C, T>(&self, beside: Option<Beside>, context: C, run: Transition<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (waiting, answer) = Waiting::new(beside, context, run);
        self.backend.commit(Box::new(waiting)).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Looks without changing anything, at one moment.
    ///
    /// # Errors
    /// Those of the transition.
    pub async fn look<C, T>(&self, context: C, run: Transition<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (waiting, answer) = Waiting::new(None, context, run);
        self.backend.look(Box::new(waiting)).await?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Store {
    /// A fresh look. Makes nothing.
    pub async fn status(&self) -> BackendStatus {
        self.backend.status().await
    }
}

fn stopped() -> Error {
    Error::new(Code::OutcomeUnknown, "the record store stopped during the call")
        .hint("repeat the call with the same idempotency_key, or check whether it took effect")
}

struct Waiting<C, T> {
    beside: Option<Beside>,
    context: C,
    run: Transition<C, T>,
    done: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<C, T> Waiting<C, T> {
    fn new(beside: Option<Beside>, context: C, run: Transition<C, T>) -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (reply, answer) = oneshot::channel();
        (Self { beside, context, run, done: None, reply }, answer)
    }
}

impl<C: Send + Sync, T: Send> Step for Waiting<C, T> {
    fn is_given_up(&self) -> bool {
        self.reply.is_closed()
    }

    fn beside(&self) -> Option<&Beside> {
        self.beside.as_ref()
    }

    fn run<'a>(&'a mut self, session: &'a dyn Session) -> BoxFuture<'a, Result<(), Error>> {
        let Self { context, run, done, .. } = self;
        let running = run(session, context);
        Box::pin(async move {
            match running.await {
                Ok(answer) => {
                    *done = Some(Ok(answer));
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })
    }

    fn answer(self: Box<Self>, failure: Option<Error>) {
        let Self { done, reply, .. } = *self;
        let answer = match (failure, done) {
            (Some(error), _) => Err(error),
            (None, Some(done)) => done,
            (None, None) => Err(Error::new(Code::Internal, "the transition was not run")),
        };
        // The caller may be gone; what it asked for stands all the same.
        let _ = reply.send(answer);
    }
}
