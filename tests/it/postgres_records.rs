//! The record store on PostgreSQL when the server is slow, gone, or set otherwise than it should be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{
    adapters::{
        postgres::store::RecordServer,
        store_clock::{Measurement, StoreClock},
    },
    background::Background,
    changes::{Interest, Topic},
    clock::{self, Clock, SystemClock},
    config::{Migrate, StoreConfig},
    domain::idempotency::{Key, Repeat},
    error::{Code, Error},
    store::{Sql, Store, Transaction, idempotency::once},
};
use futures_util::future::{BoxFuture, join_all};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    harness::{Harness, database},
    patience::{A_SECOND, PATIENCE},
    postgres::{self, PostgresServer, name_of},
    proxy::Proxy,
};

const NOW: clock::Instant = clock::Instant(1_700_000_000_000_000);

fn open(url: &str) -> Store {
    let background = Background::default();
    let store = RecordServer::new(&database(url), Migrate::Auto, Arc::default(), Arc::default(), background);
    Store::new(Arc::new(store.unwrap()))
}

/// A store behind a proxy, which works.
async fn behind_proxy() -> (Proxy, Store) {
    let (proxy, records) = through_proxy(&postgres::shared().database());
    put(&records, "first").await.unwrap();
    (proxy, records)
}

fn through_proxy(url: &str) -> (Proxy, Store) {
    let server = postgres::shared();
    let proxy = Proxy::to(server.port);
    let records = open(&url.replace(&format!(":{}/", server.port), &format!(":{}/", proxy.port())));
    (proxy, records)
}

async fn write(session: &Transaction<'_>, key: &str) -> Result<(), Error> {
    let sql = "-- put\nINSERT INTO idempotency (key, request_hash, expires_at) VALUES ($1, 'h', $2)";
    session.execute(Sql::both(sql), &[key.into(), NOW.into()]).await.map(drop)
}

async fn put(records: &Store, key: &str) -> Result<(), Error> {
    records.transact(key.to_owned(), |session, key| Box::pin(write(session, key))).await
}

async fn count(records: &Store, pattern: &str) -> Result<u64, Error> {
    let counted = records.read(pattern.to_owned(), |session, pattern| {
        Box::pin(async move {
            let sql = "-- count\nSELECT count(*) FROM idempotency WHERE key LIKE $1";
            session.query(Sql::both(sql), &[pattern.into()]).await?.remove(0).count()
        })
    });
    counted.await
}

async fn refused_soon(records: &Store) {
    for writes in [true, false, true] {
        let started = Instant::now();
        let done = if writes { put(records, "refused").await } else { count(records, "refused").await.map(drop) };
        let error = done.unwrap_err();
        assert!(started.elapsed() < A_SECOND, "{:?}: {error:?}", started.elapsed());
        assert!(error.code == Code::Unavailable && error.hint.is_some() && error.retry_after.is_some(), "{error:?}");
        assert!(error.message.starts_with("the record store"), "{error:?}");
    }
}

async fn works_again(records: &Store) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let started = Instant::now();
    while let Err(error) = put(records, &format!("again-{}", COUNT.fetch_add(1, Ordering::Relaxed))).await {
        assert!(started.elapsed() < PATIENCE, "{error:?}");
        tokio::task::yield_now().await;
    }
    count(records, "again-%").await.unwrap();
}

#[tokio::test]
async fn a_server_that_refuses_or_hangs_is_told_within_a_second_and_used_again() {
    let (proxy, records) = behind_proxy().await;
    proxy.refuse();
    refused_soon(&records).await;
    proxy.pass();
    works_again(&records).await;
    proxy.hang();
    refused_soon(&records).await;
    proxy.pass();
    works_again(&records).await;
    // One that was down from the beginning.
    let (late, records) = through_proxy(&postgres::shared().database());
    late.refuse();
    refused_soon(&records).await;
    assert_eq!(records_state(&records).await, "down");
    late.pass();
    works_again(&records).await;
    assert_eq!(records_state(&records).await, "up");
}

