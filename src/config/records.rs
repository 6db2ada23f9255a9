//! Where records are kept.

use super::{
    database::DatabaseConfig,
    setting::{Kind, Section, Setting, setting},
    values::Values,
};

/// Its settings.
pub const SETTINGS: &[Setting] = &[
    setting("CALLBOARD_STORE_URL", Kind::Url, Section::Records, "the server of DATABASE_URL where its role owns the schema `callboard` or may make it, else a file in the data directory", "Where workflows, tasks, agents, locks and idempotency keys are kept: a `postgres://` URL, written as DATABASE_URL is, or `embedded`. All servers that work together need the same value.").secret(),
    setting("CALLBOARD_MIGRATE", Kind::Choice(&["auto", "never"]), Section::Records, "auto", "`never` refuses to use a record store with an older schema, or to create one in PostgreSQL; `callboard migrate` does both."),
];

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

impl Migrate {
    pub(super) fn read(values: &Values<'_>) -> Self {
        let never = values.text("CALLBOARD_MIGRATE").is_some_and(|word| word.eq_ignore_ascii_case("never"));
        if never { Self::Never } else { Self::Auto }
    }
}
