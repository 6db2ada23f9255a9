//! What no store can keep, whatever database it is in.

use super::Value;
use crate::error::{Code, Error};

/// Holds values to what every store can keep, before a statement is sent: PostgreSQL's text has no NUL character.
///
/// # Errors
/// `invalid`.
pub fn check(values: &[Value<'_>]) -> Result<(), Error> {
    if values.iter().any(has_nul) {
        return Err(Error::new(Code::Invalid, "a text contains a NUL character, which cannot be kept"));
    }
    Ok(())
}

fn has_nul(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => text.contains('\0'),
        Value::Texts(texts) => texts.iter().any(|text| text.contains('\0')),
        Value::Column(values) => values.iter().any(has_nul),
        Value::Null
        | Value::Integer(_)
        | Value::Real(_)
        | Value::Bool(_)
        | Value::Bytes(_)
        | Value::Time(_)
        | Value::Integers(_) => false,
    }
}