#[tokio::test]
async fn everything_at_a_glance_is_shown_also_while_the_store_is_away() {
    let server = postgres::shared();
    let proxy = Proxy::to(server.port);
    let url = server.database().replace(&format!(":{}/", server.port), &format!(":{}/", proxy.port()));
    let state = |glance: &Value| {
        let store = glance["backends"].as_array().unwrap().iter().find(|backend| backend["name"] == "store").unwrap();
        (store["state"].as_str().unwrap().to_owned(), glance["workflows"]["pending"].as_u64())
    };
    let board = Harness::with(|config| config.store = StoreConfig::Server(database(&url)));
    // Of one that was never reached nothing is known but that it is away.
    proxy.refuse();
    let never = board.answer("get_orchestration_status", "{}").await;
    assert_eq!((state(&never), &never["stale_as_of"]), (("down".to_owned(), None), &Value::Null));
    proxy.pass();
    let started = Instant::now();
    while board.any("create_workflow", r#"{"name":"w"}"#).await.0 {
        assert!(started.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    let fresh = board.answer("get_orchestration_status", "{}").await;
    assert_eq!((state(&fresh), &fresh["stale_as_of"]), (("up".to_owned(), Some(1)), &Value::Null));
    proxy.refuse();
    let stale = board.answer("get_orchestration_status", "{}").await;
    assert_eq!(state(&stale), ("down".to_owned(), Some(1)));
    assert!(stale["stale_as_of"].is_string(), "{stale}");
    assert_eq!(stale["queues"], fresh["queues"]);
}

async fn records_state(records: &Store) -> &'static str {
    records.status().await.state.as_str()
}

#[tokio::test]
async fn a_server_that_falls_silent_in_the_middle_is_told_too() {
    let (proxy, records) = behind_proxy().await;
    let proxy = Arc::new(proxy);
    let started = Instant::now();
    let done = records.transact(Arc::clone(&proxy), |session, proxy| {
        Box::pin(async move {
            write(session, "silent-1").await?;
            proxy.hang();
            write(session, "silent-2").await
        })
    });
    assert_eq!(done.await.unwrap_err().code, Code::Unavailable);
    assert!(started.elapsed() < A_SECOND, "{:?}", started.elapsed());
    proxy.pass();
    works_again(&records).await;
    assert_eq!(count(&records, "silent-%").await.unwrap(), 0);
}

/// Nobody waits behind a server that hangs for longer than it takes to see that it does.
#[tokio::test]
async fn more_callers_than_can_wait_are_told_to_come_again() {
    let (proxy, records) = behind_proxy().await;
    proxy.hang();
    let started = Instant::now();
    let keys: Vec<String> = (0..2_600).map(|n| format!("many-{n}")).collect();
    let done = join_all(keys.iter().map(|key| put(&records, key))).await;
    let codes: Vec<Code> = done.into_iter().map(|done| done.unwrap_err().code).collect();
    assert!(codes.contains(&Code::Busy) && codes.contains(&Code::Unavailable), "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, Code::Busy | Code::Unavailable)), "{codes:?}");
    assert!(started.elapsed() < A_SECOND, "{:?}", started.elapsed());
}

struct Twice {
    key: Key,
    own: String,
}

fn twice<'a>(session: &'a Transaction<'a>, asked: &'a Twice) -> BoxFuture<'a, Result<Result<String, Repeat>, Error>> {
    Box::pin(once(session, Some(&asked.key), NOW, async move {
        write(session, &asked.own).await?;
        Ok(Ok(asked.own.clone()))
    }))
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_of_unknown_outcome_and_a_repeat_finds_the_truth() {
    for arrives in [false, true] {
        let (proxy, records) = behind_proxy().await;
        if arrives {
            proxy.cut_after_commit()
        } else {
            proxy.cut_before_commit()
        }
        let call = |own: &str| {
            let key = Key { key: "k".to_owned(), request_hash: "h".to_owned() };
            records.transact(Twice { key, own: own.to_owned() }, twice)
        };
        let error = call("effect-1").await.unwrap_err();
        assert_eq!(error.code, Code::OutcomeUnknown, "{error:?}");
        proxy.pass();
        works_again(&records).await;
        let answer = call("effect-2").await.unwrap().unwrap();
        assert_eq!(answer, if arrives { "effect-1" } else { "effect-2" });
        assert_eq!(call("effect-3").await.unwrap().unwrap(), answer);
        assert_eq!(count(&records, "effect-%").await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_commit_costs_nobody_anything() {
    let url = postgres::shared().database();
    let records = open(&url);
    put(&records, "first").await.unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let breaks = records.transact((Arc::clone(&ran), name_of(&url).to_owned()), |session, (ran, name)| {
        Box::pin(async move {
            write(session, "breaks").await?;
            if ran.fetch_add(1, Ordering::SeqCst) == 0 {
                let end =
                    format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'");
                postgres::shared().psql("postgres", &end);
            }
            write(session, "breaks-2").await
        })
    });
    let (broken, beside) = tokio::join!(breaks, put(&records, "breaks-3"));
    broken.unwrap();
    beside.unwrap();
    assert_eq!((ran.load(Ordering::SeqCst), count(&records, "breaks%").await.unwrap()), (2, 3));
}

/// The server loses all its memory, several times, under writers.
#[tokio::test]
async fn what_was_answered_stands_when_the_server_crashes() {
    let server = PostgresServer::start(&postgres::own_bin(), "");
    let url = server.database();
    let records = [open(&url), open(&url)];
    let stops = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let writer = async |which: usize| {
        let mut stand = Vec::new();
        let mut n = 0;
        while !stops.load(Ordering::SeqCst) {
            n += 1;
            let key = format!("crash-{which}-{n}");
            match put(&records[which % 2], &key).await {
                Ok(()) => {
                    stand.push(key);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => {
                    assert!(matches!(error.code, Code::Unavailable | Code::OutcomeUnknown | Code::Busy), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        stand
    };
    let crash = async {
        for round in 1..4 {
            let started = Instant::now();
            while answered.load(Ordering::SeqCst) < round * 200 {
                assert!(started.elapsed() < PATIENCE, "nobody writes any more");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let pid = server.psql(name_of(&url), "SELECT max(pid) FROM pg_stat_activity WHERE application_name <> 'psql' AND backend_type = 'client backend'");
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::KILL).unwrap();
            }
        }
        let last = answered.load(Ordering::SeqCst);
        while answered.load(Ordering::SeqCst) < last + 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stops.store(true, Ordering::SeqCst);
    };
    let (stand, ()) = tokio::join!(join_all((0..16).map(writer)), crash);
    let there = server.psql(name_of(&url), "SELECT key FROM callboard.idempotency");
    let there: std::collections::HashSet<&str> = there.lines().collect();
    let lost: Vec<&String> = stand.iter().flatten().filter(|key| !there.contains(key.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", answered.load(Ordering::SeqCst));
}

#[tokio::test]
async fn what_was_taken_in_is_carried_out_when_the_process_ends() {
    let url = postgres::shared().database();
    let background = Background::default();
    let store = RecordServer::new(&database(&url), Migrate::Auto, Arc::default(), Arc::default(), background.clone());
    let records = Store::new(Arc::new(store.unwrap()));
    let keys: Vec<String> = (0..200).map(|n| format!("end-{n}")).collect();
    let (done, ()) = tokio::join!(join_all(keys.iter().map(|key| put(&records, key))), background.stop(PATIENCE));
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(put(&records, "late").await.unwrap_err().code, Code::Unavailable);
    assert_eq!(postgres::shared().psql(name_of(&url), "SELECT count(*) FROM callboard.idempotency"), "200");
}

/// Each locks what the other wants next.
#[tokio::test]
async fn processes_in_each_others_way_all_come_through() {
    let url = postgres::shared().database();
    let (one, other) = (open(&url), open(&url));
    put(&one, "row-1").await.unwrap();
    put(&one, "row-2").await.unwrap();
    let raise = |records: &Store, key: &str| {
        let records = records.clone();
        let key = key.to_owned();
        async move {
            let raised = records.transact(key, |session, key| {
                Box::pin(async move {
                    let sql =
                        "-- raise\nUPDATE idempotency SET expires_at = expires_at + interval '1 second' WHERE key = $1";
                    session.execute(Sql::both(sql), &[key.into()]).await
                })
            });
            assert_eq!(raised.await.unwrap(), 1);
        }
    };
    for _ in 0..5 {
        tokio::join!(raise(&one, "row-1"), raise(&other, "row-2"), raise(&one, "row-2"), raise(&other, "row-1"));
    }
    let sum =
        "SELECT extract(epoch FROM sum(expires_at - timestamptz '2023-11-14 22:13:20+00')) FROM callboard.idempotency";
    assert_eq!(postgres::shared().psql(name_of(&url), sum).parse::<f64>().unwrap(), 20.0);
}

#[tokio::test]
async fn what_is_answered_is_on_disk_whatever_the_database_is_set_to() {
    let server = postgres::shared();
    let url = server.database();
    let name = name_of(&url);
    let set = format!(
        "ALTER DATABASE {name} SET synchronous_commit = off; ALTER DATABASE {name} SET default_transaction_isolation = 'serializable';
         ALTER DATABASE {name} SET default_transaction_read_only = on; ALTER DATABASE {name} SET search_path = public"
    );
    server.psql("postgres", &set);
    let records = open(&url);
    let said = records.transact((), |session, ()| {
        Box::pin(async move {
            let sql = "-- settings\nSELECT current_setting('synchronous_commit') || ' ' || current_setting('transaction_isolation') || ' ' || \
                       current_setting('transaction_read_only') || ' ' || current_setting('search_path')";
            session.query(Sql::both(sql), &[]).await?.remove(0).text()
        })
    });
    assert_eq!(said.await.unwrap(), "on read committed off callboard, pg_temp");
}

#[tokio::test]
async fn the_clock_is_the_servers_and_wakes_come_through_a_cut() {
    let server = postgres::shared();
    let url = server.database();
    let clock: Arc<StoreClock> = Arc::default();
    clock.measured(Measurement { differs_by: -3_600_000_000, round_trip: Duration::ZERO });
    let background = Background::default();
    let store =
        RecordServer::new(&database(&url), Migrate::Auto, Arc::clone(&clock), Arc::default(), background).unwrap();
    put(&Store::new(Arc::new(store)), "first").await.unwrap();
    let apart = (clock.now().0 - SystemClock.now().0).abs();
    assert!(apart < 60_000_000, "the server runs on this machine: {apart} µs");

    // Whoever waits is woken although the connection that listens was lost meanwhile.
    let (proxy, waits) = through_proxy(&url);
    let topic = Topic::Lock("cut".to_owned());
    let watch = waits.changes().watch(vec![Interest::In(topic.clone())]);
    count(&waits, "none").await.unwrap();
    proxy.refuse();
    proxy.pass();
    let writes = open(&url);
    let done = writes.transact(topic, |session, topic| {
        Box::pin(async move {
            session.touch(topic.clone());
            write(session, "touched").await
        })
    });
    done.await.unwrap();
    tokio::time::timeout(PATIENCE, watch.changed()).await.expect("nobody was woken");
}
