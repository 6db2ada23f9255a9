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

pub use self::{
    claim::Claim,
    enqueue::{Enqueue, EnqueueRefused},
    finish::Finish,
    held::LeaseRefused,
    manage::{Manage, ManageRefused},
    show::ListTasks,
    update::Update,
    waiting::LookForWaiting,
};
use super::{Order, Store, step::Run};
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
};

impl Store {
    /// Adds tasks, to a workflow or to none.
    pub async fn enqueue_tasks(&self, enqueue: Enqueue) -> Result<Result<Vec<EnqueuedTask>, EnqueueRefused>, Error> {
        self.transact(enqueue, |transaction, asked| Box::pin(enqueue::enqueue(transaction, asked))).await
    }

    /// Leases tasks to an agent: those it can do, in the order of their sort keys, each with a fence of its own.
    pub async fn claim_tasks(&self, claim: Claim) -> Result<Result<Claimed, Repeat>, Error> {
        let again = claim.clone();
        let batched = self
            .transact_batched(Order::Claims, claim, |transaction, asked| Box::pin(claim::claim(transaction, asked)));
        match batched.await? {
            // Jobs put it right too, but a lone call must not wait for them.
            claim::Found::Nothing(left) if left.lapsed || left.due => {
                // It locks workflows, and no step that does so may follow: it holds tasks then.
                let run = Run::One(|transaction, asked| Box::pin(claim::claim_what_is_left(transaction, asked)));
                self.submit(Order::Turns, again, run).await.map(claim::Found::answer)
            }
            found => Ok(found.answer()),
        }
    }

    /// What queues hold that an agent could not claim.
    pub async fn unclaimed(&self, look: LookForWaiting) -> Result<Unclaimed, Error> {
        self.read(look, |transaction, asked| Box::pin(waiting::unclaimed(transaction, asked))).await
    }

    /// Renews a lease and notes what its worker says, or parks the task with a question.
    pub async fn update_task(&self, update: Update) -> Result<Result<Updated, LeaseRefused>, Error> {
        self.transact(update, |transaction, asked| Box::pin(update::update(transaction, asked))).await
    }

    /// Ends a worker's turn. Of one lease at most one end is ever accepted.
    pub async fn finish_task(&self, finish: Finish) -> Result<Result<Finished, LeaseRefused>, Error> {
        self.transact_batched(Order::Turns, finish, |transaction, asked| Box::pin(finish::finish(transaction, asked)))
            .await
    }

    /// Tasks by what they are.
    pub async fn list_tasks(&self, list: ListTasks) -> Result<Vec<TaskView>, Error> {
        self.read(list, |transaction, asked| Box::pin(show::list(transaction, asked))).await
    }

    /// Changes tasks by id, all or none, or all that fit a filter.
    pub async fn manage_tasks(&self, manage: Manage) -> Result<Result<Managed, ManageRefused>, Error> {
        self.transact(manage, |transaction, asked| Box::pin(manage::manage(transaction, asked))).await
    }

    /// Puts tasks back whose lease has run out, up to so many. How many.
    pub async fn expire_leases(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |transaction, now| Box::pin(expire::expire(transaction, *now))).await
    }

    /// Makes tasks ready whose time has come, up to so many. How many.
    pub async fn promote_due(&self, now: Instant) -> Result<u64, Error> {
        self.transact(now, |transaction, now| Box::pin(due::promote(transaction, *now))).await
    }

    /// When the next task of these queues (none: any) becomes ready by itself.
    pub async fn next_due(&self, queues: Option<Vec<String>>) -> Result<Option<Instant>, Error> {
        self.read(queues, |transaction, queues| Box::pin(due::next(transaction, queues.as_deref()))).await
    }
}
