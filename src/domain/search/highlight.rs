//! What to highlight, in every form that callers write it.

use serde_json::{Map, Value};

use super::{super::json::Json, body};
use crate::{domain::json, error::Error};

/// Reads `highlight`: true for all text fields, a field's name, a list of them, or Elasticsearch's object. `None` for none; else
/// `true` or Elasticsearch's object with `fields`.
///
/// # Errors
/// As [`body::check`], and `invalid` for anything else.
pub fn read(given: Json) -> Result<Option<Json>, Error> {
    let given = body::read_part("highlight", given)?;
    let value: Value = serde_json::from_str(given.get()).map_err(|error| body::unreadable("highlight", &error))?;
    match value {
        Value::Null | Value::Bool(false) => Ok(None),
        Value::Bool(true) => Ok(Some(json::of(&true))),
        Value::String(word) if word.trim().eq_ignore_ascii_case("true") => Ok(Some(json::of(&true))),
        Value::String(word) if word.trim().eq_ignore_ascii_case("false") => Ok(None),
        Value::String(names) => named(names.split(',').map(|name| Value::from(name.trim())).collect()).map(Some),
        Value::Array(names) if names.is_empty() => Ok(None),
        Value::Array(names) => named(names).map(Some),
        Value::Object(settings) if settings.is_empty() => Ok(None),
        Value::Object(settings) => with_fields(given, settings).map(Some),
        Value::Number(_) => Err(wrong("`highlight` takes true, names of fields, or an object")),
    }
}

fn named(names: Vec<Value>) -> Result<Json, Error> {
    Ok(json::of(&Value::from_iter([("fields", fields(names)?)])))
}

/// The caller's own text where an engine takes it as it is.
fn with_fields(given: Json, mut settings: Map<String, Value>) -> Result<Json, Error> {
    let fields = match settings.get("fields") {
        Some(Value::Object(_)) => return Ok(given),
        Some(Value::Array(list)) if !list.is_empty() && list.iter().all(Value::is_object) => return Ok(given),
        None if names_fields(&settings) => std::mem::take(&mut settings).into(),
        None | Some(Value::Null) => fields(vec![Value::from("*")])?,
        Some(Value::Array(names)) => fields(names.clone())?,
        Some(name @ Value::String(_)) => fields(vec![name.clone()])?,
        Some(_) => return Err(wrong("`highlight.fields` takes an object by field")),
    };
    settings.insert("fields".to_owned(), fields);
    Ok(json::of(&settings))
}

/// Whether an object is that of the fields: of the settings, none but these are objects.
fn names_fields(settings: &Map<String, Value>) -> bool {
    settings.iter().all(|(name, value)| value.is_object() && name != "highlight_query" && name != "options")
}

/// Names, or objects by name, as Elasticsearch's list of objects, which keeps the order.
fn fields(names: Vec<Value>) -> Result<Value, Error> {
    let field = |name: Value| match name {
        Value::String(name) if !name.trim().is_empty() => Ok(Value::from_iter([(name, Value::Object(Map::new()))])),
        Value::Object(own) if !own.is_empty() => Ok(Value::Object(own)),
        _ => Err(wrong("`highlight` takes names of fields in its list")),
    };
    names.into_iter().map(field).collect()
}

fn wrong(message: &str) -> Error {
    Error::invalid("highlight", message).hint(r#"for example true, ["name"], or {"fields":{"name":{}}}"#)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    fn read(text: &str) -> Result<Option<String>, String> {
        let given = RawValue::from_string(text.to_owned()).unwrap();
        match super::read(given) {
            Ok(read) => Ok(read.map(|json| json.get().to_owned())),
            Err(error) => Err(error.argument.as_deref().unwrap_or_default().to_owned()),
        }
    }

    #[test]
    fn every_form_becomes_true_or_an_object_with_fields() {
        for (given, kept) in [
            ("true", Some("true")),
            ("\"true\"", Some("true")),
            ("\"True\"", Some("true")),
            ("\" FALSE \"", None),
            ("{}", None),
            ("false", None),
            ("null", None),
            ("[]", None),
            ("\"a\"", Some(r#"{"fields":[{"a":{}}]}"#)),
            ("\"a, b\"", Some(r#"{"fields":[{"a":{}},{"b":{}}]}"#)),
            (r#"["b","a"]"#, Some(r#"{"fields":[{"b":{}},{"a":{}}]}"#)),
            (r#"{"fields": {"a":{}}}"#, Some(r#"{"fields": {"a":{}}}"#)),
            (r#"{"fields":["a"]}"#, Some(r#"{"fields":[{"a":{}}]}"#)),
            (r#"{"fields":"a"}"#, Some(r#"{"fields":[{"a":{}}]}"#)),
            (r#"{"a":{}}"#, Some(r#"{"fields":{"a":{}}}"#)),
            (r#"{"a":{"fragment_size":9},"b.c":{}}"#, Some(r#"{"fields":{"a":{"fragment_size":9},"b.c":{}}}"#)),
            (r#"{"highlight_query":{}}"#, Some(r#"{"fields":[{"*":{}}],"highlight_query":{}}"#)),
            (r#"{"pre_tags":["<"]}"#, Some(r#"{"fields":[{"*":{}}],"pre_tags":["<"]}"#)),
        ] {
            assert_eq!(read(given), Ok(kept.map(str::to_owned)), "{given}");
        }
        for wrong in ["5", "[5]", "[\"\"]", "[[]]", r#"{"fields":5}"#, r#"{"fields":[1]}"#] {
            assert_eq!(read(wrong), Err("highlight".to_owned()), "{wrong}");
        }
    }
}
