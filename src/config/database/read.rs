//! How the names and forms in which databases are given become one URL per database.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    super::{
        environment::Environment,
        passfile,
        records::StoreConfig,
        sources::{Found, Source, Sources},
        table, value,
    },
    DATABASE_DESCRIPTIONS, DatabaseConfig, MORE_DATABASES, SSL_MODES,
};
use crate::{
    domain::names::nearest,
    error::{Code, Error},
    redaction::split_userinfo,
};

/// What completes a URL, as psql reads it. What cannot be served of it is refused where the address is read.
const COMPLETING: &[(&str, &str)] = &[
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslsni", "PGSSLSNI"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("gssencmode", "PGGSSENCMODE"),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
];

/// What must be escaped in a part of a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A database's URL in parts; whatever it was written as.
#[derive(Debug, Default)]
struct Parts {
    user: Option<String>,
    password: Option<String>,
    /// Host with port, several separated by commas, as in the URL.
    place: String,
    database: Option<String>,
    query: Vec<(String, String)>,
    /// A file of passwords of its own.
    passfile: Option<String>,
}

/// The databases that are set, the default first.
///
/// # Errors
/// `invalid` naming the setting that cannot be used.
pub fn databases(sources: &Sources, environment: &Environment) -> Result<Vec<DatabaseConfig>, Error> {
    let descriptions = sources.with_prefix(DATABASE_DESCRIPTIONS);
    let describe = |name: &str| {
        descriptions.iter().find(|(suffix, _)| suffix.eq_ignore_ascii_case(name)).map(|(_, found)| found.text.clone())
    };
    let mut databases = Vec::new();
    if let Some(url) = main_url(sources, environment)? {
        databases.push(DatabaseConfig { name: "main".to_owned(), description: describe("main"), url: url.into() });
    }
    for (suffix, found) in sources.with_prefix(MORE_DATABASES) {
        let name = suffix.to_ascii_lowercase();
        if databases.iter().any(|database| database.name == name) {
            return Err(
                Error::new(Code::Invalid, format!("two databases are named `{name}`")).argument(found.name.clone())
            );
        }
        let url = complete(parse(found)?, sources, environment).write().into();
        databases.push(DatabaseConfig { description: describe(&name), name, url });
    }
    for suffix in descriptions.keys() {
        if !databases.iter().any(|database| database.name.eq_ignore_ascii_case(suffix)) {
            let known = databases.iter().map(|database| database.name.as_str());
            let variable = format!("{}{suffix}", DATABASE_DESCRIPTIONS);
            return Err(Error::new(Code::Invalid, format!("`{variable}` describes a database that is not set"))
                .did_you_mean(nearest(suffix, known))
                .hint(format!("set `{}{suffix}` too", MORE_DATABASES))
                .argument(variable));
        }
    }
    Ok(databases)
}

/// The role of its own for reads.
///
/// # Errors
/// `invalid` when its URL cannot be used, or there is nothing to read from.
pub fn query_database(
    sources: &Sources,
    environment: &Environment,
    databases: &[DatabaseConfig],
) -> Result<Option<DatabaseConfig>, Error> {
    let Some(found) = sources.get_name("CALLBOARD_QUERY_URL") else { return Ok(None) };
    let Some(main) = databases.first() else {
        return Err(Error::new(Code::Invalid, "`CALLBOARD_QUERY_URL` is set, but no database is")
            .hint("set DATABASE_URL too: writes go there")
            .argument("CALLBOARD_QUERY_URL"));
    };
    let url = complete(parse(found)?, sources, environment).write().into();
    Ok(Some(DatabaseConfig { name: main.name.clone(), description: main.description.clone(), url }))
}

/// Where records are kept.
///
/// # Errors
/// `invalid` when its URL cannot be used.
pub fn store(sources: &Sources, environment: &Environment, databases: &[DatabaseConfig]) -> Result<StoreConfig, Error> {
    let Some(found) = sources.get_name("CALLBOARD_STORE_URL") else {
        return Ok(databases.first().cloned().map_or(StoreConfig::Embedded, StoreConfig::Fitting));
    };
    if found.text.trim().eq_ignore_ascii_case("embedded") {
        return Ok(StoreConfig::Embedded);
    }
    let parts = parse(found).map_err(|error| {
        let hint = "write it as postgres://user:password@host:5432/database, or `embedded`";
        Error::new(error.code, error.message.clone()).argument(found.name.clone()).hint(hint)
    })?;
    let url = complete(parts, sources, environment).write().into();
    Ok(StoreConfig::Server(DatabaseConfig { name: "store".to_owned(), description: None, url }))
}

