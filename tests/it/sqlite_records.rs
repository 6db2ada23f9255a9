//! The embedded record store shared by several processes.

use std::{path::Path, sync::Arc, thread};

use callboard::{
    adapters::sqlite::store::RecordFile,
    clock::Instant,
    config::Migrate,
    error::{Code, Error},
    store::{Sql, Store, Transaction},
};
use futures_util::future::join_all;
use rusqlite::Connection;

const NOW: Instant = Instant(1_700_000_000_000_000);

fn open(path: &Path) -> Store {
    Store::new(Arc::new(RecordFile::new(path.to_owned(), Migrate::Auto)))
}

async fn write(session: &Transaction<'_>, key: &str) -> Result<(), Error> {
    let sql = "-- put\nINSERT INTO idempotency (key, request_hash, expires_at) VALUES ($1, 'h', $2)";
    session.execute(Sql::both(sql), &[key.into(), NOW.into()]).await.map(drop)
}

async fn put(records: &Store, key: String) -> Result<(), Error> {
    records.transact(key, |session, key| Box::pin(write(session, key))).await
}

fn count(path: &Path) -> i64 {
    Connection::open(path).unwrap().query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0)).unwrap()
}

/// No one ever sees a lock, and nobody starves: each of their calls is answered before it is told to come again.
#[test]
fn four_processes_hammer_one_file() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("callboard.db");
    let processes: Vec<_> = (0..4)
        .map(|process| {
            let path = path.clone();
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let records = open(&path);
                    let caller = async |caller: usize| {
                        for n in 0..60 {
                            put(&records, format!("{process}-{caller}-{n}")).await.unwrap();
                        }
                    };
                    join_all((0..4).map(caller)).await;
                });
            })
        })
        .collect();
    processes.into_iter().for_each(|process| process.join().unwrap());
    assert_eq!(count(&path), 4 * 4 * 60);
}

/// In words for whoever never wrote a statement.
#[tokio::test]
async fn a_failure_says_nothing_of_statements() {
    let home = tempfile::tempdir().unwrap();
    let records = open(&home.path().join("callboard.db"));
    let failed = records.transact((), |session, ()| {
        Box::pin(async move { session.execute(Sql::both("-- wrong\nUPDATE nowhere SET a = $1"), &[1.into()]).await })
    });
    let error = failed.await.unwrap_err();
    assert_eq!((error.code, error.message.as_str(), &error.hint), (Code::Internal, "the record store failed", &None));
    assert!(error.argument.is_none() && error.place.position.is_none(), "{error:?}");
}
