//! Settings: what they are, where they come from, and what they mean.
//!
//! Each capability declares its settings and what they mean in a file of its own; [`table`] lists them all, and parsing, `--help`, `docs/config.md`, `doctor` and get_server_info all read that list.

pub mod access;
pub mod database;
pub mod document;
pub mod environment;
pub mod later;
pub mod limits;
pub mod load;
mod near;
pub mod passfile;
pub mod process;
pub mod records;
pub mod search;
pub mod setting;
pub mod sources;
pub mod table;
pub mod value;
mod values;
pub mod view;
pub mod webhooks;

use std::path::{Path, PathBuf};

pub use access::{Access, OWN_SCHEMA, Schemas, Toolsets};
pub use database::DatabaseConfig;
pub use environment::Environment;
pub use limits::Limits;
pub use load::{Flags, Loaded};
pub use process::Answers;
pub use records::{Migrate, StoreConfig};
pub use search::{Login, SearchConfig};
pub use view::Shown;
pub use webhooks::Webhooks;

/// Everything that decides how this process behaves. Read once at the start.
#[derive(Debug)]
pub struct Config {
    /// Where the embedded stores and exports live.
    pub data_dir: PathBuf,
    /// The user's databases, the default first. Empty: the embedded one.
    pub databases: Vec<DatabaseConfig>,
    /// A role of its own for reads of the default database.
    pub query_database: Option<DatabaseConfig>,
    /// The user's search engine. None: the embedded one.
    pub search: Option<SearchConfig>,
    /// Where records are kept.
    pub store: StoreConfig,
    /// What tools may see and do.
    pub access: Access,
    /// How ends of workflows are told.
    pub webhooks: Webhooks,
    /// Bounds.
    pub limits: Limits,
    /// How answers are shaped.
    pub answers: Answers,
    /// Groups of tools to serve.
    pub toolsets: Toolsets,
    /// Filter for the log on stderr.
    pub log: String,
    /// Whether the record store may be brought to the newest schema.
    pub migrate: Migrate,
    /// Every setting that is set, with its source and without secrets.
    pub shown: Vec<Shown>,
}

impl Config {
    /// Everything embedded in `data_dir`, all else by default.
    pub fn embedded(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            databases: Vec::new(),
            query_database: None,
            search: None,
            store: StoreConfig::Embedded,
            access: Access::default(),
            webhooks: Webhooks::default(),
            limits: Limits::default(),
            answers: Answers::default(),
            toolsets: Toolsets::default(),
            log: process::LOG_DEFAULT.to_owned(),
            migrate: Migrate::default(),
            shown: Vec::new(),
        }
    }
}
