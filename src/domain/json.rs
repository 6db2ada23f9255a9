//! JSON kept as its text, so that no number becomes a double and nothing is parsed twice.

use serde_json::value::RawValue;

/// A JSON value as the text it was given in.
pub type Json = Box<RawValue>;

/// The JSON text of a value of ours. For values that cannot fail to serialize (no maps with non-string keys); otherwise `null`.
pub fn of<T: serde::Serialize + ?Sized>(value: &T) -> Json {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| null())
}

/// `null`.
pub fn null() -> Json {
    RawValue::NULL.to_owned()
}
