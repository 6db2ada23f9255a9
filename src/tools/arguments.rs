//! How arguments reach a tool: read once, from the text that came over the wire.

mod explanation;
mod moment;
mod number;
mod shape;
mod tidy;

use std::sync::Arc;

use rmcp::{
    ErrorData,
    handler::server::{common::FromContextPart, tool::ToolCallContext},
    model::{CallToolRequestParams, Extensions},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::answer::FAILURE;
use crate::{domain::idempotency::Key, error::Error};

pub use self::{moment::Moment, shape::Shapes};

/// The text of `arguments` as the transport received it, in the request's extensions.
#[derive(Clone, Debug)]
pub struct RawArguments(pub Arc<str>);

impl RawArguments {
    /// Of a call, however they came.
    pub fn of(request: &CallToolRequestParams, extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_else(|| {
            let map = request.arguments.as_ref().and_then(|map| serde_json::to_string(map).ok());
            Self(map.unwrap_or_default().into())
        })
    }
}

/// The idempotency key of a call that writes. The choke point leaves it in the request's extensions.
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

impl<S, T: DeserializeOwned + JsonSchema> FromContextPart<ToolCallContext<'_, S>> for Parameters<T> {
    fn from_context_part(context: &mut ToolCallContext<'_, S>) -> Result<Self, ErrorData> {
        // The choke point has left them there.
        let raw = context.request_context.extensions.get::<RawArguments>();
        read(raw.map_or("", |raw| &raw.0)).map(Self).map_err(|error| {
            FAILURE.try_with(|slot| slot.set(Some(error))).ok();
            ErrorData::invalid_params("invalid arguments", None)
        })
    }
}

/// Reads arguments that were tidied ([`Shapes::tidy`]).
///
/// # Errors
/// `invalid` naming the argument, near names, and what is accepted.
pub fn read<T: DeserializeOwned + JsonSchema>(text: &str) -> Result<T, Error> {
    let text = tidy::whole_text(text);
    if !text.starts_with('{') {
        // The parser would take a list for the members in their order.
        return Err(Error::invalid("arguments", "`arguments` takes an object").hint("e.g. {\"name\": value}"));
    }
    serde_json::from_str(&text).or_else(|_| {
        // Read again, slowly, to learn which argument it was.
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| explanation::explain(&error, &super::schema::aliases::<T>()))
    })
}
