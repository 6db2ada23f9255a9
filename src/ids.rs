//! The only place that makes identifiers: UUIDv7 (RFC 9562) behind a prefix that says what it names.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{LazyLock, Mutex, PoisonError},
};

use crate::{
    clock::{Clock, Instant, SystemClock},
    error::{Code, Error},
};

/// Identifiers of one millisecond; one more takes the next millisecond.
const PER_MILLISECOND: u64 = 1 << 12;

/// What an identifier names; decides its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One call, as it appears in errors and in the log.
    Request,
    /// A file written by bulk_export.
    Export,
    /// The database sessions of one pool of connections.
    Sessions,
    /// A workflow.
    Workflow,
    /// A task.
    Task,
    /// Who is told of a workflow's end.
    Webhook,
    /// An agent that came without a name.
    Agent,
    /// A server process.
    Session,
    /// One message to a webhook.
    Delivery,
    /// A document that came without an id, in the embedded search engine.
    Document,
    /// One attempt at a call with an idempotency key.
    Attempt,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Request => "rq_",
            Self::Export => "ex_",
            Self::Workflow => "wf_",
            Self::Task => "tk_",
            Self::Webhook => "wh_",
            Self::Agent => "ag_",
            Self::Session => "ss_",
            Self::Delivery => "wd_",
            Self::Attempt => "at_",
            Self::Sessions | Self::Document => "",
        }
    }
}

/// The place of the newest identifier in time: milliseconds, and within one of them.
static NEWEST: Mutex<u64> = Mutex::new(0);
/// Asks the system for randomness once: for every identifier that would take as long as the rest of a small call.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A new identifier; later ones sort after earlier ones.
pub fn new(kind: Kind) -> String {
    let now = u64::try_from(SystemClock.now().0 / 1_000).unwrap_or_default().saturating_mul(PER_MILLISECOND);
    let place = {
        let mut newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = now.max(*newest + 1);
        *newest
    };
    let (milliseconds, within) = (place / PER_MILLISECOND, place % PER_MILLISECOND);
    // 48 bits of time, the version, 12 bits of order; the variant, 62 bits that nobody else makes of the same place.
    let high = milliseconds << 16 | 0x7000 | within;
    let low = 1 << 63 | SECRET.hash_one(place) >> 2;
    let uuid = uuid::Uuid::from_u64_pair(high, low);
    let mut text = String::with_capacity(kind.prefix().len() + 32);
    text.push_str(kind.prefix());
    text.push_str(uuid.simple().encode_lower(&mut uuid::Uuid::encode_buffer()));
    text
}

/// Bytes of a secret: nobody guesses 128 bits.
const SECRET_BYTES: usize = 16;

/// What only those know who were told: proves a lease, a lock, an agent. Letters and digits.
///
/// # Errors
/// When the system gives no randomness.
pub fn secret() -> Result<String, Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(Code::Internal, "the system gives no randomness").cause(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A number from 0 to 1: spreads what would otherwise happen at once. Nothing depends on nobody guessing it.
pub fn chance() -> f64 {
    let place = SECRET.hash_one(new(Kind::Document));
    f64::from((place >> 32) as u32) / f64::from(u32::MAX)
}

/// When an identifier was made, to the millisecond.
pub fn made_at(id: &str) -> Option<Instant> {
    let uuid = id.rsplit_once('_').map_or(id, |(_, uuid)| uuid);
    let milliseconds = i64::from_str_radix(uuid.get(..12)?, 16).ok()?;
    Some(Instant(milliseconds * 1_000))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Kind, new};

    #[test]
    fn identifiers_are_uuids_of_version_7_that_sort_as_they_were_made() {
        let made: Vec<String> = (0..20_000).map(|_| new(Kind::Document)).collect();
        assert!(made.is_sorted());
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len());
        for text in &made {
            let uuid = uuid::Uuid::parse_str(text).unwrap();
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122), "{text}");
        }
    }

    #[test]
    fn identifiers_made_at_once_differ() {
        let made = || std::thread::spawn(|| (0..5_000).map(|_| new(Kind::Request)).collect::<Vec<_>>());
        let threads: Vec<_> = (0..4).map(|_| made()).collect();
        let all: BTreeSet<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(|id| id.starts_with("rq_") && id.len() == 35));
    }
}
