//! What every database that keeps records must do with transitions, whoever asks for them.

use std::{path::Path, sync::Arc, time::Duration};

use callboard::{
    adapters::{postgres::store::RecordServer, sqlite::store::RecordFile},
    background::Background,
    changes::{Interest, Topic},
    clock::Instant,
    config::Migrate,
    domain::idempotency::{Key, Repeat},
    error::{Code, Error},
    store::{Backend, Row, Sql, Store, Transaction, Value, idempotency::once},
};
use futures_util::future::{BoxFuture, join_all};

use crate::{
    pooler::Pooler,
    support::{harness::database, patience::PATIENCE, postgres},
};

const NOW: Instant = Instant(1_700_000_000_123_456);

/// Opens the same store once more, as another process would.
pub type Open = Arc<dyn Fn() -> Arc<dyn Backend> + Send + Sync>;

#[tokio::test]
async fn sqlite() {
    let home = tempfile::tempdir().unwrap();
    holds(in_file(home.path())).await;
}

#[tokio::test]
async fn postgresql() {
    holds(on_postgres(&postgres::shared().database())).await;
}

#[tokio::test]
async fn the_oldest_and_the_newest_postgresql() {
    for major in [13, 18] {
        holds(on_postgres(&postgres::version(major).database())).await;
    }
}

#[tokio::test]
async fn postgresql_behind_a_pooler() {
    let pooler = Pooler::start(4);
    holds(on_postgres(&pooler.url(&postgres::shared().database()))).await;
}

/// The embedded store of a data directory.
pub fn in_file(home: &Path) -> Open {
    let path = home.join("callboard.db");
    Arc::new(move || Arc::new(RecordFile::new(path.clone(), Migrate::Auto)))
}

/// The store in a database of a server.
pub fn on_postgres(url: &str) -> Open {
    let url = url.to_owned();
    Arc::new(move || {
        let settings = database(&url);
        Arc::new(
            RecordServer::new(&settings, Migrate::Auto, Arc::default(), Arc::default(), Background::default()).unwrap(),
        )
    })
}

/// A store, and the same one as another process opens it.
pub fn opened_twice(open: &Open) -> (Arc<Store>, Arc<Store>) {
    (Arc::new(Store::new(open())), Arc::new(Store::new(open())))
}

async fn holds(open: Open) {
    let (one, other) = (Store::new(open()), Store::new(open()));
    what_is_committed_is_seen_by_others(&one, &other).await;
    every_value_comes_back_as_it_went(&one).await;
    a_failed_step_takes_back_its_own_changes_alone(&one).await;
    what_cannot_be_kept_is_refused_and_spoils_nothing(&one).await;
    a_key_has_one_effect_in_all_processes(&one, &other).await;
    statements_asked_for_together_are_all_carried_out(&one).await;
    who_waits_is_woken(&one, &one).await;
    who_waits_is_woken(&one, &other).await;
    a_look_sees_one_moment(&one, open).await;
    a_look_cannot_write(&one).await;
}

async fn put(session: &Transaction<'_>, key: &str) -> Result<u64, Error> {
    let sql = "-- put\nINSERT INTO idempotency (key, request_hash, expires_at) VALUES ($1, 'h', $2)";
    session.execute(Sql::both(sql), &[key.into(), NOW.into()]).await
}

#[expect(clippy::ptr_arg, reason = "a transition gets its context as it is")]
fn put_one<'a>(session: &'a Transaction<'a>, key: &'a String) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move { put(session, key).await.map(drop) })
}

async fn keys_like(records: &Store, pattern: &str) -> Vec<String> {
    let found = records.read(pattern.to_owned(), |session, pattern| {
        Box::pin(async move {
            let sql = "-- keys\nSELECT key FROM idempotency WHERE key LIKE $1 ORDER BY key";
            let rows = session.query(Sql::both(sql), &[pattern.into()]).await?;
            rows.into_iter().map(|mut row| row.text()).collect()
        })
    });
    found.await.unwrap()
}

