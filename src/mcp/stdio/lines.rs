//! Bytes become lines. A line over the limit is thrown away as it comes, so memory stays flat.

use std::ops::Range;

use crate::mcp::message::{LINE_BYTES_MAX, ids::Ids};

/// Room made for one read.
const READ_BYTES: usize = 64 << 10;
/// A buffer that grew beyond this is given back once it is empty.
const KEPT_BYTES: usize = 1 << 20;

/// A line that is complete.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Its bytes, without white space around them; never empty.
    Text(Vec<u8>),
    /// It was longer than [`LINE_BYTES_MAX`]: the ids of the requests in it, as JSON. Reported once, as soon as they are known.
    Oversize(Vec<Box<str>>),
}

/// Splits what was read into lines.
#[derive(Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Where the next line starts.
    start: usize,
    /// How far the buffer was searched for a line break.
    searched: usize,
    skipping: Skipping,
    ended: bool,
}

/// Whether the rest of an oversize line is being thrown away.
#[derive(Default)]
enum Skipping {
    #[default]
    No,
    /// It is read for ids.
    Reading(Ids),
    /// It is reported; nothing more is read of it.
    Reported,
}

impl Lines {
    /// The buffer with room for one more read at its end.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            // A long line gets all its room at once: doubling would hold it twice while it is copied. What is not written to is not resident.
            match self.buffer.len() {
                short if short < KEPT_BYTES => self.buffer.reserve(READ_BYTES),
                long => self.buffer.reserve_exact((LINE_BYTES_MAX + READ_BYTES).saturating_sub(long).max(READ_BYTES)),
            }
        }
        &mut self.buffer
    }

    /// Nothing more will come: what is left without a line break is a line too.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Nothing more will come.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The next complete line; empty ones are passed over.
    #[expect(clippy::should_implement_trait, reason = "more lines may follow a None")]
    pub fn next(&mut self) -> Option<Line> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', rest) else {
                self.searched = self.buffer.len();
                return self.without_break();
            };
            let line = self.start..self.searched + found;
            self.searched = line.end + 1;
            self.start = self.searched;
            match std::mem::take(&mut self.skipping) {
                Skipping::Reported => continue,
                Skipping::Reading(ids) => return Some(self.oversize(ids, line)),
                Skipping::No if self.is_too_long(&line) => return Some(self.oversize(Ids::default(), line)),
                Skipping::No => {}
            }
            if let Some(text) = self.trimmed(line) {
                return Some(Line::Text(text));
            }
        }
    }

    /// A carriage return is a part of the line break.
    fn is_too_long(&self, line: &Range<usize>) -> bool {
        let longest = LINE_BYTES_MAX + usize::from(self.buffer.get(..line.end).is_some_and(|all| all.ends_with(b"\r")));
        line.len() > longest
    }

    /// The end of a line that is not kept.
    fn oversize(&self, mut ids: Ids, rest: Range<usize>) -> Line {
        ids.pass(self.buffer.get(rest).unwrap_or_default());
        Line::Oversize(ids.end())
    }

    fn without_break(&mut self) -> Option<Line> {
        let line = self.start..self.buffer.len();
        if matches!(self.skipping, Skipping::No) {
            if self.is_too_long(&line) {
                self.skipping = Skipping::Reading(Ids::default());
            } else if self.ended {
                self.start = self.buffer.len();
                return self.trimmed(line).map(Line::Text);
            } else {
                return None;
            }
        }
        if let Skipping::Reading(ids) = &mut self.skipping {
            ids.pass(self.buffer.get(line).unwrap_or_default());
        }
        self.buffer = Vec::new();
        self.start = 0;
        self.searched = 0;
        match std::mem::replace(&mut self.skipping, Skipping::Reported) {
            Skipping::Reading(ids) if ids.is_done() || self.ended => Some(Line::Oversize(ids.end())),
            before => {
                self.skipping = before;
                None
            }
        }
    }

    /// Without white space and byte order mark.
    fn trimmed(&self, line: Range<usize>) -> Option<Vec<u8>> {
        let line = self.buffer.get(line).unwrap_or_default();
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        (!line.is_empty()).then(|| line.to_vec())
    }
}
