//! How an answer is written: one JSON text, used as it is for `structuredContent` and quoted for `content`.

use rmcp::{
    ErrorData,
    model::{CallToolResult, ServerResult},
};
use serde::Serialize;

use super::message::Id;
use crate::config::Answers;

/// Stands in `content` where only `structuredContent` is wanted.
const SEE: &str = r#""see structuredContent""#;

/// The JSON text of a tool's answer, where the result is one.
pub fn text_of(result: &ServerResult) -> Option<(&CallToolResult, &str)> {
    let ServerResult::CallToolResult(result) = result else { return None };
    match &result.structured_content {
        Some(serde_json::Value::String(text)) => Some((result, text)),
        _ => None,
    }
}

/// Writes an answer as one line of JSON, without the line break. `id` is that of the request as it came; none where it could not be read.
///
/// # Errors
/// When it cannot be serialized.
pub fn write(
    outcome: &Result<ServerResult, ErrorData>,
    id: Option<&Id>,
    answers: Answers,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    add(out, r#"{"jsonrpc":"2.0","id":"#);
    add(out, id.map_or("null", Id::as_json));
    match outcome {
        Ok(result) => {
            add(out, r#","result":"#);
            match text_of(result) {
                Some((result, text)) => write_called(result, text, answers, out)?,
                None => json(result, out)?,
            }
        }
        Err(error) => {
            add(out, r#","error":"#);
            json(error, out)?;
        }
    }
    add(out, "}");
    Ok(())
}

fn write_called(result: &CallToolResult, text: &str, answers: Answers, out: &mut Vec<u8>) -> serde_json::Result<()> {
    add(out, "{");
    if let Some(kind) = &result.result_type {
        add(out, r#""resultType":"#);
        json(kind, out)?;
        add(out, ",");
    }
    add(out, r#""content":[{"type":"text","text":"#);
    if answers == Answers::Structured && result.is_error != Some(true) {
        add(out, SEE);
    } else {
        quote(text, out);
    }
    add(out, "}");
    for block in &result.content {
        add(out, ",");
        json(block, out)?;
    }
    add(out, "]");
    if answers != Answers::Text {
        add(out, r#","structuredContent":"#);
        let start = out.len();
        add(out, text);
        // A document may have been stored with line breaks between its values; here one would end the message.
        let written = out.get_mut(start..).unwrap_or_default();
        if memchr::memchr2(b'\n', b'\r', written).is_some() {
            written.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
    }
    if let Some(failed) = result.is_error {
        add(out, r#","isError":"#);
        json(&failed, out)?;
    }
    if let Some(meta) = &result.meta {
        add(out, r#","_meta":"#);
        json(meta, out)?;
    }
    add(out, "}");
    Ok(())
}

fn add(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn json(value: &impl Serialize, out: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(out, value)
}

/// JSON text as a JSON string. Control characters are escapes in it already, but for the three that may stand between its values.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + text.len() / 4 + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, after)) = special.split_first() else { break };
        let escaped = match special {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            itself => *itself,
        };
        out.extend_from_slice(&[b'\\', escaped]);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use rmcp::model::{CallToolResult, ServerResult};
    use serde_json::Value;

    use super::{Answers, quote, write};

    #[test]
    fn an_answer_is_one_line_whatever_stands_between_its_values() {
        let mut result = CallToolResult::success(Vec::new());
        result.structured_content = Some(Value::String("{\r\n\t\"a\": [1,\n\"x y\"]}".to_owned()));
        let mut out = Vec::new();
        write(&Ok(ServerResult::CallToolResult(result)), None, Answers::Both, &mut out).unwrap();
        assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "{}", String::from_utf8_lossy(&out));
        let message: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(message["result"]["structuredContent"], serde_json::json!({"a": [1, "x y"]}));
    }

    #[test]
    fn quoted_json_reads_as_the_same_json() {
        for text in ["{}", r#"{"a":"b\"c\\d\n","é":"\u0001 ü 漢 🦀"}"#, "[1,\n\t\"x\",\r\n 2]", "\"\""] {
            let mut out = Vec::new();
            quote(text, &mut out);
            assert!(!out.contains(&b'\n'), "{text}");
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
