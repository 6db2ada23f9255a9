//! Names whose backends come with a later version: taken, and said to be without effect.

use super::setting::{Kind, Section, Setting, setting};

/// Its settings.
pub const SETTINGS: &[Setting] = &[
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
    setting(
        "CALLBOARD_INDEX_MEMORY",
        Kind::Text,
        Section::Later,
        "",
        "Whether memories are indexed in the search engine.",
    ),
    setting("CALLBOARD_ARCHIVE_URL", Kind::Url, Section::Later, "", "Where ended workflows are archived.").secret(),
];
