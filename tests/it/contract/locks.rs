//! What every store of locks must do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    domain::{idempotency::Key, locks::Token},
    ports::{
        locks::{Acquire, AcquireRefused, HeldLock, LockStore, Proven, TokenRefused},
        sessions::{End, SessionStore},
    },
};

use super::sessions::process;

const NOW: Instant = Instant(1_780_000_000_000_000);
const TTL: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Instant {
    NOW.after(Duration::from_secs(seconds))
}

fn wish(resource: &str, owner: &str, now: Instant) -> Acquire {
    Acquire {
        resource: resource.into(),
        owner: owner.into(),
        token: None,
        secret: format!("s{owner}"),
        session_id: "s1".into(),
        ttl: TTL,
        key: None,
        now,
    }
}

fn proven(resource: &str, lock: &HeldLock, now: Instant) -> Proven {
    Proven { resource: resource.into(), token: token(lock), key: None, now }
}

fn token(lock: &HeldLock) -> Token {
    Token { fence: lock.fence, secret: lock.secret.clone() }
}

async fn is_held_by_one_at_a_time(store: &dyn LockStore) {
    let first = store.acquire(wish("r", "a", NOW)).await.unwrap().unwrap();
    assert_eq!((first.owner.as_str(), first.expires_at_us), ("a", at(30).0));
    let AcquireRefused::Held(held) = store.acquire(wish("r", "b", at(29))).await.unwrap().unwrap_err() else {
        panic!("it is held")
    };
    assert_eq!((held.holder.as_str(), held.fence, held.expires_at), ("a", first.fence, at(30)));
    // The same owner has to prove that it is the same; then it goes on under the same fence.
    assert!(store.acquire(wish("r", "a", at(29))).await.unwrap().is_err());
    let again = Acquire { token: Some(token(&first)), secret: "unused".into(), ..wish("r", "a", at(29)) };
    let again = store.acquire(again).await.unwrap().unwrap();
    assert_eq!((again.fence, &again.secret, again.expires_at_us), (first.fence, &first.secret, at(59).0));
    let renewed = store.renew(proven("r", &first, at(58)), Duration::from_secs(10)).await.unwrap().unwrap();
    assert_eq!(renewed.expires_at_us, at(68).0);
    assert_eq!(store.inspect("r", at(67)).await.unwrap().unwrap().fence, first.fence);
    assert_eq!(store.inspect("r", at(68)).await.unwrap(), None);
    // What has expired is another's, under a larger fence; the first token is worth nothing.
    assert_eq!(store.renew(proven("r", &first, at(68)), TTL).await.unwrap(), Err(TokenRefused::Ended(None)));
    let second = store.acquire(wish("r", "b", at(68))).await.unwrap().unwrap();
    assert!(second.fence > first.fence);
    for refused in [
        store.renew(proven("r", &first, at(69)), TTL).await.unwrap().unwrap_err(),
        store.release(proven("r", &first, at(69))).await.unwrap().unwrap_err(),
    ] {
        assert!(matches!(refused, TokenRefused::Ended(Some(view)) if view.holder == "b"));
    }
    let guessed = HeldLock { secret: "guess".into(), ..second.clone() };
    assert!(store.release(proven("r", &guessed, at(69))).await.unwrap().is_err());
    store.release(proven("r", &second, at(69))).await.unwrap().unwrap();
    assert!(store.release(proven("r", &second, at(69))).await.unwrap().is_err(), "once");
    // Another resource, and the same again: the fence grows across all.
    let other = store.acquire(wish("other", "c", at(70))).await.unwrap().unwrap();
    let third = store.acquire(wish("r", "c", at(70))).await.unwrap().unwrap();
    assert!(third.fence > other.fence && other.fence > second.fence);
}

async fn of_many_one_is_first(store: Arc<dyn LockStore>, other: Arc<dyn LockStore>) {
    for round in 0..5 {
        let racing = (0..10).map(|n| {
            let store = Arc::clone(if n % 2 == 0 { &store } else { &other });
            async move { store.acquire(wish("race", &format!("w{n}"), at(1_000 + round * 100))).await.unwrap() }
        });
        let done = futures_util::future::join_all(racing).await;
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "round {round}: {done:?}");
    }
}

async fn a_key_gives_the_same_token(store: &dyn LockStore) {
    let key = Some(Key { key: "k".into(), request_hash: "h".into() });
    let keyed = |owner: &str| Acquire { key: key.clone(), ..wish("keyed", owner, at(2_000)) };
    store.acquire(wish("keyed", "z", at(1_999))).await.unwrap().unwrap();
    // That it was not given is not remembered.
    assert!(matches!(store.acquire(keyed("a")).await.unwrap(), Err(AcquireRefused::Held(_))));
    store.expire(at(3_000)).await.unwrap();
    let first = store.acquire(Acquire { now: at(3_000), ..keyed("a") }).await.unwrap().unwrap();
    let again = store.acquire(Acquire { now: at(3_001), secret: "other".into(), ..keyed("a") }).await.unwrap().unwrap();
    assert_eq!(again, first);
}

async fn ends_with_its_time_and_with_its_process<S: LockStore + SessionStore>(store: &S) {
    for resource in ["x", "y"] {
        store.acquire(wish(resource, "a", at(5_000))).await.unwrap().unwrap();
    }
    assert_eq!(store.expire(at(5_029)).await.unwrap(), 1, "what was left of before");
    assert_eq!(store.expire(at(5_030)).await.unwrap(), 2);
    store.begin("s1", &process(1), at(6_000)).await.unwrap();
    store.acquire(Acquire { ttl: Duration::from_hours(1), ..wish("long", "a", at(6_000)) }).await.unwrap().unwrap();
    store.acquire(wish("short", "a", at(6_000))).await.unwrap().unwrap();
    let end = End {
        session_id: "s1".into(),
        heartbeat_at: at(6_000),
        grace: Duration::from_secs(60),
        reason: "stopped",
        now: at(6_010),
    };
    assert_eq!(store.end(end).await.unwrap().unwrap().locks, 1, "the short one ends sooner by itself");
    assert_eq!(store.inspect("long", at(6_011)).await.unwrap().unwrap().expires_at, at(6_070));
    assert_eq!(store.inspect("short", at(6_011)).await.unwrap().unwrap().expires_at, at(6_030));
}

async fn holds<S: LockStore + SessionStore + 'static>(store: Arc<S>, other_process: Arc<S>) {
    is_held_by_one_at_a_time(&*store).await;
    of_many_one_is_first(store.clone(), other_process).await;
    a_key_gives_the_same_token(&*store).await;
    ends_with_its_time_and_with_its_process(&*store).await;
    let mut fences = BTreeSet::new();
    for n in 0..20 {
        let lock = store.acquire(wish(&format!("f{}", n % 3), "a", at(10_000 + n * 100))).await.unwrap().unwrap();
        assert!(fences.last().is_none_or(|last| *last < lock.fence) && fences.insert(lock.fence));
    }
}

on_both_stores!(holds);
