//! How PostgreSQL is reached.

pub mod read;

use secrecy::SecretString;

use super::setting::{Kind, Section, Setting, setting};

/// How strict TLS is, as PostgreSQL names it.
pub const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Whether a login is tied to its TLS connection, as PostgreSQL names it.
pub const CHANNEL_BINDINGS: &[&str] = &["disable", "prefer", "require"];

/// Further databases are `DATABASE_URL_<NAME>`.
pub const MORE_DATABASES: &str = "DATABASE_URL_";
/// What a database holds is `DATABASE_DESC_<NAME>`.
pub const DATABASE_DESCRIPTIONS: &str = "DATABASE_DESC_";

/// Its settings.
pub const SETTINGS: &[Setting] = &[
    setting("DATABASE_URL", Kind::Url, Section::Database, "an embedded SQLite file", "The database of the SQL tools: `postgres://user:password@host:port/database`, also `postgresql://` and `postgresql+psycopg2://`; a password may hold `@` and `%`; `sslmode` from disable to verify-full (`allow` acts as `prefer`), `sslrootcert`, `sslcert`, `sslkey` and `channel_binding` as psql reads them.")
        .aliases(&["DATABASE_URI", "POSTGRES_URL", "DSN", "DB_URL"]).secret(),
    setting("CALLBOARD_QUERY_URL", Kind::Url, Section::Database, "the same as DATABASE_URL", "A separate role for reading the default database, one that may only read.").secret(),
    setting("PGHOST", Kind::Text, Section::Database, "", "Server, with the other PG variables as psql reads them, where no URL is set: PGHOST or PGDATABASE switches PostgreSQL on. PGPASSWORD, PGPASSFILE, PGCHANNELBINDING, PGOPTIONS, PGAPPNAME and those that begin with PGSSL also complete a URL.").aliases(&["PGHOSTADDR"]),
    setting("PGPORT", Kind::Text, Section::Database, "5432", "Port."),
    setting("PGDATABASE", Kind::Text, Section::Database, "the user's name", "Database."),
    setting("PGUSER", Kind::Text, Section::Database, "the system's user", "User."),
    setting("PGPASSWORD", Kind::Text, Section::Database, "", "Password.").secret(),
    setting("PGPASSFILE", Kind::Path, Section::Database, "~/.pgpass", "File of passwords, one `host:port:database:user:password` a line."),
    setting("PGSSLMODE", Kind::Choice(SSL_MODES), Section::Database, "prefer", "disable, allow, prefer, require, verify-ca or verify-full. `allow` acts as `prefer`: it encrypts where the server can."),
    setting("PGSSLROOTCERT", Kind::Path, Section::Database, "the system's authorities", "PEM file with the authority of the server's certificate."),
    setting("PGSSLCERT", Kind::Path, Section::Database, "", "PEM file with this client's certificate, where the server asks for one."),
    setting("PGSSLKEY", Kind::Path, Section::Database, "", "PEM file with its key, without a passphrase."),
    setting("PGCHANNELBINDING", Kind::Choice(CHANNEL_BINDINGS), Section::Database, "prefer", "disable, prefer or require: whether a login by SCRAM is tied to its TLS connection."),
    setting("POSTGRES_HOST", Kind::Text, Section::Database, "", "Server, with POSTGRES_PORT, _DATABASE, _USER and _PASSWORD, where neither a URL nor a PG variable is set."),
    setting("POSTGRES_PORT", Kind::Text, Section::Database, "5432", "Port."),
    setting("POSTGRES_DATABASE", Kind::Text, Section::Database, "the user's name", "Database.").aliases(&["POSTGRES_DB"]),
    setting("POSTGRES_USER", Kind::Text, Section::Database, "postgres", "User."),
    setting("POSTGRES_PASSWORD", Kind::Text, Section::Database, "", "Password.").secret(),
];

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
