//! Workflows in the record store. Each transition is a file; [`flow`] is what they and the tasks' transitions share.

mod analytics;
mod change;
pub(super) mod create;
pub(super) mod flow;
mod fork;
mod overdue;
mod overview;
mod show;

use std::sync::Arc;

use super::{Beside, Kind, Records};
use crate::{
    clock::Instant,
    domain::workflows::{
        answers::{Changed, Found},
        figures::{Figure, Question},
        view::{Created, EventView, Overview, WorkflowView},
    },
    error::Error,
    ports::workflows::{ChangeRefused, Complete, Control, Create, CreateRefused, Find, History, List, WorkflowStore},
};

#[async_trait::async_trait]
impl WorkflowStore for Records {
    async fn create(&self, create: Create) -> Result<Result<Created, CreateRefused>, Error> {
        if !self.room.take(create.active_max, create.now) {
            let asked = (create, Arc::clone(&self.room));
            return self
                .transact(asked, |session, (asked, room)| Box::pin(create::create_if_room(session, asked, room)))
                .await;
        }
        let beside = Beside::of(Kind::Create, [create.key.as_ref().map(|key| key.key.as_str())]);
        self.transact_beside(beside, create, |session, asked| Box::pin(create::create(session, asked))).await
    }

    async fn complete(&self, complete: Complete) -> Result<Result<Changed, ChangeRefused>, Error> {
        self.transact(complete, |session, asked| Box::pin(change::complete(session, asked))).await
    }

    async fn control(&self, control: Control) -> Result<Result<Changed, ChangeRefused>, Error> {
        let asked = (control, Arc::clone(&self.room));
        self.transact(asked, |session, (asked, room)| Box::pin(change::control(session, asked, room))).await
    }

    async fn find(&self, find: Find) -> Result<Option<Found>, Error> {
        self.look(find, |session, asked| Box::pin(show::find(session, asked))).await
    }

    async fn list(&self, list: List) -> Result<Vec<WorkflowView>, Error> {
        self.look(list, |session, asked| Box::pin(show::list(session, asked))).await
    }

    async fn events(&self, history: History) -> Result<Vec<EventView>, Error> {
        self.look(history, |session, asked| Box::pin(show::events(session, asked))).await
    }

    async fn overview(&self, now: Instant) -> Result<Overview, Error> {
        self.look(now, |session, now| Box::pin(overview::overview(session, *now))).await
    }

    async fn analytics(&self, question: Question) -> Result<Vec<Figure>, Error> {
        self.look(question, |session, asked| Box::pin(analytics::figures(session, asked))).await
    }

    async fn end_overdue(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |session, now| Box::pin(overdue::end(session, *now))).await
    }

    async fn forget(&self, before: Instant, most: u64) -> Result<u64, Error> {
        self.transact((before, most), |session, (before, most)| Box::pin(overdue::forget(session, *before, *most)))
            .await
    }
}