fn main_url(sources: &Sources, environment: &Environment) -> Result<Option<String>, Error> {
    if let Some(found) = table::find("DATABASE_URL").and_then(|setting| sources.get(setting)) {
        return Ok(Some(complete(parse(found)?, sources, environment).write()));
    }
    let get = |name: &str| table::find(name).and_then(|setting| sources.get(setting));
    let text = |name: &str| get(name).map(|found| found.text.trim().to_owned());
    let parts = if get("PGHOST").is_some() || get("PGDATABASE").is_some() {
        Parts { place: place(text("PGHOST"), get("PGPORT"))?, database: text("PGDATABASE"), ..Parts::default() }
    } else if get("POSTGRES_HOST").is_some() {
        Parts {
            user: text("POSTGRES_USER").or_else(|| Some("postgres".to_owned())),
            password: get("POSTGRES_PASSWORD").map(|found| found.text.clone()),
            place: place(text("POSTGRES_HOST"), get("POSTGRES_PORT"))?,
            database: text("POSTGRES_DATABASE"),
            ..Parts::default()
        }
    } else {
        return Ok(None);
    };
    Ok(Some(complete(parts, sources, environment).write()))
}

/// Host and port from settings of their own. Kubernetes gives a service's port as `tcp://10.0.0.1:5432`.
fn place(host: Option<String>, port: Option<&Found>) -> Result<String, Error> {
    let host = host.unwrap_or_default();
    let host = if host.starts_with('/') { utf8_percent_encode(&host, ESCAPED).to_string() } else { host };
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let Some(port) = port else { return Ok(host) };
    let digits = port.text.rsplit(':').next().unwrap_or_default();
    let port = value::number(&port.name, digits, 1, 65_535)?;
    Ok(format!("{host}:{port}"))
}

/// Reads a URL, or libpq's `host=… dbname=…`.
fn parse(found: &Found) -> Result<Parts, Error> {
    let text = found.text.trim();
    let refuse = |message: String| {
        Error::new(Code::Invalid, message)
            .argument(found.name.clone())
            .hint("write it as postgres://user:password@host:5432/database; unset it to use the embedded database")
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return keywords(text).ok_or_else(|| refuse(format!("`{}` is not a URL", found.name)));
    };
    let (dialect, _driver) = scheme.split_once('+').unwrap_or((scheme, ""));
    if !["postgres", "postgresql"].contains(&dialect.to_ascii_lowercase().as_str()) {
        return Err(refuse(format!(
            "`{}` begins with `{scheme}://`; it takes postgres:// or postgresql://",
            found.name
        )));
    }
    let mut parts = Parts::default();
    let rest = match split_userinfo(rest) {
        Some((userinfo, rest)) => {
            let (user, password) =
                userinfo.split_once(':').map_or((userinfo, None), |(user, password)| (user, Some(password)));
            parts.user = Some(decoded(user)).filter(|user| !user.is_empty());
            parts.password = password.map(decoded).filter(|password| !password.is_empty());
            rest
        }
        None => rest,
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
    parts.place = place.to_owned();
    parts.database = Some(decoded(database)).filter(|database| !database.is_empty());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "user" => parts.user = Some(decoded(value)),
            "password" => parts.password = Some(decoded(value)),
            "passfile" => parts.passfile = Some(decoded(value)),
            "dbname" => parts.database = Some(decoded(value)),
            _ => parts.query.push((key.to_owned(), decoded(value))),
        }
    }
    check_ssl_mode(&parts, found)?;
    check_port(&parts)
        .map_err(|port| refuse(format!("the port `{port}` in `{}` is not a number from 1 to 65535", found.name)))?;
    Ok(parts)
}

fn check_ssl_mode(parts: &Parts, found: &Found) -> Result<(), Error> {
    match parts.query.iter().find(|(key, _)| key == "sslmode") {
        Some((_, mode)) => value::choice("sslmode", mode, SSL_MODES).map(drop).map_err(|error| {
            let message = error.message.replacen("`sslmode`", &format!("`sslmode` in `{}`", found.name), 1);
            error.reworded(message).argument(found.name.clone())
        }),
        None => Ok(()),
    }
}

fn check_port(parts: &Parts) -> Result<(), String> {
    for place in parts.place.split(',') {
        let after_address = place.rsplit(']').next().unwrap_or(place);
        if let Some((_, port)) = after_address.rsplit_once(':')
            && !port.is_empty()
            && port.parse::<u16>().ok().filter(|port| *port > 0).is_none()
        {
            return Err(port.to_owned());
        }
    }
    Ok(())
}

