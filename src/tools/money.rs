//! Amounts and levels as callers write them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

use crate::domain::{json::Json, money::Micros, tasks::Priority};

/// US dollars: a JSON number with at most six digits after the point, read and written exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usd(pub Micros);

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Json as Deserialize>::deserialize(deserializer)?;
        let refuse =
            |_| D::Error::custom("expected an amount of dollars, 0 or more, with at most six digits after the point");
        text.get().trim().trim_matches('"').parse().map(Self).map_err(refuse)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.0.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl JsonSchema for Usd {
    fn schema_name() -> Cow<'static, str> {
        "Usd".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// 0 to 9, or low, normal, high, critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(pub Priority);

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Json as Deserialize>::deserialize(deserializer)?;
        let word = text.get().trim().trim_matches('"');
        Priority::word(word)
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected 0 to 9, or low, normal, high, critical"))
    }
}

impl JsonSchema for Level {
    fn schema_name() -> Cow<'static, str> {
        "Level".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": 9 })
    }
    fn inline_schema() -> bool {
        true
    }
}
