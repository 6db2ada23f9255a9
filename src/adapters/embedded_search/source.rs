//! Parts of a document, each byte as it was written.

use serde_json::value::RawValue;

use crate::domain::{
    json::{self, Json, Members},
    search::access::matches,
};

/// The document as stored; of `fields`, when there are some, only those (`*` allowed).
pub(super) fn filtered(source: String, fields: &[String]) -> Json {
    let whole = RawValue::from_string(source).unwrap_or_else(|_| json::null());
    if fields.is_empty() {
        return whole;
    }
    kept("", &whole, fields).unwrap_or_else(|| json::of(&Members::<Json>::default()))
}

/// What is left of a value at `path`; `None` when nothing is.
fn kept(path: &str, value: &RawValue, fields: &[String]) -> Option<Json> {
    if !path.is_empty() && fields.iter().any(|field| covers(field, path)) {
        return Some(value.to_owned());
    }
    match value.get().as_bytes().first() {
        Some(b'{') => {
            let Members(entries) = serde_json::from_str::<Members<Json>>(value.get()).ok()?;
            let left: Vec<(String, Json)> = entries
                .into_iter()
                .filter_map(|(name, value)| {
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    kept(&inner, &value, fields).map(|value| (name, value))
                })
                .collect();
            (path.is_empty() || !left.is_empty()).then(|| json::of(&Members(left)))
        }
        Some(b'[') => {
            let items: Vec<Json> = serde_json::from_str(value.get()).ok()?;
            let left: Vec<Json> = items
                .iter()
                .filter(|item| item.get().starts_with(['{', '[']))
                .filter_map(|item| kept(path, item, fields))
                .collect();
            (!left.is_empty()).then(|| json::of(&left))
        }
        _ => None,
    }
}

/// Whether a pattern means this path, or something it lies in.
fn covers(pattern: &str, path: &str) -> bool {
    matches(pattern, path)
        || path.match_indices('.').any(|(at, _)| matches(pattern, path.get(..at).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::filtered;

    #[test]
    fn fields_are_kept_byte_for_byte() {
        let source = r#"{"a":1.50,"b":{"c":[{"d":1e3,"e":2}],"f":"x"},"g":12345678901234567890}"#;
        let some = |fields: &[&str]| {
            let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            filtered(source.to_owned(), &fields).get().to_owned()
        };
        assert_eq!(some(&[]), source);
        assert_eq!(some(&["a", "g"]), r#"{"a":1.50,"g":12345678901234567890}"#);
        assert_eq!(some(&["b.c.d"]), r#"{"b":{"c":[{"d":1e3}]}}"#);
        assert_eq!(some(&["b.*"]), r#"{"b":{"c":[{"d":1e3,"e":2}],"f":"x"}}"#);
        assert_eq!(some(&["b"]), r#"{"b":{"c":[{"d":1e3,"e":2}],"f":"x"}}"#);
        assert_eq!(some(&["nothing"]), "{}");
    }
}
