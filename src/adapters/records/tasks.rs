//! Tasks in the record store. Each transition is a file.

mod claim;
pub(super) mod close;
mod cost;
pub(super) mod dependents;
pub(super) mod due;
pub(super) mod enqueue;
pub(super) mod expire;
mod finish;
pub(super) mod held;
pub(super) mod manage;
pub(super) mod show;
mod update;
pub(super) mod waiting;

use super::{Beside, Kind, Records};
use crate::{
    clock::Instant,
    domain::{
        idempotency::Repeat,
        tasks::{
            answers::{Claimed, Finished, Managed, Updated},
            waiting::Unclaimed,
        },
        workflows::view::{EnqueuedTask, TaskView},
    },
    error::Error,
    ports::tasks::{
        Claim, Enqueue, EnqueueRefused, Finish, LeaseRefused, ListTasks, LookForWaiting, Manage, ManageRefused,
        TaskStore, Update,
    },
};

impl Records {
    async fn claimed(&self, claim: Claim) -> Result<claim::Found, Error> {
        match claim::beside(&claim) {
            Some(beside) => {
                self.transact_beside(beside, claim, |session, asked| Box::pin(claim::claim(session, asked))).await
            }
            None => self.transact(claim, |session, asked| Box::pin(claim::claim(session, asked))).await,
        }
    }

    /// Does what a claim left: jobs do it too, but a lone call must not wait for them. For how many tasks.
    async fn take_up(&self, left: claim::Left, now: Instant) -> Result<u64, Error> {
        let lapsed = if left.lapsed { self.expire_leases(now).await? } else { 0 };
        let due = if left.due { self.promote_due(now).await? } else { 0 };
        Ok(lapsed + due)
    }
}

#[async_trait::async_trait]
impl TaskStore for Records {
    async fn enqueue(&self, enqueue: Enqueue) -> Result<Result<Vec<EnqueuedTask>, EnqueueRefused>, Error> {
        self.transact(enqueue, |session, asked| Box::pin(enqueue::enqueue(session, asked))).await
    }

    async fn claim(&self, claim: Claim) -> Result<Result<Claimed, Repeat>, Error> {
        let (now, again) = (claim.now, claim.clone());
        match self.claimed(claim).await? {
            claim::Found::Nothing(left) if self.take_up(left, now).await? > 0 => {
                self.claimed(again).await.map(claim::Found::answer)
            }
            found => Ok(found.answer()),
        }
    }

    async fn unclaimed(&self, look: LookForWaiting) -> Result<Unclaimed, Error> {
        self.look(look, |session, asked| Box::pin(waiting::unclaimed(session, asked))).await
    }

    async fn update(&self, update: Update) -> Result<Result<Updated, LeaseRefused>, Error> {
        self.transact(update, |session, asked| Box::pin(update::update(session, asked))).await
    }

    async fn finish(&self, finish: Finish) -> Result<Result<Finished, LeaseRefused>, Error> {
        let keys = [Some(finish.lease.task_id.as_str()), finish.key.as_ref().map(|key| key.key.as_str())];
        let beside = Beside::of(Kind::Finish, keys);
        self.transact_beside(beside, finish, |session, asked| Box::pin(finish::finish(session, asked))).await
    }

    async fn list(&self, list: ListTasks) -> Result<Vec<TaskView>, Error> {
        self.look(list, |session, asked| Box::pin(show::list(session, asked))).await
    }

    async fn manage(&self, manage: Manage) -> Result<Result<Managed, ManageRefused>, Error> {
        self.transact(manage, |session, asked| Box::pin(manage::manage(session, asked))).await
    }

    async fn expire_leases(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |session, now| Box::pin(expire::expire(session, *now))).await
    }

    async fn promote_due(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |session, now| Box::pin(due::promote(session, *now))).await
    }

    async fn next_due(&self, queues: Option<Vec<String>>) -> Result<Option<Instant>, Error> {
        self.look(queues, |session, queues| Box::pin(due::next(session, queues.as_deref()))).await
    }
}
