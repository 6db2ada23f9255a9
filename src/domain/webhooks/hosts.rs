//! The hosts that an operator lets webhooks call.

use core::net::IpAddr;

use url::{Host, Url};

use super::plain;
use crate::domain::search::access::matches;

/// Hosts that may be called although they are not public, also without TLS (`CALLBOARD_WEBHOOK_HOSTS`).
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<Allowed>);

/// Patterns, `*` standing for any characters.
#[derive(Debug, Clone)]
struct Allowed {
    host: String,
    port: String,
}

/// An entry that could never match, or not as meant.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The entry.
    pub entry: String,
    /// What is wrong with it.
    pub why: &'static str,
    /// What may be meant.
    pub meant: Option<String>,
}

impl Hosts {
    /// From settings: names and addresses, `*` for any characters, each with or without a port.
    ///
    /// # Errors
    /// The first entry that could never match.
    pub fn parse(entries: &[String]) -> Result<Self, Unreadable> {
        entries.iter().map(|entry| allowed(entry.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the operator names the host and port that this URL leads to: it may be called wherever its addresses are.
    pub fn name(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return false };
        let (host, port) = (plain(&host), port.to_string());
        self.0.iter().any(|allowed| matches(&allowed.host, &host) && matches(&allowed.port, &port))
    }
}

fn allowed(entry: &str) -> Result<Allowed, Unreadable> {
    let refuse = |why, meant| Err(Unreadable { entry: entry.to_owned(), why, meant });
    if let Ok(url) = Url::parse(entry)
        && entry.contains("://")
    {
        let host = url.host_str().map(|host| url.port().map_or(host.to_owned(), |port| format!("{host}:{port}")));
        return refuse("is a URL", host);
    }
    if entry.contains(char::is_whitespace) {
        return refuse("contains a space", Some(entry.split_whitespace().collect::<Vec<_>>().join(",")));
    }
    if entry.contains(['/', '@', '?', '#', '%']) {
        let host = entry.rsplit('@').next().unwrap_or_default().split(['/', '?', '#', '%']).next();
        return refuse("contains more than a host and a port", host.filter(|host| !host.is_empty()).map(str::to_owned));
    }
    let (host, port) = match entry.rsplit_once(':') {
        // An address of version 6 without brackets has several.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (entry, "*"),
    };
    let number = port.parse::<u16>().ok().filter(|port| *port != 0);
    let port = match number {
        Some(number) => number.to_string(),
        None if port.contains('*') && port.chars().all(|one| one == '*' || one.is_ascii_digit()) => port.to_owned(),
        None => return refuse("has no port from 1 to 65535 after the colon", Some(host.to_owned())),
    };
    if host.starts_with('.') {
        return refuse("begins with a dot", Some(format!("*{entry}")));
    }
    match normal(host.trim_end_matches('.')) {
        Some(host) => Ok(Allowed { host, port }),
        None => refuse("is neither a host name nor an address", None),
    }
}

/// A host as URLs have it: lower case, international names in their ASCII form, addresses in their shortest.
fn normal(host: &str) -> Option<String> {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = inner.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    if inner.contains(':') {
        let fits = inner.chars().all(|one| matches!(one, ':' | '.' | '*') || one.is_ascii_hexdigit());
        return (fits && inner.contains('*')).then(|| inner.to_ascii_lowercase());
    }
    if inner != host || host.split('.').any(str::is_empty) {
        return None;
    }
    if !host.contains('*') {
        return Host::parse(host).ok().map(|host| plain(&host));
    }
    let labels: Option<Vec<String>> = host.split('.').map(label).collect();
    labels.map(|labels| labels.join("."))
}

/// A part of a name, which may hold `*`.
fn label(label: &str) -> Option<String> {
    let plain_letters = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '*');
    if label.is_empty() {
        return None;
    }
    if label.chars().all(plain_letters) {
        return Some(label.to_ascii_lowercase());
    }
    if label.contains('*') {
        return None;
    }
    match Host::parse(label) {
        Ok(Host::Domain(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Hosts;

    fn names(entry: &str, url: &str) -> bool {
        let hosts = Hosts::parse(&[entry.to_owned()]).unwrap_or_else(|error| panic!("{entry}: {error:?}"));
        hosts.name(&url.parse().unwrap())
    }

    #[test]
    fn every_documented_form_matches() {
        for (entry, url) in [
            ("localhost:*", "http://localhost:3000/"),
            ("localhost:*", "http://localhost/"),
            ("localhost:30*", "http://localhost:3000/"),
            ("LOCALHOST.", "http://localhost:1/"),
            ("localhost", "https://LocalHost./"),
            ("*.example.com", "http://a.b.example.com/"),
            ("*.EXAMPLE.com:8080", "http://a.example.com:8080/"),
            ("example.com:*", "http://example.com:9/"),
            ("example.com:80", "http://example.com/"),
            ("example.com:443", "https://example.com/"),
            ("*:8080", "http://10.0.0.1:8080/"),
            ("*:8080", "http://[::1]:8080/"),
            ("*", "http://intranet/"),
            ("127.0.0.1:*", "http://127.0.0.1:65535/"),
            ("127.0.0.1", "http://2130706433/"),
            ("10.0.*", "http://10.0.3.4/"),
            ("10.0.*:9", "http://10.0.3.4:9/"),
            ("[::1]:*", "http://[::1]:9/"),
            ("[::1]", "http://[::1]/"),
            ("::1", "http://[0:0:0:0:0:0:0:1]:7/"),
            ("[0:0:0:0:0:0:0:1]:7", "http://[::1]:7/"),
            ("[fd00::*]:*", "http://[fd00::7]:1/"),
            ("fd00::*", "http://[fd00::7]:1/"),
            ("bücher.example", "http://xn--bcher-kva.example/"),
            ("*.bücher.example", "http://a.BÜCHER.example/"),
        ] {
            assert!(names(entry, url), "{entry} {url}");
        }
    }

    #[test]
    fn nothing_else_matches() {
        for (entry, url) in [
            ("localhost:3000", "http://localhost:3001/"),
            ("localhost:*", "http://localhost.example.com/"),
            ("*.example.com", "http://example.com/"),
            ("*.example.com", "http://a.example.com.evil.test/"),
            ("*:8080", "http://localhost:80/"),
            ("10.0.*", "http://10.1.0.0/"),
            ("::1", "http://[::2]/"),
            ("example.com:80", "https://example.com/"),
        ] {
            assert!(!names(entry, url), "{entry} {url}");
        }
    }

    #[test]
    fn what_could_never_match_is_refused() {
        for (entry, meant) in [
            ("http://localhost:3000", Some("localhost:3000")),
            ("http://localhost:3000/hook", Some("localhost:3000")),
            ("http://[::1]:9", Some("[::1]:9")),
            ("localhost/hook", Some("localhost")),
            ("user@localhost", Some("localhost")),
            ("10.0.0.0/8", Some("10.0.0.0")),
            ("localhost 127.0.0.1", Some("localhost,127.0.0.1")),
            (".example.com", Some("*.example.com")),
            ("localhost:web", Some("localhost")),
            ("localhost:99999", Some("localhost")),
            ("localhost:0", Some("localhost")),
            ("localhost:", Some("localhost")),
            ("[::1", None),
            ("a..b", None),
            ("*..b", None),
            (":80", None),
            ("999.1.1.1", None),
        ] {
            let error = Hosts::parse(&[entry.to_owned()]).unwrap_err();
            assert_eq!((error.entry.as_str(), error.meant.as_deref()), (entry, meant));
        }
    }
}
