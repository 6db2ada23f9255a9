//! What every store of agents must do.

use std::{sync::Arc, time::Duration};

use callboard::{
    clock::Instant,
    domain::{agents::Status, idempotency::Key, json::Json, sessions},
    store::{
        Store,
        agents::{List, Register, RegisterRefused, Silence, Update, UpdateRefused},
        sessions::Beat,
    },
};

use super::{records, sessions::process};
use crate::support::postgres;

const NOW: Instant = Instant(1_780_000_000_000_000);

fn later(seconds: u64) -> Instant {
    NOW.after(Duration::from_secs(seconds))
}

fn json(text: &str) -> Option<Json> {
    Some(serde_json::from_str(text).unwrap())
}

fn register(agent_id: &str, session_id: &str, token: Option<&str>) -> Register {
    Register {
        agent_id: agent_id.into(),
        role: "writer".into(),
        capabilities: vec!["a\"b".into(), "writing".into()],
        metadata: json(r#"{"port": 80}"#),
        status: Status::Idle,
        token: token.map(Into::into),
        new_token: format!("token of {agent_id} in {session_id}"),
        session_id: session_id.into(),
        key: None,
        now: NOW,
    }
}

fn update(agent_id: &str, status: Option<Status>, expected_version: Option<i64>) -> Update {
    Update {
        agent_id: agent_id.into(),
        status,
        metrics: json(r#"{"cpu_usage": 1.50}"#),
        degraded: false,
        metadata: None,
        expected_version,
        key: None,
        now: NOW,
    }
}

async fn ids(store: &Store, list: List) -> Vec<String> {
    let (agents, _) =
        store.list_agents(List { limit: if list.limit == 0 { 100 } else { list.limit }, ..list }).await.unwrap();
    agents.into_iter().map(|agent| agent.id).collect()
}

async fn comes_again_only_as_the_same(store: &Store) {
    let first = store.register_agent(register("a", "s1", None)).await.unwrap().unwrap();
    assert_eq!((first.version, first.status, first.token.as_str()), (1, Status::Idle, "token of a in s1"));
    // From the same process, and from another one with the token.
    let again = store.register_agent(register("a", "s1", None)).await.unwrap().unwrap();
    assert_eq!((again.version, &again.token), (2, &first.token));
    let moved = store.register_agent(register("a", "s2", Some(&first.token))).await.unwrap().unwrap();
    assert_eq!((moved.version, &moved.token), (3, &first.token));
    for (token, token_is_wrong) in [(None, false), (Some("wrong"), true)] {
        let refused = store.register_agent(register("a", "s3", token)).await.unwrap().unwrap_err();
        let taken = RegisterRefused::Taken { role: "writer".into(), status: Status::Idle, version: 3, token_is_wrong };
        assert_eq!(refused, taken);
    }
    // The place of one that has gone can be taken, and its token is worth nothing then.
    store.update_agent(update("a", Some(Status::Stopped), None)).await.unwrap().unwrap();
    let other = store.register_agent(register("a", "s3", None)).await.unwrap().unwrap();
    assert_eq!((other.version, other.token.as_str()), (5, "token of a in s3"));
    assert!(store.register_agent(register("a", "s1", Some(&first.token))).await.unwrap().is_err());
}

async fn is_changed_by_who_knows_its_version(store: &Store) {
    let refused = store.update_agent(update("nobody", None, None)).await.unwrap().unwrap_err();
    assert!(matches!(refused, UpdateRefused::NoSuchAgent { known } if known == ["a"]));
    let updated = store.update_agent(update("a", Some(Status::Busy), Some(5))).await.unwrap().unwrap();
    assert_eq!((updated.version, updated.status), (6, Status::Busy));
    let refused = store.update_agent(update("a", Some(Status::Idle), Some(5))).await.unwrap().unwrap_err();
    assert_eq!(refused, UpdateRefused::Version { version: 6, status: Status::Busy });
    // Of two who know the same version, one is first.
    let racing = [Status::Idle, Status::Error].map(|status| store.update_agent(update("a", Some(status), Some(6))));
    let done = futures_util::future::join_all(racing).await;
    assert_eq!(done.iter().filter(|done| done.as_ref().unwrap().is_ok()).count(), 1);
    let (agents, _) = store.list_agents(List { limit: 10, ..List::default() }).await.unwrap();
    let metrics = agents[0].metrics.as_ref().unwrap();
    assert_eq!((agents[0].version, metrics.get()), (7, r#"{"cpu_usage": 1.50}"#));
}

async fn a_key_has_one_effect(store: &Store) {
    let key = Some(Key { key: "k".into(), request_hash: "h".into() });
    let asked = Register { key: key.clone(), ..register("keyed", "s1", None) };
    let first = store.register_agent(asked.clone()).await.unwrap().unwrap();
    assert_eq!(store.register_agent(asked.clone()).await.unwrap().unwrap(), first);
    let other = Register { key: key.map(|key| Key { request_hash: "i".into(), ..key }), ..asked };
    assert!(matches!(store.register_agent(other).await.unwrap(), Err(RegisterRefused::Repeat(_))));
}

async fn are_listed_by_what_they_are(store: &Store) {
    let reader = Register { role: "reader".into(), capabilities: vec![], ..register("b", "s1", None) };
    store.register_agent(reader).await.unwrap().unwrap();
    let by = |role: Option<&str>, capability: Option<&str>, status| List {
        role: role.map(Into::into),
        capability: capability.map(Into::into),
        status,
        ..List::default()
    };
    assert_eq!(ids(store, List::default()).await, ["a", "b", "keyed"]);
    assert_eq!(ids(store, by(Some("reader"), None, None)).await, ["b"]);
    assert_eq!(ids(store, by(None, Some("writing"), None)).await, ["a", "keyed"]);
    assert_eq!(ids(store, by(None, Some("a\"b"), None)).await, ["a", "keyed"]);
    for part in ["writ", "Writing", "b", "%", "\""] {
        assert!(ids(store, by(None, Some(part), None)).await.is_empty(), "{part}");
    }
    assert_eq!(ids(store, by(Some("writer"), Some("writing"), Some(Status::Idle))).await.last().unwrap(), "keyed");
    assert_eq!(ids(store, List { offset: 1, limit: 1, ..List::default() }).await, ["b"]);
    let (_, counts) = store.list_agents(List { limit: 1, ..List::default() }).await.unwrap();
    assert_eq!(counts.values().sum::<u64>(), 3);
}

async fn are_lost_when_nothing_is_heard(store: &Store, sessions: &Store) {
    sessions.begin_session("alive", &process(1), NOW).await.unwrap();
    for (agent, session) in [("with", "alive"), ("without", "never"), ("unbound", "")] {
        store.register_agent(register(agent, session, None)).await.unwrap().unwrap();
    }
    let lose = |at: u64| {
        let silence = Silence { without_session: later(at - 45), at_all: Instant(later(at).0 - 15 * 60 * 1_000_000) };
        store.lose_agents(silence, later(at))
    };
    let lost = async || ids(store, List { status: Some(Status::Lost), ..List::default() }).await;
    assert_eq!(lose(45).await.unwrap(), 4, "those whose process is not there: {:?}", lost().await);
    assert_eq!(lost().await, ["a", "b", "keyed", "without"]);
    assert_eq!(lose(899).await.unwrap(), 0);
    assert_eq!(lose(900).await.unwrap(), 2, "the others after 15 minutes");
    // One that is heard of again is not lost.
    let beat = Beat {
        session_id: "alive".into(),
        agents: vec!["with".into(), "unheard of".into()],
        leases: vec![],
        lease_until: later(2_000),
        now: later(901),
    };
    sessions.beat(beat).await.unwrap();
    assert_eq!(ids(store, List { status: Some(Status::Idle), ..List::default() }).await, ["with"]);
    assert_eq!(lose(902).await.unwrap(), 0);
    assert!(sessions::SILENCE_MAX == Duration::from_secs(45));
    // Those that are gone are forgotten, with what was written of them; the one that is not stays.
    assert_eq!(store.forget_agents(Instant(NOW.0 - 1)).await.unwrap(), 0);
    assert!(store.forget_agents(later(900)).await.unwrap() > 5);
    assert_eq!(store.forget_agents(later(900)).await.unwrap(), 0);
    assert_eq!(ids(store, List::default()).await, ["with"]);
}

async fn holds(store: Arc<Store>) {
    comes_again_only_as_the_same(&store).await;
    is_changed_by_who_knows_its_version(&store).await;
    a_key_has_one_effect(&store).await;
    are_listed_by_what_they_are(&store).await;
    are_lost_when_nothing_is_heard(&store, &store).await;
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
