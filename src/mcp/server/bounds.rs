//! The ranges that input schemas publish are held here, for every tool alike.

use std::{borrow::Cow, collections::HashMap, fmt};

use rmcp::model::Tool;
use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::error::Error;

/// Numbers are shorter than this.
const NUMBER_LENGTH_MAX: usize = 64;

/// Ranges of the number arguments of all tools.
pub(super) struct Bounds(HashMap<String, HashMap<String, Range>>);

struct Range {
    least: f64,
    most: f64,
    shown: String,
}

impl Bounds {
    /// As the schemas say.
    pub(super) fn of(tools: &[Tool]) -> Self {
        let ranges = |tool: &Tool| -> Option<HashMap<String, Range>> {
            let properties = tool.input_schema.get("properties")?.as_object()?;
            let ranges: HashMap<_, _> =
                properties.iter().filter_map(|(name, schema)| Some((name.clone(), Range::of(schema)?))).collect();
            (!ranges.is_empty()).then_some(ranges)
        };
        Self(tools.iter().filter_map(|tool| Some((tool.name.to_string(), ranges(tool)?))).collect())
    }

    /// Whether every number is within its range.
    ///
    /// # Errors
    /// `invalid` naming the argument and the range. What cannot be read is left to the tool, which says more about it.
    pub(super) fn check(&self, tool: &str, arguments: &str) -> Result<(), Error> {
        let Some(ranges) = self.0.get(tool) else { return Ok(()) };
        let mut deserializer = serde_json::Deserializer::from_str(arguments);
        deserializer.deserialize_map(Check { ranges, outside: None }).unwrap_or(Ok(()))
    }
}

impl Range {
    fn of(schema: &Value) -> Option<Self> {
        let least = schema.get("minimum").and_then(Value::as_f64);
        let most = schema.get("maximum").and_then(Value::as_f64);
        let shown = match (least, most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("{least} or more"),
            (None, Some(most)) => format!("{most} or less"),
            (None, None) => return None,
        };
        Some(Self { least: least.unwrap_or(f64::MIN), most: most.unwrap_or(f64::MAX), shown })
    }
}

struct Check<'a> {
    ranges: &'a HashMap<String, Range>,
    outside: Option<Error>,
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = Result<(), Error>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("arguments")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let value = map.next_value::<&RawValue>()?.get();
            let Some(range) = self.ranges.get(name.as_ref()).filter(|_| value.len() <= NUMBER_LENGTH_MAX) else {
                continue;
            };
            // Some hosts quote numbers.
            let number = value.trim_matches('"').trim().parse::<f64>();
            if number.is_ok_and(|number| !(range.least..=range.most).contains(&number)) && self.outside.is_none() {
                let message = format!("`{name}` is {value}; it takes {}", range.shown);
                self.outside = Some(Error::invalid(name.into_owned(), message));
            }
        }
        Ok(self.outside.map_or(Ok(()), Err))
    }
}
