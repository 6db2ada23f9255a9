//! What every store of locks must do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    domain::{idempotency::Key, locks::Token},
    store::Store,
    store::{
        locks::{Acquire, AcquireRefused, HeldLock, Proven, TokenRefused},
        sessions::End,
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
        same: Vec::new(),
        token: None,
        secret: format!("s{owner}"),
        session_id: "s1".into(),
        ttl: TTL,
        key: None,
        now,
    }
}

fn proven(resource: &str, lock: &HeldLock, now: Instant) -> Proven {
    Proven { resource: resource.into(), token: token(lock), session_id: "s1".into(), key: None, now }
}

fn token(lock: &HeldLock) -> Token {
    Token { fence: lock.fence, secret: lock.secret.clone() }
}

async fn is_held_by_one_at_a_time(store: &Store) {
    let first = store.acquire_lock(wish("r", "a", NOW)).await.unwrap().unwrap();
    assert_eq!((first.owner.as_str(), first.expires_at_us), ("a", at(30).0));
    let AcquireRefused::Held(held) = store.acquire_lock(wish("r", "b", at(29))).await.unwrap().unwrap_err() else {
        panic!("it is held")
    };
    assert_eq!((held.holder.as_str(), held.fence, held.expires_at), ("a", first.fence, at(30)));
    // The same owner has to prove that it is the same; then it goes on under the same fence.
    assert!(store.acquire_lock(wish("r", "a", at(29))).await.unwrap().is_err());
    let again = Acquire { token: Some(token(&first)), secret: "unused".into(), ..wish("r", "a", at(29)) };
    let again = store.acquire_lock(again).await.unwrap().unwrap();
    assert_eq!((again.fence, &again.secret, again.expires_at_us), (first.fence, &first.secret, at(59).0));
    let renewed = store.renew_lock(proven("r", &first, at(58)), Duration::from_secs(10)).await.unwrap().unwrap();
    assert_eq!(renewed.expires_at_us, at(68).0);
    assert_eq!(store.inspect_lock("r", at(67)).await.unwrap().unwrap().fence, first.fence);
    assert_eq!(store.inspect_lock("r", at(68)).await.unwrap(), None);
    // What has expired is another's, under a larger fence; the first token is worth nothing.
    assert_eq!(store.renew_lock(proven("r", &first, at(68)), TTL).await.unwrap(), Err(TokenRefused::Ended(None)));
    let second = store.acquire_lock(wish("r", "b", at(68))).await.unwrap().unwrap();
    assert!(second.fence > first.fence);
    for refused in [
        store.renew_lock(proven("r", &first, at(69)), TTL).await.unwrap().unwrap_err(),
        store.release_lock(proven("r", &first, at(69))).await.unwrap().unwrap_err(),
    ] {
        assert!(matches!(refused, TokenRefused::Ended(Some(view)) if view.holder == "b"));
    }
    let guessed = HeldLock { secret: "guess".into(), ..second.clone() };
    assert!(store.release_lock(proven("r", &guessed, at(69))).await.unwrap().is_err());
    store.release_lock(proven("r", &second, at(69))).await.unwrap().unwrap();
    assert!(store.release_lock(proven("r", &second, at(69))).await.unwrap().is_err(), "once");
    // Another resource, and the same again: the fence grows across all.
    let other = store.acquire_lock(wish("other", "c", at(70))).await.unwrap().unwrap();
    let third = store.acquire_lock(wish("r", "c", at(70))).await.unwrap().unwrap();
    assert!(third.fence > other.fence && other.fence > second.fence);
}

async fn the_same_holder_of_the_same_process_goes_on(store: &Store) {
    let same = |names: &[&str], owner: &str, session: &str| Acquire {
        same: names.iter().map(|name| (*name).to_owned()).collect(),
        session_id: session.into(),
        secret: "unused".into(),
        ..wish("same", owner, at(510))
    };
    let first = store.acquire_lock(Acquire { owner: "s1".into(), ..wish("same", "", at(500)) }).await.unwrap().unwrap();
    for (names, owner, session) in
        [(&[][..], "s1", "s1"), (&["b"], "b", "s1"), (&["a", "s1"], "a", "s2"), (&["a", "s1", ""], "a", "")]
    {
        let refused = store.acquire_lock(same(names, owner, session)).await.unwrap();
        assert!(refused.is_err(), "{names:?} in {session}");
    }
    let again = store.acquire_lock(same(&["a", "s1"], "a", "s1")).await.unwrap().unwrap();
    assert_eq!((again.fence, &again.secret, again.expires_at_us), (first.fence, &first.secret, at(540).0));
    assert_eq!(
        (again.owner.as_str(), store.inspect_lock("same", at(511)).await.unwrap().unwrap().holder),
        ("a", "a".into())
    );
    // A wrong token is no reason to go on, whoever says it.
    let wrong = Token { fence: first.fence, secret: "guess".into() };
    assert!(store.acquire_lock(Acquire { token: Some(wrong), ..same(&["a"], "a", "s1") }).await.unwrap().is_err());
    store.release_lock(proven("same", &first, at(512))).await.unwrap().unwrap();
}

