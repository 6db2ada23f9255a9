//! Results as they are stored: JSON text as it is, compressed when it is large.

use serde_json::value::RawValue;

use super::Row;
use crate::{
    domain::json::Json,
    error::{Code, Error},
};

/// From this size on compression saves more than it costs.
const LARGE: usize = 2_048;
/// Level 1: 2.7 times smaller at the price of copying.
const LEVEL: i32 = 1;
/// The first byte says how the rest is to be read.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// JSON as bytes for the store.
pub(super) fn pack(json: &Json) -> Vec<u8> {
    let text = json.get().as_bytes();
    let compressed = if text.len() < LARGE { None } else { zstd::bulk::compress(text, LEVEL).ok() };
    let (kind, body) = match &compressed {
        Some(compressed) if compressed.len() < text.len() => (ZSTD, compressed.as_slice()),
        _ => (PLAIN, text),
    };
    let mut packed = Vec::with_capacity(body.len() + 1);
    packed.push(kind);
    packed.extend_from_slice(body);
    packed
}

/// The JSON of [`pack`].
fn unpack(packed: &[u8]) -> Result<Json, Error> {
    let damaged = |cause: String| Error::new(Code::Internal, "a stored result cannot be read").cause(cause);
    let text = match packed.split_first() {
        Some((&PLAIN, text)) => text.to_vec(),
        Some((&ZSTD, compressed)) => {
            zstd::stream::decode_all(compressed).map_err(|error| damaged(error.to_string()))?
        }
        _ => return Err(damaged("its first byte is unknown".to_owned())),
    };
    let text = String::from_utf8(text).map_err(|error| damaged(error.to_string()))?;
    RawValue::from_string(text).map_err(|error| damaged(error.to_string()))
}

/// The next column as packed JSON.
pub(super) fn read(row: &mut Row) -> Result<Option<Json>, Error> {
    row.bytes_or_none()?.map(|packed| unpack(&packed)).transpose()
}

/// The next column as the text of JSON.
pub(super) fn json(row: &mut Row) -> Result<Option<Json>, Error> {
    let Some(text) = row.text_or_none()? else { return Ok(None) };
    RawValue::from_string(text)
        .map(Some)
        .map_err(|error| Error::new(Code::Internal, "stored JSON cannot be read").cause(error))
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack};
    use crate::domain::json;

    #[test]
    fn what_is_packed_is_unpacked() {
        for text in ["x".to_owned(), "漢".repeat(50_000)] {
            let value = json::of(&text);
            let packed = pack(&value);
            assert!(packed.len() < value.get().len().max(100), "{}", packed.len());
            assert_eq!(unpack(&packed).unwrap().get(), value.get());
        }
        assert!(unpack(&[]).is_err() && unpack(&[9, 1]).is_err() && unpack(&[1, 1, 2, 3]).is_err());
    }
}
