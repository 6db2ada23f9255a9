//! How much of an answer is given at once, and where the rest begins.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// How much one answer may hold. Whatever bound is reached first cuts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Rows, hits, or items.
    pub rows_max: usize,
    /// Bytes of the bulky array as JSON text.
    pub bytes_max: usize,
}

/// Leaves the first rows that take up to `bytes_max` together, but at least one. Whether some were cut off.
pub fn fit<T>(rows: &mut Vec<T>, bytes_max: usize, bytes: impl Fn(&T) -> usize) -> bool {
    let mut left = bytes_max;
    let fitting = rows
        .iter()
        .take_while(|row| {
            bytes(row) <= left && {
                left -= bytes(row);
                true
            }
        })
        .count();
    let cut = fitting.max(1) < rows.len();
    rows.truncate(fitting.max(1));
    cut
}

/// Where the rest of a list begins: how many entries were given already, of which question. Opaque on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Entries given before.
    pub offset: u64,
}

impl Cursor {
    /// A token for a list that goes on after something with a name, such as an id. `question` is all that decides what is listed, so that a
    /// token used with another question is refused, and one that was changed.
    pub fn encode_text(after: &str, question: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{after}", sum(after, question)))
    }

    /// Reads a token made by [`Cursor::encode_text`] for the same question.
    ///
    /// # Errors
    /// `invalid` when it is not one.
    pub fn decode_text(token: &str, question: &str) -> Result<String, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| refused().cause(error))?;
        let text = String::from_utf8(bytes).map_err(|error| refused().cause(error))?;
        let (of, after) = text.split_once('.').ok_or_else(refused)?;
        if of == sum(after, question) { Ok(after.to_owned()) } else { Err(refused()) }
    }

    /// The token for the wire, as [`Cursor::encode_text`] makes it.
    pub fn encode(self, question: &str) -> String {
        Self::encode_text(&self.offset.to_string(), question)
    }

    /// Reads a token made by [`Cursor::encode`] for the same question.
    ///
    /// # Errors
    /// `invalid` when it is not one.
    pub fn decode(token: &str, question: &str) -> Result<Self, Error> {
        let offset = Self::decode_text(token, question)?;
        Ok(Self { offset: offset.parse().map_err(|error| refused().cause(error))? })
    }
}

fn refused() -> Error {
    Error::invalid("cursor", "`cursor` does not belong to this call")
        .hint("pass `next` exactly as the previous answer gave it, with all other arguments unchanged")
}

/// Of the place too: a place that was changed would lead to another page, or to an empty one that looks like the last.
fn sum(place: &str, question: &str) -> String {
    fingerprint(&format!("{place}\0{question}"))
}

pub(super) fn fingerprint(question: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(question).get(..9).unwrap_or_default())
}
