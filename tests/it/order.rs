//! What holds on PostgreSQL however late a message comes, and whoever is in the way.

use std::{sync::Arc, time::Duration};

use callboard::{
    clock::{Clock, SystemClock},
    domain::{
        sessions::SILENCE_MAX,
        tasks::{self, NewTask, Priority, answers::Change},
        workflows::{self, NewWorkflow, OnTaskFailure},
    },
    store::{
        agents::Silence,
        locks::{Acquire, AcquireRefused},
        sessions::{Beat, End},
    },
};
use futures_util::poll;

use crate::{
    contract::sessions::process,
    support::{
        bench::{Bench, open},
        flows::{LEASE_MS, flow, task},
        postgres,
    },
};

fn wish(bench: &Bench, owner: &str) -> Acquire {
    Acquire {
        resource: "r".to_owned(),
        owner: owner.to_owned(),
        same: Vec::new(),
        token: None,
        secret: format!("secret of {owner}"),
        session_id: owner.to_owned(),
        ttl: Duration::from_mins(1),
        key: None,
        now: bench.board.now(),
    }
}

#[tokio::test]
async fn fences_are_in_the_order_in_which_a_lock_was_held() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    bench
        .block("INSERT INTO callboard.lock VALUES ('r', 'first', 0, 's', 's', now(), now() + interval '1 hour')")
        .await;
    let mut second = Box::pin(bench.board.store.acquire_lock(wish(&bench, "second")));
    assert!(poll!(&mut second).is_pending());
    assert_eq!(bench.waiting(1).await, ["-- lock_take"]);
    // The first draws its number while the second waits, and lets go.
    let drawn = "INSERT INTO callboard.event (at, entity, entity_id, type) VALUES (now(), 'lock', 'r', 'lock_acquired') \
                 RETURNING seq";
    let first: i64 = bench.blocker.query_one(drawn, &[]).await.unwrap().get(0);
    bench.blocker.batch_execute("DELETE FROM callboard.lock; COMMIT").await.unwrap();
    let second = second.await.unwrap().unwrap();
    assert!(second.fence > first, "{} after {first}", second.fence);
}

/// As after a measurement that was wrong by as much.
const AHEAD_MS: i64 = 3_600_000;

#[tokio::test]
async fn nothing_is_taken_by_a_clock_that_is_ahead() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    let (board, store) = (&bench.board, &bench.board.store);
    board.pass_ms((SystemClock.now().0 - board.now().0) / 1_000);
    store.begin_session("s", &process(1), board.now()).await.unwrap();
    let held = store.acquire_lock(wish(&bench, "first")).await.unwrap().unwrap();
    assert!(store.lead("jobs", "first", board.now(), board.now().plus_ms(60_000)).await.unwrap());
    let deadline_at = Some(board.now().plus_ms(60_000));
    let made =
        board.create(NewWorkflow { deadline_at, ..flow(OnTaskFailure::Continue, vec![task("a"), task("b")]) }).await;
    let [kept, late] = [board.one().await, board.one().await];

    board.pass_ms(AHEAD_MS);
    let now = board.now();
    let AcquireRefused::Held(seen) = store.acquire_lock(wish(&bench, "second")).await.unwrap().unwrap_err() else {
        panic!("it is held")
    };
    assert_eq!((seen.holder.as_str(), seen.fence), ("first", held.fence));
    assert_eq!(store.expire_locks(now).await.unwrap(), 0);
    assert_eq!(store.inspect_lock("r", now).await.unwrap().unwrap().fence, held.fence);
    assert!(!store.lead("jobs", "second", now, now.plus_ms(60_000)).await.unwrap());
    let silence = Silence { without_session: now.before(SILENCE_MAX), at_all: now.before(Duration::from_mins(15)) };
    assert_eq!(store.lose_agents(silence, now).await.unwrap(), 0);
    let end = End {
        session_id: "s".to_owned(),
        heartbeat_at: now,
        silent_since: Some(now.before(SILENCE_MAX)),
        grace: Duration::ZERO,
        reason: "silent",
        now,
    };
    assert_eq!(store.end_session(end.clone()).await.unwrap(), None);

    board.sweep().await;
    assert!(board.claim("other", 2).await.is_empty());
    assert_eq!(board.states(&made.id).await, (workflows::State::Running, vec![tasks::State::Leased; 2]));
    assert!(board.update(&kept.lease).await.is_ok());
    assert_eq!(board.finish(&late.lease, tasks::Outcome::Released).await.unwrap().state, tasks::State::Ready);
    // One that is seen to be gone ends at once.
    assert!(store.end_session(End { silent_since: None, reason: "gone", ..end }).await.unwrap().is_some());
}

