//! Callers at the same moment: stores that run them side by side must give what they give one after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use callboard::{
    domain::{
        tasks::{NewTask, OnDependencyFailure, State, answers::ClaimedTask},
        workflows::{self, OnTaskFailure},
    },
    store::{
        Store,
        tasks::{Claim, Finish, LeaseRefused},
        workflows::{Create, History, Part},
    },
};
use futures_util::future::join_all;

use crate::support::flows::{Board, after, after_or, completed, failed, flow, key, task};

fn many(count: usize) -> Vec<NewTask> {
    (0..count).map(|number| task(&format!("t{number}"))).collect()
}

/// Claims of as many agents, each for `most`.
async fn claims(board: &Board, agents: usize, most: usize) -> Vec<ClaimedTask> {
    let agents: Vec<String> = (0..agents).map(|number| format!("agent{number}")).collect();
    join_all(agents.iter().map(|agent| board.claim(agent, most))).await.concat()
}

/// How often each kind of event is in a workflow's history, and the kinds in their order.
async fn history(store: &Arc<Store>, id: &str) -> (BTreeMap<String, usize>, Vec<String>) {
    let history = History { part: Part::Workflow { id: id.to_owned(), after: 0 }, most: 1_000 };
    let kinds: Vec<String> = store.events(history).await.unwrap().into_iter().map(|event| event.kind.clone()).collect();
    let mut counts = BTreeMap::new();
    for kind in &kinds {
        *counts.entry(kind.clone()).or_default() += 1;
    }
    (counts, kinds)
}

async fn no_task_is_leased_twice(store: &Arc<Store>) {
    let board = Board::new(store, "beside_claims");
    let flows: Vec<_> = join_all((0..4).map(|_| board.create(flow(OnTaskFailure::Continue, many(8))))).await;
    let claimed = claims(&board, 20, 2).await;
    let distinct: BTreeSet<&String> = claimed.iter().map(|task| &task.task_id).collect();
    assert_eq!((claimed.len(), distinct.len()), (32, 32));
    for made in &flows {
        let (counts, kinds) = history(store, &made.id).await;
        assert_eq!((counts.get("task_claimed"), counts.get("workflow_started")), (Some(&8), Some(&1)), "{kinds:?}");
        assert_eq!(board.look(&made.id).await.0.state, workflows::State::Running);
    }
}

async fn a_task_that_waits_for_many_is_freed_once(store: &Arc<Store>) {
    let board = Board::new(store, "beside_join");
    let mut tasks = many(24);
    tasks.push(after("join", &(0..24).collect::<Vec<_>>()));
    let made = board.create(flow(OnTaskFailure::Continue, tasks)).await;
    let claimed = claims(&board, 24, 1).await;
    // Each end comes twice; one of them counts.
    let twice: Vec<_> = claimed.iter().chain(&claimed).collect();
    let ends = join_all(twice.iter().map(|task| board.finish(&task.lease, completed()))).await;
    let unblocked: Vec<_> = ends.iter().flatten().flat_map(|end| &end.unblocked).collect();
    assert_eq!((ends.iter().filter(|end| end.is_ok()).count(), unblocked), (24, vec![&made.tasks[24]]));
    let refused = ends.iter().filter_map(|end| end.as_ref().err());
    assert!(refused.clone().all(|refused| matches!(refused, LeaseRefused::Lost { state: State::Completed, .. })));
    let join = board.one().await;
    assert_eq!((join.key.as_deref(), join.dependency_results.len()), (Some("join"), 24));
    let end = board.finish(&join.lease, completed()).await.unwrap();
    assert_eq!(end.workflow_state, Some(workflows::State::Completed));
    board.look(&made.id).await;
    let (counts, kinds) = history(store, &made.id).await;
    let of = |kind: &str| counts.get(kind).copied().unwrap_or_default();
    assert_eq!((of("task_completed"), of("task_ready"), of("workflow_completed")), (25, 1, 1), "{kinds:?}");
    let place = |kind: &str| kinds.iter().position(|one| one == kind).unwrap();
    let before = kinds[..place("task_ready")].iter().filter(|kind| *kind == "task_completed").count();
    assert_eq!(before, 24, "it is ready when all it waited for is done: {kinds:?}");
    assert_eq!(kinds.last().map(String::as_str), Some("workflow_completed"));
}

