//! Several real servers on one record store: each task is done once, whoever is killed; who waits in one is woken by another; and a database
//! that crashes or cannot be reached for a while costs no accepted write.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    binary::Binary,
    postgres::{self, PostgresServer},
    proxy::Proxy,
    writers::{Place, Writers},
};

const WORKFLOWS: usize = 10;
const TASKS: usize = 100;

/// Works until all is done, or, as the one that is killed, until it holds tasks in the middle of the work. Whether it was.
fn work(mut server: Binary, agent: &str, killed: bool, done: &AtomicUsize) -> bool {
    while done.load(Ordering::SeqCst) < WORKFLOWS * TASKS {
        let claim = json!({"agent_id": agent, "max": 8, "wait_ms": 2_000});
        let claimed = server.answer("claim_tasks", &claim.to_string());
        let tasks = claimed["tasks"].as_array().unwrap();
        if killed && done.load(Ordering::SeqCst) > WORKFLOWS * TASKS / 4 && tasks.len() > 4 {
            // One is finished, and nobody hears of it; the others are held by nobody then.
            server.send(&finish(&tasks[0], 1));
            server.signal(Signal::KILL);
            return true;
        }
        for (id, task) in tasks.iter().enumerate() {
            server.send(&finish(task, id));
        }
        for id in 0..tasks.len() {
            let answer = server.answer_to(&json!(id));
            let text = answer["result"]["content"][0]["text"].as_str().unwrap();
            assert_ne!(answer["result"]["isError"], true, "{text}");
            done.fetch_add(1, Ordering::SeqCst);
        }
        if tasks.is_empty() {
            // What the one that was killed had finished, nobody has counted.
            let status = server.answer("get_orchestration_status", "{}");
            let over = status["workflows"]["completed"].as_u64().unwrap();
            if over == WORKFLOWS as u64 {
                return false;
            }
        }
    }
    false
}

fn finish(task: &Value, id: usize) -> String {
    let arguments = json!({"lease_token": task["lease_token"], "outcome": "completed", "result": {"n": id}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "finish_task", "arguments": arguments}})
        .to_string()
}

/// One server is killed while it holds leases; the others see that it is gone, and do the rest.
fn do_each_task_once(place: &Place) {
    let mut servers: Vec<Binary> = (0..4).map(|_| place.serve()).collect();
    for n in 0..WORKFLOWS {
        let server = &mut servers[n % 4];
        let tasks: Vec<Value> = (0..TASKS).map(|n| json!({"key": n.to_string()})).collect();
        server.answer("create_workflow", &json!({"name": format!("w{n}"), "tasks": tasks}).to_string());
    }
    let done = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = |(n, server)| scope.spawn(move || work(server, &format!("agent {n}"), n == 0, done));
        let working: Vec<_> = servers.into_iter().enumerate().map(work).collect();
        let killed: Vec<bool> = working.into_iter().map(|working| working.join().unwrap()).collect();
        assert_eq!(killed, [true, false, false, false]);
    });
    place.agrees();
    let all = i64::try_from(WORKFLOWS * TASKS).unwrap();
    for (sql, expected) in [
        ("SELECT count(*) FROM task WHERE ended = 'completed'", all),
        ("SELECT count(*) FROM event WHERE type = 'task_completed'", all),
        ("SELECT count(*) FROM workflow WHERE state = 'completed'", i64::try_from(WORKFLOWS).unwrap()),
    ] {
        assert_eq!(place.number(sql), expected, "{sql}");
    }
}

/// A claim waits in one process for what is enqueued in another.
fn wake_each_other(place: &Place) {
    let (mut waits, mut gives) = (place.serve(), place.serve());
    for round in 0..3 {
        let queue = format!("q{round}");
        let arguments = json!({"agent_id": "waits", "queues": [queue], "wait_ms": 20_000});
        let call = json!({"name": "claim_tasks", "arguments": arguments});
        waits.send(&json!({"jsonrpc": "2.0", "id": round, "method": "tools/call", "params": call}).to_string());
        gives.answer("enqueue_tasks", &json!({"tasks": [{"queue": queue}]}).to_string());
        let answer = waits.answer_to(&json!(round));
        let claimed: Value = serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(claimed["tasks"].as_array().unwrap().len(), 1, "{claimed}");
    }
}

#[test]
fn servers_on_one_file_do_each_task_once() {
    do_each_task_once(&Place::folder());
}

#[test]
fn servers_on_one_postgresql_do_each_task_once() {
    do_each_task_once(&Place::server(&postgres::shared().database(), None));
}

#[test]
fn servers_on_one_file_wake_each_other() {
    wake_each_other(&Place::folder());
}

#[test]
fn servers_on_one_postgresql_wake_each_other() {
    wake_each_other(&Place::server(&postgres::shared().database(), None));
}

/// What went on when the database did: the same process, and everything that was accepted.
fn goes_on(server: &mut Binary, writers: &mut Writers, place: &Place) {
    writers.work(server, 40);
    writers.settle(server);
    writers.compare(place);
    assert!(server.child.try_wait().unwrap().is_none());
}

#[test]
fn postgresql_may_crash_in_the_middle() {
    let postgres = PostgresServer::start(&postgres::own_bin(), "");
    let place = Place::server(&postgres.database(), None);
    let (mut server, mut writers) = (place.serve(), Writers::new(16));
    for _ in 0..3 {
        writers.work(&mut server, 60);
        postgres.crash();
        goes_on(&mut server, &mut writers, &place);
    }
}

#[test]
fn connections_may_be_cut_at_any_commit() {
    let url = postgres::shared().database();
    let port = url.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap().1.parse().unwrap();
    let proxy = Proxy::to(port);
    let place = Place::server(&url, Some(proxy.port()));
    let (mut server, mut writers) = (place.serve(), Writers::new(16));
    for fault in [Proxy::cut_before_commit, Proxy::cut_after_commit, Proxy::refuse] {
        writers.work(&mut server, 40);
        fault(&proxy);
        writers.work(&mut server, 0);
        writers.fail_once(&mut server);
        proxy.pass();
        goes_on(&mut server, &mut writers, &place);
    }
}
