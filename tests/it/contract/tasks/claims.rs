//! Who gets which task, and in what order.

use std::{collections::BTreeSet, sync::Arc};

use callboard::{
    domain::{
        agents::Status,
        idempotency::Repeat,
        tasks::{NewTask, Priority, State, answers::Change},
        workflows::OnTaskFailure,
    },
    store::{
        Store,
        agents::{List, Register},
        tasks::Claim,
    },
};

use crate::support::flows::{Board, completed, flow, fresh, key, task};

/// Registers an agent that can do these.
pub(in crate::contract) async fn register(board: &Board, agent_id: &str, capabilities: &[&str]) {
    let register = Register {
        agent_id: agent_id.into(),
        role: "worker".into(),
        capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect(),
        metadata: None,
        status: Status::Idle,
        token: None,
        new_token: fresh("token"),
        session_id: "session".into(),
        key: None,
        now: board.now(),
    };
    board.store.register_agent(register).await.unwrap().unwrap();
}

fn priority(level: i64, key: &str) -> NewTask {
    NewTask { priority: Priority::new(level).unwrap(), ..task(key) }
}

async fn keys(board: &Board, agent: &str, most: usize) -> Vec<String> {
    board.claim(agent, most).await.into_iter().map(|task| task.key.unwrap()).collect()
}

async fn are_given_in_the_order_of_urgency_and_of_waiting(store: &Arc<Store>) {
    let board = Board::new(store, "ordered");
    let make = async |tasks: Vec<NewTask>| board.create(flow(OnTaskFailure::Fail, tasks)).await;
    make(vec![priority(5, "normal"), priority(0, "lowest"), priority(9, "critical"), priority(5, "normal too")]).await;
    assert_eq!(keys(&board, "agent", 3).await, ["critical", "normal", "normal too"]);
    // A level is worth a minute.
    board.pass_ms(4 * 60_000);
    make(vec![priority(4, "as old"), priority(5, "newer")]).await;
    assert_eq!(keys(&board, "agent", 1).await, ["newer"]);
    assert_eq!(keys(&board, "agent", 1).await, ["lowest"], "of the same key the older id");
    board.pass_ms(1);
    make(vec![priority(4, "later")]).await;
    assert_eq!(keys(&board, "agent", 9).await, ["as old", "later"]);
    // Nothing starves: it goes before what came ten minutes later, however urgent.
    make(vec![priority(0, "patient")]).await;
    board.pass_ms(9 * 60_000 + 1);
    make((0..5).map(|n| priority(9, &format!("urgent {n}"))).collect()).await;
    assert_eq!(keys(&board, "agent", 1).await, ["patient"]);
}

async fn become_more_urgent(store: &Arc<Store>) {
    let board = Board::new(store, "reprioritized");
    let made = board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b"), task("c")])).await;
    let change = Change::Reprioritize(Priority::new(9).unwrap());
    board.manage(change, &[&made.tasks[2]]).await.unwrap();
    let change = Change::Reprioritize(Priority::new(1).unwrap());
    board.manage(change, &[&made.tasks[0]]).await.unwrap();
    assert_eq!(board.task(&made.tasks[2]).await.priority, 9);
    let claimed = board.claim("agent", 9).await;
    let keys: Vec<(&str, i64)> = claimed.iter().map(|task| (task.key.as_deref().unwrap(), task.priority)).collect();
    assert_eq!(keys, [("c", 9), ("b", 5), ("a", 1)]);
}

async fn are_given_to_who_can_do_them(store: &Arc<Store>) {
    let board = Board::new(store, "capable");
    register(&board, "writer", &["writing", "rust"]).await;
    register(&board, "painter", &["painting"]).await;
    let needs = |key: &str, capabilities: &[&str]| NewTask {
        capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect(),
        ..task(key)
    };
    let tasks = vec![
        needs("both", &["rust", "writing"]),
        needs("one", &["writing"]),
        needs("more", &["painting", "writing"]),
        needs("part of a word", &["writ"]),
        needs("none", &[]),
    ];
    board.create(flow(OnTaskFailure::Fail, tasks)).await;
    assert_eq!(keys(&board, "painter", 9).await, ["none"]);
    assert_eq!(keys(&board, "nobody", 9).await, [] as [&str; 0]);
    assert_eq!(keys(&board, "writer", 9).await, ["both", "one"]);
    register(&board, "all", &["painting", "writ", "writing"]).await;
    assert_eq!(keys(&board, "all", 9).await, ["more", "part of a word"]);
}

