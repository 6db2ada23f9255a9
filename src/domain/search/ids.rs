//! The `_id` of a document: taken from one of its fields, its text as it is written, so that no two numbers become one; or made.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// Bytes of an `_id`.
const BYTES_MAX: usize = 512;

/// The value of `field` as an `_id`.
///
/// # Errors
/// Why it cannot be one, in a sentence.
pub fn of(document: &str, field: &str) -> Result<String, String> {
    let members: HashMap<String, &RawValue> =
        serde_json::from_str(document).map_err(|_| "a document is a JSON object".to_owned())?;
    let Some(value) = members.get(field).map(|value| value.get()) else {
        return Err(format!("it has no field `{field}` for its _id"));
    };
    let id = match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(value).map_err(|error| error.to_string())?,
        Some(b'-' | b'0'..=b'9') => value.to_owned(),
        _ => return Err(format!("its `{field}` is neither text nor a number, so it cannot be an _id")),
    };
    if id.is_empty() || id.len() > BYTES_MAX {
        return Err(format!("its `{field}` has {} bytes; an _id has 1 to {BYTES_MAX}", id.len()));
    }
    Ok(id)
}

/// The `_id` of a document that brings none, the same whenever it is made again; documents of one call sort as they were given.
pub fn made(from: &str, position: usize) -> String {
    format!("{}-{position:05}", from.trim_start_matches("at_"))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn an_id_is_the_text_of_its_field() {
        for (document, id) in [
            (r#"{"n":1,"id":"a"}"#, "a"),
            (r#"{"id":12345678901234567890.10}"#, "12345678901234567890.10"),
            (r#"{"id":"a","id":"b"}"#, "b"),
        ] {
            assert_eq!(of(document, "id").as_deref(), Ok(id));
        }
        for document in
            [r#"{"id":null}"#, r#"{"id":["a"]}"#, r#"{"id":""}"#, r#"{"id":true}"#, r#"{"x":{"id":1}}"#, "[]"]
        {
            assert!(of(document, "id").is_err(), "{document}");
        }
        assert!(of(&format!(r#"{{"id":"{}"}}"#, "a".repeat(513)), "id").is_err());
    }
}
