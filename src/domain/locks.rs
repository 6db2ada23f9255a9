//! Locks: who may do what only one may do at a time.
//!
//! A lock ends by itself. Whoever writes under it shows its fence to what it writes to: a fence is larger than every one before, so what
//! comes late from an earlier holder can be told apart and refused.

use std::{fmt, str::FromStr, time::Duration};

use crate::{clock::Instant, error::Error};

/// How long a lock is held when nothing is said.
pub const TTL_DEFAULT: Duration = Duration::from_secs(30);
/// The shortest time of a lock, in milliseconds.
pub const TTL_MS_LEAST: u64 = 1_000;
/// The longest time of a lock, in milliseconds.
pub const TTL_MS_MOST: u64 = 3_600_000;
/// How long a call waits for a lock at the most, in milliseconds.
pub const WAIT_MS_MOST: u64 = 20_000;

/// The right to a lock: `lk_7.secret` on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Larger than that of every holder before.
    pub fence: i64,
    /// What only the holder was told.
    pub secret: String,
}

/// Tokens of this server are shorter.
const LENGTH_MAX: usize = 100;

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed =
            || Error::invalid("token", "`token` is not a lock token").hint("pass it exactly as `acquire` returned it");
        let (fence, secret) = text
            .strip_prefix("lk_")
            .filter(|_| text.len() <= LENGTH_MAX)
            .and_then(|rest| rest.split_once('.'))
            .ok_or_else(malformed)?;
        let fence = fence.parse().map_err(|error| malformed().cause(error))?;
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(malformed());
        }
        Ok(Self { fence, secret: secret.to_owned() })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lk_{}.{}", self.fence, self.secret)
    }
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockView {
    /// By whom.
    pub holder: String,
    /// Under which fence.
    pub fence: i64,
    /// Since when.
    pub acquired_at: Instant,
    /// Until when, unless it is renewed.
    pub expires_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is() {
        let token = Token { fence: 7, secret: "s3".into() };
        assert_eq!(token.to_string(), "lk_7.s3");
        assert_eq!("lk_7.s3".parse::<Token>().unwrap(), token);
        for wrong in ["", "lk_", "lk_7", "lk_7.", "lk_x.s", "7.s", "tk_1.7.s", "lk_7.a b", "lk_7.a'", &"x".repeat(300)]
        {
            assert_eq!(wrong.parse::<Token>().unwrap_err().argument.as_deref(), Some("token"), "{wrong}");
        }
    }
}
