//! A line becomes a message, in two steps: its head first, then the parameters of its method. Arguments of tools stay the text they came in.

pub mod ids;
mod scan;

use std::borrow::Cow;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientCapabilities, ClientRequest, ErrorCode, GetExtensions,
    Implementation, InitializeRequest, InitializeRequestParams, ProtocolVersion, RequestMetaObject,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use self::ids::Ids;
use super::pressure::Pressure;
use crate::tools::arguments::RawArguments;

/// The longest line that is read, without its line break.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// Messages in one batch.
pub const BATCH_MAX: usize = 1_000;

/// The id of a request, as JSON text: it goes back exactly as it came, however large a number it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(Box<str>);

impl Id {
    /// Its JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    fn read(raw: &str) -> Option<Self> {
        match raw.as_bytes().first()? {
            // Written anew, so that two spellings of one id are one id.
            b'"' => {
                let text: String = serde_json::from_str(raw).ok()?;
                Some(Self(serde_json::to_string(&text).ok()?.into()))
            }
            b'-' | b'0'..=b'9' => Some(Self(raw.into())),
            _ => None,
        }
    }
}

/// What a line turned out to be.
#[derive(Debug)]
pub enum Incoming {
    /// To be answered.
    Request {
        /// As the client wrote it.
        id: Id,
        /// What it asks.
        request: Box<ClientRequest>,
    },
    /// The client no longer wants an answer.
    Cancelled {
        /// Of the request.
        id: Id,
    },
    /// Several messages in one line.
    Batch(Vec<Box<str>>),
    /// A notification or a response that nobody waits for.
    Nothing,
    /// Not a message.
    Refused(Refusal),
}

/// Why a line is not a message.
#[derive(Debug)]
pub struct Refusal {
    /// Of the requests in it, where they could be read: each of them is told.
    pub ids: Vec<Id>,
    /// As JSON-RPC defines it.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// `null` is there, too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "_meta")]
    meta: Option<RequestMetaObject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled<'a> {
    #[serde(borrow)]
    request_id: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MinimalInitialize {
    protocol_version: ProtocolVersion,
}

/// Methods that rmcp knows. It takes parameters that it cannot read for a method that it does not know.
const METHODS: [&str; 19] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "skills/list",
    "skills/get",
];

/// The text of a line.
///
/// # Errors
/// A parse error when it is not UTF-8, nested too deeply, or escapes half a character.
pub fn text(line: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(line)
        .map_err(|error| parse_error(line, format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1)))?;
    scan::check(line).map_err(|reason| parse_error(line, reason))?;
    Ok(text)
}

/// What a text is. The text has passed [`text`].
pub fn read(text: &str) -> Incoming {
    if text.starts_with('[') {
        return batch(text);
    }
    let head: Head<'_> = match serde_json::from_str(text) {
        Ok(head) => head,
        Err(error) if error.is_data() => {
            // The first flaw of its shape hides a flaw of its syntax.
            return Incoming::Refused(match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                Err(error) => parse_error(text.as_bytes(), with_column(&error)),
                Ok(_) if text.starts_with('{') => invalid_request(
                    ids_in(text.as_bytes()),
                    format!("not a JSON-RPC message: {}", without_position(&error)),
                ),
                Ok(_) => invalid_request(None, "not a JSON-RPC message: it must be an object"),
            });
        }
        Err(error) => return Incoming::Refused(parse_error(text.as_bytes(), with_column(&error))),
    };
    message(&head).unwrap_or_else(Incoming::Refused)
}

/// What is answered to a line that is too long.
pub fn oversize(ids: &[Box<str>]) -> Refusal {
    let ids = ids.iter().filter_map(|id| Id::read(id));
    invalid_request(ids, format!("the line is longer than {LINE_BYTES_MAX} bytes, the most that one message takes"))
}

fn batch(text: &str) -> Incoming {
    let refused = |message: String| Incoming::Refused(invalid_request(ids_in(text.as_bytes()), message));
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Err(error) => Incoming::Refused(parse_error(text.as_bytes(), with_column(&error))),
        Ok(messages) if messages.is_empty() => refused("the batch is empty".to_owned()),
        Ok(messages) if messages.len() > BATCH_MAX => {
            refused(format!("a batch takes {BATCH_MAX} messages at the most"))
        }
        Ok(messages) if messages.iter().any(|message| message.get().starts_with('[')) => {
            refused("a batch cannot hold a batch".to_owned())
        }
        Ok(messages) => Incoming::Batch(messages.into_iter().map(|message| message.get().into()).collect()),
    }
}

