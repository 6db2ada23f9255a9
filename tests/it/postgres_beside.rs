//! Callers who share a transaction of PostgreSQL, in orders that other transactions bring about.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use callboard::{
    domain::{
        money::Micros,
        tasks::{NewTask, answers::ClaimedTask},
        workflows::{NewWorkflow, OnTaskFailure},
    },
    error::{Code, Error},
    store::{
        Sql, Transaction,
        sessions::Beat,
        tasks::{Claim, Finish},
        workflows::{Create, History, Part},
    },
};
use futures_util::{future::join_all, poll};

use crate::{
    pooler::Pooler,
    support::{
        bench::{Bench, client, open},
        flows::{completed, flow, fresh, json, key, task},
        patience::{A_SECOND, PATIENCE},
        postgres,
        proxy::Proxy,
    },
};

#[tokio::test]
async fn the_history_is_in_the_order_of_what_was_done() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    let store = &bench.board.store;
    let (first, tasks) = (bench.claimed(1).await, bench.claimed(2).await);
    bench
        .watcher
        .batch_execute("INSERT INTO callboard.idempotency VALUES ('beside', '', NULL, '2000-01-01')")
        .await
        .unwrap();
    bench.block("SELECT FROM callboard.workflow FOR UPDATE").await;
    let mut first = Box::pin(store.finish_task(bench.end(&first[0])));
    assert!(poll!(&mut first).is_pending());
    bench.waiting(1).await;
    // These two come together; the first forgets what its key once was, and is overtaken.
    let mut slow = Box::pin(store.finish_task(Finish { key: key("beside", "same"), ..bench.end(&tasks[0]) }));
    let mut fast = Box::pin(store.finish_task(bench.end(&tasks[1])));
    assert!(poll!(&mut slow).is_pending() && poll!(&mut fast).is_pending());
    bench.let_go().await;
    let (first, slow, fast) = tokio::join!(first, slow, fast);
    assert!(first.unwrap().is_ok() && slow.unwrap().is_ok() && fast.unwrap().is_ok());
    let id = tasks[0].workflow_id.clone().unwrap();
    let events = store.events(History { part: Part::Workflow { id, after: 0 }, most: 100 }).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds[kinds.len() - 3..], ["task_completed", "task_completed", "workflow_completed"], "{kinds:?}");
}

#[tokio::test]
async fn a_repeat_that_comes_while_the_first_is_being_committed_gets_its_answer() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    let tasks = bench.claimed(1).await;
    let other = open(&url);
    let end = || Finish { key: key("beside", "same"), ..bench.end(&tasks[0]) };
    bench.block("INSERT INTO callboard.idempotency VALUES ('beside', '', NULL, now())").await;
    let mut first = Box::pin(bench.board.store.finish_task(end()));
    assert!(poll!(&mut first).is_pending());
    assert_eq!(bench.waiting(1).await, ["-- idempotency_keep"]);
    let mut again = Box::pin(other.finish_task(end()));
    assert!(poll!(&mut again).is_pending());
    assert_eq!(bench.waiting(2).await, ["-- idempotency_keep", "-- task_workflows_lock"]);
    bench.let_go().await;
    let (first, again) = tokio::join!(first, again);
    let (first, again) = (first.unwrap().unwrap(), again.unwrap());
    assert_eq!(again.map(|end| end.workflow_state).unwrap(), first.workflow_state);
}

/// One of them carries out statements at a time.
#[tokio::test]
async fn transactions_of_one_process_do_not_wait_for_each_other_in_a_circle() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    let store = &bench.board.store;
    let tasks = bench.claimed(3).await;
    // Its statements are prepared from now on, and leave together.
    assert!(store.finish_task(bench.end(&tasks[2])).await.unwrap().is_ok());
    bench.block("LOCK TABLE callboard.event IN SHARE MODE").await;
    let mut first = Box::pin(store.finish_task(bench.end(&tasks[0])));
    assert!(poll!(&mut first).is_pending());
    assert_eq!(bench.waiting(1).await, ["-- event_add"]);
    let now = bench.board.now();
    let agents = vec!["agent".to_owned()];
    let beat = Beat { session_id: "session".to_owned(), agents, leases: Vec::new(), lease_until: now, now };
    let mut beat = Box::pin(store.beat(beat));
    let mut second = Box::pin(store.finish_task(bench.end(&tasks[1])));
    assert!(poll!(&mut beat).is_pending() && poll!(&mut second).is_pending());
    // They come after it.
    assert_eq!(bench.waiting(1).await, ["-- event_add"]);
    bench.let_go().await;
    let (first, beat, second) = tokio::join!(first, beat, second);
    assert!(first.unwrap().is_ok() && beat.is_ok() && second.unwrap().is_ok());
    assert_eq!(bench.deadlocks().await, 0);
}

