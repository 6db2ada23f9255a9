//! What every store must do so that work goes on by itself: who leads, sums of costs, keys that are forgotten, leases that are renewed.

use std::{sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    domain::{
        idempotency::Key,
        json,
        money::Micros,
        tasks::{Cost, Lease, NewTask, OnDependencyFailure, Priority, new::Links},
    },
    store::{
        Store,
        idempotency::Begun,
        sessions::{Beat, End, Ended},
        tasks::{Claim, Enqueue, Update},
    },
};

use super::{records, sessions::process};
use crate::support::postgres;

const NOW: Instant = Instant(1_780_000_000_000_000);

fn at(seconds: u64) -> Instant {
    NOW.after(Duration::from_secs(seconds))
}

async fn one_leads_at_a_time(store: &Store, other: &Store) {
    assert_eq!(store.leader("n", NOW).await.unwrap(), None);
    let both = tokio::join!(store.lead("n", "a", NOW, at(10)), other.lead("n", "b", NOW, at(10)));
    let (a, b) = (both.0.unwrap(), both.1.unwrap());
    assert!(a != b, "one of them leads");
    let (leader, follower) = if a { ("a", "b") } else { ("b", "a") };
    assert_eq!(other.leader("n", at(9)).await.unwrap().as_deref(), Some(leader));
    assert!(!other.lead("n", follower, at(9), at(19)).await.unwrap());
    assert!(store.lead("n", leader, at(9), at(19)).await.unwrap());
    assert_eq!(store.leader("n", at(19)).await.unwrap(), None);
    assert!(other.lead("n", follower, at(19), at(29)).await.unwrap());
    assert!(other.lead("m", leader, at(19), at(29)).await.unwrap(), "of another name");
    // Who does not lead gives nothing up; who does, at once, and only under this name.
    store.step_down("n", leader).await.unwrap();
    assert_eq!(store.leader("n", at(20)).await.unwrap().as_deref(), Some(follower));
    store.step_down("n", follower).await.unwrap();
    assert!(store.lead("n", leader, at(20), at(30)).await.unwrap());
    assert_eq!(store.leader("m", at(20)).await.unwrap().as_deref(), Some(leader));
}

async fn keys_are_forgotten_in_time(store: &Store) {
    for key in ["k1", "k2"] {
        let call = Key { key: key.to_owned(), request_hash: "h".to_owned() };
        assert!(matches!(store.begin_attempt(&call, "at", NOW).await.unwrap(), Begun::New));
        store.finish_attempt(key, "at", &json::of("done"), NOW).await.unwrap();
    }
    assert_eq!(store.sweep_keys(at(24 * 3_600 - 1)).await.unwrap(), 0);
    assert_eq!(store.sweep_keys(at(24 * 3_600)).await.unwrap(), 2);
}

fn task(id: &str) -> NewTask {
    NewTask {
        id: id.into(),
        key: None,
        title: None,
        description: None,
        queue: "q".into(),
        priority: Priority::NORMAL,
        input: None,
        capabilities: vec![],
        run_at: None,
        attempts_max: 5,
        runtime_ms_max: (id == "tk_short").then_some(60_000),
        on_dependency_failure: OnDependencyFailure::Cancel,
        waits_for: Links::default(),
    }
}

async fn claimed(store: &Store) -> Vec<(Lease, Instant)> {
    let tasks = vec![task("tk_long"), task("tk_short")];
    let enqueue = Enqueue { workflow_id: None, tasks, tasks_max: 1_000, key: None, now: NOW };
    store.enqueue_tasks(enqueue).await.unwrap().unwrap();
    let claim = Claim {
        agent_id: "a".into(),
        session_id: "s1".into(),
        queues: None,
        secrets: vec!["x".into(), "y".into()],
        lease_ms: 30_000,
        agent_token: "t".into(),
        key: None,
        now: NOW,
    };
    let claimed = store.claim_tasks(claim).await.unwrap().unwrap();
    claimed.tasks.into_iter().map(|task| (task.lease, task.lease_until)).collect()
}

