//! The parameters of a URL, as libpq names them. What concerns security is served as libpq serves it or refused, never left out: whoever
//! asked for it would believe that it holds.

use std::{fmt::Display, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use tokio_postgres::{
    Config,
    config::{ChannelBinding, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs},
};

use crate::error::Error;

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// What is asked of the connection.
pub(super) struct Security {
    mode: String,
    /// The authorities are the system's: only the strictest mode means something then.
    system: bool,
    pub(super) authorities: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    /// Certificate and key stay here, although they are named.
    pub(super) no_identity: bool,
    /// Of TLS.
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    /// The server is not told which name it was called by.
    pub(super) hides_name: bool,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            mode: String::new(),
            system: false,
            authorities: None,
            certificate: None,
            key: None,
            no_identity: false,
            versions: vec![&TLS13, &TLS12],
            hides_name: false,
        }
    }
}

impl Security {
    /// One of [`MODES`], or nothing where none was named.
    pub(super) fn mode(&self) -> Result<&str, Error> {
        match self.mode.as_str() {
            "" if self.system => Ok("verify-full"),
            "" => Ok(""),
            "verify-full" => Ok("verify-full"),
            _ if self.system => {
                Err(Error::invalid("sslmode", "`sslrootcert=system` goes with `sslmode=verify-full` only")
                    .hint("set sslmode=verify-full, or name a file in sslrootcert"))
            }
            mode if MODES.contains(&mode) => Ok(mode),
            mode => Err(not_one_of("sslmode", mode, &MODES)),
        }
    }
}

