//! How an answer leaves a tool: serialized once, as the text that becomes both `content` and `structuredContent`.

use rmcp::{
    ErrorData,
    handler::server::tool::IntoCallToolResult,
    model::{CallToolResponse, CallToolResult, ContentBlock},
};
use serde::Serialize;

use super::ToolError as Failure;
use crate::error::{Code, Error};

/// The answer of a tool. The name is one that the `#[tool]` macro looks for to derive the output schema.
///
/// `structured_content` carries the JSON *text* as a string; [`crate::mcp::answer`] writes it out verbatim, so that a number in a
/// document is never read and written again. No tool answers with a bare string, so nothing is mistaken for it.
pub struct Json<T>(pub T);

/// How a failure leaves a tool; the choke point puts it into the envelope.
#[derive(Debug)]
pub struct ToolError(pub Error);

impl From<Error> for ToolError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl<T: Serialize> IntoCallToolResult for Json<T> {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        Ok(answered(&self.0, Vec::new()).into())
    }
}

/// An answer with resource links beside its text.
pub fn answered<T: Serialize>(view: &T, links: Vec<ContentBlock>) -> CallToolResult {
    match serde_json::to_string(view) {
        Ok(text) => {
            let mut result = CallToolResult::success(links);
            result.structured_content = Some(serde_json::Value::String(text));
            result
        }
        Err(error) => failed(Error::new(Code::Internal, "the answer could not be written").cause(error)),
    }
}

/// A failure on its way to the choke point: the error itself travels in the task-local slot that the choke point opened.
pub fn failed(error: Error) -> CallToolResult {
    FAILURE.try_with(|slot| slot.set(Some(error))).ok();
    CallToolResult::error(Vec::new())
}

tokio::task_local! {
    /// Where a failed tool leaves its error for the choke point, which alone writes envelopes.
    pub static FAILURE: std::cell::Cell<Option<Error>>;
}

impl IntoCallToolResult for Failure {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        Ok(failed(self.0).into())
    }
}
