//! Workflows in the record store. Each transition is a file; [`flow`] is what they and the tasks' transitions share.

mod analytics;
mod change;
pub(super) mod create;
pub(super) mod flow;
mod fork;
mod history;
mod overdue;
mod overview;
mod show;

use std::sync::Arc;

pub use self::{
    change::{ChangeRefused, Complete, Control},
    create::{Create, CreateRefused},
    history::{History, Part},
    show::{Find, List, TaskPage},
};
use super::{Order, Store};
use crate::{
    clock::Instant,
    domain::workflows::{
        answers::{Changed, Found},
        figures::{Figure, Question},
        view::{Created, EventView, Overview, WorkflowView},
    },
    error::Error,
};

impl Store {
    /// Makes a workflow with its tasks.
    pub async fn create_workflow(&self, create: Create) -> Result<Result<Created, CreateRefused>, Error> {
        let asked = (create, Arc::clone(&self.room));
        self.transact_batched(Order::Workflows, asked, |transaction, asked| {
            Box::pin(create::create(transaction, asked))
        })
        .await
    }

    /// Ends a workflow.
    pub async fn complete_workflow(&self, complete: Complete) -> Result<Result<Changed, ChangeRefused>, Error> {
        self.transact(complete, |transaction, asked| Box::pin(change::complete(transaction, asked))).await
    }

    /// Does something to a workflow.
    pub async fn control_workflow(&self, control: Control) -> Result<Result<Changed, ChangeRefused>, Error> {
        let asked = (control, Arc::clone(&self.room));
        self.transact(asked, |transaction, (asked, room)| Box::pin(change::control(transaction, asked, room))).await
    }

    /// One workflow.
    pub async fn find_workflow(&self, find: Find) -> Result<Option<Found>, Error> {
        self.read(find, |transaction, asked| Box::pin(show::find(transaction, asked))).await
    }

    /// Workflows, newest first.
    pub async fn list_workflows(&self, list: List) -> Result<Vec<WorkflowView>, Error> {
        self.read(list, |transaction, asked| Box::pin(show::list(transaction, asked))).await
    }

    /// A part of the history, oldest first.
    pub async fn events(&self, history: History) -> Result<Vec<EventView>, Error> {
        self.read(history, |transaction, asked| Box::pin(history::events(transaction, asked))).await
    }

    /// Everything at a glance.
    pub async fn overview(&self, now: Instant) -> Result<Overview, Error> {
        self.read(now, |transaction, now| Box::pin(overview::overview(transaction, *now))).await
    }

    /// Figures over many workflows.
    pub async fn analytics(&self, question: Question) -> Result<Vec<Figure>, Error> {
        self.read(question, |transaction, asked| Box::pin(analytics::figures(transaction, asked))).await
    }

    /// Ends workflows whose deadline has passed, and those that were cancelled and whose workers had their time. How many.
    pub async fn end_overdue_workflows(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |transaction, now| Box::pin(overdue::end(transaction, *now))).await
    }

    /// Removes up to `most` workflows that ended before `before`, with all they carried, the oldest first. How many.
    pub async fn forget_workflows(&self, before: Instant, most: u64) -> Result<u64, Error> {
        self.transact((before, most), |transaction, (before, most)| {
            Box::pin(overdue::forget(transaction, *before, *most))
        })
        .await
    }
}