async fn what_is_committed_is_seen_by_others(one: &Store, other: &Store) {
    // Both make the store, at once.
    let (here, there) =
        tokio::join!(one.transact("seen-1".to_owned(), put_one), other.transact("seen-2".to_owned(), put_one));
    here.unwrap();
    there.unwrap();
    assert_eq!(keys_like(one, "seen-%").await, ["seen-1", "seen-2"]);
    assert_eq!(keys_like(other, "seen-%").await, ["seen-1", "seen-2"]);
}

struct Values {
    id: String,
    title: String,
    bytes: Vec<u8>,
    progress: f64,
    cost: i64,
    at: Instant,
}

/// A row of a table with a column of every type.
fn put_values<'a>(session: &'a Transaction<'a>, of: &'a Values) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        let sql = "-- put_values\nINSERT INTO probe (id, title, bytes, progress, cost, at, held, n) VALUES ($1, $2, $3, $4, $5, $6, $7, 5)";
        let bytes = Value::Bytes(&of.bytes);
        let values =
            [(&of.id).into(), (&of.title).into(), bytes, of.progress.into(), of.cost.into(), of.at.into(), true.into()];
        assert_eq!(session.execute(Sql::both(sql), &values).await?, 1);
        Ok(())
    })
}

async fn every_value_comes_back_as_it_went(records: &Store) {
    let made = records.transact((), |session, ()| {
        Box::pin(async move {
            let sql = "-- probe\nCREATE TABLE probe (id text PRIMARY KEY, title text, empty text, bytes bytea, progress double precision, \
                       cost bigint, at timestamptz, never timestamptz, held boolean, n bigint)";
            session.execute(Sql::both(sql), &[]).await.map(drop)
        })
    });
    made.await.unwrap();
    let values = [
        (String::new(), vec![], 0.1, 0, Instant(0)),
        ("ä'\\\"\n€ 😀 $1 ?1 --".to_owned(), (0..=255).collect(), -1.5e300, i64::MIN, Instant(-1)),
        ("x".repeat(3_000_000), vec![7; 2_000_000], f64::MIN_POSITIVE, i64::MAX, NOW),
    ];
    for (place, (title, bytes, progress, cost, at)) in values.into_iter().enumerate() {
        let of = Values { id: format!("values-{place}"), title, bytes, progress, cost, at };
        records.transact(of, put_values).await.unwrap();
    }
    let read: Vec<Values> = records
        .read((), |session, ()| {
            Box::pin(async move {
                let ids = ["values-2".to_owned(), "values-0".to_owned(), "values-1".to_owned(), "none".to_owned()];
                let sql = Sql {
                    postgres: "-- values\nSELECT id, title, empty, bytes, progress, cost, at, held, never FROM probe \
                               WHERE id = ANY($1) AND cost = ANY($2) ORDER BY id",
                    sqlite: "-- values\nSELECT id, title, empty, bytes, progress, cost, at, held, never FROM probe \
                             WHERE id IN (SELECT value FROM json_each($1)) AND cost IN (SELECT value FROM json_each($2)) \
                             ORDER BY id",
                };
                let costs = [0, i64::MIN, i64::MAX];
                let rows = session.query(sql, &[Value::Texts(&ids), Value::Integers(&costs)]).await?;
                rows.into_iter().map(values_of).collect()
            })
        })
        .await
        .unwrap();
    assert_eq!(read.len(), 3);
    assert_eq!((read[0].title.as_str(), read[0].bytes.as_slice(), read[0].progress), ("", [].as_slice(), 0.1));
    assert_eq!((read[0].cost, read[0].at), (0, Instant(0)));
    assert_eq!((read[1].title.as_str(), read[1].progress), ("ä'\\\"\n€ 😀 $1 ?1 --", -1.5e300));
    assert!(read[1].bytes.iter().copied().eq(0..=255));
    assert_eq!((read[1].cost, read[1].at), (i64::MIN, Instant(-1)));
    assert_eq!((read[2].title.len(), read[2].bytes.len()), (3_000_000, 2_000_000));
    assert_eq!((read[2].progress, read[2].cost, read[2].at), (f64::MIN_POSITIVE, i64::MAX, NOW));
    let sums = records.read((), |session, ()| {
        Box::pin(async move {
            let sql =
                "-- sums\nSELECT count(*), sum(n), max(at), sum(progress), max(title) IS NULL FROM probe WHERE id = $1";
            let mut row = session.query(Sql::both(sql), &["values-0".into()]).await?.remove(0);
            Ok((row.count()?, row.integer()?, row.time()?, row.real_or_none()?, row.bool()?))
        })
    });
    assert_eq!(sums.await.unwrap(), (1, 5, Instant(0), Some(0.1), false));
}