async fn leases_are_renewed_by_signs_of_life(store: &Store) {
    store.begin_session("s1", &process(1), NOW).await.unwrap();
    let leases = claimed(store).await;
    assert_eq!(leases.iter().map(|(_, until)| *until).collect::<Vec<_>>(), [at(30), at(30)]);
    let fence = leases[0].0.fence;
    let beat = |leases: &[(&str, i64)], now| Beat {
        session_id: "s1".into(),
        agents: vec![],
        leases: leases.iter().map(|(task, fence)| ((*task).to_owned(), *fence)).collect(),
        lease_until: now,
        now: NOW,
    };
    // A process that worked on one of them before says nothing of who has it now, and takes nothing along when it ends.
    store.begin_session("s2", &process(2), NOW).await.unwrap();
    store.beat(Beat { session_id: "s2".into(), ..beat(&[("tk_long", fence - 1)], at(900)) }).await.unwrap();
    let end = End {
        session_id: "s2".into(),
        heartbeat_at: NOW,
        silent_since: None,
        grace: Duration::ZERO,
        reason: "gone",
        now: NOW,
    };
    assert_eq!(store.end_session(end).await.unwrap(), Some(Ended { leases: 0, locks: 0, agents: 0 }));
    // Whoever holds one of them makes a call: all that it holds stays, one of them no longer than it may.
    store.beat(beat(&[("tk_long", fence), ("tk_unknown", fence)], at(900))).await.unwrap();
    assert_eq!(store.expire_leases(at(59)).await.unwrap(), 0);
    assert_eq!(store.expire_leases(at(60)).await.unwrap(), 1, "the short one, at its hard end");
    assert_eq!(store.expire_leases(at(899)).await.unwrap(), 0);
    // Costs of the one that goes on are summed up once.
    let (long, _) = leases.into_iter().find(|(lease, _)| lease.task_id == "tk_long").unwrap();
    for _ in 0..3 {
        let cost = Cost { amount: Micros(10), model: Some("m".into()), input_tokens: 2, output_tokens: 1 };
        let update = Update {
            lease: long.clone(),
            progress: None,
            message: None,
            checkpoint: None,
            cost: Some(cost),
            question: None,
            lease_ms: 900_000,
            key: None,
            now: at(60),
        };
        store.update_task(update).await.unwrap().unwrap();
    }
    let both = tokio::join!(store.roll_up_costs(), store.roll_up_costs());
    assert_eq!(both.0.unwrap() + both.1.unwrap(), 3);
    assert_eq!(store.roll_up_costs().await.unwrap(), 0);
}

async fn holds(open: records::Open) -> Arc<Store> {
    let (store, other) = (Arc::new(Store::new(open())), Store::new(open()));
    one_leads_at_a_time(&store, &other).await;
    keys_are_forgotten_in_time(&store).await;
    leases_are_renewed_by_signs_of_life(&store).await;
    store
}

const SUMS: &str = "SELECT cost_micros || '|' || input_tokens || '|' || output_tokens || '|' || reports || '|' || agent_id \
                    || '|' || model FROM ";

#[tokio::test]
async fn sqlite() {
    let home = tempfile::tempdir().unwrap();
    holds(records::in_file(home.path())).await;
    let file = rusqlite::Connection::open(home.path().join("callboard.db")).unwrap();
    let sums: String = file.query_row(&format!("{SUMS} cost_daily"), [], |row| row.get(0)).unwrap();
    assert_eq!(sums, "30|6|3|3|a|m");
}

#[tokio::test]
async fn postgresql() {
    let server = postgres::shared();
    let url = server.database();
    holds(records::on_postgres(&url)).await;
    let sums = server.psql(postgres::name_of(&url), &format!("{SUMS} callboard.cost_daily"));
    assert_eq!(sums.trim(), "30|6|3|3|a|m");
}
