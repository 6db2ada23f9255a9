//! The way to a backend, step by step: name, connection, encryption.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::config::{Config, DatabaseConfig, SearchConfig, StoreConfig};

/// Where a backend should be, by its settings.
#[derive(Debug)]
pub struct Target {
    /// As get_server_info names the backend.
    pub backend: String,
    host: String,
    port: u16,
    encryption: String,
}

/// What was found on the way to a backend.
#[derive(Debug, Serialize)]
pub struct Reached {
    #[serde(skip)]
    pub backend: String,
    /// Host and port of its settings.
    pub address: String,
    /// The name resolves to addresses.
    pub dns: Step,
    /// One of them accepts a connection.
    pub tcp: Step,
    /// How the connection is encrypted, as set.
    pub tls: String,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Step {
    /// It worked.
    pub ok: bool,
    /// It was tried: a step is skipped when the one before it failed.
    pub tried: bool,
    /// How long it took.
    pub latency_ms: f64,
    /// What came out, or why nothing did.
    pub detail: String,
}

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The addresses of a configuration's backends; none for embedded ones.
pub fn targets(config: &Config) -> Vec<Target> {
    let mut targets = Vec::new();
    for (place, database) in config.databases.iter().enumerate() {
        let name = if place == 0 { "sql".to_owned() } else { format!("sql:{}", database.name) };
        match (&config.query_database, place) {
            (Some(reader), 0) => {
                targets.extend(of_database(reader, name.clone()));
                targets.extend(of_database(database, format!("{name} (writes)")));
            }
            _ => targets.extend(of_database(database, name)),
        }
    }
    targets.extend(config.search.as_ref().and_then(of_search));
    if let StoreConfig::Server(store) = &config.store {
        targets.extend(of_database(store, "store".to_owned()));
    }
    targets
}

fn of_database(database: &DatabaseConfig, backend: String) -> Option<Target> {
    let url = database.url.expose_secret();
    let (_, rest) = url.split_once("://")?;
    let (_, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (place, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let option = |name: &str| {
        let pairs = rest.split_once('?')?.1;
        pairs.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|(_, value)| value)
    };
    let first = place.split(',').next().unwrap_or_default();
    let (host, port) = match first.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(5432)),
        _ => (first, 5432),
    };
    let host = if host.is_empty() { option("host").unwrap_or("localhost") } else { host };
    let host = percent_decode_str(host.trim_matches(['[', ']'])).decode_utf8_lossy().into_owned();
    Some(Target { backend, host, port, encryption: format!("sslmode={}", option("sslmode").unwrap_or("prefer")) })
}

fn of_search(search: &SearchConfig) -> Option<Target> {
    let host = search.url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = search.url.port().unwrap_or(if search.url.scheme() == "https" { 443 } else { 80 });
    let encryption = match (search.url.scheme(), search.skip_verify, &search.ca_file) {
        ("https", true, _) => "on, any certificate accepted".to_owned(),
        ("https", false, Some(file)) => format!("on, authority from {}", file.display()),
        ("https", false, None) => "on, the system's authorities".to_owned(),
        _ => "off".to_owned(),
    };
    Some(Target { backend: "search".to_owned(), host, port, encryption })
}

/// Tries every way, all at once.
pub async fn all(targets: &[Target]) -> Vec<Reached> {
    join_all(targets.iter().map(one)).await
}

async fn one(target: &Target) -> Reached {
    let address = if target.host.starts_with('/') {
        format!("{}/.s.PGSQL.{}", target.host, target.port)
    } else {
        format!("{}:{}", target.host, target.port)
    };
    let (dns, tcp) = if target.host.starts_with('/') { socket(&address).await } else { network(target).await };
    Reached { backend: target.backend.clone(), address, dns, tcp, tls: target.encryption.clone() }
}

async fn network(target: &Target) -> (Step, Step) {
    let started = Instant::now();
    let found = match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((target.host.as_str(), target.port))).await
    {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => return (failed(started, error.to_string()), skipped()),
        Err(_) => return (failed(started, "no answer within 2 s".to_owned()), skipped()),
    };
    let list = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
    let dns = worked(started, list);
    let started = Instant::now();
    let tcp = match tokio::time::timeout(PATIENCE, TcpStream::connect(found.as_slice())).await {
        Ok(Ok(stream)) => worked(started, stream.peer_addr().map(|address| address.to_string()).unwrap_or_default()),
        Ok(Err(error)) => failed(started, error.to_string()),
        Err(_) => failed(started, "no answer within 2 s".to_owned()),
    };
    (dns, tcp)
}

async fn socket(path: &str) -> (Step, Step) {
    let started = Instant::now();
    let tcp = match tokio::net::UnixStream::connect(path).await {
        Ok(_) => worked(started, "a local socket".to_owned()),
        Err(error) => failed(started, error.to_string()),
    };
    (worked(Instant::now(), "a local socket has no name".to_owned()), tcp)
}

fn worked(started: Instant, detail: String) -> Step {
    Step { ok: true, tried: true, latency_ms: milliseconds(started), detail }
}

fn failed(started: Instant, detail: String) -> Step {
    Step { ok: false, tried: true, latency_ms: milliseconds(started), detail }
}

fn skipped() -> Step {
    Step { ok: false, tried: false, latency_ms: 0.0, detail: "the name has no address".to_owned() }
}

fn milliseconds(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
