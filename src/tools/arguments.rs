//! How arguments reach a tool: read once, from the text that came over the wire.

mod correction;
mod explanation;

use std::{borrow::Cow, sync::Arc};

use rmcp::{
    ErrorData,
    handler::server::{common::FromContextPart, tool::ToolCallContext},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::answer::FAILURE;
use crate::{domain::idempotency::Key, error::Error};

/// The text of `arguments` as the transport received it, in the request's extensions.
#[derive(Clone, Debug)]
pub struct RawArguments(pub Arc<str>);

/// The idempotency key of a call, for a tool that keeps it in the transaction of its own effect. The choke point leaves it in the request's
/// extensions.
#[derive(Clone, Debug, Default)]
pub struct Keyed(pub Option<Key>);

impl<S> FromContextPart<ToolCallContext<'_, S>> for Keyed {
    fn from_context_part(context: &mut ToolCallContext<'_, S>) -> Result<Self, ErrorData> {
        Ok(context.request_context.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The arguments of a tool. The name is one that the `#[tool]` macro looks for to derive the input schema.
pub struct Parameters<T>(pub T);

impl<T: JsonSchema> JsonSchema for Parameters<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

impl<S, T: DeserializeOwned> FromContextPart<ToolCallContext<'_, S>> for Parameters<T> {
    fn from_context_part(context: &mut ToolCallContext<'_, S>) -> Result<Self, ErrorData> {
        let raw = context.request_context.extensions.get::<RawArguments>().map(|raw| Arc::clone(&raw.0));
        let read = match (&raw, &context.arguments) {
            (Some(text), _) => read(text),
            (None, Some(map)) => read(&serde_json::to_string(map).unwrap_or_default()),
            (None, None) => read("{}"),
        };
        read.map(Self).map_err(|error| {
            FAILURE.try_with(|slot| slot.set(Some(error))).ok();
            ErrorData::invalid_params("invalid arguments", None)
        })
    }
}

/// Corrections of one call's arguments at the most: one for each argument of the longest tool.
const CORRECTIONS_MAX: usize = 24;

/// Reads arguments; `null` and nothing stand for no arguments, and a JSON string that holds an object for that object. What some hosts do to
/// single arguments is undone where its meaning is plain: `null` for one that is absent, and numbers, booleans, lists and objects inside
/// strings.
///
/// # Errors
/// `invalid` naming the argument, near names, and what is accepted.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let text = text.trim();
    let unwrapped = if text.starts_with('"') { serde_json::from_str::<String>(text).ok() } else { None };
    let text = match unwrapped.as_deref().unwrap_or(text).trim() {
        "" | "null" => "{}",
        other => other,
    };
    if !text.starts_with('{') {
        // The parser would take a list for the members in their order.
        return Err(Error::invalid("arguments", "`arguments` takes an object").hint("e.g. {\"name\": value}"));
    }
    if let Ok(read) = serde_json::from_str(text) {
        return Ok(read);
    }
    // Read again, slowly, to learn which argument it was.
    let mut text = Cow::Borrowed(text);
    for _ in 0..CORRECTIONS_MAX {
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        match serde_path_to_error::deserialize(&mut deserializer) {
            Ok(read) => return Ok(read),
            Err(error) => match correction::corrected(&text, &error) {
                Some(corrected) => text = Cow::Owned(corrected),
                None => return Err(explanation::explain(&error)),
            },
        }
    }
    Err(Error::invalid("arguments", "the arguments cannot be read"))
}
