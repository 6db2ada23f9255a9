//! Webhooks: where the end of a workflow may be told.
//!
//! A URL comes from a caller, so it must not lead into the operator's own network: https to public hosts only. What the operator names
//! may be called in any other way too.

mod hosts;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::{Host, Url};

pub use hosts::Hosts;

use crate::error::{Code, Error};

/// Characters of a URL at the most.
const URL_MAX: usize = 2_048;
/// Ports below this belong to the services of a system; of those only the one of https is called.
const PORT_LEAST: u16 = 1_024;
/// Names that never lead out of a machine or a house.
const LOCAL: [&str; 6] = ["localhost", "local", "internal", "intranet", "lan", "home.arpa"];

/// A host without brackets and the full stop of the root.
fn plain<Name: AsRef<str>>(host: &Host<Name>) -> String {
    match host {
        Host::Domain(name) => name.as_ref().trim_end_matches('.').to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

/// A URL that may be called. Its host's addresses are looked at again when it is.
///
/// # Errors
/// `invalid` naming what is wrong with it; `denied` when only the operator could allow it.
pub fn parse(text: &str, hosts: &Hosts) -> Result<Url, Error> {
    let refuse = |why: &str| Error::invalid("webhook_url", format!("`webhook_url` {why}"));
    let deny = |why: &str| {
        Error::new(Code::Denied, format!("`webhook_url` {why}")).argument("webhook_url").hint(
            "only https to public hosts is called; CALLBOARD_WEBHOOK_HOSTS names others, and the operator can set it",
        )
    };
    if text.len() > URL_MAX {
        return Err(refuse("is longer than 2048 characters"));
    }
    let url =
        Url::parse(text).map_err(|error| refuse("is not a URL").hint("e.g. https://example.com/hook").cause(error))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(refuse("is neither https nor http"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("contains a user name or password").hint("let the receiver check the signature instead"));
    }
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(refuse("has no host"));
    };
    if hosts.name(&url) {
        return Ok(url);
    }
    match host {
        Host::Ipv4(_) | Host::Ipv6(_) => return Err(deny("names an IP address; use a host name")),
        Host::Domain(_) if is_local(&plain(&host)) => return Err(deny("names a host that is not public")),
        Host::Domain(_) => {}
    }
    if url.scheme() != "https" {
        return Err(deny("is not https"));
    }
    if port != 443 && port < PORT_LEAST {
        return Err(deny("names a port that belongs to another service"));
    }
    Ok(url)
}

/// What a message is signed with: `sha256=` and HMAC-SHA256 in hexadecimal digits over the timestamp, a full stop and the body.
pub fn signature(secret: &str, timestamp: &str, body: &str) -> String {
    // Every key fits: longer ones are hashed first.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    for part in [timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    let code = mac.finalize().into_bytes();
    code.iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn is_local(name: &str) -> bool {
    !name.contains('.')
        || LOCAL.iter().any(|local| name.strip_suffix(local).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Whether an address is one of the public network: what a name leads to must be.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || matches!(
            (a, b, c),
            (0, ..) | (240.., ..) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _)
        );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // An address of version 4 in another dress leads where that one leads.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            inner(high, low)
        }
        [first, _, _, _, 0 | 0x200, 0x5efe, high, low] => is_global(first, parts) && inner(high, low),
        [first, ..] => is_global(first, parts),
    }
}

/// Global unicast less what is set apart: protocols and tunnels, examples.
fn is_global(first: u16, parts: [u16; 8]) -> bool {
    let set_apart = matches!(parts, [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..]);
    (0x2000..=0x3fff).contains(&first) && !set_apart
}

#[cfg(test)]
mod tests {
    use super::{Hosts, is_public, parse, signature};
    use crate::error::Code;

    fn hosts(entries: &[&str]) -> Hosts {
        Hosts::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn only_public_hosts_are_called_unless_the_operator_names_others() {
        let none = Hosts::default();
        for good in ["https://example.com/hook?a=1", "https://example.com:8443/", "https://a.b.example.com"] {
            assert!(parse(good, &none).is_ok(), "{good}");
        }
        for (wrong, code) in [
            ("", Code::Invalid),
            ("example.com/hook", Code::Invalid),
            ("ftp://example.com", Code::Invalid),
            ("file:///etc/passwd", Code::Invalid),
            ("https://user:secret@example.com/", Code::Invalid),
            ("https://user@example.com/", Code::Invalid),
            ("http://example.com/", Code::Denied),
            ("https://localhost/", Code::Denied),
            ("https://a.LOCALHOST./", Code::Denied),
            ("https://printer.local/", Code::Denied),
            ("https://metadata.google.internal/", Code::Denied),
            ("https://intranet/", Code::Denied),
            ("https://127.0.0.1/", Code::Denied),
            ("https://0x7f.1/", Code::Denied),
            ("https://2130706433/", Code::Denied),
            ("https://93.184.216.34/", Code::Denied),
            ("https://[::1]/", Code::Denied),
            ("https://[::ffff:127.0.0.1]/", Code::Denied),
            ("https://example.com:22/", Code::Denied),
            ("https://example.com:25/", Code::Denied),
        ] {
            let error = parse(wrong, &none).unwrap_err();
            assert_eq!((error.code, error.argument.as_deref()), (code, Some("webhook_url")), "{wrong}");
        }
        assert!(parse(&format!("https://example.com/{}", "x".repeat(2_048)), &none).is_err());
    }

    #[test]
    fn what_the_operator_names_may_be_called() {
        let named = hosts(&["127.0.0.1:8080", "localhost", "*.corp.example", "[::1]:9", "fd00::7"]);
        for good in [
            "http://127.0.0.1:8080/x",
            "http://localhost:3000/",
            "https://LOCALHOST/",
            "http://a.corp.example/",
            "http://[::1]:9/",
            "http://[fd00::7]/",
        ] {
            assert!(parse(good, &named).is_ok(), "{good}");
        }
        for wrong in ["http://127.0.0.1:8081/", "http://corp.example/", "http://[::1]/", "http://u@localhost/"] {
            assert!(parse(wrong, &named).is_err(), "{wrong}");
        }
        let names = |url: &str| named.name(&url.parse().unwrap());
        assert!(names("https://localhost./") && names("http://127.0.0.1:8080/") && names("http://[::1]:9/"));
        assert!(!names("https://127.0.0.1/") && !names("https://[::1]/") && !names("https://example.com/"));
    }

    #[test]
    fn a_message_is_signed_with_its_time() {
        // As openssl computes it: printf '1780000000.{"a":1}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            signature("key", "1780000000", r#"{"a":1}"#),
            "sha256=9845db0840a66e525b8fa97bb5ddc0b426356132c25bd8cede278501a66b6c75"
        );
        assert_ne!(signature("key", "1780000001", r#"{"a":1}"#), signature("key", "1780000000", r#"{"a":1}"#));
    }

    #[test]
    fn addresses_of_the_own_network_are_known_in_every_dress() {
        for public in [
            "93.184.216.34",
            "8.8.8.8",
            "100.128.0.1",
            "2606:4700::1111",
            "2002:808:808::1",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for own in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "198.19.255.255",
            "192.88.99.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:c0a8:101::",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "100::1",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:127.0.0.1",
        ] {
            assert!(!is_public(own.parse().unwrap()), "{own}");
        }
    }
}
