//! What holds on PostgreSQL however late a message comes, and whoever is in the way.

use std::time::Duration;

use callboard::{
    clock::{Clock, SystemClock},
    domain::{
        sessions::SILENCE_MAX,
        tasks,
        workflows::{self, NewWorkflow, OnTaskFailure},
    },
    ports::{
        agents::{AgentStore, Silence},
        leaders::LeaderStore,
        locks::{Acquire, AcquireRefused, LockStore},
        sessions::{End, SessionStore},
    },
};
use futures_util::poll;

use crate::{
    contract::sessions::process,
    support::{
        bench::{Bench, open},
        flows::{flow, task},
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
    let mut second = bench.board.store.acquire(wish(&bench, "second"));
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
    store.begin("s", &process(1), board.now()).await.unwrap();
    let held = store.acquire(wish(&bench, "first")).await.unwrap().unwrap();
    assert!(store.lead("jobs", "first", board.now(), board.now().plus_ms(60_000)).await.unwrap());
    let deadline_at = Some(board.now().plus_ms(60_000));
    let made =
        board.create(NewWorkflow { deadline_at, ..flow(OnTaskFailure::Continue, vec![task("a"), task("b")]) }).await;
    let [kept, late] = [board.one().await, board.one().await];

    board.pass_ms(AHEAD_MS);
    let now = board.now();
    let AcquireRefused::Held(seen) = store.acquire(wish(&bench, "second")).await.unwrap().unwrap_err() else {
        panic!("it is held")
    };
    assert_eq!((seen.holder.as_str(), seen.fence), ("first", held.fence));
    assert_eq!(LockStore::expire(&**store, now).await.unwrap(), 0);
    assert_eq!(store.inspect("r", now).await.unwrap().unwrap().fence, held.fence);
    assert!(!store.lead("jobs", "second", now, now.plus_ms(60_000)).await.unwrap());
    let silence = Silence { without_session: now.before(SILENCE_MAX), at_all: now.before(Duration::from_mins(15)) };
    assert_eq!(store.lose(silence, now).await.unwrap(), 0);
    let end = End {
        session_id: "s".to_owned(),
        heartbeat_at: now,
        silent_since: Some(now.before(SILENCE_MAX)),
        grace: Duration::ZERO,
        reason: "silent",
        now,
    };
    assert_eq!(store.end(end.clone()).await.unwrap(), None);

    board.sweep().await;
    assert!(board.claim("other", 2).await.is_empty());
    assert_eq!(board.states(&made.id).await, (workflows::State::Running, vec![tasks::State::Leased; 2]));
    assert!(board.update(&kept.lease).await.is_ok());
    assert_eq!(board.finish(&late.lease, tasks::Outcome::Released).await.unwrap().state, tasks::State::Ready);
    // One that is seen to be gone ends at once.
    assert!(store.end(End { silent_since: None, reason: "gone", ..end }).await.unwrap().is_some());
}
