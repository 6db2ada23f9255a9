//! What an agent or operator can ask about this server.

use std::{sync::Arc, time::Instant};

use futures_util::future::join_all;

use super::sql::Sql;
use crate::{
    domain::{json::Json, ops::BackendStatus},
    ports::search::SearchEngine,
    store::Store,
};

/// This server and what it stands on.
#[derive(Clone)]
pub struct Ops {
    sql: Sql,
    search: Arc<dyn SearchEngine>,
    store: Arc<Store>,
    facts: Arc<Facts>,
}

/// What does not change while the process runs.
pub struct Facts {
    /// When it started.
    pub started: Instant,
    /// Writing tools are off.
    pub read_only: bool,
    /// Where data lives.
    pub data_dir: String,
    /// Groups served.
    pub toolsets: Vec<&'static str>,
    /// Every bound, by name.
    pub limits: Json,
    /// Every setting with its source, secrets redacted.
    pub settings: Json,
}

/// What get_server_info shows.
pub struct ServerInfo {
    /// Of this program.
    pub version: &'static str,
    /// Since the start.
    pub uptime_ms: u64,
    /// Writing tools are off.
    pub read_only: bool,
    /// Where data lives.
    pub data_dir: String,
    /// Groups served.
    pub toolsets: Vec<&'static str>,
    /// Each backend, freshly looked at.
    pub backends: Vec<BackendStatus>,
    /// Every bound, by name.
    pub limits: Json,
    /// Every setting with its source, secrets redacted.
    pub settings: Json,
}

impl Ops {
    /// Over the backends.
    pub fn new(sql: Sql, search: Arc<dyn SearchEngine>, store: Arc<Store>, facts: Facts) -> Self {
        Self { sql, search, store, facts: Arc::new(facts) }
    }

    /// A fresh look at everything.
    pub async fn info(&self) -> ServerInfo {
        ServerInfo {
            version: env!("CARGO_PKG_VERSION"),
            uptime_ms: u64::try_from(self.facts.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            read_only: self.facts.read_only,
            data_dir: self.facts.data_dir.clone(),
            toolsets: self.facts.toolsets.clone(),
            backends: self.backends().await,
            limits: self.facts.limits.clone(),
            settings: self.facts.settings.clone(),
        }
    }

    /// Each backend, all looked at at once: `sql` is the default database, `sql:NAME` another, `store` keeps the records, and `… (writes)` the other role where reads have
    /// one of their own.
    pub async fn backends(&self) -> Vec<BackendStatus> {
        let databases = join_all(self.sql.databases().iter().enumerate().map(|(place, database)| async move {
            let name = if place == 0 { "sql".to_owned() } else { format!("sql:{}", database.name) };
            let own_writes = !Arc::ptr_eq(&database.reads, &database.writes);
            let (reads, writes) = tokio::join!(database.reads.status(), async {
                if own_writes { Some(database.writes.status().await) } else { None }
            });
            let writes = writes.map(|status| BackendStatus { name: format!("{name} (writes)"), ..status });
            [Some(BackendStatus { name, ..reads }), writes]
        }));
        let (databases, search, store) = tokio::join!(databases, self.search.status(), self.store.status());
        databases.into_iter().flatten().flatten().chain([search, store]).collect()
    }
}
