//! How an answer is written: one JSON text, used as it is for `structuredContent` and quoted for `content`.

use rmcp::{
    RoleServer,
    model::{CallToolResult, JsonRpcMessage, ServerResult},
    service::TxJsonRpcMessage,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::stdio::message::Id;
use crate::config::Answers;

/// The JSON text of a tool's answer, where the message is one.
pub fn text_of(message: &TxJsonRpcMessage<RoleServer>) -> Option<(&CallToolResult, &str)> {
    let JsonRpcMessage::Response(response) = message else { return None };
    let ServerResult::CallToolResult(result) = &response.result else { return None };
    match &result.structured_content {
        Some(serde_json::Value::String(text)) => Some((result, text)),
        _ => None,
    }
}

#[derive(Serialize)]
struct Message<'a, T> {
    jsonrpc: &'static str,
    /// The client's own, as it came; null where it could not be read.
    id: Option<&'a RawValue>,
    #[serde(flatten)]
    outcome: Outcome<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<T> {
    Result(T),
    Error(T),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'a rmcp::model::ResultType>,
    content: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_error: Option<bool>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a rmcp::model::MetaObject>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Text { r#type: &'static str, text: &'a str },
    Other(&'a rmcp::model::ContentBlock),
}

/// Writes a message as one line of JSON, without the line break. A response goes to the request that has `id`.
///
/// # Errors
/// When it cannot be serialized.
pub fn write(
    message: &TxJsonRpcMessage<RoleServer>,
    id: Option<&Id>,
    answers: Answers,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let id = id.map(|id| serde_json::from_str(id.as_json())).transpose()?;
    match message {
        JsonRpcMessage::Response(response) => match text_of(message) {
            Some((result, text)) => line(id, Outcome::Result(call_result(result, text, answers)?), out),
            None => line(id, Outcome::Result(&response.result), out),
        },
        JsonRpcMessage::Error(error) => line(id, Outcome::Error(&error.error), out),
        _ => serde_json::to_writer(out, message),
    }
}

fn line<T: Serialize>(id: Option<&RawValue>, outcome: Outcome<T>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(out, &Message { jsonrpc: "2.0", id, outcome })
}

fn call_result<'a>(result: &'a CallToolResult, text: &'a str, answers: Answers) -> serde_json::Result<CallResult<'a>> {
    let shown =
        if answers == Answers::Structured && result.is_error != Some(true) { "see structuredContent" } else { text };
    let mut content = vec![Block::Text { r#type: "text", text: shown }];
    content.extend(result.content.iter().map(Block::Other));
    Ok(CallResult {
        result_type: result.result_type.as_ref(),
        content,
        structured_content: if answers == Answers::Text { None } else { Some(serde_json::from_str(text)?) },
        is_error: result.is_error,
        meta: result.meta.as_ref(),
    })
}
