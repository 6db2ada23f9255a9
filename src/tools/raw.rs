//! JSON that passes through a tool unread.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error as _};
use serde_json::value::RawValue;

use crate::domain::json::Json as Text;

/// Any JSON value, kept as its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Any(pub Text);

impl Any {
    /// `{}` or `[]`: what models write for an argument that they mean to leave out.
    pub fn is_hollow(&self) -> bool {
        let text: String = self.0.get().split_whitespace().collect();
        text == "{}" || text == "[]"
    }
}

impl JsonSchema for Any {
    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            return json_schema!({});
        }
        // Models write an object best; what is no object is taken all the same.
        json_schema!({ "type": "object", "x-keeps": "containers" })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// The largest whole number that every client keeps as it is.
const CARRIED_MAX: u64 = (1 << 53) - 1;

/// A number that every client can carry; one that some cannot is a text of its digits. The schema of such a field is [`Carried`].
pub fn carried<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *number <= CARRIED_MAX { serializer.serialize_u64(*number) } else { serializer.collect_str(number) }
}

/// The schema of a field that is written by [`carried`].
pub struct Carried;

impl JsonSchema for Carried {
    fn schema_name() -> Cow<'static, str> {
        "Carried".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// A JSON object, kept as its text. A JSON string that holds an object is taken as that object, because some hosts send it so.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Object(pub Text);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = unwrapped(<Text as Deserialize>::deserialize(deserializer)?);
        if text.get().trim_start().starts_with('{') {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("expected an object"))
        }
    }
}

impl JsonSchema for Object {
    fn schema_name() -> Cow<'static, str> {
        "Object".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// Stands around the place inside a value that a message is about.
const INSIDE: char = '\u{1}';

/// A value that some hosts send as a JSON string holding it: an array or an object.
#[derive(Debug, Clone)]
pub struct Lenient<T>(pub T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = unwrapped(<Text as Deserialize>::deserialize(deserializer)?);
        serde_json::from_str(text.get()).map(Self).map_err(|_| {
            // Read again, slowly, to learn which part of it it was.
            let again: Result<T, _> =
                serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text.get()));
            let (message, path) = again
                .err()
                .map_or_else(Default::default, |error| (error.inner().to_string(), error.path().to_string()));
            let message = message.split(" at line ").next().unwrap_or_default();
            // One may stand inside of another.
            let (deeper, message) = within(message);
            D::Error::custom(format!("{INSIDE}{}{INSIDE}{message}", joined(path.trim_matches('.'), deeper)))
        })
    }
}

impl<T: JsonSchema> JsonSchema for Lenient<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

/// The place inside the argument that a message is about, and the rest of the message.
pub(super) fn within(sentence: &str) -> (&str, &str) {
    sentence.strip_prefix(INSIDE).and_then(|rest| rest.split_once(INSIDE)).unwrap_or(("", sentence))
}

/// A place inside of a place.
pub(super) fn joined(argument: &str, within: &str) -> String {
    let point = if within.is_empty() || within.starts_with('[') || argument.is_empty() { "" } else { "." };
    format!("{argument}{point}{within}")
}

/// The JSON inside a JSON string, where there is some; else the value itself.
fn unwrapped(text: Text) -> Text {
    if !text.get().trim_start().starts_with('"') {
        return text;
    }
    serde_json::from_str::<String>(text.get())
        .ok()
        .filter(|inner| inner.trim_start().starts_with(['{', '[']))
        .and_then(|inner| RawValue::from_string(inner.trim().to_owned()).ok())
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_number_beyond_what_clients_carry_is_a_text() {
        #[derive(serde::Serialize)]
        struct Versioned(#[serde(serialize_with = "super::carried")] u64);
        for (number, json) in [
            (7, "7"),
            (9_007_199_254_740_991, "9007199254740991"),
            (9_007_199_254_740_992, r#""9007199254740992""#),
            (9_223_372_036_854_775_806, r#""9223372036854775806""#),
        ] {
            assert_eq!(serde_json::to_string(&Versioned(number)).unwrap(), json);
        }
    }
}
