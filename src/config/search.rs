//! How Elasticsearch or OpenSearch is reached.

pub mod read;

use std::path::PathBuf;

use secrecy::SecretString;

use super::setting::{Kind, Section, Setting, setting};

/// Its settings.
pub const SETTINGS: &[Setting] = &[
    setting(
        "ELASTICSEARCH_URL",
        Kind::Url,
        Section::Search,
        "an embedded index",
        "The engine of the search tools; the URL may contain user and password.",
    )
    .aliases(&["ES_URL", "ELASTICSEARCH_HOSTS", "OPENSEARCH_URL"])
    .secret(),
    setting("ELASTICSEARCH_API_KEY", Kind::Text, Section::Search, "", "API key, as `id:key` or in base64.")
        .aliases(&["ES_API_KEY"])
        .secret(),
    setting("ELASTICSEARCH_USERNAME", Kind::Text, Section::Search, "", "User.").aliases(&["ES_USERNAME"]),
    setting("ELASTICSEARCH_PASSWORD", Kind::Text, Section::Search, "", "Password.").aliases(&["ES_PASSWORD"]).secret(),
    setting("OPENSEARCH_API_KEY", Kind::Text, Section::Search, "", "API key, where the URL comes from OPENSEARCH_URL.")
        .secret(),
    setting("OPENSEARCH_USERNAME", Kind::Text, Section::Search, "", "User, where the URL comes from OPENSEARCH_URL."),
    setting(
        "OPENSEARCH_PASSWORD",
        Kind::Text,
        Section::Search,
        "",
        "Password, where the URL comes from OPENSEARCH_URL.",
    )
    .secret(),
    setting(
        "ES_CA_CERT",
        Kind::Path,
        Section::Search,
        "the system's authorities",
        "PEM file with the authority of the engine's certificate.",
    )
    .aliases(&["ELASTICSEARCH_CA_CERT", "OPENSEARCH_CA_CERT"]),
    setting("ES_SSL_SKIP_VERIFY", Kind::Switch, Section::Search, "false", "Accept any certificate of the engine.")
        .aliases(&["ELASTICSEARCH_SSL_SKIP_VERIFY"]),
    setting(
        "OPENSEARCH_SSL_VERIFY",
        Kind::Switch,
        Section::Search,
        "true",
        "false accepts any certificate of the engine.",
    ),
];

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
