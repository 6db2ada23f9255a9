//! The composition root: settings become adapters, adapters become services. The only file that names adapters.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use crate::{
    adapters::{
        elasticsearch::Elasticsearch,
        embedded_search::EmbeddedSearch,
        export_folder::ExportFolder,
        fitting_store::FittingStore,
        postgres::{Postgres, store::RecordServer},
        process::Machine,
        sqlite::{self, store::RecordFile},
        store_clock::StoreClock,
        webhook::HttpSender,
    },
    background::Background,
    changes::Changes,
    clock::{Clock, SystemClock},
    config::{Access, Answers, Config, DatabaseConfig, Limits, StoreConfig, Toolsets, Webhooks, view},
    domain::ops::Migration,
    error::Error,
    jobs::{self, Beside, Jobs, Works},
    ports::{process::Processes, search::SearchEngine, sql::SqlDatabase},
    services::{
        agents::Agents,
        board::Board,
        exports::Exports,
        idempotency::Idempotency,
        locks::Locks,
        ops::{Facts, Ops},
        search::SearchService,
        sessions::Sessions,
        sql::{Database, Sql},
        tasks::{self, Tasks},
        webhooks,
        workflows::{self, Workflows},
    },
    store::Store,
};

/// The services. Tools and the command line start here.
#[derive(Clone)]
pub struct App {
    /// SQL databases.
    pub sql: Sql,
    /// The search engine.
    pub search: SearchService,
    /// Exports of whole result sets.
    pub exports: Exports,
    /// This server.
    pub ops: Ops,
    /// This process among the others.
    pub sessions: Sessions,
    /// Workflows.
    pub workflows: Workflows,
    /// Tasks and their leases.
    pub tasks: Tasks,
    /// How everything stands.
    pub board: Board,
    /// Who works here.
    pub agents: Agents,
    /// What only one may do at a time.
    pub locks: Locks,
    /// Bounds.
    pub limits: Limits,
    /// Groups of tools served.
    pub toolsets: Toolsets,
    /// How answers are shaped.
    pub answers: Answers,
    /// Who waits for something to happen.
    pub changes: Arc<Changes>,
    /// Work that no call asks for.
    pub jobs: Jobs,
    /// What runs beside the calls.
    pub background: Background,
}

/// Brings the record store to the newest schema, or only looks.
///
/// # Errors
/// When it cannot be opened, or a newer server has written it.
pub async fn migrate(config: &Config, dry_run: bool) -> Result<Migration, Error> {
    let server = |settings: &DatabaseConfig| {
        RecordServer::new(settings, config.migrate, Arc::default(), Arc::default(), Background::default())
    };
    match &config.store {
        StoreConfig::Server(settings) => return server(settings)?.migrate(dry_run).await,
        StoreConfig::Fitting(settings) => {
            let store = FittingStore::new(server(settings)?, record_file(config, Arc::default()));
            if store.is_on_server().await? {
                return store.server().migrate(dry_run).await;
            }
        }
        StoreConfig::Embedded => {}
    }
    RecordFile::migrate(&record_path(&config.data_dir), dry_run)
}

fn record_path(data_dir: &Path) -> PathBuf {
    data_dir.join("callboard.db")
}

fn record_file(config: &Config, changes: Arc<Changes>) -> RecordFile {
    RecordFile::telling(record_path(&config.data_dir), config.migrate, changes)
}

/// The record store, as the settings say or as it fits.
fn records(config: &Config, clock: &Arc<StoreClock>, background: &Background) -> Result<Store, Error> {
    let changes: Arc<Changes> = Arc::default();
    let server = |settings| {
        RecordServer::new(settings, config.migrate, Arc::clone(clock), Arc::clone(&changes), background.clone())
    };
    Ok(Store::new(match &config.store {
        StoreConfig::Embedded => Arc::new(record_file(config, changes)),
        StoreConfig::Server(settings) => Arc::new(server(settings)?),
        StoreConfig::Fitting(settings) => {
            Arc::new(FittingStore::new(server(settings)?, record_file(config, Arc::clone(&changes))))
        }
    }))
}

/// The databases of the SQL tools, the default one first.
fn databases(config: &Config, access: &Arc<Access>, background: &Background) -> Result<Vec<Database>, Error> {
    let time = config.limits.work_time();
    let mut databases = Vec::new();
    for (place, settings) in config.databases.iter().enumerate() {
        let writes: Arc<dyn SqlDatabase> =
            Arc::new(Postgres::new(settings, Arc::clone(access), background.clone(), time)?);
        let reads: Arc<dyn SqlDatabase> = match (&config.query_database, place) {
            (Some(reader), 0) => Arc::new(Postgres::new(reader, Arc::clone(access), background.clone(), time)?),
            _ => Arc::clone(&writes),
        };
        databases.push(Database {
            name: settings.name.clone(),
            description: settings.description.clone(),
            reads,
            writes,
        });
    }
    if databases.is_empty() {
        let embedded: Arc<dyn SqlDatabase> =
            Arc::new(sqlite::sql::DataFile::new(config.data_dir.join("data.db"), time));
        databases.push(Database {
            name: "main".to_owned(),
            description: None,
            reads: Arc::clone(&embedded),
            writes: embedded,
        });
    }
    Ok(databases)
}

/// What all services stand on whose things are kept in the record store.
struct Kept {
    store: Arc<Store>,
    changes: Arc<Changes>,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
    access: Arc<Access>,
    limits: Limits,
}

