//! Locks through manage_lock, on the embedded record store.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::harness::Harness;

async fn acquire(board: &Harness, agent: &str) -> Value {
    board.answer("manage_lock", &json!({"action": "acquire", "resource": "db", "agent_id": agent}).to_string()).await
}

#[tokio::test]
async fn a_lock_is_taken_kept_and_let_go_of() {
    let (board, clock) = Harness::timed();
    let taken = acquire(&board, "a").await;
    let token = taken["token"].as_str().unwrap();
    assert_eq!(
        taken,
        json!({"acquired":true,"token":token,"fence":taken["fence"],"expires_at":"2026-05-28T20:27:10.000Z","holder":"a"})
    );
    let refused = acquire(&board, "b").await;
    assert_eq!(refused, json!({"acquired":false,"expires_at":"2026-05-28T20:27:10.000Z","holder":"a"}));
    clock.pass(Duration::from_secs(20));
    let renew = json!({"action": "renew", "resource": "db", "token": token, "ttl_ms": 60_000}).to_string();
    assert_eq!(board.answer("manage_lock", &renew).await["expires_at"], "2026-05-28T20:28:00.000Z");
    let seen = board.answer("manage_lock", r#"{"action":"inspect","resource":"db"}"#).await;
    assert_eq!((&seen["held"], &seen["holder"], &seen["fence"]), (&json!(true), &json!("a"), &taken["fence"]));
    let release = json!({"action": "release", "resource": "db", "token": token}).to_string();
    let released = board.answer("manage_lock", &release).await;
    assert_eq!(released, json!({"acquired":false,"released":true,"fence":taken["fence"]}));
    let seen = board.answer("manage_lock", r#"{"action":"inspect","resource":"db"}"#).await;
    assert_eq!(seen, json!({"acquired":false,"held":false}));
    let failure = board.refused("manage_lock", &release).await;
    assert_eq!((&failure["code"], &failure["current"]), (&json!("lease_lost"), &json!({"held":false})));
}

#[tokio::test]
async fn who_comes_late_is_told_who_holds_it_now() {
    let (board, clock) = Harness::timed();
    let first = acquire(&board, "a").await;
    clock.pass(Duration::from_secs(31));
    let second = acquire(&board, "b").await;
    assert!(second["fence"].as_i64() > first["fence"].as_i64());
    for action in ["renew", "release"] {
        let late = json!({"action": action, "resource": "db", "token": first["token"]}).to_string();
        let failure = board.refused("manage_lock", &late).await;
        assert_eq!(failure["code"], "lease_lost");
        assert_eq!(failure["current"], json!({"held":true,"holder":"b","fence":second["fence"]}));
    }
}

#[tokio::test]
async fn who_waits_has_it_when_it_is_let_go_of() {
    let board = Harness::embedded();
    let first = acquire(&board, "a").await;
    let wait = r#"{"action":"acquire","resource":"db","agent_id":"b","wait_ms":20000}"#;
    let release = json!({"action": "release", "resource": "db", "token": first["token"]}).to_string();
    let (second, _) = tokio::join!(board.answer("manage_lock", wait), async {
        // Whoever waits is registered by then.
        while *board.app.locks.waiting().borrow() == 0 {
            tokio::task::yield_now().await;
        }
        board.answer("manage_lock", &release).await
    });
    assert_eq!((&second["acquired"], &second["holder"]), (&json!(true), &json!("b")));
    assert!(second["fence"].as_i64() > first["fence"].as_i64());
}

#[tokio::test]
async fn without_a_name_the_only_agent_or_the_process_holds_it() {
    let board = Harness::embedded();
    let process = board.answer("manage_lock", r#"{"action":"acquire","resource":"x"}"#).await;
    assert!(process["holder"].as_str().unwrap().starts_with("ss_"), "{process}");
    board.answer("register_agent", r#"{"role":"r","agent_id":"only"}"#).await;
    assert_eq!(board.answer("manage_lock", r#"{"action":"acquire","resource":"y"}"#).await["holder"], "only");
    board.answer("register_agent", r#"{"role":"r","agent_id":"second"}"#).await;
    let process = board.answer("manage_lock", r#"{"action":"acquire","resource":"z"}"#).await;
    assert!(process["holder"].as_str().unwrap().starts_with("ss_"), "{process}");
}

#[tokio::test]
async fn a_key_gives_the_same_token() {
    let board = Harness::embedded();
    let call = r#"{"action":"acquire","resource":"db","agent_id":"a","idempotency_key":"k"}"#;
    let first = board.answer("manage_lock", call).await;
    assert_eq!(board.answer("manage_lock", call).await, first);
    let other = r#"{"action":"acquire","resource":"other","agent_id":"a","idempotency_key":"k"}"#;
    assert_eq!(board.refused("manage_lock", other).await["code"], "conflict");
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let board = Harness::embedded();
    for (arguments, argument) in [
        (r#"{"action":"acquire"}"#, "resource"),
        (r#"{"action":"aquire","resource":"r"}"#, "action"),
        (r#"{"action":"acquire","resource":""}"#, "resource"),
        (r#"{"action":"acquire","resource":"r","ttl_ms":999}"#, "ttl_ms"),
        (r#"{"action":"acquire","resource":"r","ttl_ms":3600001}"#, "ttl_ms"),
        (r#"{"action":"acquire","resource":"r","wait_ms":20001}"#, "wait_ms"),
        (r#"{"action":"release","resource":"r"}"#, "token"),
        (r#"{"action":"release","resource":"r","token":"x"}"#, "token"),
    ] {
        let failure = board.refused("manage_lock", arguments).await;
        assert_eq!((&failure["code"], failure["argument"].as_str()), (&json!("invalid"), Some(argument)), "{failure}");
    }
}
