//! The circuit breaker before a backend.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use callboard::{
    adapters::breaker::Breaker,
    background::Background,
    error::{Code, Error},
};
use futures_util::FutureExt;

use crate::support::patience::PATIENCE;

fn breaker() -> (Arc<Breaker>, Arc<AtomicBool>) {
    let up = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&up);
    let look = move || {
        let state = Arc::clone(&state);
        async move { state.load(Ordering::SeqCst) }
    };
    (Breaker::new(Background::default(), look), up)
}

async fn fail(breaker: &Arc<Breaker>, code: Code) {
    breaker.run(async { Err::<(), _>(Error::new(code, "it is down")) }).await.unwrap_err();
}

#[tokio::test]
async fn five_failures_open_it_and_the_words_of_the_last_are_given_at_once() {
    let (breaker, _) = breaker();
    for _ in 0..4 {
        fail(&breaker, Code::Unavailable).await;
    }
    assert!(breaker.run(async { Ok(()) }).await.is_ok());
    for _ in 0..5 {
        fail(&breaker, Code::Unavailable).await;
    }
    // At once: without waiting for anything, and without a try.
    let tried = async { panic!("the backend was asked") };
    let refused = breaker.run::<()>(tried).now_or_never().expect("it waits").unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (Code::Unavailable, "it is down"));
    assert!(refused.retry_after.is_some());
}

#[tokio::test]
async fn what_the_caller_did_wrong_never_counts() {
    let (breaker, _) = breaker();
    for code in [Code::Invalid, Code::NotFound, Code::Denied, Code::Busy, Code::Timeout, Code::Cancelled] {
        for _ in 0..10 {
            fail(&breaker, code).await;
        }
    }
    assert!(!breaker.is_open());
}

#[tokio::test]
async fn it_closes_as_soon_as_the_backend_is_back_without_a_caller_having_to_try() {
    let (breaker, up) = breaker();
    for _ in 0..5 {
        fail(&breaker, Code::Unavailable).await;
    }
    assert!(breaker.is_open());
    up.store(true, Ordering::SeqCst);
    let started = Instant::now();
    while breaker.is_open() {
        assert!(started.elapsed() < PATIENCE, "still open");
        tokio::task::yield_now().await;
    }
    assert!(breaker.run(async { Ok(()) }).await.is_ok());
}