async fn are_given_from_the_queues_that_were_asked_for(store: &Arc<Store>) {
    let (board, other) = (Board::new(store, "queue'1"), Board::new(store, "queue 2"));
    board.create(flow(OnTaskFailure::Fail, vec![priority(5, "a"), priority(3, "c")])).await;
    other.create(flow(OnTaskFailure::Fail, vec![priority(4, "b"), priority(2, "d")])).await;
    assert!(Board::new(store, "queue%").claim("agent", 1).await.is_empty());
    let claim = Claim { queues: Some(vec!["queue 2".into(), "queue'1".into()]), ..board.claim_of("agent", 3) };
    let claimed = store.claim_tasks(claim).await.unwrap().unwrap().tasks;
    let keys: Vec<&str> = claimed.iter().filter_map(|task| task.key.as_deref()).collect();
    assert_eq!(keys, ["a", "b", "c"], "across queues in one order");
    let any = store.claim_tasks(Claim { queues: None, ..board.claim_of("agent", 100) }).await.unwrap().unwrap().tasks;
    assert!(any.iter().any(|task| task.key.as_deref() == Some("d")));
}

async fn register_whoever_asks(store: &Arc<Store>) {
    let board = Board::new(store, "newcomers");
    board.create(flow(OnTaskFailure::Fail, vec![task("a")])).await;
    assert_eq!(keys(&board, "newcomer", 1).await, ["a"]);
    let list = List { limit: 1_000, ..List::default() };
    let (agents, _) = store.list_agents(list).await.unwrap();
    let newcomer = agents.iter().find(|agent| agent.id == "newcomer").unwrap();
    assert_eq!((newcomer.role.as_str(), newcomer.capabilities.len()), ("agent", 0));
}

async fn give_the_same_tokens_to_the_same_key(store: &Arc<Store>) {
    let board = Board::new(store, "keyed");
    let keyed = || Claim { key: key("claim", "1"), ..board.claim_of("agent", 2) };
    let claim = async |claim: Claim| store.claim_tasks(claim).await.unwrap();
    assert!(claim(keyed()).await.unwrap().tasks.is_empty(), "and this is not remembered");
    board.create(flow(OnTaskFailure::Fail, vec![task("a"), task("b"), task("c")])).await;
    let first = claim(keyed()).await.unwrap().tasks;
    let again = claim(keyed()).await.unwrap().tasks;
    assert_eq!(first.len(), 2);
    assert_eq!(
        first.iter().map(|task| &task.lease).collect::<Vec<_>>(),
        again.iter().map(|task| &task.lease).collect::<Vec<_>>()
    );
    assert!(matches!(claim(Claim { key: key("claim", "2"), ..keyed() }).await, Err(Repeat::OtherRequest)));
    assert_eq!(keys(&board, "agent", 9).await, ["c"]);
    board.finish(&again[1].lease, completed()).await.unwrap();
}

/// Of ten claimers over two processes each task has one.
async fn are_given_once(store: &Arc<Store>, other: &Arc<Store>) {
    let (here, there) = (Board::new(store, "raced"), Board::new(other, "raced"));
    for _ in 0..3 {
        let made = here.create(flow(OnTaskFailure::Fail, (0..30).map(|n| task(&n.to_string())).collect())).await;
        let racing = (0..10).map(|n| {
            let board = if n % 2 == 0 { &here } else { &there };
            async move { board.claim(&format!("racer {n}"), 4).await }
        });
        let claimed: Vec<_> = futures_util::future::join_all(racing).await.into_iter().flatten().collect();
        let once: BTreeSet<&str> = claimed.iter().map(|task| task.task_id.as_str()).collect();
        assert_eq!(once.len(), claimed.len());
        let rest = here.claim("agent", 100).await;
        assert_eq!(rest.len() + claimed.len(), 30);
        let done = claimed.iter().chain(&rest).enumerate().map(|(n, task)| {
            let board = if n % 2 == 0 { &here } else { &there };
            board.finish(&task.lease, completed())
        });
        for done in futures_util::future::join_all(done).await {
            assert_eq!(done.unwrap().state, State::Completed);
        }
        assert_eq!(here.look(&made.id).await.0.counts.completed, 30);
    }
}

pub(super) async fn hold(store: &Arc<Store>, other: &Arc<Store>) {
    are_given_in_the_order_of_urgency_and_of_waiting(store).await;
    become_more_urgent(store).await;
    are_given_to_who_can_do_them(store).await;
    are_given_from_the_queues_that_were_asked_for(store).await;
    register_whoever_asks(store).await;
    give_the_same_tokens_to_the_same_key(store).await;
    are_given_once(store, other).await;
}
