//! Two processes that change the same workflow at once.

use std::sync::Arc;

use callboard::{
    domain::{
        tasks::{
            Links, NewTask,
            OnDependencyFailure::{Cancel, Continue, Park},
            Outcome, State as Task,
            answers::Change,
        },
        workflows::{Action, OnTaskFailure, State},
    },
    store::{Store, workflows::Create},
};
use futures_util::future::join_all;

use crate::support::flows::{Board, after_or, completed, failed, flow, task};

/// Tasks that are added while those they wait for end.
async fn leave_nobody_waiting_for_what_is_over(here: &Board, there: &Board) {
    for round in 0..12 {
        let made = here.create(flow(OnTaskFailure::Continue, vec![task("a"), task("keeps it open")])).await;
        let claimed = here.claim("agent", 2).await;
        let joins = |key: &str| NewTask {
            waits_for: Links { here: vec![], existing: vec!["a".into()] },
            on_dependency_failure: if round % 2 == 0 { Continue } else { Cancel },
            ..task(key)
        };
        let outcome = if round % 3 == 0 { failed("invalid") } else { completed() };
        let enqueue = |board: &Board, key: &str| board.enqueue(Some(&made.id), vec![joins(key)]);
        let (ended, one, two) = tokio::join!(
            here.finish(&claimed[0].lease, outcome),
            there.store.enqueue_tasks(enqueue(there, "b")),
            here.store.enqueue_tasks(enqueue(here, "c")),
        );
        ended.unwrap();
        one.unwrap().unwrap();
        two.unwrap().unwrap();
        let (_, states) = here.states(&made.id).await;
        assert!(states[2..].iter().all(|state| *state != Task::Blocked), "{round}: {states:?}");
        here.control(&made.id, Action::Cancel).await.unwrap();
        there.finish(&claimed[1].lease, Outcome::Released).await.unwrap();
        assert_eq!(there.states(&made.id).await.0, State::Cancelled);
        here.claim("agent", 9).await;
    }
}

/// A cancel, a pause or an end while tasks are claimed, finished, parked, answered and added.
async fn leave_nothing_half_done(here: &Board, there: &Board) {
    for round in 0..24_usize {
        let tasks = (0..6).map(|n| task(&n.to_string()));
        let waiting = [after_or("w", &[0, 1], Park), after_or("x", &[0], Continue), after_or("y", &[1, 2], Cancel)];
        let made = here.create(flow(OnTaskFailure::Continue, tasks.chain(waiting).collect())).await;
        let leases = here.claim("agent", 4).await;
        let id = made.id.as_str();
        let board = |n: usize| if (n + round).is_multiple_of(2) { here } else { there };
        let ends = leases.iter().enumerate().map(|(n, claimed)| async move {
            match (n + round) % 4 {
                0 => drop(board(n).finish(&claimed.lease, completed()).await),
                1 => drop(board(n).finish(&claimed.lease, failed("invalid")).await),
                2 => drop(board(n).park(&claimed.lease).await),
                _ => drop(board(n).finish(&claimed.lease, Outcome::Released).await),
            }
        });
        let claims = (0..3).map(|n| async move { drop(board(n).claim("agent", 2).await) });
        let control = async {
            let board = board(round / 2);
            match round % 6 {
                0 | 3 => drop(board.control(id, Action::Cancel).await),
                1 => drop(board.control(id, Action::Pause).await),
                2 => drop(board.manage(Change::Cancel, &[&made.tasks[0], &made.tasks[5]]).await),
                4 => drop(board.control(id, Action::Signal).await),
                _ => {
                    drop(board.store.complete_workflow(board.complete_of(id, State::Failed)).await.unwrap());
                }
            }
        };
        let add = async {
            let added = there.store.enqueue_tasks(there.enqueue(Some(id), vec![after_or("z", &[], Cancel)])).await;
            drop(added.unwrap());
        };
        tokio::join!(join_all(ends), join_all(claims), control, add);
        let (state, states) = here.states(id).await;
        // Cut short, whatever it was: nothing of it can be claimed any more.
        if state.is_open() {
            here.control(id, Action::Cancel).await.ok();
        }
        here.pass_ms(60_000);
        there.pass_ms(60_000);
        here.sweep().await;
        let (state, _) = there.states(id).await;
        assert!(!state.is_open(), "{round}: {state:?} after {states:?}");
        assert!(here.claim("agent", 99).await.is_empty(), "{round}");
    }
}

/// Workflows that are made at once, where there is room for a few.
async fn stay_within_the_bound(here: &Board, there: &Board) {
    for round in 0..4 {
        let states = here.store.overview(here.now()).await.unwrap().workflows;
        let open: u64 = states.iter().filter(|(state, _)| state.is_open()).map(|(_, count)| count).sum();
        let made = join_all((0..40).map(|n| {
            let board = if n % 2 == 0 { here } else { there };
            let workflow = flow(OnTaskFailure::Fail, vec![]);
            board.store.create_workflow(Create { workflow, active_max: open + 5, key: None, now: board.now() })
        }));
        let made = made.await.into_iter().filter(|made| made.as_ref().unwrap().is_ok()).count();
        assert_eq!(made, 5, "{round}");
    }
}

pub(super) async fn hold(store: &Arc<Store>, other: &Arc<Store>) {
    let (here, there) = (Board::new(store, "races"), Board::new(other, "races"));
    leave_nobody_waiting_for_what_is_over(&here, &there).await;
    let (here, there) = (Board::new(store, "races 2"), Board::new(other, "races 2"));
    leave_nothing_half_done(&here, &there).await;
    stay_within_the_bound(&here, &there).await;
}