async fn a_task_without_a_workflow_is_freed_once(store: &Arc<Store>) {
    let board = Board::new(store, "beside_lone");
    for (policy, last) in [(OnDependencyFailure::Cancel, State::Cancelled), (OnDependencyFailure::Park, State::Parked)]
    {
        let mut tasks = many(12);
        tasks.push(after("join", &(0..12).collect::<Vec<_>>()));
        tasks.push(after_or("strict", &(0..12).collect::<Vec<_>>(), policy));
        let enqueued = store.enqueue_tasks(board.enqueue(None, tasks)).await.unwrap().unwrap();
        let claimed = claims(&board, 12, 1).await;
        assert_eq!(claimed.len(), 12);
        let end = |task: &ClaimedTask| if task.key.as_deref() == Some("t5") { failed("denied") } else { completed() };
        let ends = join_all(claimed.iter().map(|task| board.finish(&task.lease, end(task)))).await;
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
        assert_eq!(board.task(&enqueued[13].task_id).await.state, last, "{policy:?}");
    }
}

async fn a_workflow_fails_once(store: &Arc<Store>) {
    let board = Board::new(store, "beside_fails");
    let made = board.create(flow(OnTaskFailure::Fail, many(16))).await;
    let claimed = claims(&board, 12, 1).await;
    let end = |place: usize| if place % 4 == 2 { failed("denied") } else { completed() };
    let ends = join_all(claimed.iter().enumerate().map(|(place, task)| board.finish(&task.lease, end(place)))).await;
    let (workflow, tasks) = board.look(&made.id).await;
    assert_eq!(workflow.state, workflows::State::Failed);
    let done = tasks.iter().filter(|task| task.state == State::Completed).count();
    let dead = tasks.iter().filter(|task| task.state == State::Dead).count();
    assert_eq!((dead, done + dead), (1, ends.iter().filter(|end| end.is_ok()).count()), "{ends:?}");
    let (counts, kinds) = history(store, &made.id).await;
    assert_eq!(counts.get("workflow_failed"), Some(&1), "{kinds:?}");
    assert_eq!(counts.get("task_cancelled").copied().unwrap_or_default(), 16 - done - dead, "{kinds:?}");
}

async fn a_key_has_one_effect(store: &Arc<Store>) {
    let board = Board::new(store, "beside_keys");
    let create = |number: usize| {
        let workflow = flow(OnTaskFailure::Continue, Vec::new());
        let key = key(&format!("beside_create_{}", number % 5), "same");
        store.create_workflow(Create { workflow, active_max: 10_000, key, now: board.now() })
    };
    let made = join_all((0..20).map(create)).await;
    let made: Vec<String> = made.into_iter().map(|made| made.unwrap().unwrap().workflow_id).collect();
    assert!((0..20).all(|number| made[number] == made[number % 5]), "{made:?}");
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 5);
    store.enqueue_tasks(board.enqueue(None, many(4))).await.unwrap().unwrap();
    let claim = |number: usize| {
        let key = key(&format!("beside_claim_{}", number % 2), "same");
        store.claim_tasks(Claim { key, ..board.claim_of("agent", 1) })
    };
    let claimed = join_all((0..8).map(claim)).await;
    let claimed: Vec<ClaimedTask> =
        claimed.into_iter().map(|claimed| claimed.unwrap().unwrap().tasks.remove(0)).collect();
    assert!((0..8).all(|number| claimed[number].lease == claimed[number % 2].lease), "{claimed:?}");
    let finish = |number: usize| {
        let (lease, key) = (claimed[number % 2].lease.clone(), key(&format!("beside_finish_{}", number % 2), "same"));
        store.finish_task(Finish { lease, outcome: completed(), cost: None, jitter: 0.0, key, now: board.now() })
    };
    let ends = join_all((0..8).map(finish)).await;
    assert!(ends.into_iter().all(|end| end.unwrap().unwrap().state == State::Completed));
    assert_eq!(claims(&board, 8, 1).await.len(), 2, "two of four are left");
}

async fn no_more_are_open_than_may_be(store: &Arc<Store>) {
    let board = Board::new(store, "beside_bound");
    let open = store.overview(board.now()).await.unwrap().workflows;
    let open: u64 = open.iter().filter(|(state, _)| state.is_open()).map(|(_, count)| count).sum();
    let create = |_| {
        let workflow = flow(OnTaskFailure::Continue, Vec::new());
        store.create_workflow(Create { workflow, active_max: open + 3, key: None, now: board.now() })
    };
    let made = join_all((0..12).map(create)).await;
    assert_eq!(made.into_iter().filter(|made| made.as_ref().unwrap().is_ok()).count(), 3);
}

pub(super) async fn hold(store: &Arc<Store>) {
    no_task_is_leased_twice(store).await;
    a_task_that_waits_for_many_is_freed_once(store).await;
    a_task_without_a_workflow_is_freed_once(store).await;
    a_workflow_fails_once(store).await;
    a_key_has_one_effect(store).await;
    no_more_are_open_than_may_be(store).await;
}
