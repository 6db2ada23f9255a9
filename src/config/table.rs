//! Every setting, once. Parsing, `--help`, `docs/config.md`, `doctor`, `config` and get_server_info read this list.

use crate::domain::catalogue::TOOLSETS;

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// Its environment variable; the key in callboard.toml is the same in lower case, without `callboard_`.
    pub name: &'static str,
    /// Names that other tools use for the same; the first that is set wins.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is not set, in words.
    pub default: &'static str,
    /// Never shown, never a flag; also read from `NAME_FILE` and `/secrets/NAME`.
    pub secret: bool,
    /// Its flag on the command line.
    pub flag: Option<&'static str>,
    /// Where it stands in lists.
    pub section: Section,
    /// One or two sentences for operators.
    pub description: &'static str,
}

/// What a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A URL.
    Url,
    /// A file or directory.
    Path,
    /// true or false.
    Switch,
    /// A whole number.
    Number {
        /// Smallest.
        least: u64,
        /// Largest.
        most: u64,
    },
    /// Milliseconds.
    Duration {
        /// Shortest.
        least: u64,
        /// Longest.
        most: u64,
    },
    /// Bytes.
    Bytes {
        /// Smallest.
        least: u64,
        /// Largest.
        most: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words, separated by commas.
    Words(&'static [&'static str]),
    /// Patterns separated by commas.
    List,
    /// Names separated by commas.
    Names,
    /// A filter for the log.
    LogFilter,
}

impl Kind {
    /// What it takes, in words.
    pub fn accepts(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Url => "a URL".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Number { least, most } => format!("{least} to {most}"),
            Self::Duration { least, most } => format!("milliseconds, {least} to {most}, or like `20s`"),
            Self::Bytes { least, most } => format!("bytes, {least} to {most}, or like `16MiB`"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("some of {}, separated by commas", words.join(", ")),
            Self::List => "names separated by commas; `*` stands for any characters".to_owned(),
            Self::Names => "names separated by commas".to_owned(),
            Self::LogFilter => "a level, or `target=level` separated by commas".to_owned(),
        }
    }
}

/// Where a setting stands in lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// How PostgreSQL is reached.
    Database,
    /// How Elasticsearch or OpenSearch is reached.
    Search,
    /// Where records are kept.
    Records,
    /// What tools may see and do.
    Access,
    /// Bounds.
    Limits,
    /// This process.
    Process,
    /// Names whose backends come with a later version.
    Later,
}

impl Section {
    /// In the order of lists.
    pub const ALL: [Self; 7] =
        [Self::Database, Self::Search, Self::Records, Self::Access, Self::Limits, Self::Process, Self::Later];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Database => "PostgreSQL behind the SQL tools",
            Self::Search => "Elasticsearch or OpenSearch behind the search tools",
            Self::Records => "Records: workflows, tasks, agents, locks",
            Self::Access => "What tools may see and do",
            Self::Limits => "Limits",
            Self::Process => "This process",
            Self::Later => "Accepted, but not used by this version yet",
        }
    }
}

/// What is logged when nothing is set: what an operator must know, and little more.
pub const LOG_DEFAULT: &str = "warn,callboard=info,rmcp=error";

/// Further databases are `DATABASE_URL_<NAME>`.
pub const MORE_DATABASES: &str = "DATABASE_URL_";
/// What a database holds is `DATABASE_DESC_<NAME>`.
pub const DATABASE_DESCRIPTIONS: &str = "DATABASE_DESC_";

/// How names begin that this project's build and tests read; they are no settings, and no typos of one.
pub const OF_PROJECT: [&str; 2] = ["CALLBOARD_BUILD_", "CALLBOARD_TEST_"];

const HOUR_MS: u64 = 3_600_000;

const fn setting(
    name: &'static str,
    kind: Kind,
    section: Section,
    default: &'static str,
    description: &'static str,
) -> Setting {
    Setting { name, aliases: &[], kind, default, secret: false, flag: None, section, description }
}

impl Setting {
    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    /// The key in callboard.toml.
    pub fn key(&self) -> String {
        key(self.name)
    }

    /// Its names, the one that wins first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// What a name is in callboard.toml.
pub fn key(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.strip_prefix("callboard_").map(str::to_owned).unwrap_or(lower)
}

/// The setting of a name, also of an alias.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.names().any(|known| known == name))
}