async fn of_many_one_is_first(store: Arc<Store>, other: Arc<Store>) {
    for round in 0..5 {
        let racing = (0..10).map(|n| {
            let store = Arc::clone(if n % 2 == 0 { &store } else { &other });
            async move { store.acquire_lock(wish("race", &format!("w{n}"), at(1_000 + round * 100))).await.unwrap() }
        });
        let done = futures_util::future::join_all(racing).await;
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "round {round}: {done:?}");
    }
}

async fn a_key_gives_the_same_token(store: &Store) {
    let key = Some(Key { key: "k".into(), request_hash: "h".into() });
    let keyed = |owner: &str| Acquire { key: key.clone(), ..wish("keyed", owner, at(2_000)) };
    store.acquire_lock(wish("keyed", "z", at(1_999))).await.unwrap().unwrap();
    // That it was not given is not remembered.
    assert!(matches!(store.acquire_lock(keyed("a")).await.unwrap(), Err(AcquireRefused::Held(_))));
    store.expire_locks(at(3_000)).await.unwrap();
    let first = store.acquire_lock(Acquire { now: at(3_000), ..keyed("a") }).await.unwrap().unwrap();
    let again =
        store.acquire_lock(Acquire { now: at(3_001), secret: "other".into(), ..keyed("a") }).await.unwrap().unwrap();
    assert_eq!(again, first);
}

async fn ends_with_its_time_and_with_its_process(store: &Store) {
    for resource in ["x", "y"] {
        store.acquire_lock(wish(resource, "a", at(5_000))).await.unwrap().unwrap();
    }
    assert_eq!(store.expire_locks(at(5_029)).await.unwrap(), 1, "what was left of before");
    assert_eq!(store.expire_locks(at(5_030)).await.unwrap(), 2);
    store.begin_session("s1", &process(1), at(6_000)).await.unwrap();
    store
        .acquire_lock(Acquire { ttl: Duration::from_hours(1), ..wish("long", "a", at(6_000)) })
        .await
        .unwrap()
        .unwrap();
    store.acquire_lock(wish("short", "a", at(6_000))).await.unwrap().unwrap();
    let end = End {
        session_id: "s1".into(),
        heartbeat_at: at(6_000),
        silent_since: None,
        grace: Duration::from_secs(60),
        reason: "stopped",
        now: at(6_010),
    };
    // Leases get their grace; locks are free at once, also those that were renewed through this process.
    let elsewhere = Acquire { session_id: "s2".into(), ..wish("renewed", "b", at(6_000)) };
    let renewed = store.acquire_lock(elsewhere).await.unwrap().unwrap();
    store.renew_lock(proven("renewed", &renewed, at(6_001)), TTL).await.unwrap().unwrap();
    let elsewhere = Acquire { session_id: "s2".into(), ..wish("stays", "b", at(6_000)) };
    store.acquire_lock(elsewhere).await.unwrap().unwrap();
    assert_eq!(store.end_session(end).await.unwrap().unwrap().locks, 3);
    for resource in ["long", "short", "renewed"] {
        assert_eq!(store.inspect_lock(resource, at(6_010)).await.unwrap(), None, "{resource}");
    }
    assert_eq!(store.inspect_lock("stays", at(6_010)).await.unwrap().unwrap().expires_at, at(6_030));
    let next = store.acquire_lock(wish("long", "b", at(6_010))).await.unwrap().unwrap();
    assert!(next.fence > renewed.fence);
}

async fn holds(store: Arc<Store>, other_process: Arc<Store>) {
    is_held_by_one_at_a_time(&store).await;
    the_same_holder_of_the_same_process_goes_on(&store).await;
    of_many_one_is_first(store.clone(), other_process).await;
    a_key_gives_the_same_token(&store).await;
    ends_with_its_time_and_with_its_process(&store).await;
    let mut fences = BTreeSet::new();
    for n in 0..20 {
        let lock = store.acquire_lock(wish(&format!("f{}", n % 3), "a", at(10_000 + n * 100))).await.unwrap().unwrap();
        assert!(fences.last().is_none_or(|last| *last < lock.fence) && fences.insert(lock.fence));
    }
}

on_both_stores!(holds);
