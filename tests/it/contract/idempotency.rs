//! What every store of idempotency keys must do.

use std::{sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    domain::{idempotency::Key, json},
    store::Store,
    store::idempotency::{Begun, Proof, Unfinished},
};

const NOW: Instant = Instant(1_700_000_000_000_000);

fn key(name: &str, request_hash: &str) -> Key {
    Key { key: name.to_owned(), request_hash: request_hash.to_owned() }
}

async fn holds(store: Arc<Store>, other_process: Arc<Store>) {
    let answer = json::of("done");
    assert!(matches!(store.begin_attempt(&key("a", "h1"), "one", NOW).await.unwrap(), Begun::New));
    match other_process.begin_attempt(&key("a", "h1"), "two", NOW).await.unwrap() {
        Begun::Unfinished(Unfinished { attempt, proof: None }) => assert_eq!(attempt.as_deref(), Some("one")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(other_process.begin_attempt(&key("a", "h2"), "two", NOW).await.unwrap(), Begun::OtherRequest));
    store.finish_attempt("a", "one", &answer, NOW).await.unwrap();
    match other_process.begin_attempt(&key("a", "h1"), "two", NOW).await.unwrap() {
        Begun::Answered(kept) => assert_eq!(kept.get(), answer.get()),
        other => panic!("{other:?}"),
    }

    // A finished key is not freed; one that failed is.
    store.forget_attempt("a", "one").await.unwrap();
    assert!(matches!(store.begin_attempt(&key("a", "h1"), "two", NOW).await.unwrap(), Begun::Answered(_)));
    assert!(matches!(store.begin_attempt(&key("b", "h1"), "one", NOW).await.unwrap(), Begun::New));
    store.forget_attempt("b", "one").await.unwrap();
    assert!(matches!(store.begin_attempt(&key("b", "h2"), "two", NOW).await.unwrap(), Begun::New));

    one_attempt_at_a_time(&store, &other_process).await;

    // After 24 hours a key is new again, and not a moment before.
    let day = Duration::from_hours(24);
    let before = Instant(NOW.after(day).0 - 1);
    assert!(matches!(store.begin_attempt(&key("a", "h1"), "x", before).await.unwrap(), Begun::Answered(_)));
    assert!(matches!(store.begin_attempt(&key("a", "h3"), "x", NOW.after(day)).await.unwrap(), Begun::New));

    // Of many who begin at once, one is first.
    let begun = (0..20).map(|n| {
        let store = Arc::clone(if n % 2 == 0 { &store } else { &other_process });
        async move { store.begin_attempt(&key("race", "h"), &n.to_string(), NOW).await.unwrap() }
    });
    let begun = futures_util::future::join_all(begun).await;
    assert_eq!(begun.iter().filter(|begun| matches!(begun, Begun::New)).count(), 1);
}

/// An attempt that was taken over can keep nothing any more, and it is taken over only as it was when it was looked at.
async fn one_attempt_at_a_time(store: &Store, other_process: &Store) {
    let key = key("attempts", "h");
    let proof = |effect: &str| Proof { effect: effect.to_owned(), answer: json::of(effect) };
    let unfinished = async || match other_process.begin_attempt(&key, "x", NOW).await.unwrap() {
        Begun::Unfinished(unfinished) => unfinished,
        other => panic!("{other:?}"),
    };
    assert!(matches!(store.begin_attempt(&key, "one", NOW).await.unwrap(), Begun::New));
    let before = unfinished().await;
    assert!(store.prove_attempt("attempts", "one", &proof("1")).await.unwrap());
    assert!(!other_process.take_over_attempt("attempts", &before, "two").await.unwrap(), "it went on meanwhile");
    let proved = unfinished().await;
    let kept = proved.proof.as_ref().unwrap();
    assert_eq!((kept.effect.as_str(), kept.answer.get()), ("1", "\"1\""));
    assert!(other_process.take_over_attempt("attempts", &proved, "two").await.unwrap());
    assert!(!store.take_over_attempt("attempts", &proved, "three").await.unwrap(), "another was quicker");
    assert!(unfinished().await.proof.is_none(), "what the first proved says nothing of the second");
    assert!(!store.prove_attempt("attempts", "one", &proof("late")).await.unwrap());
    store.finish_attempt("attempts", "one", &json::of("late"), NOW).await.unwrap();
    store.forget_attempt("attempts", "one").await.unwrap();
    assert_eq!(unfinished().await.attempt.as_deref(), Some("two"));
    assert!(other_process.prove_attempt("attempts", "two", &proof("2")).await.unwrap());
    let proved = unfinished().await;
    other_process.finish_attempt("attempts", "two", &json::of("done"), NOW).await.unwrap();
    assert!(!store.take_over_attempt("attempts", &proved, "three").await.unwrap(), "it has ended");
    assert!(matches!(store.begin_attempt(&key, "x", NOW).await.unwrap(), Begun::Answered(_)));
}

on_both_stores!(holds);