#[tokio::test]
async fn a_sign_of_life_and_the_end_of_a_turn_do_not_wait_for_each_other() {
    let url = postgres::shared().database();
    let (bench, other) = (Bench::new(&url, open(&url)).await, open(&url));
    let task = bench.claimed(1).await.remove(0);
    bench.board.pass_ms(1_000);
    bench.block("SELECT FROM callboard.agent FOR UPDATE").await;
    let now = bench.board.now();
    let beat = Beat {
        session_id: "session".to_owned(),
        agents: vec!["agent".to_owned()],
        leases: Vec::new(),
        lease_until: now.plus_ms(LEASE_MS),
        now,
    };
    let mut beat = Box::pin(bench.board.store.beat(beat));
    assert!(poll!(&mut beat).is_pending());
    assert_eq!(bench.waiting(1).await, ["-- agents_lock"]);
    let mut end = Box::pin(other.finish_task(bench.end(&task)));
    assert!(poll!(&mut end).is_pending());
    assert_eq!(bench.waiting(2).await, ["-- agents_lock", "-- task_run_lock"], "tasks come before agents");
    bench.let_go().await;
    let (beat, end) = tokio::join!(beat, end);
    assert!(beat.is_ok() && end.unwrap().is_ok());
    assert_eq!(bench.deadlocks().await, 0);
}

#[tokio::test]
async fn what_time_brings_about_does_not_wait_in_a_circle_with_who_changes_the_same() {
    let url = postgres::shared().database();
    let (bench, other) = (Bench::new(&url, open(&url)).await, open(&url));
    let board = &bench.board;
    let soon = NewTask { run_at: Some(board.now().plus_ms(5)), ..task("soon") };
    let made = board.create(flow(OnTaskFailure::Continue, vec![soon])).await;
    board.pass_ms(10);
    bench.block("SELECT FROM callboard.workflow FOR UPDATE").await;
    let urgent = Change::Reprioritize(Priority::new(9).unwrap());
    let mut changed = Box::pin(other.manage_tasks(board.manage_of(urgent, &[&made.tasks[0]])));
    assert!(poll!(&mut changed).is_pending());
    assert_eq!(bench.waiting(1).await, ["-- task_workflows_lock"]);
    let mut promoted = Box::pin(board.store.promote_due(board.now()));
    assert!(poll!(&mut promoted).is_pending());
    assert_eq!(bench.waiting(2).await, ["-- task_workflows_lock", "-- workflows_due"]);
    bench.let_go().await;
    let (changed, promoted) = tokio::join!(changed, promoted);
    assert_eq!((changed.unwrap().unwrap().affected, promoted.unwrap()), (1, 1));

    // Leases that ran out in another order than that of their workflows.
    let mut leased = Vec::new();
    for _ in 0..2 {
        leased.push(board.create(flow(OnTaskFailure::Continue, vec![task("leased")])).await);
    }
    let claimed = board.claim("agent", 3).await;
    assert_eq!(claimed.len(), 3);
    board.pass_ms(1_000);
    let first = claimed.iter().find(|task| task.task_id == leased[0].tasks[0]).unwrap();
    board.update(&first.lease).await.unwrap();
    board.pass_ms(LEASE_MS);
    let held = format!("SELECT FROM callboard.workflow WHERE id = '{}' FOR UPDATE", leased[0].id);
    bench.block(&held).await;
    let ids = [leased[0].tasks[0].as_str(), leased[1].tasks[0].as_str()];
    let mut cancelled = Box::pin(other.manage_tasks(board.manage_of(Change::Cancel, &ids)));
    assert!(poll!(&mut cancelled).is_pending());
    bench.waiting(1).await;
    let mut expired = Box::pin(board.store.expire_leases(board.now()));
    assert!(poll!(&mut expired).is_pending());
    assert_eq!(bench.waiting(2).await, ["-- task_workflows_lock"; 2]);
    bench.let_go().await;
    let (cancelled, expired) = tokio::join!(cancelled, expired);
    assert_eq!((cancelled.unwrap().unwrap().affected, expired.unwrap()), (2, 1));
    assert_eq!(bench.deadlocks().await, 0);
}

#[tokio::test]
async fn a_claim_gets_what_is_due_also_while_somebody_has_its_workflow() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    let soon = NewTask { run_at: Some(bench.board.now().plus_ms(5)), ..task("soon") };
    let made = bench.board.create(flow(OnTaskFailure::Continue, vec![soon])).await;
    bench.board.pass_ms(10);
    bench.block("SELECT FROM callboard.workflow FOR UPDATE").await;
    let (store, claim) = (Arc::clone(&bench.board.store), bench.board.claim_of("agent", 1));
    let claimed = tokio::spawn(async move { store.claim_tasks(claim).await });
    assert_eq!(bench.waiting(1).await, ["-- workflows_due"]);
    bench.let_go().await;
    assert_eq!(claimed.await.unwrap().unwrap().unwrap().tasks[0].task_id, made.tasks[0]);
}
