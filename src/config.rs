//! Settings: what they are, where they come from, and what they mean.
//!
//! [`table`] lists every setting once; parsing, `--help`, `docs/config.md`, `doctor` and get_server_info all read that list.

pub mod database;
pub mod document;
pub mod environment;
pub mod limits;
pub mod load;
mod near;
pub mod passfile;
pub mod search;
pub mod sources;
pub mod table;
pub mod value;
pub mod view;

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::{
    domain::{
        catalogue::{self, CORE},
        search::Patterns,
        webhooks::Hosts,
    },
    error::{Code, Error},
};

pub use environment::Environment;
pub use limits::Limits;
pub use load::{Flags, Loaded};
pub use view::Shown;

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
            log: table::LOG_DEFAULT.to_owned(),
            migrate: Migrate::default(),
            shown: Vec::new(),
        }
    }
}

/// Where records are kept (`CALLBOARD_STORE_URL`).
#[derive(Debug, Clone, Default)]
pub enum StoreConfig {
    /// In a file of the data directory.
    #[default]
    Embedded,
    /// On this server, as the operator says.
    Server(DatabaseConfig),
    /// On the server of the SQL tools where its role may, else in the file: nothing says which.
    Fitting(DatabaseConfig),
}

/// Whether the record store may be brought to the newest schema (`CALLBOARD_MIGRATE`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Migrate {
    /// When one is opened.
    #[default]
    Auto,
    /// Only by `callboard migrate`.
    Never,
}

/// How to reach a PostgreSQL database.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// The name for `database`.
    pub name: String,
    /// What it holds, for agents.
    pub description: Option<String>,
    /// A `postgres://` URL with everything in it, also sslmode (disable to verify-full) and sslrootcert.
    pub url: SecretString,
}

/// How to reach Elasticsearch or OpenSearch.
#[derive(Debug, Clone)]
pub struct SearchConfig {
    /// Base URL without user and password.
    pub url: url::Url,
    /// How to log in.
    pub login: Login,
    /// PEM file with the authority of the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate.
    pub skip_verify: bool,
}

/// How to log in to a search engine.
#[derive(Debug, Clone)]
pub enum Login {
    /// Nothing is sent.
    None,
    /// User name and password.
    Password(String, SecretString),
    /// An API key, as `id:key` in base64 or as given by the engine.
    ApiKey(SecretString),
}

/// What tools may see and do.
#[derive(Debug, Default, Clone)]
pub struct Access {
    /// Writing tools are off.
    pub read_only: bool,
    /// Indices that tools may use.
    pub indices: Patterns,
    /// Schemas that tools may use.
    pub schemas: Schemas,
    /// Words of the deny set that queries may use all the same (`CALLBOARD_ALLOW_FUNCTIONS`).
    pub functions: Vec<String>,
}

/// The schema in which this server keeps its own records.
pub const OWN_SCHEMA: &str = "callboard";

/// Schemas that the SQL tools may use. Never the one that holds this server's own records: there are tokens in it, and what is written
/// there by hand breaks what agents rely on.
#[derive(Debug, Default, Clone)]
pub struct Schemas(Patterns);

impl Schemas {
    /// Whether tools may use this one.
    pub fn allow(&self, name: &str) -> bool {
        name != OWN_SCHEMA && self.0.allow(name)
    }

    /// Those that the operator names.
    pub fn patterns(&self) -> &[String] {
        self.0.as_slice()
    }

    /// Whether the operator names those that are allowed.
    pub fn are_named(&self) -> bool {
        !self.0.as_slice().is_empty()
    }
}

impl From<Patterns> for Schemas {
    fn from(patterns: Patterns) -> Self {
        Self(patterns)
    }
}

impl Access {
    /// The same over the embedded database: it has one schema, which no setting names.
    #[must_use]
    pub fn of_one_schema(&self) -> Self {
        Self { schemas: Schemas::default(), ..self.clone() }
    }

    /// Whether writing is on.
    ///
    /// # Errors
    /// `denied`, naming the setting that would allow it.
    pub fn writing(&self, tool: &str) -> Result<(), Error> {
        if !self.read_only {
            return Ok(());
        }
        Err(Error::new(Code::Denied, format!("`{tool}` writes, and this server only reads"))
            .hint("CALLBOARD_READ_ONLY or `--read-only` switches writing off; only the operator can change that"))
    }
}

/// How ends of workflows are told.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    /// Hosts that may be called although they are not public or not https (`CALLBOARD_WEBHOOK_HOSTS`).
    pub hosts: Hosts,
    /// The key of all signatures (`CALLBOARD_WEBHOOK_SECRET`). None: each webhook's own.
    pub secret: Option<SecretString>,
}

/// How the two copies of an answer are shaped (`CALLBOARD_ANSWERS`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answers {
    /// JSON text and structuredContent.
    #[default]
    Both,
    /// JSON text only; no output schemas.
    Text,
    /// structuredContent, and one line of text.
    Structured,
}

/// Groups of tools to serve (`CALLBOARD_TOOLSETS`).
#[derive(Debug, Clone, Default)]
pub struct Toolsets(Option<Vec<String>>);

impl Toolsets {
    /// Only these groups (`core`, or group names); none for all.
    pub fn new(groups: Option<Vec<String>>) -> Self {
        Self(groups)
    }

    /// The groups, when not all are served.
    pub fn groups(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// The groups of this version that are served.
    pub fn served(&self) -> Vec<&'static str> {
        let asked = |group: &&str| self.0.as_ref().is_none_or(|groups| groups.iter().any(|asked| asked == *group));
        let core = self.0.as_ref().filter(|groups| groups.iter().any(|asked| asked == CORE)).map(|_| CORE);
        core.into_iter().chain(catalogue::groups().filter(asked)).collect()
    }
}
