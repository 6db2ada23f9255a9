//! What comes late moves nothing back that was answered before.

use std::{sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    domain::{agents::Status, locks::Token},
    store::{
        Store,
        agents::{self, Register},
        locks::{Acquire, Proven},
        sessions::Beat,
    },
};

use super::sessions::process;
use crate::support::flows::{Board, NOW, task};

fn at(seconds: u64) -> Instant {
    NOW.after(Duration::from_secs(seconds))
}

async fn locks(store: &Store) {
    let ttl = Duration::from_secs(30);
    let wish = |token, now| Acquire {
        resource: "late".into(),
        owner: "a".into(),
        same: Vec::new(),
        token,
        secret: "s".into(),
        session_id: "s1".into(),
        ttl,
        key: None,
        now,
    };
    let held = store.acquire_lock(wish(None, at(0))).await.unwrap().unwrap();
    let token = Token { fence: held.fence, secret: held.secret };
    let renew = async |now, ttl| {
        let proven = Proven { resource: "late".into(), token: token.clone(), session_id: "s1".into(), key: None, now };
        store.renew_lock(proven, ttl).await.unwrap().unwrap().expires_at_us
    };
    assert_eq!(renew(at(20), 2 * ttl).await, at(80).0);
    assert_eq!(renew(at(10), ttl).await, at(80).0);
    let again = store.acquire_lock(wish(Some(token.clone()), at(15))).await.unwrap().unwrap();
    assert_eq!(again.expires_at_us, at(80).0);
    assert_eq!(store.inspect_lock("late", at(79)).await.unwrap().unwrap().expires_at, at(80));
    store.expire_locks(at(80)).await.unwrap();
}

async fn leases(board: &Board) {
    board.store.enqueue_tasks(board.enqueue(None, vec![task("one")])).await.unwrap().unwrap();
    let lease = board.one().await.lease;
    let late = board.update_of(&lease);
    board.pass_ms(10_000);
    let answered = board.update(&lease).await.unwrap().lease_until;
    assert_eq!(answered, Some(at(910)));
    assert_eq!(board.store.update_task(late).await.unwrap().unwrap().lease_until, answered);
    let beat = Beat {
        session_id: "session".into(),
        agents: vec!["agent".into()],
        leases: vec![(lease.task_id.clone(), lease.fence)],
        lease_until: at(905),
        now: at(5),
    };
    board.store.beat(beat).await.unwrap();
    assert_eq!(board.task(&lease.task_id).await.lease_until, answered);
}

async fn agents(store: &Store) {
    let register = |now| Register {
        agent_id: "late".into(),
        role: "r".into(),
        capabilities: vec![],
        metadata: None,
        status: Status::Idle,
        token: None,
        new_token: "t".into(),
        session_id: "s1".into(),
        key: None,
        now,
    };
    let heartbeat = async || {
        let (agents, _) = store.list_agents(agents::List { limit: 100, ..agents::List::default() }).await.unwrap();
        agents.into_iter().find(|agent| agent.id == "late").unwrap().heartbeat_at
    };
    store.register_agent(register(at(100))).await.unwrap().unwrap();
    store.register_agent(register(at(50))).await.unwrap().unwrap();
    assert_eq!(heartbeat().await, at(100));
    let update = agents::Update {
        agent_id: "late".into(),
        status: None,
        metrics: None,
        degraded: false,
        metadata: None,
        expected_version: None,
        key: None,
        now: at(60),
    };
    store.update_agent(update).await.unwrap().unwrap();
    assert_eq!(heartbeat().await, at(100));
}

async fn processes(store: &Store) {
    store.begin_session("late", &process(1), at(0)).await.unwrap();
    for seconds in [20, 10] {
        let beat =
            Beat { session_id: "late".into(), agents: vec![], leases: vec![], lease_until: at(900), now: at(seconds) };
        store.beat(beat).await.unwrap();
    }
    let open = store.open_sessions().await.unwrap();
    assert_eq!(open.iter().find(|open| open.id == "late").unwrap().heartbeat_at, at(20));
    for seconds in [20, 10] {
        assert!(store.lead("late", "s1", at(seconds), at(seconds + 30)).await.unwrap());
    }
    assert_eq!(store.leader("late", at(45)).await.unwrap().as_deref(), Some("s1"));
}

async fn holds(store: Arc<Store>, _other_process: Arc<Store>) {
    locks(&store).await;
    leases(&Board::new(&store, "late")).await;
    agents(&store).await;
    processes(&store).await;
}

on_both_stores!(holds);
