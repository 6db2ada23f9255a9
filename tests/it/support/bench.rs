//! The record store on PostgreSQL, somebody who is in its way, and somebody who sees who waits there.

use std::{sync::Arc, time::Instant};

use callboard::{
    adapters::postgres::store::RecordServer,
    background::Background,
    config::Migrate,
    domain::{tasks::answers::ClaimedTask, workflows::OnTaskFailure},
    store::{Store, tasks::Finish},
};
use tokio_postgres::{Client, NoTls};

use super::{
    flows::{Board, completed, flow, task},
    harness::database,
    patience::PATIENCE,
};

/// The store, as a process opens it.
pub fn open(url: &str) -> Store {
    let background = Background::default();
    let store = RecordServer::new(&database(url), Migrate::Auto, Arc::default(), Arc::default(), background);
    Store::new(Arc::new(store.unwrap()))
}

/// A connection beside it.
pub async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// All three.
pub struct Bench {
    pub board: Board,
    pub blocker: Client,
    pub watcher: Client,
}

impl Bench {
    /// In a database.
    pub async fn new(url: &str, store: Store) -> Self {
        let board = Board::new(&Arc::new(store), "beside");
        // Its tables are made first.
        board.store.next_due(None).await.unwrap();
        Self { board, blocker: client(url).await, watcher: client(url).await }
    }

    /// Takes what the store will want.
    pub async fn block(&self, sql: &str) {
        self.blocker.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
    }

    /// Gives it back as it was.
    pub async fn let_go(&self) {
        self.blocker.batch_execute("ROLLBACK").await.unwrap();
    }

    /// The names of the statements that wait for locks, once there are so many.
    pub async fn waiting(&self, count: usize) -> Vec<String> {
        let started = Instant::now();
        let sql = "SELECT DISTINCT split_part(query, E'\\n', 1), pid FROM pg_locks JOIN pg_stat_activity USING (pid) \
                   WHERE NOT granted AND datname = current_database() ORDER BY 1";
        loop {
            let found = self.watcher.query(sql, &[]).await.unwrap();
            if found.len() == count {
                return found.iter().map(|row| row.get(0)).collect();
            }
            assert!(started.elapsed() < PATIENCE, "{} wait", found.len());
        }
    }

    /// Claimed tasks of a new workflow.
    pub async fn claimed(&self, count: usize) -> Vec<ClaimedTask> {
        let tasks = (0..count).map(|number| task(&format!("t{number}"))).collect();
        self.board.create(flow(OnTaskFailure::Continue, tasks)).await;
        let claimed = self.board.claim("agent", count).await;
        assert_eq!(claimed.len(), count);
        claimed
    }

    /// What ends the turn at a task.
    pub fn end(&self, task: &ClaimedTask) -> Finish {
        let (lease, now) = (task.lease.clone(), self.board.now());
        Finish { lease, outcome: completed(), cost: None, jitter: 0.0, key: None, now }
    }

    /// How often transactions have waited for each other in a circle.
    pub async fn deadlocks(&self) -> i64 {
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        self.watcher.query_one(sql, &[]).await.unwrap().get(0)
    }
}
