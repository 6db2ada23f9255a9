//! How the names and forms in which a search engine is given become one address and one login.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    super::{
        database::read::decoded,
        environment::Environment,
        sources::{Found, Sources, names_unreadable},
        table, value,
    },
    Login, SearchConfig,
};
use crate::{
    error::{Code, Error},
    redaction::split_userinfo,
};

/// The engine that is set.
///
/// # Errors
/// `invalid` naming the setting that cannot be used.
pub fn search(sources: &mut Sources, environment: &Environment) -> Result<Option<SearchConfig>, Error> {
    let Some(found) = table::find("ELASTICSEARCH_URL").and_then(|setting| sources.get(setting)).cloned() else {
        return Ok(None);
    };
    let (address, more) = first(&found.text);
    if more {
        sources.warnings.push(format!("`{}` names several hosts; the first is used", found.name));
    }
    let (url, from_url) = parse(&found, &address)?;
    let prefix = if found.name.starts_with("OPENSEARCH") { "OPENSEARCH" } else { "ELASTICSEARCH" };
    let login = login(sources, prefix)?.unwrap_or(from_url);
    let get = |name: &str| table::find(name).and_then(|setting| sources.get(setting));
    let authority = get("ES_CA_CERT").map(|found| (found.name.as_str(), environment.path(&found.text)));
    if let Some((name, path)) = &authority
        && let Err(error) = std::fs::metadata(path)
    {
        return Err(names_unreadable(name, path, &error));
    }
    let skip = match get("ES_SSL_SKIP_VERIFY") {
        Some(found) => value::switch(&found.name, &found.text)?,
        None => false,
    };
    let verify = match get("OPENSEARCH_SSL_VERIFY") {
        Some(found) => value::switch(&found.name, &found.text)?,
        None => true,
    };
    let ca_file = authority.map(|(_, path)| path);
    Ok(Some(SearchConfig { url, login, ca_file, skip_verify: skip || !verify }))
}

/// The first of several hosts: `a,b` or `["a","b"]`. A comma can also stand in a password, so that only one before a further `://` or without any
/// user information separates.
fn first(text: &str) -> (String, bool) {
    let text = text.trim();
    if let Ok(hosts) = serde_json::from_str::<Vec<String>>(text) {
        let more = hosts.len() > 1;
        return (hosts.into_iter().next().unwrap_or_default(), more);
    }
    let between = text.match_indices(',').map(|(at, _)| at).find(|at| {
        let later = text.get(at + 1..).unwrap_or_default().trim_start();
        later.starts_with("http://") || later.starts_with("https://") || !text.contains('@')
    });
    match between {
        Some(at) => (text.get(..at).unwrap_or_default().trim().to_owned(), true),
        None => (text.to_owned(), false),
    }
}

fn parse(found: &Found, address: &str) -> Result<(url::Url, Login), Error> {
    let refuse = |message: String| {
        Error::new(Code::Invalid, message)
            .argument(found.name.clone())
            .hint("write it as https://host:9200; unset it to use the embedded index")
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(refuse(format!("`{}` begins with `{scheme}://`; it takes http:// or https://", found.name)));
    }
    let (login, place) = match split_userinfo(rest) {
        Some((userinfo, place)) => {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            (Login::Password(decoded(user), decoded(password).into()), place)
        }
        None => (Login::None, rest),
    };
    let url = url::Url::parse(&format!("{scheme}://{place}"))
        .map_err(|error| refuse(format!("`{}` is not a URL: {error}", found.name)))?;
    Ok((url, login))
}

/// What the settings of a prefix say; ES_ and ELASTICSEARCH_ are one.
fn login(sources: &Sources, prefix: &str) -> Result<Option<Login>, Error> {
    let get = |what: &str| table::find(&format!("{prefix}_{what}")).and_then(|setting| sources.get(setting));
    if let Some(key) = get("API_KEY") {
        let key = key.text.trim();
        let key = key.strip_prefix("ApiKey ").unwrap_or(key);
        let encoded = if key.contains(':') { STANDARD.encode(key) } else { key.to_owned() };
        return Ok(Some(Login::ApiKey(encoded.into())));
    }
    match (get("USERNAME"), get("PASSWORD")) {
        (Some(user), Some(password)) => {
            Ok(Some(Login::Password(user.text.trim().to_owned(), password.text.clone().into())))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(alone(prefix, "USERNAME", "PASSWORD")),
        (None, Some(_)) => Err(alone(prefix, "PASSWORD", "USERNAME")),
    }
}

fn alone(prefix: &str, set: &str, missing: &str) -> Error {
    Error::new(Code::Invalid, format!("`{prefix}_{set}` is set without `{prefix}_{missing}`"))
        .argument(format!("{prefix}_{missing}"))
}