/// libpq's `key=value` form, values possibly in single quotes.
fn keywords(text: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    let (mut host, mut address, mut port) = (None, None, None);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('\'') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after.get(..end)?.to_owned(), after.get(end..)?)
            }
        };
        match key.trim() {
            "host" => host = Some(value),
            // The certificate is for the host, whatever address it is reached by.
            "hostaddr" => address = Some(value),
            "port" => port = Some(Found { text: value, name: "port".to_owned(), source: Source::Environment }),
            "user" => parts.user = Some(value),
            "password" => parts.password = Some(value),
            "passfile" => parts.passfile = Some(value),
            "dbname" => parts.database = Some(value),
            key => parts.query.push((key.to_owned(), value)),
        }
        rest = after.trim_start();
    }
    if let (Some(_), Some(address)) = (&host, &address) {
        parts.query.push(("hostaddr".to_owned(), address.clone()));
    }
    parts.place = place(host.or(address), port.as_ref()).ok()?;
    Some(parts)
}

fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// What was not said comes from where psql would take it.
fn complete(mut parts: Parts, sources: &Sources, environment: &Environment) -> Parts {
    let text = |name: &str| table::find(name).and_then(|setting| sources.get(setting)).map(|found| found.text.clone());
    if parts.user.is_none() {
        let system = || environment.text("USER").or_else(|| environment.text("LOGNAME")).map(str::to_owned);
        parts.user = text("PGUSER").or_else(system).or_else(|| Some("postgres".to_owned()));
    }
    if parts.database.is_none() {
        parts.database = text("PGDATABASE").or_else(|| parts.user.clone());
    }
    let has = |parts: &Parts, key: &str| parts.query.iter().any(|(known, _)| known == key);
    if parts.place.is_empty() || parts.place.starts_with(':') {
        let port = std::mem::take(&mut parts.place);
        parts.place = if has(&parts, "host") { port } else { format!("{}{port}", local_place()) };
    }
    for (key, name) in COMPLETING {
        let value = || text(name).or_else(|| environment.text(name).map(str::to_owned));
        if !has(&parts, key)
            && let Some(value) = value().filter(|value| !value.is_empty())
        {
            parts.query.push(((*key).to_owned(), value));
        }
    }
    for (key, value) in &mut parts.query {
        let is_file = matches!(key.as_str(), "sslrootcert" | "sslcert" | "sslkey");
        if is_file && value != "system" {
            *value = environment.path(value).display().to_string();
        }
    }
    if parts.password.is_none() {
        parts.password = text("PGPASSWORD").or_else(|| {
            passfile::password(
                &parts.wanted(),
                parts.passfile.clone().or_else(|| text("PGPASSFILE")).as_deref(),
                environment,
            )
        });
    }
    parts
}

/// Where a server of this machine is, when no host is given: its socket, else by name.
fn local_place() -> String {
    let socket =
        ["/var/run/postgresql", "/tmp"].iter().find(|dir| std::path::Path::new(dir).join(".s.PGSQL.5432").exists());
    socket.map_or_else(|| "localhost".to_owned(), |dir| utf8_percent_encode(dir, ESCAPED).to_string())
}

impl Parts {
    fn wanted(&self) -> passfile::Wanted<'_> {
        let first = self.place.split(',').next().unwrap_or_default();
        let (host, port) = match first.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (first, "5432"),
        };
        let host = if host.starts_with("%2F") || host.is_empty() { "localhost" } else { host.trim_matches(['[', ']']) };
        let database = self.database.as_deref().unwrap_or_default();
        passfile::Wanted { host, port, database, user: self.user.as_deref().unwrap_or_default() }
    }

    fn write(&self) -> String {
        let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let mut url = format!("postgres://{}", escaped(self.user.as_deref().unwrap_or_default()));
        if let Some(password) = &self.password {
            url.push(':');
            url.push_str(&escaped(password));
        }
        url.push('@');
        url.push_str(&self.place);
        url.push('/');
        url.push_str(&escaped(self.database.as_deref().unwrap_or_default()));
        for (at, (key, value)) in self.query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            url.push_str(&escaped(value));
        }
        url
    }
}

/// The text behind percent signs. What is no valid escape stays as it is, because people paste passwords raw.
pub fn decoded(text: &str) -> String {
    let mut protected = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (at, character) in text.char_indices() {
        let hex = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_hexdigit);
        protected.push(character);
        if character == '%' && !(hex(at + 1) && hex(at + 2)) {
            protected.push_str("25");
        }
    }
    percent_decode_str(&protected).decode_utf8().map_or_else(|_| text.to_owned(), |text| text.into_owned())
}
