//! How arguments reach a tool: read once, from the text that came over the wire.

mod explanation;
mod moment;
mod number;
mod shape;
mod tidy;

use std::{borrow::Cow, sync::Arc};

use rmcp::{
    ErrorData,
    handler::server::{common::FromContextPart, tool::ToolCallContext},
    model::{CallToolRequestParams, Extensions},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::answer::FAILURE;
use crate::{
    domain::{
        idempotency::{IDEMPOTENCY_KEY, Key},
        json::Members,
    },
    error::Error,
};

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

/// The idempotency key of a call that writes. The choke point takes it out of the arguments and leaves it in the request's extensions.
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

impl<S, T: DeserializeOwned + JsonSchema> FromContextPart<ToolCallContext<'_, S>> for Parameters<T> {
    fn from_context_part(context: &mut ToolCallContext<'_, S>) -> Result<Self, ErrorData> {
        // The choke point has left them there.
        let extensions = &context.request_context.extensions;
        let raw = extensions.get::<RawArguments>();
        let beside: &[&str] = if extensions.get::<Keyed>().is_some() { &[IDEMPOTENCY_KEY] } else { &[] };
        read(raw.map_or("", |raw| &raw.0), beside).map(Self).map_err(|error| {
            FAILURE.try_with(|slot| slot.set(Some(error))).ok();
            ErrorData::invalid_params("invalid arguments", None)
        })
    }
}

/// Reads arguments that were tidied ([`Shapes::tidy`]). `beside` are those that the call takes too, and that were read before.
///
/// # Errors
/// `invalid` naming the argument, near names, and what is accepted.
pub fn read<T: DeserializeOwned + JsonSchema>(text: &str, beside: &[&str]) -> Result<T, Error> {
    let text = tidy::whole_text(text);
    if !text.starts_with('{') {
        // The parser would take a list for the members in their order.
        return Err(Error::invalid("arguments", "`arguments` takes an object").hint("e.g. {\"name\": value}"));
    }
    serde_json::from_str(&text).or_else(|_| {
        // Read again, slowly, to learn which argument it was.
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| explanation::explain(&error, &super::schema::aliases::<T>(), beside))
    })
}

/// Takes the idempotency key out of the arguments of a call; the key, and the rest as text.
///
/// # Errors
/// `invalid` when the key is no text, or given twice.
pub fn split_key(text: &str) -> Result<(Option<String>, Cow<'_, str>), Error> {
    #[derive(Deserialize, JsonSchema)]
    struct Key {
        idempotency_key: Option<String>,
    }
    // What is no object is refused by the tool.
    let Ok(Members(pairs)) = serde_json::from_str::<Members<&RawValue>>(text) else {
        return Ok((None, Cow::Borrowed(text)));
    };
    let (own, rest): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| name == IDEMPOTENCY_KEY);
    if own.is_empty() {
        return Ok((None, Cow::Borrowed(text)));
    }
    let text_of = |pairs: &[(String, &RawValue)]| {
        tidy::object_text(pairs.iter().map(|(name, value)| (name.as_str(), value.get())))
    };
    let key: Key = read(&text_of(&own), &[])?;
    Ok((key.idempotency_key, Cow::Owned(text_of(&rest))))
}