/// Statements wait behind each other in one connection; whether its server still answers is asked once for all of them.
#[tokio::test]
async fn callers_who_wait_together_do_not_all_knock_at_the_server() {
    let server = postgres::shared();
    let url = server.database();
    let proxy = Proxy::to(server.port);
    let store = open(&url.replace(&format!(":{}/", server.port), &format!(":{}/", proxy.port())));
    let bench = Arc::new(Bench::new(&url, store).await);
    let first = bench.claimed(1).await;
    // What is not prepared yet keeps the others from being sent.
    bench.board.finish(&first[0].lease, completed()).await.unwrap();
    let tasks = bench.claimed(60).await;
    bench.block("SELECT FROM callboard.workflow FOR UPDATE").await;
    let before = proxy.connections();
    let calls = Arc::clone(&bench);
    let ends =
        tokio::spawn(
            async move { join_all(tasks.iter().map(|task| calls.board.store.finish_task(calls.end(task)))).await },
        );
    bench.waiting(1).await;
    let started = Instant::now();
    while proxy.connections() == before {
        assert!(started.elapsed() < PATIENCE, "nobody asks whether the server answers");
        tokio::task::yield_now().await;
    }
    bench.let_go().await;
    assert!(ends.await.unwrap().into_iter().all(|end| end.unwrap().is_ok()));
    let knocks = proxy.connections() - before;
    assert!(knocks < 20, "{knocks}");
}

async fn put(session: &Transaction<'_>, key: &str) -> Result<(), Error> {
    let sql = Sql::both("-- put\nINSERT INTO idempotency (key, request_hash, expires_at) VALUES ($1, 'h', now())");
    session.execute(sql, &[key.into()]).await.map(drop)
}

/// A row that is there twice is there of two that did not see each other: the second is tried again.
#[tokio::test]
async fn what_collides_is_tried_again() {
    let records = open(&postgres::shared().database());
    let put = |ran: &Arc<AtomicUsize>| {
        records.transact(Arc::clone(ran), |session, ran| {
            Box::pin(async move {
                ran.fetch_add(1, Ordering::SeqCst);
                put(session, "k").await
            })
        })
    };
    let ran = Arc::new(AtomicUsize::new(0));
    put(&ran).await.unwrap();
    assert_eq!(ran.swap(0, Ordering::SeqCst), 1);
    let error = put(&ran).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::Internal, "the record store failed"));
    assert!(ran.load(Ordering::SeqCst) > 1);
}

/// A pooler hands out another session, where a statement was never prepared.
#[tokio::test]
async fn what_was_prepared_elsewhere_goes_through_a_pooler() {
    let url = postgres::shared().database();
    let pooler = Pooler::start(2);
    let url = pooler.url(&url);
    let records = open(&url);
    let mixed = records.transact(records.clone(), |session, records| {
        Box::pin(async move {
            // Another session becomes ours, too.
            records
                .read((), |session, ()| {
                    Box::pin(async move { session.query(Sql::both("-- one\nSELECT 1"), &[]).await.map(drop) })
                })
                .await?;
            put(session, "k0").await?;
            session.query(Sql::both("-- pid\nSELECT pg_backend_pid()"), &[]).await?.remove(0).integer()
        })
    });
    let pid = mixed.await.unwrap();
    let mut holders = Vec::new();
    loop {
        let holder = client(&url).await;
        holder.batch_execute("BEGIN").await.unwrap();
        let held: i32 = holder.query_typed("SELECT pg_backend_pid()", &[]).await.unwrap()[0].get(0);
        holders.push(holder);
        if i64::from(held) == pid {
            break;
        }
    }
    // Where that one was the second, the first lets the other session go.
    if let [first, _] = holders.as_slice() {
        first.batch_execute("ROLLBACK").await.unwrap();
    }
    // Through each of our connections, in the session where one of them prepared nothing.
    for key in ["k1", "k2", "k3"] {
        let put = records.transact(key, |session, key| Box::pin(async move { put(session, key).await }));
        put.await.unwrap();
    }
}