impl Kept {
    fn new(records: Store, clock: Arc<dyn Clock>, access: Arc<Access>, limits: Limits, machine: &Arc<Machine>) -> Self {
        let changes = Arc::clone(records.changes());
        let store = Arc::new(records);
        let processes: Arc<dyn Processes> = Arc::clone(machine) as _;
        let sessions = Sessions::new(Arc::clone(&store), processes, Arc::clone(&clock), limits.lease_time);
        Self { store, changes, sessions, clock, access, limits }
    }

    fn agents(&self) -> Agents {
        let (clock, access) = (Arc::clone(&self.clock), Arc::clone(&self.access));
        Agents::new(Arc::clone(&self.store), self.sessions.clone(), clock, access, self.limits)
    }

    fn locks(&self) -> Locks {
        let (clock, access) = (Arc::clone(&self.clock), Arc::clone(&self.access));
        Locks::new(Arc::clone(&self.store), self.sessions.clone(), Arc::clone(&self.changes), clock, access)
    }

    fn tasks(&self) -> Tasks {
        Tasks::new(tasks::Parts {
            store: Arc::clone(&self.store),
            changes: Arc::clone(&self.changes),
            sessions: self.sessions.clone(),
            clock: Arc::clone(&self.clock),
            access: Arc::clone(&self.access),
            limits: self.limits,
        })
    }

    fn jobs(&self, agents: Agents, locks: Locks, settings: Webhooks, beside: Beside) -> Jobs {
        let sender = Arc::new(HttpSender::new(settings.hosts.clone()));
        let clock = Arc::clone(&self.clock);
        let works = Works {
            sessions: self.sessions.clone(),
            agents,
            locks,
            webhooks: webhooks::Webhooks::new(Arc::clone(&self.store), sender, Arc::clone(&clock), settings),
            store: Arc::clone(&self.store),
        };
        Jobs::new(jobs::all(works), Arc::clone(&self.store), clock, Arc::clone(&self.changes), beside)
    }

    fn workflows(&self, webhooks: Webhooks) -> Workflows {
        Workflows::new(workflows::Parts {
            store: Arc::clone(&self.store),
            changes: Arc::clone(&self.changes),
            clock: Arc::clone(&self.clock),
            access: Arc::clone(&self.access),
            limits: self.limits,
            hosts: Arc::new(webhooks.hosts),
            one_secret: webhooks.secret.is_some(),
        })
    }
}

impl App {
    /// Builds everything. Opens nothing that can be down: a backend is reached when it is first used.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn new(config: Config) -> Result<Self, Error> {
        let clock: Arc<StoreClock> = Arc::default();
        Self::build(config, Arc::clone(&clock) as Arc<dyn Clock>, &clock)
    }

    /// The same with a clock of the caller's own for everything that has leases, deadlines and expiries.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn with_clock(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::build(config, clock, &Arc::default())
    }

    /// `store_clock` is set by a record store that has a time of its own.
    fn build(mut config: Config, clock: Arc<dyn Clock>, store_clock: &Arc<StoreClock>) -> Result<Self, Error> {
        let background = Background::default();
        let records = records(&config, store_clock, &background)?;
        let something_is_kept = matches!(config.store, StoreConfig::Embedded) && record_path(&config.data_dir).exists();
        let limits = config.limits;
        let access = Arc::new(std::mem::take(&mut config.access));
        let databases = databases(&config, &access, &background)?;
        let engine: Arc<dyn SearchEngine> = match &config.search {
            Some(settings) => Arc::new(Elasticsearch::new(settings, background.clone(), limits.work_time())?),
            None => Arc::new(EmbeddedSearch::new(&config.data_dir, limits.work_time())),
        };
        let of_sql = if config.databases.is_empty() { Arc::new(access.of_one_schema()) } else { Arc::clone(&access) };
        let idempotency = Idempotency::new(Arc::new(records.clone()), Arc::clone(&clock));
        let sql = Sql::new(databases, of_sql, limits, idempotency.clone());
        let search = SearchService::new(Arc::clone(&engine), Arc::clone(&access), limits, idempotency);
        let exports = Exports::new(
            Arc::clone(&engine),
            search.clone(),
            Arc::new(ExportFolder::new(config.data_dir.join("exports"), Arc::new(SystemClock))),
            limits,
        );
        let facts = Facts {
            started: Instant::now(),
            read_only: access.read_only,
            data_dir: config.data_dir.display().to_string(),
            toolsets: config.toolsets.served(),
            limits: limits.json(),
            settings: view::settings_json(&config.shown),
        };
        let ops = Ops::new(sql.clone(), engine, Arc::new(records.clone()), facts);
        let machine = Arc::new(Machine::default());
        let kept = Kept::new(records, clock, access, limits, &machine);
        let (agents, locks) = (kept.agents(), kept.locks());
        let beside = Beside { background: background.clone(), something_is_kept };
        let jobs = kept.jobs(agents.clone(), locks.clone(), config.webhooks.clone(), beside);
        let workflows = kept.workflows(config.webhooks);
        let board = Board::new(workflows.clone(), ops.clone(), machine, Arc::clone(&kept.clock));
        Ok(Self {
            board,
            workflows,
            tasks: kept.tasks(),
            agents,
            locks,
            jobs,
            changes: kept.changes,
            sessions: kept.sessions,
            sql,
            search,
            exports,
            ops,
            limits,
            toolsets: config.toolsets,
            answers: config.answers,
            background,
        })
    }
}
