//! Changes of many tasks, and calls that come twice.

use std::sync::Arc;

use callboard::{
    domain::{
        idempotency::Repeat,
        tasks::{
            State,
            answers::{Change, TaskFilter},
        },
        workflows::{self, OnTaskFailure},
    },
    store::{
        Store,
        tasks::{Enqueue, EnqueueRefused, Finish, LeaseRefused, ListTasks, Manage, ManageRefused, Update},
    },
};

use crate::support::flows::{Board, completed, failed, flow, key, task};

async fn by_id_are_changed_all_or_none(store: &Arc<Store>) {
    let board = Board::new(store, "all_or_none");
    let made = board.create(flow(OnTaskFailure::Continue, vec![task("a"), task("b"), task("c")])).await;
    let ids: Vec<&str> = made.tasks.iter().map(String::as_str).collect();
    let lease = board.one().await.lease;
    board.finish(&lease, completed()).await.unwrap();
    let lease = board.one().await.lease;
    board.finish(&lease, failed("denied")).await.unwrap();
    let version = board.look(&made.id).await.0.version;
    let refused = board.manage(Change::Cancel, &ids).await.unwrap_err();
    let wrong = vec![(ids[0].to_owned(), State::Completed), (ids[1].to_owned(), State::Dead)];
    assert_eq!(refused, ManageRefused::State { tasks: wrong });
    let refused = board.manage(Change::Retry, &[ids[1], "tk_none"]).await.unwrap_err();
    assert_eq!(refused, ManageRefused::NoSuchTask { ids: vec!["tk_none".into()] });
    let dry = Manage { dry_run: true, ..board.manage_of(Change::Retry, &[ids[1]]) };
    let tried = store.manage_tasks(dry).await.unwrap().unwrap();
    assert_eq!((tried.affected, tried.ids), (1, vec![ids[1].to_owned()]));
    assert_eq!(board.states(&made.id).await.1, [State::Completed, State::Dead, State::Ready]);
    assert_eq!(board.look(&made.id).await.0.version, version, "nothing was changed");
    let tried = board.manage(Change::Retry, &[ids[1]]).await.unwrap();
    assert_eq!(tried.affected, 1);
    assert_eq!(board.states(&made.id).await.1[1], State::Ready);
}

async fn of_an_ended_workflow_are_not_tried_again(store: &Arc<Store>) {
    let board = Board::new(store, "ended");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b")])).await;
    let lease = board.one().await.lease;
    board.finish(&lease, failed("denied")).await.unwrap();
    let refused = board.manage(Change::Retry, &[&made.tasks[0]]).await.unwrap_err();
    let ended = ManageRefused::WorkflowEnded { workflow_id: made.id.clone(), state: workflows::State::Failed };
    assert_eq!(refused, ended);
    // By filter those that can be: the ended ones do not stand in the way.
    let open = board.create(flow(OnTaskFailure::Continue, vec![task("a"), task("b")])).await;
    let lease = board.one().await.lease;
    board.finish(&lease, failed("denied")).await.unwrap();
    let filter = TaskFilter { queue: Some(board.queue.clone()), ..TaskFilter::default() };
    let retry = Manage { filter, most: 1, ..board.manage_of(Change::Retry, &[]) };
    let tried = store.manage_tasks(retry).await.unwrap().unwrap();
    assert_eq!((tried.ids, tried.more), (vec![open.tasks[0].clone()], false));
    assert_eq!(board.states(&made.id).await.1, [State::Dead, State::Cancelled]);
    assert_eq!(board.states(&open.id).await.1, [State::Ready, State::Ready]);
}