/// Where nothing can stay prepared, each value says what it is, also where many rows have none.
#[tokio::test]
async fn many_at_once_go_through_a_pooler() {
    let url = postgres::shared().database();
    let pooler = Pooler::start(1);
    let through = pooler.url(&url);
    let others = open(&through);
    others.next_due(None).await.unwrap();
    let bench = Bench::new(&url, open(&through)).await;
    // By now the session was another store's, so that both know of the pooler.
    others.next_due(None).await.unwrap();
    let (store, now) = (&bench.board.store, bench.board.now());
    for told in [0, 3, 6] {
        let create = |number: usize| {
            let tells = number < told;
            let workflow = NewWorkflow {
                input: tells.then(|| json("[1]")),
                deadline_at: tells.then(|| now.plus_ms(1_000)),
                budget: tells.then_some(Micros(5)),
                ..flow(
                    OnTaskFailure::Continue,
                    vec![NewTask { id: fresh("tk"), queue: "beside".to_owned(), ..task("t") }],
                )
            };
            let key = key(&format!("create-{told}-{number}"), "same");
            store.create_workflow(Create { workflow, active_max: 10_000, key, now })
        };
        let made = join_all((0..6).map(create)).await;
        assert!(made.iter().all(|made| made.as_ref().is_ok_and(Result::is_ok)), "{made:?}");
        let claim = |number: usize| {
            let key = key(&format!("claim-{told}-{number}"), "same");
            store.claim_tasks(Claim { key, ..bench.board.claim_of(&format!("agent{}", number % 4), 1) })
        };
        let claimed = join_all((0..6).map(claim)).await;
        let claimed: Vec<ClaimedTask> =
            claimed.into_iter().flat_map(|claimed| claimed.unwrap().unwrap().tasks).collect();
        assert_eq!(claimed.len(), 6);
        let finish = |task: &ClaimedTask| {
            let key = key(&format!("finish-{}", task.task_id), "same");
            store.finish_task(Finish { key, ..bench.end(task) })
        };
        let ends = join_all(claimed.iter().map(finish)).await;
        assert!(ends.iter().all(|end| end.as_ref().is_ok_and(Result::is_ok)), "{ends:?}");
    }
    let counted = "SELECT sum(tasks_completed)::int8, (SELECT count(*) FROM callboard.workflow WHERE budget_micros = 5 \
                   AND deadline_at IS NOT NULL), (SELECT count(*) FROM callboard.workflow_result WHERE input = '[1]'), \
                   (SELECT count(*) FROM callboard.idempotency), (SELECT count(*) FROM callboard.event \
                   WHERE type = 'workflow_completed') FROM callboard.agent";
    let row = bench.watcher.query_one(counted, &[]).await.unwrap();
    let counts: Vec<i64> = (0..5).map(|place| row.get(place)).collect();
    assert_eq!(counts, [18, 9, 9, 54, 18]);
}

/// Who locks for all of them waits for the sake of one, and the others are carried out without it.
#[tokio::test]
async fn a_lock_that_one_of_many_does_not_get_costs_the_others_one_wait() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.extend(bench.claimed(1).await);
    }
    let held = tasks[2].workflow_id.clone().unwrap();
    bench.block(&format!("SELECT FROM callboard.workflow WHERE id = '{held}' FOR UPDATE")).await;
    let ends = join_all(tasks.iter().map(|task| bench.board.store.finish_task(bench.end(task)))).await;
    let codes: Vec<Option<Code>> = ends.into_iter().map(|end| end.err().map(|error| error.code)).collect();
    assert_eq!(codes, [None, None, Some(Code::Busy), None, None]);
    bench.let_go().await;
}

/// Those who share a transaction are told with the first of them.
#[tokio::test]
async fn a_server_that_falls_silent_under_many_is_told_to_all_at_once() {
    let server = postgres::shared();
    let url = server.database();
    let proxy = Arc::new(Proxy::to(server.port));
    let records = open(&url.replace(&format!(":{}/", server.port), &format!(":{}/", proxy.port())));
    records.next_due(None).await.unwrap();
    let hangs = Arc::new(AtomicUsize::new(0));
    let ask = |_| {
        records.transact((Arc::clone(&proxy), Arc::clone(&hangs)), |session, (proxy, hangs)| {
            Box::pin(async move {
                session.query(Sql::both("-- before\nSELECT 1"), &[]).await?;
                if hangs.fetch_add(1, Ordering::SeqCst) == 0 {
                    proxy.hang();
                }
                session.query(Sql::both("-- after\nSELECT 2"), &[]).await.map(drop)
            })
        })
    };
    let started = Instant::now();
    let ends = join_all((0..12).map(ask)).await;
    assert!(ends.iter().all(|end| end.as_ref().is_err_and(|error| error.code == Code::Unavailable)), "{ends:?}");
    assert!(started.elapsed() < A_SECOND, "{:?}", started.elapsed());
}

/// Due tasks are made ready once for all who claim together; for one of them a moment later there may be more.
#[tokio::test]
async fn each_claim_gets_what_is_due_at_its_own_time() {
    let url = postgres::shared().database();
    let bench = Bench::new(&url, open(&url)).await;
    let store = &bench.board.store;
    let first = bench.claimed(1).await;
    let run_at = Some(bench.board.now().plus_ms(5));
    store.enqueue_tasks(bench.board.enqueue(None, vec![NewTask { run_at, ..task("soon") }])).await.unwrap().unwrap();
    bench.block("SELECT FROM callboard.workflow FOR UPDATE").await;
    let mut first = Box::pin(store.finish_task(bench.end(&first[0])));
    assert!(poll!(&mut first).is_pending());
    bench.waiting(1).await;
    let early = Claim { queues: Some(vec!["another".to_owned()]), ..bench.board.claim_of("agent", 1) };
    bench.board.pass_ms(10);
    let (mut early, mut late) =
        (Box::pin(store.claim_tasks(early)), Box::pin(store.claim_tasks(bench.board.claim_of("agent", 1))));
    assert!(poll!(&mut early).is_pending() && poll!(&mut late).is_pending());
    bench.let_go().await;
    let (first, early, late) = tokio::join!(first, early, late);
    assert!(first.unwrap().is_ok());
    assert_eq!((early.unwrap().unwrap().tasks.len(), late.unwrap().unwrap().tasks.len()), (0, 1));
}
