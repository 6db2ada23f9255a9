//! The right to change a leased task.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Which task, under which fence, proven by a secret. Opaque to callers: `tk_….7.secret` on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The task.
    pub task_id: String,
    /// The task's count of claims when this one was made.
    pub fence: i64,
    /// What only the claimer was told.
    pub secret: String,
}

/// Tokens of this server are shorter.
const LENGTH_MAX: usize = 200;

impl FromStr for Lease {
    type Err = Error;

    fn from_str(token: &str) -> Result<Self, Error> {
        let malformed = || {
            Error::invalid("lease_token", "`lease_token` is not a token of this server")
                .hint("pass it exactly as claim_tasks returned it")
        };
        let mut parts = token.splitn(3, '.');
        let (Some(task_id), Some(fence), Some(secret), true) =
            (parts.next(), parts.next(), parts.next(), token.len() <= LENGTH_MAX)
        else {
            return Err(malformed());
        };
        let fence = fence.parse().map_err(|error| malformed().cause(error))?;
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plain(task_id) || !plain(secret) {
            return Err(malformed());
        }
        Ok(Self { task_id: task_id.to_owned(), fence, secret: secret.to_owned() })
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.task_id, self.fence, self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::Lease;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is() {
        let lease = Lease { task_id: "tk_1".into(), fence: 7, secret: "s3".into() };
        assert_eq!(lease.to_string().parse::<Lease>().unwrap(), lease);
        for wrong in ["", "tk_1", "tk_1.7", "tk_1.x.s", "tk_1.7.", ".7.s", "tk_1.7.a b", "tk'1.7.s", &"x".repeat(300)] {
            assert!(wrong.parse::<Lease>().is_err(), "{wrong}");
        }
    }
}
