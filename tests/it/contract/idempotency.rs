//! What every store of idempotency keys must do.

use std::{sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    domain::json,
    ports::idempotency::{Begun, IdempotencyStore},
};

const NOW: Instant = Instant(1_700_000_000_000_000);

async fn holds(store: Arc<dyn IdempotencyStore>, other_process: Arc<dyn IdempotencyStore>) {
    let answer = json::of("done");
    assert!(matches!(store.begin("a", "h1", NOW).await.unwrap(), Begun::New));
    assert!(matches!(other_process.begin("a", "h1", NOW).await.unwrap(), Begun::Unfinished));
    assert!(matches!(other_process.begin("a", "h2", NOW).await.unwrap(), Begun::OtherRequest));
    store.finish("a", &answer, NOW).await.unwrap();
    match other_process.begin("a", "h1", NOW).await.unwrap() {
        Begun::Answered(kept) => assert_eq!(kept.get(), answer.get()),
        other => panic!("{other:?}"),
    }

    // A finished key is not freed; one that failed is.
    store.forget("a").await.unwrap();
    assert!(matches!(store.begin("a", "h1", NOW).await.unwrap(), Begun::Answered(_)));
    assert!(matches!(store.begin("b", "h1", NOW).await.unwrap(), Begun::New));
    store.forget("b").await.unwrap();
    assert!(matches!(store.begin("b", "h2", NOW).await.unwrap(), Begun::New));

    // After 24 hours a key is new again, and not a moment before.
    let day = Duration::from_hours(24);
    let before = Instant(NOW.after(day).0 - 1);
    assert!(matches!(store.begin("a", "h1", before).await.unwrap(), Begun::Answered(_)));
    assert!(matches!(store.begin("a", "h3", NOW.after(day)).await.unwrap(), Begun::New));

    // Of many who begin at once, one is first.
    let begun = (0..20).map(|n| {
        let store = Arc::clone(if n % 2 == 0 { &store } else { &other_process });
        async move { store.begin("race", "h", NOW).await.unwrap() }
    });
    let begun = futures_util::future::join_all(begun).await;
    assert_eq!(begun.iter().filter(|begun| matches!(begun, Begun::New)).count(), 1);
}

on_both_stores!(holds);