async fn by_filter_are_changed_those_that_fit(store: &Arc<Store>) {
    let board = Board::new(store, "filtered");
    let made = board.create(flow(OnTaskFailure::Continue, (0..6).map(|n| task(&n.to_string())).collect())).await;
    let other = board.create(flow(OnTaskFailure::Continue, vec![task("x")])).await;
    let leases = board.claim("worker", 2).await;
    board.finish(&leases[0].lease, completed()).await.unwrap();
    let by = |state: Option<State>, agent_id: Option<&str>| TaskFilter {
        state,
        queue: Some(board.queue.clone()),
        workflow_id: Some(made.id.clone()),
        agent_id: agent_id.map(str::to_owned),
    };
    let list = async |filter: TaskFilter| {
        let list =
            ListTasks { filter, ids: vec![], after: None, most: 100, carried: false, carried_bytes_max: usize::MAX };
        store.list_tasks(list).await.unwrap().len()
    };
    assert_eq!(list(by(None, None)).await, 6);
    assert_eq!(list(by(Some(State::Ready), None)).await, 4);
    assert_eq!(list(by(None, Some("worker"))).await, 2);
    let cancel = |filter: TaskFilter, most: u64, dry_run: bool| {
        store.manage_tasks(Manage { filter, most, dry_run, ..board.manage_of(Change::Cancel, &[]) })
    };
    let dry = cancel(by(None, None), 100, true).await.unwrap().unwrap();
    assert_eq!((dry.affected, dry.more), (5, false));
    let some = cancel(by(Some(State::Ready), None), 3, false).await.unwrap().unwrap();
    assert_eq!((some.affected, some.more), (3, true));
    assert_eq!(cancel(by(None, Some("worker")), 9, false).await.unwrap().unwrap().affected, 1);
    let none = TaskFilter { state: Some(State::Dead), ..by(None, None) };
    assert_eq!(cancel(none, 9, false).await.unwrap().unwrap().affected, 0);
    let states = board.states(&made.id).await.1;
    assert_eq!(states.iter().filter(|state| **state == State::Cancelled).count(), 4);
    assert_eq!(board.states(&other.id).await.1, [State::Ready]);
}

async fn a_call_that_comes_twice_has_one_effect(store: &Arc<Store>) {
    let board = Board::new(store, "twice");
    let made = board.create(flow(OnTaskFailure::Continue, vec![task("a"), task("b")])).await;
    let enqueue = || Enqueue { key: key("enqueue", "1"), ..board.enqueue(Some(&made.id), vec![task("c")]) };
    let first = store.enqueue_tasks(enqueue()).await.unwrap().unwrap();
    assert_eq!(store.enqueue_tasks(enqueue()).await.unwrap().unwrap(), first);
    let other = Enqueue { key: key("enqueue", "2"), ..enqueue() };
    let refused = store.enqueue_tasks(other).await.unwrap().unwrap_err();
    assert_eq!(refused, EnqueueRefused::Repeat(Repeat::OtherRequest));
    let lease = board.one().await.lease;
    let update = || Update { key: key("update", "1"), message: Some("m".into()), ..board.update_of(&lease) };
    let said = store.update_task(update()).await.unwrap().unwrap();
    board.pass_ms(1_000);
    assert_eq!(store.update_task(update()).await.unwrap().unwrap().lease_until, said.lease_until);
    let finish = |outcome| Finish {
        lease: lease.clone(),
        outcome,
        cost: None,
        jitter: 0.0,
        key: key("finish", "1"),
        now: board.now(),
    };
    let ended = store.finish_task(finish(failed("x"))).await.unwrap().unwrap();
    let again = store.finish_task(finish(failed("x"))).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.next_run_at), (again.state, again.next_run_at));
    let without = Finish { key: None, ..finish(completed()) };
    assert!(matches!(store.finish_task(without).await.unwrap(), Err(LeaseRefused::Lost { .. })));
    // What was refused is not remembered.
    let answer = || Manage { key: key("answer", "1"), ..board.manage_of(Change::Answer(None), &[&made.tasks[1]]) };
    assert!(matches!(store.manage_tasks(answer()).await.unwrap(), Err(ManageRefused::State { .. })));
    let lease = board.one().await.lease;
    board.park(&lease).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.manage_tasks(answer()).await.unwrap().unwrap().affected, 1);
    }
    let (workflow, tasks) = board.look(&made.id).await;
    assert_eq!((tasks.len(), workflow.counts.all), (3, 3));
    // After a day the key is anybody's.
    board.pass_ms(24 * 3_600_000);
    store
        .enqueue_tasks(Enqueue { key: key("enqueue", "2"), ..board.enqueue(Some(&made.id), vec![task("d")]) })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(board.look(&made.id).await.1.len(), 4);
}

pub(super) async fn hold(store: &Arc<Store>) {
    by_id_are_changed_all_or_none(store).await;
    of_an_ended_workflow_are_not_tried_again(store).await;
    by_filter_are_changed_those_that_fit(store).await;
    a_call_that_comes_twice_has_one_effect(store).await;
}
