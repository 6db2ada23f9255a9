//! Locks through manage_lock.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    binary::Binary,
    command::Shell,
    harness::{Harness, boards},
};

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

#[tokio::test]
async fn a_lock_is_its_agents_named_or_not() {
    for board in boards() {
        let acquire = async |agent: Option<&str>| {
            let mut asked = json!({"action": "acquire", "resource": "db", "ttl_ms": 60_000});
            if let Some(agent) = agent {
                asked["agent_id"] = json!(agent);
            }
            board.answer("manage_lock", &asked.to_string()).await
        };
        let first = acquire(None).await;
        assert_eq!(acquire(None).await["acquired"], false, "nobody knows whether it is the same");
        let same = acquire(Some("a")).await;
        assert_eq!((&same["acquired"], &same["holder"]), (&json!(true), &json!("a")));
        assert_eq!((&same["token"], &same["fence"]), (&first["token"], &first["fence"]));
        assert_eq!(acquire(None).await["token"], first["token"], "the only agent here");
        let seen = board.answer("manage_lock", r#"{"action":"inspect","resource":"db"}"#).await;
        assert_eq!((&seen["holder"], &seen["acquired_at"].is_string()), (&json!("a"), &true));
        // Another agent is another holder. Kept out, it changes nothing for the one that is in.
        let other = acquire(Some("b")).await;
        assert_eq!((&other["acquired"], &other["holder"]), (&json!(false), &json!("a")));
        assert_eq!(acquire(None).await["token"], first["token"]);
        assert_eq!(acquire(Some("a")).await["token"], first["token"]);
        // Once both work here, nobody knows whose a call is that names none.
        board.answer("register_agent", r#"{"role":"r","agent_id":"b"}"#).await;
        assert_eq!(acquire(None).await["acquired"], false);
        assert_eq!(acquire(Some("a")).await["token"], first["token"]);
        for (action, agent) in [("renew", "b"), ("release", "c")] {
            let proven = json!({"action": action, "resource": "db", "token": first["token"], "agent_id": agent});
            board.answer("manage_lock", &proven.to_string()).await;
        }
        assert_eq!(acquire(Some("b")).await["acquired"], true);
    }
}

#[tokio::test]
async fn a_lock_of_a_process_with_several_agents_is_nobodys_but_its_tokens() {
    for board in boards() {
        for agent in ["a", "b"] {
            board.answer("register_agent", &json!({"role": "r", "agent_id": agent}).to_string()).await;
        }
        let held = board.answer("manage_lock", r#"{"action":"acquire","resource":"db"}"#).await;
        assert!(held["holder"].as_str().unwrap().starts_with("ss_"), "{held}");
        let named = |action: &str, agent: &str| json!({"action": action, "resource": "db", "agent_id": agent});
        for agent in ["a", "b"] {
            let kept_out = board.answer("manage_lock", &named("acquire", agent).to_string()).await;
            assert_eq!((&kept_out["acquired"], &kept_out["holder"]), (&json!(false), &held["holder"]));
            let mut proven = named("acquire", agent);
            proven["token"] = held["token"].clone();
            let again = board.answer("manage_lock", &proven.to_string()).await;
            assert_eq!((&again["fence"], &again["token"]), (&held["fence"], &held["token"]));
        }
        let release = json!({"action": "release", "resource": "db", "token": held["token"]}).to_string();
        assert_eq!(board.answer("manage_lock", &release).await["released"], true);
    }
}

#[tokio::test]
async fn a_lock_taken_by_name_is_kept_and_let_go_of_without() {
    for board in boards() {
        let named = board.answer("manage_lock", r#"{"action":"acquire","resource":"db","agent_id":"a"}"#).await;
        let nameless = board.answer("manage_lock", r#"{"action":"acquire","resource":"db"}"#).await;
        assert_eq!((&nameless["token"], &nameless["holder"]), (&named["token"], &json!("a")));
        for action in ["renew", "release"] {
            let proven = json!({"action": action, "resource": "db", "token": named["token"]}).to_string();
            assert_eq!(board.answer("manage_lock", &proven).await["fence"], named["fence"]);
        }
        // The other way round.
        let nameless = board.answer("manage_lock", r#"{"action":"acquire","resource":"db"}"#).await;
        assert_eq!(nameless["holder"], "a");
        let renew =
            json!({"action": "renew", "resource": "db", "token": nameless["token"], "agent_id": "a"}).to_string();
        assert_eq!(board.answer("manage_lock", &renew).await["holder"], "a");
    }
}

/// Ends a server in one of the ways that are clean.
fn end(server: &mut Binary, how: &str) {
    match how {
        "TERM" => server.signal(rustix::process::Signal::TERM),
        "INT" => server.signal(rustix::process::Signal::INT),
        _ => server.end_input(),
    }
    server.wait();
}

#[test]
fn a_clean_end_frees_locks_at_once_and_leaves_leases_their_minute() {
    for how in ["end of input", "TERM", "INT"] {
        let mut first = Binary::serve();
        let mut second = first.beside();
        let held =
            second.answer("manage_lock", r#"{"action":"acquire","resource":"db","agent_id":"a","ttl_ms":3600000}"#);
        second.answer("enqueue_tasks", r#"{"tasks":[{"title":"one"}]}"#);
        second.answer("claim_tasks", r#"{"agent_id":"a"}"#);
        end(&mut second, how);
        let taken = first.answer("manage_lock", r#"{"action":"acquire","resource":"db","agent_id":"b"}"#);
        assert_eq!(taken["acquired"], true, "{how}: {taken}");
        assert!(taken["fence"].as_i64() > held["fence"].as_i64());
        let tasks = first.answer("manage_tasks", r#"{"action":"list","filter":{"state":"leased"}}"#);
        assert_eq!(tasks["tasks"][0]["agent_id"], "a", "{how}: {tasks}");
        let late = json!({"action": "release", "resource": "db", "token": held["token"]}).to_string();
        assert_eq!(first.refused("manage_lock", &late)["code"], "lease_lost");
    }
}

#[test]
fn a_lock_of_a_script_lasts_until_its_time_or_its_token() {
    let shell = Shell::new();
    let call = |arguments: Value| {
        let ran = shell.run(&["call", "manage_lock", &arguments.to_string()]);
        assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let mut acquire = json!({"action": "acquire", "resource": "deploy", "ttl_ms": 600_000});
    let held = call(acquire.clone());
    assert!(held["holder"].as_str().unwrap().starts_with("process-"), "{held}");
    assert_eq!(call(acquire.clone())["acquired"], false, "the script that calls next may be another");
    acquire["agent_id"] = json!("script");
    assert_eq!(call(acquire.clone())["acquired"], false);
    let proven = |action: &str| json!({"action": action, "resource": "deploy", "token": held["token"]});
    assert_eq!(call(proven("renew"))["fence"], held["fence"]);
    assert_eq!(call(proven("release"))["released"], true);
    assert_eq!(call(acquire.clone())["acquired"], true);
    assert_eq!(call(acquire)["acquired"], false, "a name alone proves nothing from another process");
}
