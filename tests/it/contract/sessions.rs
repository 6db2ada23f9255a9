//! What every store of server processes must do.

use std::{sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    domain::{
        agents::Status,
        sessions::{Place, Process},
    },
    store::{
        Store,
        agents::{List, Register},
        sessions::{Beat, End, Ended},
    },
};

use super::records;
use crate::support::postgres;

const NOW: Instant = Instant(1_780_000_000_000_000);

/// A process of some machine.
pub fn process(pid: i64) -> Process {
    let place = Place { machine: "m".into(), boot: "b".into(), space: "pid:[4026531836]".into() };
    Process { place, pid, start: pid * 100 }
}

fn beat(session: &str, now: Instant) -> Beat {
    let lease_until = now.after(Duration::from_mins(15));
    Beat { session_id: session.into(), agents: vec![], leases: vec![], lease_until, now }
}

fn end(session: &str, heartbeat_at: Instant, now: Instant) -> End {
    End {
        session_id: session.into(),
        heartbeat_at,
        silent_since: None,
        grace: Duration::from_secs(60),
        reason: "gone",
        now,
    }
}

async fn holds(store: Arc<Store>) {
    let later = NOW.after(Duration::from_secs(10));
    store.begin_session("s1", &process(1), NOW).await.unwrap();
    store.begin_session("s2", &process(2), later).await.unwrap();
    let open = store.open_sessions().await.unwrap();
    let listed: Vec<_> = open.iter().map(|open| (open.id.as_str(), open.heartbeat_at)).collect();
    assert_eq!(listed, [("s1", NOW), ("s2", later)]);
    assert_eq!(open[0].process, process(1));

    for (agent, session) in [("a", "s1"), ("b", "s2")] {
        let register = Register {
            agent_id: agent.into(),
            role: "writer".into(),
            capabilities: vec![],
            metadata: None,
            status: Status::Idle,
            token: None,
            new_token: "t".into(),
            session_id: session.into(),
            key: None,
            now: NOW,
        };
        store.register_agent(register).await.unwrap().unwrap();
    }

    // Who was heard of since is not ended by somebody who does not know it.
    store.beat(beat("s1", later)).await.unwrap();
    assert_eq!(store.end_session(end("s1", NOW, later)).await.unwrap(), None);
    let ended = store.end_session(end("s1", later, later)).await.unwrap();
    assert_eq!(ended, Some(Ended { leases: 0, locks: 0, agents: 1 }));
    assert_eq!(store.end_session(end("s1", later, later)).await.unwrap(), None, "once");
    assert_eq!(store.open_sessions().await.unwrap().len(), 1);
    let (lost, _) = store.list_agents(List { status: Some(Status::Lost), limit: 10, ..List::default() }).await.unwrap();
    assert_eq!(lost.iter().map(|agent| agent.id.as_str()).collect::<Vec<_>>(), ["a"]);

    // What ended long ago is forgotten.
    assert_eq!(store.forget_sessions(NOW).await.unwrap(), 0);
    assert_eq!(store.forget_sessions(later).await.unwrap(), 1);
    store.begin_session("s1", &process(1), later).await.unwrap();
    assert!(store.end_session(end("s1", later, later)).await.unwrap().is_some());

    // It was not gone.
    store.beat(beat("s1", later)).await.unwrap();
    assert_eq!(store.open_sessions().await.unwrap().len(), 2);
}

#[tokio::test]
async fn sqlite() {
    let home = tempfile::tempdir().unwrap();
    let open = records::in_file(home.path());
    holds(Arc::new(Store::new(open()))).await;
}

#[tokio::test]
async fn postgresql() {
    let open = records::on_postgres(&postgres::shared().database());
    holds(Arc::new(Store::new(open()))).await;
}
