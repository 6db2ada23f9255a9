//! Tasks that wait for others.

use std::sync::Arc;

use callboard::{
    domain::{
        tasks::{
            Links, NewTask,
            OnDependencyFailure::{self, Cancel, Continue, Park},
            State,
            answers::Change,
        },
        workflows::{self, OnTaskFailure},
    },
    store::{
        Store,
        tasks::{Enqueue, EnqueueRefused},
    },
};

use crate::support::flows::{Board, after, after_or, completed, failed, flow, json, task};

async fn are_freed_by_the_last_of_those_they_wait_for(store: &Arc<Store>) {
    let board = Board::new(store, "freed");
    let later = board.now().plus_ms(500_000);
    let tasks = vec![
        task("a"),
        task("b"),
        after("c", &[0, 1]),
        NewTask { run_at: Some(later), ..after("d", &[0]) },
        after("e", &[2]),
    ];
    let made = board.create(flow(OnTaskFailure::Fail, tasks)).await;
    let first = board.one().await;
    let done = board.finish(&first.lease, completed()).await.unwrap();
    assert!(done.unblocked.is_empty(), "{done:?}");
    let states = board.states(&made.id).await.1;
    assert_eq!(states, [State::Completed, State::Ready, State::Blocked, State::Scheduled, State::Blocked]);
    let second = board.one().await;
    board.pass_ms(100_000);
    let done = board.finish(&second.lease, completed()).await.unwrap();
    assert_eq!(done.unblocked, [made.tasks[2].clone()]);
    // From the moment it was freed on it stands in the queue: what came between goes first.
    board.pass_ms(-50_000);
    let between = board.create(flow(OnTaskFailure::Fail, vec![task("between")])).await;
    board.pass_ms(60_000);
    assert_eq!(board.one().await.task_id, between.tasks[0]);
    let third = board.one().await;
    assert_eq!(third.task_id, made.tasks[2]);
    let results: Vec<(&str, &str)> =
        third.dependency_results.iter().map(|(key, result)| (key.as_str(), result.get())).collect();
    assert_eq!(results, [("a", r#"{"rows":12}"#), ("b", r#"{"rows":12}"#)]);
    board.pass_ms(500_000);
    board.sweep().await;
    assert_eq!(board.states(&made.id).await.1[3], State::Ready);
}

async fn follow_one_that_dies_or_is_cancelled(store: &Arc<Store>) {
    let board = Board::new(store, "follow");
    for cancelled in [false, true] {
        for (policy, state) in [(Cancel, State::Cancelled), (Continue, State::Ready), (Park, State::Parked)] {
            let tasks = vec![task("a"), after_or("b", &[0], policy), after("c", &[1]), after_or("d", &[2], Continue)];
            let made = board.create(flow(OnTaskFailure::Continue, tasks)).await;
            let claimed = board.one().await;
            let first = if cancelled {
                board.manage(Change::Cancel, &[&claimed.task_id]).await.unwrap();
                State::Cancelled
            } else {
                let done = board.finish(&claimed.lease, failed("invalid")).await.unwrap();
                assert_eq!(done.unblocked.len(), usize::from(policy != Park), "{policy:?}");
                State::Dead
            };
            let states = board.states(&made.id).await.1;
            let rest =
                if policy == Cancel { [State::Cancelled, State::Ready] } else { [State::Blocked, State::Blocked] };
            assert_eq!(states, [first, state, rest[0], rest[1]], "{policy:?}");
            if policy == Park {
                assert!(board.task(&made.tasks[1]).await.question.unwrap().get().contains(&made.tasks[0]));
                board.manage(Change::Answer(Some(json("true"))), &[&made.tasks[1]]).await.unwrap();
                assert_eq!(board.states(&made.id).await.1[1], State::Ready);
            }
            while let Some(claimed) = board.claim("agent", 1).await.pop() {
                board.finish(&claimed.lease, completed()).await.unwrap();
            }
            board.look(&made.id).await;
        }
    }
}

async fn may_be_cancelled_with_those_they_wait_for(store: &Arc<Store>) {
    let board = Board::new(store, "together");
    for policy in [Cancel, Continue, Park] {
        let tasks = vec![task("a"), after_or("b", &[0], policy), task("keeps it open")];
        let made = board.create(flow(OnTaskFailure::Continue, tasks)).await;
        let cancelled = board.manage(Change::Cancel, &[&made.tasks[0], &made.tasks[1]]).await.unwrap();
        assert_eq!(cancelled.affected, 2);
        let expected = [State::Cancelled, State::Cancelled, State::Ready];
        assert_eq!(board.states(&made.id).await.1, expected, "{policy:?}");
    }
}

async fn wait_for_all_others_before_they_go_on_without_one(store: &Arc<Store>) {
    let board = Board::new(store, "others");
    let tasks = vec![task("a"), task("b"), after_or("c", &[0, 1], Continue), after_or("d", &[0, 1], Park)];
    let made = board.create(flow(OnTaskFailure::Continue, tasks)).await;
    let claimed = board.claim("agent", 2).await;
    board.finish(&claimed[0].lease, failed("denied")).await.unwrap();
    assert_eq!(board.states(&made.id).await.1[2..], [State::Blocked, State::Parked]);
    // An answer does not make the other one done.
    board.manage(Change::Answer(None), &[&made.tasks[3]]).await.unwrap();
    assert_eq!(board.states(&made.id).await.1[3], State::Blocked);
    let done = board.finish(&claimed[1].lease, completed()).await.unwrap();
    assert_eq!(done.unblocked, made.tasks[2..]);
    // Settled while it is parked, it is ready with the answer.
    let tasks = vec![task("a"), task("b"), after_or("c", &[0, 1], Park)];
    let made = board.create(flow(OnTaskFailure::Continue, tasks)).await;
    let claimed = board.claim("agent", 4).await;
    assert_eq!(claimed.len(), 4);
    let of = |key: &str| {
        claimed
            .iter()
            .find(|task| task.workflow_id.as_ref() == Some(&made.id) && task.key.as_deref() == Some(key))
            .unwrap()
    };
    board.finish(&of("a").lease, failed("denied")).await.unwrap();
    board.finish(&of("b").lease, completed()).await.unwrap();
    assert_eq!(board.states(&made.id).await.1[2], State::Parked);
    board.manage(Change::Answer(None), &[&made.tasks[2]]).await.unwrap();
    assert_eq!(board.states(&made.id).await.1[2], State::Ready);
}

async fn keep_their_time_when_they_are_answered(store: &Arc<Store>) {
    let board = Board::new(store, "answered_early");
    let later = board.now().plus_ms(500_000);
    let waits = NewTask { run_at: Some(later), ..after_or("b", &[0], Park) };
    let made = board.create(flow(OnTaskFailure::Continue, vec![task("a"), waits])).await;
    let claimed = board.one().await;
    board.finish(&claimed.lease, failed("denied")).await.unwrap();
    board.manage(Change::Answer(None), &[&made.tasks[1]]).await.unwrap();
    assert_eq!(board.states(&made.id).await.1[1], State::Scheduled);
}

async fn are_settled_once(store: &Arc<Store>) {
    let board = Board::new(store, "settled");
    let tasks = vec![task("a"), task("b"), after_or("c", &[0, 1], Continue), after_or("d", &[0], Continue)];
    let made = board.create(flow(OnTaskFailure::Continue, tasks)).await;
    let claimed = board.claim("agent", 2).await;
    board.finish(&claimed[0].lease, failed("denied")).await.unwrap();
    board.manage(Change::Retry, &[&made.tasks[0]]).await.unwrap();
    // It has let them go: tried again, it blocks nobody, and its end counts for nobody a second time.
    let states = board.states(&made.id).await.1;
    assert_eq!(states, [State::Ready, State::Leased, State::Blocked, State::Ready]);
    let again = board.claim("agent", 2).await;
    for claimed in again {
        board.finish(&claimed.lease, completed()).await.unwrap();
    }
    assert_eq!(board.states(&made.id).await.1[2], State::Blocked);
    board.finish(&claimed[1].lease, completed()).await.unwrap();
    assert_eq!(board.states(&made.id).await.1[2], State::Ready);
}

/// A task that waits for those that exist already.
fn joins(key: &str, existing: &[&str], here: &[usize], on_dependency_failure: OnDependencyFailure) -> NewTask {
    let existing = existing.iter().map(|name| (*name).to_owned()).collect();
    NewTask { waits_for: Links { here: here.to_vec(), existing }, on_dependency_failure, ..task(key) }
}

async fn may_come_when_others_are_over(store: &Arc<Store>) {
    let board = Board::new(store, "joined");
    let made = board.create(flow(OnTaskFailure::Continue, vec![task("done"), task("dead"), task("open")])).await;
    let (done, dead) = (board.one().await.lease, board.one().await.lease);
    board.finish(&done, completed()).await.unwrap();
    board.finish(&dead, failed("denied")).await.unwrap();
    let tasks = vec![
        joins("1", &["done"], &[], Cancel),
        joins("2", &["dead"], &[], Cancel),
        joins("3", &["dead"], &[], Continue),
        joins("4", &["dead"], &[], Park),
        joins("5", &["open", "dead"], &[], Continue),
        joins("6", &[&made.tasks[2]], &[], Cancel),
        // Those that wait for one that is cancelled at once.
        joins("7", &[], &[1], Cancel),
        joins("8", &["done"], &[6], Continue),
        joins("9", &["open"], &[1, 3], Park),
    ];
    let enqueued = store.enqueue_tasks(board.enqueue(Some(&made.id), tasks)).await.unwrap().unwrap();
    use State::{Blocked, Cancelled, Parked, Ready};
    let expected = [Ready, Cancelled, Ready, Parked, Blocked, Blocked, Cancelled, Ready, Parked];
    assert_eq!(board.states(&made.id).await.1[3..], expected);
    assert_eq!(enqueued.iter().map(|task| task.state).collect::<Vec<_>>(), expected);
    assert!(board.task(&enqueued[3].task_id).await.question.is_some());
    let claimed = board.claim("agent", 9).await;
    let first = claimed.iter().find(|task| task.key.as_deref() == Some("1")).unwrap();
    assert_eq!(first.dependency_results.len(), 1);
    let open = claimed.iter().find(|task| task.key.as_deref() == Some("open")).unwrap();
    board.finish(&open.lease, completed()).await.unwrap();
    let states = board.states(&made.id).await.1;
    assert_eq!((states[7], states[8]), (Ready, Ready));
}

async fn are_refused_where_they_fit_nowhere(store: &Arc<Store>) {
    let board = Board::new(store, "misfits");
    let made = board.create(flow(OnTaskFailure::Continue, vec![task("a"), task("b")])).await;
    let refuse = async |enqueue: Enqueue| {
        let refused = store.enqueue_tasks(enqueue).await.unwrap().unwrap_err();
        assert_eq!(board.look(&made.id).await.1.len(), 2);
        refused
    };
    let into = |task: NewTask| board.enqueue(Some(&made.id), vec![task]);
    assert_eq!(refuse(into(task("a"))).await, EnqueueRefused::SameKey { key: "a".into() });
    let unknown = refuse(into(joins("c", &["none"], &[], Cancel))).await;
    assert_eq!(
        unknown,
        EnqueueRefused::NoSuchTask { name: "none".into(), known: vec!["a".into(), "b".into(), "c".into()] }
    );
    let elsewhere = board.create(flow(OnTaskFailure::Continue, vec![task("x")])).await;
    let foreign = refuse(into(joins("c", &[&elsewhere.tasks[0]], &[], Cancel))).await;
    assert!(matches!(foreign, EnqueueRefused::NoSuchTask { .. }), "a task of another workflow");
    let full = Enqueue { tasks_max: 2, ..into(task("c")) };
    assert_eq!(refuse(full).await, EnqueueRefused::TooMany { tasks: 2 });
    let nowhere = board.enqueue(Some("wf_none"), vec![task("c")]);
    assert_eq!(refuse(nowhere).await, EnqueueRefused::NoSuchWorkflow);
    store.complete_workflow(board.complete_of(&elsewhere.id, workflows::State::Cancelled)).await.unwrap().unwrap();
    let ended = board.enqueue(Some(&elsewhere.id), vec![task("c")]);
    assert!(matches!(refuse(ended).await, EnqueueRefused::State { state: workflows::State::Cancelled, .. }));
}

pub(super) async fn hold(store: &Arc<Store>) {
    are_freed_by_the_last_of_those_they_wait_for(store).await;
    follow_one_that_dies_or_is_cancelled(store).await;
    may_be_cancelled_with_those_they_wait_for(store).await;
    wait_for_all_others_before_they_go_on_without_one(store).await;
    keep_their_time_when_they_are_answered(store).await;
    are_settled_once(store).await;
    may_come_when_others_are_over(store).await;
    are_refused_where_they_fit_nowhere(store).await;
}
