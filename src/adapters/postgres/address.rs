//! The address of a server, in every form that users of other tools already type.

mod parameters;

use std::{str::FromStr, time::Duration};

use percent_encoding::percent_decode_str;
use tokio_postgres::{
    Config,
    config::{Host, SslMode, SslNegotiation},
};

use self::parameters::{Security, parameter};
use super::tls::{Asked, Identity, Tls, Trust};
use crate::error::Error;

/// Where a server is and how to log in.
pub struct Address {
    /// For the driver.
    pub config: Config,
    /// How the connection is encrypted.
    pub tls: Tls,
}

impl FromStr for Address {
    type Err = Error;

    /// Reads `postgres://user:password@host:port/database?parameter=value`; the scheme may be `postgresql` and name a Python driver
    /// (`postgresql+psycopg2`), a password may hold `@` and `%` as they are, hosts may be several, and a host that starts with `/` (or
    /// `%2F`) is the folder of a unix socket.
    fn from_str(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| refuse("has no scheme"))?;
        if !matches!(scheme.split('+').next(), Some("postgres" | "postgresql")) {
            return Err(refuse("has a scheme other than postgres"));
        }
        let (login, rest) = split_login(rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        let mut config = Config::new();
        config.application_name("callboard").keepalives_idle(Duration::from_secs(30));
        if let Some(login) = login {
            let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
            if !user.is_empty() {
                config.user(decoded(user)?);
            }
            if let Some(password) = password {
                config.password(decoded(password)?);
            }
        }
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            let (host, port) = split_port(host);
            config.host(decoded(host)?);
            config.port(number(port.unwrap_or("5432"), "port")?);
        }
        if !database.is_empty() {
            config.dbname(decoded(database)?);
        }
        let mut security = Security::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameter(&mut config, &mut security, name, &decoded(value)?)?;
        }
        finish(config, security)
    }
}

fn finish(mut config: Config, security: Security) -> Result<Address, Error> {
    if config.get_hosts().is_empty() {
        // A certificate is held to a name, or to the address that stands for one.
        match config.get_hostaddrs().to_vec().as_slice() {
            [] => {
                config.host("localhost");
            }
            addresses => addresses.iter().for_each(|address| {
                config.host(address.to_string());
            }),
        }
    }
    if config.get_ports().is_empty() {
        config.port(5432);
    }
    if config.get_user().is_none() {
        config.user("postgres");
    }
    let authorities = security.authorities.as_deref();
    let (mode, trust) = match security.mode()? {
        "disable" => (SslMode::Disable, None),
        // `allow` would rather not encrypt, but nobody is harmed by what is encrypted all the same.
        "allow" | "prefer" | "" => (SslMode::Prefer, Some(Trust::Anyone)),
        // As libpq does: with an authority named, the certificate is held to it.
        "require" if authorities.is_some() => (SslMode::Require, Some(Trust::Authority)),
        "require" => (SslMode::Require, Some(Trust::Anyone)),
        "verify-ca" => (SslMode::Require, Some(Trust::Authority)),
        _ => (SslMode::Require, Some(Trust::Host)),
    };
    let socket = config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_)));
    config.ssl_mode(if socket { SslMode::Disable } else { mode });
    let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
    if direct && !socket && mode != SslMode::Require {
        return Err(Error::invalid("sslnegotiation", "`sslnegotiation=direct` needs encryption that is not optional")
            .hint("set sslmode=require, verify-ca or verify-full beside it"));
    }
    let identity = match (security.certificate, security.key) {
        _ if security.no_identity => None,
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        (certificate, _) => {
            let (given, missing) = if certificate.is_some() { ("sslcert", "sslkey") } else { ("sslkey", "sslcert") };
            return Err(Error::invalid(missing, format!("the database's URL has `{given}`, but no `{missing}`"))
                .hint("name both files: sslcert=/path/client.pem&sslkey=/path/client.key"));
        }
    };
    let tls = match trust {
        Some(trust) if !socket => Tls::new(&Asked {
            trust,
            authorities,
            identity: identity.as_ref(),
            versions: &security.versions,
            hides_name: security.hides_name,
            direct,
        })?,
        _ => Tls::Plain,
    };
    Ok(Address { config, tls })
}