fn message(head: &Head<'_>) -> Result<Incoming, Refusal> {
    let id = match head.id {
        None => None,
        Some(raw) => {
            Some(Id::read(raw.get()).ok_or_else(|| invalid_request(None, "`id` must be a string or a number"))?)
        }
    };
    if head.jsonrpc.is_none_or(|version| version.get() != r#""2.0""#) {
        return Err(invalid_request(id, r#"`jsonrpc` must be "2.0""#));
    }
    let Some(method) = head.method else {
        return if head.result.is_some() || head.error.is_some() {
            Ok(Incoming::Nothing)
        } else {
            Err(invalid_request(id, "`method` is missing"))
        };
    };
    let Ok(method) = serde_json::from_str::<Cow<'_, str>>(method.get()) else {
        return Err(invalid_request(id, "`method` must be a string"));
    };
    let params = head.params.map(RawValue::get);
    let Some(id) = id else { return Ok(notification(&method, params)) };
    if params.is_some_and(|params| !params.starts_with('{')) {
        return Err(invalid_params(id, "`params` must be an object"));
    }
    match request(&method, params) {
        Ok(request) => Ok(Incoming::Request { id, request: Box::new(request) }),
        Err(message) => Err(invalid_params(id, message)),
    }
}

fn notification(method: &str, params: Option<&str>) -> Incoming {
    if method != "notifications/cancelled" {
        return Incoming::Nothing;
    }
    let cancelled = params.and_then(|params| serde_json::from_str::<Cancelled<'_>>(params).ok());
    match cancelled.and_then(|cancelled| Id::read(cancelled.request_id.get())) {
        Some(id) => Incoming::Cancelled { id },
        None => Incoming::Nothing,
    }
}

/// The error is the sentence of an invalid-params answer.
fn request(method: &str, params: Option<&str>) -> Result<ClientRequest, String> {
    match method {
        "tools/call" | "call_tool" => call(params.unwrap_or("{}")),
        "initialize" => initialize(params.unwrap_or("{}")),
        other => {
            let method = if other == "list_tools" { "tools/list" } else { other };
            let name = serde_json::to_string(method).map_err(|error| error.to_string())?;
            let text = match params {
                Some(params) => format!(r#"{{"method":{name},"params":{params}}}"#),
                None => format!(r#"{{"method":{name}}}"#),
            };
            match serde_json::from_str(&text) {
                Ok(ClientRequest::CustomRequest(_)) if METHODS.contains(&method) => {
                    Err(format!("`params` does not have the shape that `{method}` takes"))
                }
                Ok(request) => Ok(request),
                Err(error) => Err(format!("`params` cannot be read: {}", without_position(&error))),
            }
        }
    }
}

fn call(params: &str) -> Result<ClientRequest, String> {
    let call: Call<'_> = serde_json::from_str(params)
        .map_err(|error| format!("`params` of a tool call: {}", without_position(&error)))?;
    let mut request = CallToolRequest::new(CallToolRequestParams::new(call.name.into_owned()));
    if let Some(meta) = call.meta {
        request.extensions.insert(meta);
    }
    request.extensions.insert(RawArguments(call.arguments.map_or("{}", RawValue::get).into()));
    Ok(ClientRequest::CallToolRequest(request))
}

/// Clients that leave out who they are and what they can do are served all the same.
fn initialize(params: &str) -> Result<ClientRequest, String> {
    let params = serde_json::from_str::<InitializeRequestParams>(params).or_else(|_| {
        let minimal: MinimalInitialize = serde_json::from_str(params)
            .map_err(|error| format!("`params` of initialize: {}", without_position(&error)))?;
        let mut params = InitializeRequestParams::new(ClientCapabilities::default(), Implementation::new("", ""));
        params.protocol_version = minimal.protocol_version;
        Ok::<_, String>(params)
    })?;
    Ok(ClientRequest::InitializeRequest(InitializeRequest::new(params)))
}

/// Lets the choke point see how much the client leaves unread.
pub fn attach(request: &mut ClientRequest, pressure: Pressure) {
    if let ClientRequest::CallToolRequest(call) = request {
        call.extensions_mut().insert(pressure);
    }
}

fn ids_in(line: &[u8]) -> Vec<Id> {
    Ids::of(line).iter().filter_map(|id| Id::read(id)).collect()
}

fn parse_error(line: &[u8], reason: impl std::fmt::Display) -> Refusal {
    Refusal { ids: ids_in(line), code: ErrorCode::PARSE_ERROR, message: format!("the line is not JSON: {reason}") }
}

fn invalid_request(ids: impl IntoIterator<Item = Id>, message: impl Into<String>) -> Refusal {
    Refusal { ids: ids.into_iter().collect(), code: ErrorCode::INVALID_REQUEST, message: message.into() }
}

fn invalid_params(id: Id, message: impl Into<String>) -> Refusal {
    Refusal { ids: vec![id], code: ErrorCode::INVALID_PARAMS, message: message.into() }
}

/// What the parser says, with the column: there is only one line.
fn with_column(error: &serde_json::Error) -> String {
    format!("{} at column {}", without_position(error), error.column())
}

fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}