/// Takes one parameter in.
pub(super) fn parameter(config: &mut Config, security: &mut Security, name: &str, value: &str) -> Result<(), Error> {
    match name {
        "sslmode" | "ssl-mode" => value.clone_into(&mut security.mode),
        // Of other drivers, and of old ones: the least that `sslmode` may ask for.
        "ssl" | "requiressl"
            if matches!(value, "true" | "1") && matches!(security.mode.as_str(), "" | "allow" | "prefer") =>
        {
            "require".clone_into(&mut security.mode);
        }
        "sslrootcert" if value == "system" => security.system = true,
        "sslrootcert" if !value.is_empty() => security.authorities = Some(value.into()),
        "sslcert" if !value.is_empty() => security.certificate = Some(value.into()),
        "sslkey" if !value.is_empty() => security.key = Some(value.into()),
        "sslsni" => security.hides_name = one_of(name, value, &[("1", false), ("0", true)])?,
        "sslcertmode" => security.no_identity = one_of(name, value, &[("allow", false), ("disable", true)])?,
        "ssl_min_protocol_version" | "ssl_max_protocol_version" => bound(security, name, value)?,
        "sslnegotiation" => {
            let choices = [("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)];
            config.ssl_negotiation(one_of(name, value, &choices)?);
        }
        "channel_binding" => {
            let choices = [
                ("prefer", ChannelBinding::Prefer),
                ("require", ChannelBinding::Require),
                ("disable", ChannelBinding::Disable),
            ];
            config.channel_binding(one_of(name, value, &choices)?);
        }
        // Encryption by Kerberos is never used.
        "gssencmode" => one_of(name, value, &[("disable", ()), ("prefer", ())])?,
        "sslcrl" | "sslcrldir" | "sslpassword" | "require_auth" | "requirepeer" | "service" | "replication"
        | "scram_client_key" | "scram_server_key" | "sslkeylogfile"
            if !value.is_empty() =>
        {
            return Err(not_served(name));
        }
        _ => return place(config, name, value),
    }
    Ok(())
}

/// Where the server is, who logs in, and how the connection is kept.
fn place(config: &mut Config, name: &str, value: &str) -> Result<(), Error> {
    match name {
        "host" => value.split(',').for_each(|host| {
            config.host(host);
        }),
        "hostaddr" => {
            for address in value.split(',') {
                config.hostaddr(number::<IpAddr>(name, address, "an address")?);
            }
        }
        "port" => {
            for port in value.split(',') {
                config.port(number(name, port, "a port")?);
            }
        }
        "dbname" => {
            config.dbname(value);
        }
        "user" => {
            config.user(value);
        }
        "password" => {
            config.password(value);
        }
        "application_name" if !value.is_empty() => {
            config.application_name(value);
        }
        // Only when the user asks: a pooler in between refuses startup options.
        "options" if !value.is_empty() => {
            config.options(value);
        }
        "target_session_attrs" => {
            let choices = [
                ("any", TargetSessionAttrs::Any),
                ("read-write", TargetSessionAttrs::ReadWrite),
                ("read-only", TargetSessionAttrs::ReadOnly),
            ];
            config.target_session_attrs(one_of(name, value, &choices)?);
        }
        "load_balance_hosts" => {
            let choices = [("disable", LoadBalanceHosts::Disable), ("random", LoadBalanceHosts::Random)];
            config.load_balance_hosts(one_of(name, value, &choices)?);
        }
        // A connection comes about within a second or not at all, whatever is asked.
        "connect_timeout" => {
            number::<i64>(name, value, "a number of seconds")?;
        }
        _ => return keep_alive(config, name, value),
    }
    Ok(())
}

/// How a silent connection is found out. 0 leaves what holds anyway.
fn keep_alive(config: &mut Config, name: &str, value: &str) -> Result<(), Error> {
    match name {
        "keepalives" => {
            config.keepalives(one_of(name, value, &[("1", true), ("0", false)])?);
        }
        "keepalives_idle" => {
            time(name, value, Duration::from_secs)?.map(|time| config.keepalives_idle(time));
        }
        "keepalives_interval" => {
            time(name, value, Duration::from_secs)?.map(|time| config.keepalives_interval(time));
        }
        "keepalives_count" if value != "0" => {
            config.keepalives_retries(number(name, value, "a whole number")?);
        }
        "tcp_user_timeout" => {
            time(name, value, Duration::from_millis)?.map(|time| config.tcp_user_timeout(time));
        }
        other if other.to_lowercase().starts_with("ssl") || misspelt(other).is_some() => return Err(unknown(other)),
        // Other tools write their own parameters into the same URL.
        other => tracing::debug!(parameter = other, "a parameter of the database's URL is not used"),
    }
    Ok(())
}

/// Leaves the versions of TLS that are inside the bound. What is older than 1.2 is never spoken.
fn bound(security: &mut Security, name: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() {
        return Ok(());
    }
    let bound = one_of(name, value, &[("TLSv1", 10), ("TLSv1.1", 11), ("TLSv1.2", 12), ("TLSv1.3", 13)])?;
    let lowest = name == "ssl_min_protocol_version";
    let number = |version: &SupportedProtocolVersion| if *version == TLS13 { 13 } else { 12 };
    security.versions.retain(|version| if lowest { number(version) >= bound } else { number(version) <= bound });
    if security.versions.is_empty() {
        return Err(Error::invalid(
            name.to_owned(),
            format!("`{name}={value}` leaves no version of TLS that this server speaks"),
        )
        .hint("it speaks TLSv1.2 and TLSv1.3"));
    }
    Ok(())
}

fn one_of<T: Copy>(name: &str, value: &str, choices: &[(&str, T)]) -> Result<T, Error> {
    let found = choices.iter().find(|(choice, _)| *choice == value);
    let names = || choices.iter().map(|(choice, _)| *choice).collect::<Vec<_>>();
    found.map(|(_, meaning)| *meaning).ok_or_else(|| not_one_of(name, value, &names()))
}

fn not_one_of(name: &str, value: &str, choices: &[&str]) -> Error {
    Error::invalid(name.to_owned(), format!("`{name}` of the database's URL is `{value}`"))
        .hint(format!("this server takes {}", choices.join(", ")))
}

/// `None` for 0 and for what is below it.
fn time(name: &str, value: &str, unit: fn(u64) -> Duration) -> Result<Option<Duration>, Error> {
    let number: i64 = number(name, value, "a whole number")?;
    Ok(u64::try_from(number).ok().filter(|number| *number > 0).map(unit))
}

fn number<T: FromStr<Err: Display>>(name: &str, value: &str, what: &str) -> Result<T, Error> {
    value.trim().parse().map_err(|error: T::Err| {
        Error::invalid(name.to_owned(), format!("`{name}` of the database's URL is not {what}: `{value}`"))
            .hint("correct it, or leave it out")
            .cause(error.to_string())
    })
}

/// What concerns security and is near this name.
fn misspelt(name: &str) -> Option<&'static str> {
    const KNOWN: [&str; 12] = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslsni",
        "sslcertmode",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "channel_binding",
        "require_auth",
        "target_session_attrs",
    ];
    let near =
        |known: &&str| strsim::osa_distance(&known.replace('_', ""), &name.to_lowercase().replace(['_', '-'], "")) <= 2;
    KNOWN.into_iter().find(near)
}

fn unknown(name: &str) -> Error {
    let error = Error::invalid(name.to_owned(), format!("no parameter `{name}` of the database's URL is known"));
    match misspelt(name) {
        Some(known) => error.did_you_mean(vec![known.to_owned()]).hint(format!("did you mean `{known}`?")),
        None => error.hint("sslmode, sslrootcert, sslcert and sslkey say how the connection is encrypted and checked"),
    }
}

fn not_served(name: &str) -> Error {
    let hint = match name {
        "sslpassword" => "name a key without a passphrase in sslkey, and protect the file",
        "sslcrl" | "sslcrldir" => "lists of revoked certificates are not read; connect through a proxy that reads them",
        "require_auth" => "channel_binding=require takes no login but SCRAM over TLS",
        "requirepeer" => "connect by TLS with sslmode=verify-full to be sure of the server",
        "service" => "write what the service holds into the URL",
        "replication" => "leave it out: this server only runs statements",
        _ => "leave it out",
    };
    Error::invalid(name.to_owned(), format!("`{name}` of the database's URL is not supported")).hint(hint)
}