/// The login ends at the last `@` before the parameters, so that a password may hold one.
fn split_login(rest: &str) -> (Option<&str>, &str) {
    let end = rest.rfind('?').filter(|question| !rest.get(*question..).is_some_and(|tail| tail.contains('@')));
    let before = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
    match before.rfind('@') {
        Some(at) => (rest.get(..at), rest.get(at + 1..).unwrap_or_default()),
        None => (None, rest),
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    if let Some((address, after)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        return (address, after.strip_prefix(':'));
    }
    match host.split_once(':') {
        Some((host, port)) if !port.is_empty() => (host, Some(port)),
        Some((host, _)) => (host, None),
        None => (host, None),
    }
}

/// Percent escapes are decoded; a `%` that starts none stands for itself, because passwords are pasted as they are.
fn decoded(text: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|error| refuse("has a percent escape that is not UTF-8").cause(error))?.into_owned())
}

fn number(text: &str, what: &str) -> Result<u16, Error> {
    text.parse().map_err(|error| refuse(&format!("has a {what} that is not a number")).cause(error))
}

/// Never shows the URL: it holds a password.
fn refuse(why: &str) -> Error {
    Error::invalid("DATABASE_URL", format!("the database's URL {why}"))
        .hint("write postgres://user:password@host:5432/database?sslmode=require")
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::{Host, SslMode};

    use super::Address;

    fn read(url: &str) -> Address {
        url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn passwords_hold_what_they_hold() {
        for (url, password) in [
            ("postgres://u:p@ss@h/d", "p@ss"),
            ("postgresql://u:p%40ss@h/d", "p@ss"),
            ("postgres://u:100%@h/d", "100%"),
            ("postgresql+psycopg2://u:a:b/c?d@h/d?sslmode=disable", "a:b/c?d"),
        ] {
            let address = read(url);
            assert_eq!(address.config.get_password(), Some(password.as_bytes()), "{url}");
            assert_eq!(address.config.get_hosts(), [Host::Tcp("h".to_owned())], "{url}");
            assert_eq!(address.config.get_dbname(), Some("d"), "{url}");
        }
    }

    #[test]
    fn hosts_may_be_sockets_or_several() {
        let socket = read("postgres://u@%2Ftmp%2Fpg:5433/d");
        assert_eq!(socket.config.get_hosts(), [Host::Unix("/tmp/pg".into())]);
        assert_eq!(socket.config.get_ports(), [5433]);
        assert_eq!(read("postgres:///d?host=/tmp/pg").config.get_hosts(), [Host::Unix("/tmp/pg".into())]);
        assert_eq!(read("postgres://u@a:1,b:2/d").config.get_ports(), [1, 2]);
        assert_eq!(read("postgres://u@[::1]:7/d").config.get_hosts(), [Host::Tcp("::1".to_owned())]);
    }

    #[test]
    fn modes_are_read_and_unknown_ones_refused() {
        for (mode, wanted) in [
            ("disable", SslMode::Disable),
            ("allow", SslMode::Prefer),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-full", SslMode::Require),
        ] {
            assert_eq!(read(&format!("postgres://h/d?sslmode={mode}")).config.get_ssl_mode(), wanted);
        }
        for (query, argument) in [
            ("sslcert=/nowhere/c.pem", "sslkey"),
            ("sslkey=/nowhere/c.key", "sslcert"),
            ("sslcert=/nowhere/c.pem&sslkey=/nowhere/c.key", "sslcert"),
        ] {
            let refused = format!("postgres://h/d?{query}").parse::<Address>().map(|_| ()).unwrap_err();
            assert_eq!(refused.argument.as_deref(), Some(argument), "{query}");
        }
        for misspelt in
            ["sslmod=require", "SSLMODE=require", "ssl_mode=require", "channelbinding=require", "sslaccept=strict"]
        {
            let refused = format!("postgres://h/d?{misspelt}").parse::<Address>().map(|_| ()).unwrap_err();
            assert_eq!(refused.argument.as_deref(), misspelt.split('=').next(), "{misspelt}");
        }
        assert!("postgres://h/d?schema=public&pgbouncer=true&connection_limit=5".parse::<Address>().is_ok());
        assert!("postgres://h/d?sslmode=sure".parse::<Address>().is_err());
        assert!("mysql://h/d".parse::<Address>().is_err());
    }
}