fn values_of(mut row: Row) -> Result<Values, Error> {
    let (id, title) = (row.text()?, row.text()?);
    assert_eq!(row.text_or_none()?, None);
    let bytes = row.bytes_or_none()?.unwrap();
    let (progress, cost, at) = (row.real_or_none()?.unwrap(), row.integer()?, row.time()?);
    assert!(row.bool()?);
    assert_eq!(row.time_or_none()?, None);
    Ok(Values { id, title, bytes, progress, cost, at })
}

/// How the steps of one commit end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Refused,
    InAPanic,
    ByAStatement,
    WithoutHavingWritten,
    HeedingNothing,
}

fn end_so<'a>(session: &'a Transaction<'a>, (key, ends): &'a (String, Ends)) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        if *ends == Ends::WithoutHavingWritten {
            return Err(Error::new(Code::LeaseLost, "it has ended"));
        }
        put(session, key).await?;
        match ends {
            Ends::Well => Ok(()),
            Ends::InAPanic => panic!("as asked for"),
            Ends::ByAStatement => put(session, key).await.map(drop),
            Ends::HeedingNothing => {
                put(session, key).await.ok();
                Err(Error::new(Code::Conflict, "not so"))
            }
            Ends::Refused | Ends::WithoutHavingWritten => Err(Error::new(Code::Conflict, "not so")),
        }
    })
}

async fn a_failed_step_takes_back_its_own_changes_alone(records: &Store) {
    let ends = [Ends::Refused, Ends::InAPanic, Ends::ByAStatement, Ends::WithoutHavingWritten, Ends::HeedingNothing];
    // One that fails among many, and many that fail.
    for (round, kinds) in [&ends[..1], &ends[1..2], &ends[2..3], &ends[3..], &ends[..]].into_iter().enumerate() {
        let steps = (0..40_usize).map(|n| {
            let fails = n % 8 == 3 || (round == 4 && n % 2 == 1);
            (format!("fail-{round}-{n:02}"), if fails { kinds[n % kinds.len()] } else { Ends::Well })
        });
        let steps: Vec<(String, Ends)> = steps.collect();
        let done = join_all(steps.iter().map(|step| records.transact(step.clone(), end_so))).await;
        for ((key, ends), done) in steps.iter().zip(&done) {
            let code = done.as_ref().err().map(|error| error.code);
            let wanted: &[Option<Code>] = match ends {
                Ends::Well => &[None],
                Ends::Refused | Ends::HeedingNothing => &[Some(Code::Conflict)],
                Ends::InAPanic => &[Some(Code::Internal)],
                Ends::ByAStatement => &[Some(Code::Internal), Some(Code::Invalid)],
                Ends::WithoutHavingWritten => &[Some(Code::LeaseLost)],
            };
            assert!(wanted.contains(&code), "{key}: {done:?}");
        }
        let stand: Vec<String> =
            steps.into_iter().filter(|(_, ends)| *ends == Ends::Well).map(|(key, _)| key).collect();
        assert_eq!(keys_like(records, &format!("fail-{round}-%")).await, stand);
    }
}

async fn what_cannot_be_kept_is_refused_and_spoils_nothing(records: &Store) {
    let keys = ["nul-1", "nul-\0", "nul-2"].map(str::to_owned);
    let done = join_all(keys.map(|key| records.transact(key, put_one))).await;
    assert_eq!(done[1].as_ref().err().map(|error| error.code), Some(Code::Invalid), "{done:?}");
    assert_eq!(keys_like(records, "nul-%").await, ["nul-1", "nul-2"]);
}

