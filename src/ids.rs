//! The only place that makes identifiers: UUIDv7 (RFC 9562) behind a prefix that says what it names.

use crate::clock::Instant;

/// What an identifier names; decides its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One call, as it appears in errors and in the log.
    Request,
    /// A file written by bulk_export.
    Export,
    /// The database sessions of one pool of connections.
    Sessions,
    /// A document that came without an id, in the embedded search engine.
    Document,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Request => "rq_",
            Self::Export => "ex_",
            Self::Sessions | Self::Document => "",
        }
    }
}

/// A new identifier; later ones sort after earlier ones.
#[expect(clippy::disallowed_methods, reason = "this is the file that owns identifiers")]
pub fn new(kind: Kind) -> String {
    format!("{}{}", kind.prefix(), uuid::Uuid::now_v7().simple())
}

/// When an identifier was made, to the millisecond.
pub fn made_at(id: &str) -> Option<Instant> {
    let uuid = id.rsplit_once('_').map_or(id, |(_, uuid)| uuid);
    let milliseconds = i64::from_str_radix(uuid.get(..12)?, 16).ok()?;
    Some(Instant(milliseconds * 1_000))
}
