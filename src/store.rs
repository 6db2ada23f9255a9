//! The record store, whatever database keeps it: its transitions, each written once as statements of a [`Transaction`].
//!
//! Each transition is a function over a transaction and what was asked; the rules that decide are the domain's. Those that many callers ask
//! for at once take all of them together ([`Batched`]). A [`Backend`] commits transitions, several callers' together where they wait for
//! the same disk: `adapters/sqlite/store` for the embedded file, `adapters/postgres/store` for PostgreSQL.

pub mod agents;
mod collected;
mod events;
pub mod idempotency;
pub mod keepable;
pub mod locks;
mod payload;
mod rows;
pub mod session;
pub mod sessions;
mod sql;
pub mod step;
pub mod tasks;
mod transaction;
mod upkeep;
pub mod webhooks;
pub mod workflows;

use std::sync::Arc;

pub use self::{
    session::{Cell, Row, Session, Value},
    sql::Sql,
    step::{Batched, Order, Step, Transition},
    transaction::Transaction,
};
use self::{
    step::{Callers, Run},
    workflows::create::Room,
};
use crate::{changes::Changes, domain::ops::BackendStatus, error::Error};

/// A database that keeps records.
#[async_trait::async_trait]
pub trait Backend: Send + Sync {
    /// Takes a step in: it is run in a transaction, alone or with others, and answered once that is on disk.
    ///
    /// # Errors
    /// `unavailable` or `busy`, when it cannot be taken in.
    async fn submit(&self, step: Box<dyn Step>) -> Result<(), Error>;

    /// Runs a step that only reads, beside the writes.
    ///
    /// # Errors
    /// `unavailable` or `busy`, when it cannot be taken in.
    async fn read(&self, step: Box<dyn Step>) -> Result<(), Error>;

    /// Who waits for changes here.
    fn changes(&self) -> &Arc<Changes>;

    /// Inspects it now.
    async fn status(&self) -> BackendStatus;
}

/// The record store. Cloning shares.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    room: Arc<Room>,
}

impl Store {
    /// Over the database that keeps it.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, room: Arc::default() }
    }

    /// Who waits for changes here.
    pub fn changes(&self) -> &Arc<Changes> {
        self.backend.changes()
    }

    /// Inspects it now. Makes nothing.
    pub async fn status(&self) -> BackendStatus {
        self.backend.status().await
    }

    /// Carries out a transition: its changes are on disk when this returns, or nothing is changed.
    ///
    /// # Errors
    /// Those of the transition, and of its commit.
    pub async fn transact<C, T>(&self, asked: C, run: Transition<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.submit(Order::Workflows, asked, Run::One(run)).await
    }

    /// The same for a transition that locks agents, or rows that come after them, and neither workflows nor tasks after those.
    async fn transact_agents<C, T>(&self, asked: C, run: Transition<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.submit(Order::Agents, asked, Run::One(run)).await
    }

    /// The same together with others who ask for it at the same time.
    async fn transact_batched<C, T>(&self, order: Order, asked: C, run: Batched<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.submit(order, asked, Run::All(run)).await
    }

    async fn submit<C, T>(&self, order: Order, asked: C, run: Run<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (caller, answer) = Callers::one(order, asked, run);
        self.backend.submit(Box::new(caller)).await?;
        answer.await.map_err(|_| step::stopped())?
    }

    /// Carries out a transition that only reads, at one moment.
    ///
    /// # Errors
    /// Those of the transition.
    pub async fn read<C, T>(&self, asked: C, run: Transition<C, T>) -> Result<T, Error>
    where
        C: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (caller, answer) = Callers::one(Order::Workflows, asked, Run::One(run));
        self.backend.read(Box::new(caller)).await?;
        answer.await.map_err(|_| step::stopped())?
    }
}
