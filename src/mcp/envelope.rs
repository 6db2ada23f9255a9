//! The one place where a failure becomes an answer.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    error::{Code, Error},
    redaction::redact,
};

/// What every failed call answers, over MCP and on the command line alike.
#[derive(Serialize)]
struct Envelope<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    did_you_mean: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<&'a RawValue>,
    request_id: &'a str,
}

/// The envelope as JSON text. The private cause is logged here, once, and never shown.
pub fn envelope(error: &Error, request_id: &str) -> String {
    if let Some(cause) = std::error::Error::source(error) {
        log(error, &chain(cause), request_id);
    }
    let shown = |text: &Option<String>| text.as_deref().map(|text| redact(text).into_owned());
    let (message, detail) = (redact(&error.message), shown(&error.place.detail));
    let envelope = Envelope {
        code: error.code.as_str(),
        message: &message,
        hint: error.hint.as_deref(),
        retryable: error.code.retryable(),
        retry_after_ms: error.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        argument: error.argument.as_deref(),
        did_you_mean: &error.did_you_mean,
        position: error.place.position,
        line: error.place.line,
        column: error.place.column,
        detail: detail.as_deref(),
        backend_code: error.place.backend_code.as_deref(),
        current: error.current.as_deref(),
        request_id,
    };
    serde_json::to_string(&envelope).unwrap_or_else(|_| {
        r#"{"code":"internal","message":"the error could not be written","retryable":false}"#.to_owned()
    })
}

/// Hosts show people what is written to stderr, so that holds what an operator can mend. A caller's own mistakes are the caller's to read.
fn log(error: &Error, cause: &str, request_id: &str) {
    let code = error.code.as_str();
    match error.code {
        Code::Internal => {
            tracing::error!(error.code = code, cause, request.id = request_id, "call failed: {error}");
        }
        Code::Unavailable | Code::Timeout | Code::OutcomeUnknown => {
            tracing::warn!(error.code = code, cause, request.id = request_id, "call failed: {error}");
        }
        Code::Invalid
        | Code::NotFound
        | Code::Conflict
        | Code::LeaseLost
        | Code::Limit
        | Code::Busy
        | Code::Denied
        | Code::Cancelled => {
            tracing::debug!(error.code = code, cause, request.id = request_id, "call refused: {error}");
        }
    }
}

/// Everything an error stands on, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::envelope;
    use crate::{
        domain::json,
        error::{Code, Error},
    };

    #[test]
    fn what_stands_now_is_told() {
        let current = json::of(&std::collections::BTreeMap::from([("version", 7)]));
        let text = envelope(&Error::new(Code::Conflict, "it is another").current(current), "rq_1");
        assert_eq!(
            text,
            r#"{"code":"conflict","message":"it is another","retryable":false,"current":{"version":7},"request_id":"rq_1"}"#
        );
    }
}