struct Twice {
    key: Key,
    own: String,
}

fn twice<'a>(session: &'a Transaction<'a>, asked: &'a Twice) -> BoxFuture<'a, Result<Result<String, Repeat>, Error>> {
    Box::pin(once(session, Some(&asked.key), NOW, async move {
        put(session, &asked.own).await?;
        Ok(Ok(asked.own.clone()))
    }))
}

async fn a_key_has_one_effect_in_all_processes(one: &Store, other: &Store) {
    let calls = (0..24).map(|n| {
        let records = if n % 2 == 0 { one } else { other };
        let key = Key { key: format!("twice-{}", n / 12), request_hash: "h".to_owned() };
        records.transact(Twice { key, own: format!("effect-{}-{n:02}", n / 12) }, twice)
    });
    let answers: Vec<String> = join_all(calls)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().map_err(|repeat| format!("{repeat:?}")).unwrap())
        .collect();
    for half in answers.chunks(12) {
        assert!(half.iter().all(|answer| *answer == half[0]), "{answers:?}");
    }
    assert_eq!(keys_like(one, "effect-%").await, [answers[0].clone(), answers[12].clone()]);
}

async fn statements_asked_for_together_are_all_carried_out(records: &Store) {
    let written = records.transact((), |session, ()| {
        Box::pin(async move {
            let values = [["order-1".into(), NOW.into()], ["order-2".into(), NOW.into()]];
            let sql = "-- order_put\nINSERT INTO idempotency (key, request_hash, expires_at) VALUES ($1, 'h', $2)";
            let count = "-- order_count\nSELECT count(*) FROM idempotency WHERE key LIKE 'order-%'";
            let (first, second) =
                tokio::join!(session.execute(Sql::both(sql), &values[0]), session.execute(Sql::both(sql), &values[1]),);
            assert_eq!((first?, second?), (1, 1));
            session.query(Sql::both(count), &[]).await?.remove(0).count()
        })
    });
    // They are prepared for the first time, and sent at once the second.
    assert_eq!(written.await.unwrap(), 2);
}

async fn who_waits_is_woken(writes: &Store, waits: &Store) {
    for round in 0..3 {
        let topic = Topic::Lock(format!("a: 'lock'\n%{round}"));
        let watch = waits.changes().watch(vec![Interest::In(topic.clone())]);
        // Whoever waits looks first.
        keys_like(waits, "none").await;
        let done = writes.transact(topic, |session, topic| {
            Box::pin(async move {
                session.touch(topic.clone());
                let sql = "-- wake\nUPDATE idempotency SET expires_at = $1 WHERE key = 'seen-1'";
                session.execute(Sql::both(sql), &[NOW.into()]).await.map(drop)
            })
        });
        done.await.unwrap();
        tokio::time::timeout(PATIENCE, watch.changed()).await.expect("nobody was woken");
    }
}

async fn a_look_sees_one_moment(records: &Store, open: Open) {
    let seen = records.read(open, |session, open| {
        Box::pin(async move {
            let sql = "-- moment\nSELECT count(*) FROM idempotency WHERE key LIKE 'moment-%'";
            let before = session.query(Sql::both(sql), &[]).await?.remove(0).count()?;
            let open = Arc::clone(open);
            let writer = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(Store::new(open()).transact("moment-1".to_owned(), put_one)).unwrap();
            });
            writer.join().unwrap();
            Ok((before, session.query(Sql::both(sql), &[]).await?.remove(0).count()?))
        })
    });
    assert_eq!(seen.await.unwrap(), (0, 0));
    assert_eq!(keys_like(records, "moment-%").await, ["moment-1"]);
}

async fn a_look_cannot_write(records: &Store) {
    for _ in 0..2 {
        assert!(records.read("look-1".to_owned(), put_one).await.is_err());
    }
    assert!(keys_like(records, "look-%").await.is_empty());
    records.transact("look-2".to_owned(), put_one).await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(60), async { keys_like(records, "look-%").await });
    assert_eq!(status.await.unwrap(), ["look-2"]);
}