/// The list.
pub static SETTINGS: &[Setting] = &[
    // PostgreSQL.
    setting("DATABASE_URL", Kind::Url, Section::Database, "an embedded SQLite file", "The database of the SQL tools: `postgres://user:password@host:port/database`, also `postgresql://` and `postgresql+psycopg2://`; a password may hold `@` and `%`; `sslmode` from disable to verify-full (`allow` acts as `prefer`), `sslrootcert`, `sslcert`, `sslkey` and `channel_binding` as psql reads them.")
        .aliases(&["DATABASE_URI", "POSTGRES_URL", "DSN", "DB_URL"]).secret(),
    setting("CALLBOARD_QUERY_URL", Kind::Url, Section::Database, "the same as DATABASE_URL", "A separate role for reading the default database, one that may only read.").secret(),
    setting("PGHOST", Kind::Text, Section::Database, "", "Server, with the other PG variables as psql reads them, where no URL is set: PGHOST or PGDATABASE switches PostgreSQL on. PGPASSWORD, PGPASSFILE, PGCHANNELBINDING, PGOPTIONS, PGAPPNAME and those that begin with PGSSL also complete a URL.").aliases(&["PGHOSTADDR"]),
    setting("PGPORT", Kind::Text, Section::Database, "5432", "Port."),
    setting("PGDATABASE", Kind::Text, Section::Database, "the user's name", "Database."),
    setting("PGUSER", Kind::Text, Section::Database, "the system's user", "User."),
    setting("PGPASSWORD", Kind::Text, Section::Database, "", "Password.").secret(),
    setting("PGPASSFILE", Kind::Path, Section::Database, "~/.pgpass", "File of passwords, one `host:port:database:user:password` a line."),
    setting("PGSSLMODE", Kind::Choice(super::database::SSL_MODES), Section::Database, "prefer", "disable, allow, prefer, require, verify-ca or verify-full. `allow` acts as `prefer`: it encrypts where the server can."),
    setting("PGSSLROOTCERT", Kind::Path, Section::Database, "the system's authorities", "PEM file with the authority of the server's certificate."),
    setting("PGSSLCERT", Kind::Path, Section::Database, "", "PEM file with this client's certificate, where the server asks for one."),
    setting("PGSSLKEY", Kind::Path, Section::Database, "", "PEM file with its key, without a passphrase."),
    setting("PGCHANNELBINDING", Kind::Choice(super::database::CHANNEL_BINDINGS), Section::Database, "prefer", "disable, prefer or require: whether a login by SCRAM is tied to its TLS connection."),
    setting("POSTGRES_HOST", Kind::Text, Section::Database, "", "Server, with POSTGRES_PORT, _DATABASE, _USER and _PASSWORD, where neither a URL nor a PG variable is set."),
    setting("POSTGRES_PORT", Kind::Text, Section::Database, "5432", "Port."),
    setting("POSTGRES_DATABASE", Kind::Text, Section::Database, "the user's name", "Database.").aliases(&["POSTGRES_DB"]),
    setting("POSTGRES_USER", Kind::Text, Section::Database, "postgres", "User."),
    setting("POSTGRES_PASSWORD", Kind::Text, Section::Database, "", "Password.").secret(),
    // Elasticsearch and OpenSearch.
    setting("ELASTICSEARCH_URL", Kind::Url, Section::Search, "an embedded index", "The engine of the search tools; the URL may contain user and password.")
        .aliases(&["ES_URL", "ELASTICSEARCH_HOSTS", "OPENSEARCH_URL"]).secret(),
    setting("ELASTICSEARCH_API_KEY", Kind::Text, Section::Search, "", "API key, as `id:key` or in base64.").aliases(&["ES_API_KEY"]).secret(),
    setting("ELASTICSEARCH_USERNAME", Kind::Text, Section::Search, "", "User.").aliases(&["ES_USERNAME"]),
    setting("ELASTICSEARCH_PASSWORD", Kind::Text, Section::Search, "", "Password.").aliases(&["ES_PASSWORD"]).secret(),
    setting("OPENSEARCH_API_KEY", Kind::Text, Section::Search, "", "API key, where the URL comes from OPENSEARCH_URL.").secret(),
    setting("OPENSEARCH_USERNAME", Kind::Text, Section::Search, "", "User, where the URL comes from OPENSEARCH_URL."),
    setting("OPENSEARCH_PASSWORD", Kind::Text, Section::Search, "", "Password, where the URL comes from OPENSEARCH_URL.").secret(),
    setting("ES_CA_CERT", Kind::Path, Section::Search, "the system's authorities", "PEM file with the authority of the engine's certificate.").aliases(&["ELASTICSEARCH_CA_CERT", "OPENSEARCH_CA_CERT"]),
    setting("ES_SSL_SKIP_VERIFY", Kind::Switch, Section::Search, "false", "Accept any certificate of the engine.").aliases(&["ELASTICSEARCH_SSL_SKIP_VERIFY"]),
    setting("OPENSEARCH_SSL_VERIFY", Kind::Switch, Section::Search, "true", "false accepts any certificate of the engine."),
    // Records.
    setting("CALLBOARD_STORE_URL", Kind::Url, Section::Records, "the server of DATABASE_URL where its role owns the schema `callboard` or may make it, else a file in the data directory", "Where workflows, tasks, agents, locks and idempotency keys are kept: a `postgres://` URL, written as DATABASE_URL is, or `embedded`. All servers that work together need the same value.").secret(),
    setting("CALLBOARD_MIGRATE", Kind::Choice(&["auto", "never"]), Section::Records, "auto", "`never` refuses to use a record store with an older schema, or to create one in PostgreSQL; `callboard migrate` does both."),
    // What tools may see and do.
    setting("CALLBOARD_READ_ONLY", Kind::Switch, Section::Access, "false", "Tools that write refuse every call.").flag("--read-only"),
    setting("CALLBOARD_TOOLSETS", Kind::Words(TOOLSETS), Section::Access, "all", "Groups of tools to serve; `core` is what an agent needs to take part in work. This version has workflows, tasks, agents, search, sql and ops.").flag("--toolsets"),
    setting("CALLBOARD_INDICES", Kind::List, Section::Access, "all but system ones", "Indices that tools may read, write and list."),
    setting("CALLBOARD_SCHEMAS", Kind::List, Section::Access, "all but system ones", "Schemas that tools may read, write and list; never `callboard`, which holds this server's own records. The embedded database has one, which is always open."),
    setting("CALLBOARD_ALLOW_FUNCTIONS", Kind::Names, Section::Access, "", "Functions that queries may call although they may do more than read: names without schema and parentheses. Those that only compute, such as random and gen_random_uuid, are always allowed; docs/security.md names them."),
    setting("CALLBOARD_WEBHOOK_HOSTS", Kind::List, Section::Access, "", "Hosts that webhooks may call although they are not public or not https: names or addresses, with or without a port, `*` for any characters (`localhost:*`, `*.example.com`, `10.0.*`, `[::1]:8080`)."),
    setting("CALLBOARD_WEBHOOK_SECRET", Kind::Text, Section::Access, "one for each webhook", "The key that signs all webhooks (HMAC-SHA256).").secret(),
    // Limits.
    setting("CALLBOARD_DEFAULT_ROWS", Kind::Number { least: 1, most: 1_000_000 }, Section::Limits, "200", "Rows in an answer, unless the caller asks for another number."),
    setting("CALLBOARD_MAX_ROWS", Kind::Number { least: 1, most: 1_000_000 }, Section::Limits, "10000", "Maximum number of rows in an answer (`max_rows`, `limit`)."),
    setting("CALLBOARD_DEFAULT_BYTES", Kind::Bytes { least: 256, most: 1 << 20 }, Section::Limits, "24000", "Characters of an answer's rows, unless the caller asks for another number."),
    setting("CALLBOARD_MAX_BYTES", Kind::Bytes { least: 256, most: 1 << 20 }, Section::Limits, "1048576", "Maximum number of characters of an answer's rows (`max_bytes`)."),
    setting("CALLBOARD_CALL_TIMEOUT_MS", Kind::Duration { least: 100, most: HOUR_MS }, Section::Limits, "25000", "Time for a whole call. Most clients give up after 60 s."),
    setting("CALLBOARD_STATEMENT_TIMEOUT_MS", Kind::Duration { least: 1, most: HOUR_MS }, Section::Limits, "20000", "Time for a statement or search in the backend, unless the caller sets `timeout_ms`."),
    setting("CALLBOARD_LEASE_MS", Kind::Duration { least: 1_000, most: 24 * HOUR_MS }, Section::Limits, "900000", "How long a claimed task stays with an agent that makes no call; then another can claim it."),
    setting("CALLBOARD_MAX_DOCUMENTS", Kind::Number { least: 1, most: 1_000_000 }, Section::Limits, "5000", "Documents in one call of index_documents."),
    setting("CALLBOARD_MAX_LOAD_ROWS", Kind::Number { least: 1, most: 10_000_000 }, Section::Limits, "100000", "Rows in one call of bulk_insert."),
    setting("CALLBOARD_MAX_LOAD_BYTES", Kind::Bytes { least: 1_024, most: 1 << 30 }, Section::Limits, "16777216", "Bytes in one call of bulk_insert."),
    setting("CALLBOARD_MAX_ACTIVE_WORKFLOWS", Kind::Number { least: 1, most: 10_000_000 }, Section::Limits, "10000", "Workflows that are open at once; nothing open is ever removed to make room."),
    setting("CALLBOARD_MAX_WORKFLOW_TASKS", Kind::Number { least: 1, most: 100_000 }, Section::Limits, "1000", "Tasks of one workflow."),
    setting("CALLBOARD_MAX_DEPENDENCY_DEPTH", Kind::Number { least: 1, most: 100_000 }, Section::Limits, "100", "Tasks in the longest chain of dependencies of a workflow."),
    setting("CALLBOARD_MAX_PAYLOAD_BYTES", Kind::Bytes { least: 1_024, most: 16 << 20 }, Section::Limits, "1048576", "One input, result, checkpoint, question or answer of a workflow or task."),
    setting("CALLBOARD_MAX_CALLS", Kind::Number { least: 1, most: 10_000 }, Section::Limits, "64", "Calls that run at once."),
    setting("CALLBOARD_MAX_WAITING_CALLS", Kind::Number { least: 0, most: 100_000 }, Section::Limits, "1024", "Calls waiting beyond those; more are answered `busy`."),
    // This process.
    setting("CALLBOARD_DATA_DIR", Kind::Path, Section::Process, "the platform's data directory for `callboard`", "Where the embedded stores and exports live.").flag("--data-dir"),
    setting("CALLBOARD_CONFIG", Kind::Path, Section::Process, "", "A settings file, read before callboard.toml of the working directory and of the user's configuration directory."),
    setting("CALLBOARD_ANSWERS", Kind::Choice(&["both", "text", "structured"]), Section::Process, "both", "`text` leaves out structuredContent and output schemas, `structured` shortens the text to a line."),
    setting("CALLBOARD_LOG", Kind::LogFilter, Section::Process, LOG_DEFAULT, "What is logged to stderr."),
    // Later.
    setting("REDIS_URL", Kind::Url, Section::Later, "", "Redis.").secret(),
    setting("REDIS_HOST", Kind::Text, Section::Later, "", "Host of Redis."),
    setting("REDIS_PORT", Kind::Text, Section::Later, "", "Port of Redis."),
    setting("REDIS_DB", Kind::Text, Section::Later, "", "Database of Redis."),
    setting("REDIS_USERNAME", Kind::Text, Section::Later, "", "User of Redis."),
    setting("REDIS_PASSWORD", Kind::Text, Section::Later, "", "Password of Redis.").aliases(&["REDIS_PWD"]).secret(),
    setting("REDIS_SSL_CA_PATH", Kind::Path, Section::Later, "", "Authority of Redis's certificate."),
    setting("CALLBOARD_REDIS_PREFIX", Kind::Text, Section::Later, "", "What keys in Redis begin with."),
    setting("NATS_URL", Kind::Url, Section::Later, "", "NATS.").secret(),
    setting("NATS_CREDS", Kind::Path, Section::Later, "", "Credentials for NATS."),
    setting("CALLBOARD_INDEX_MEMORY", Kind::Text, Section::Later, "", "Whether memories are indexed in the search engine."),
    setting("CALLBOARD_ARCHIVE_URL", Kind::Url, Section::Later, "", "Where ended workflows are archived.").secret(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_settings() {
        let mut names: Vec<&str> = SETTINGS.iter().flat_map(Setting::names).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_secret_is_never_a_flag() {
        assert!(SETTINGS.iter().all(|setting| !(setting.secret && setting.flag.is_some())));
    }
}
