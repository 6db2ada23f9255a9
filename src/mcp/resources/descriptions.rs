//! Tables and indices as resources: what get_schema and get_mapping answer, under a URI.

use percent_encoding::percent_decode_str;
use rmcp::{
    ErrorData,
    model::{CallToolResult, ReadResourceResult, ResourceContents, ResourceTemplate},
};
use serde_json::{Value, json};

use crate::mcp::clean;

const MIME_TYPE: &str = "application/json";

/// A description that a resource is asked for, as the call of the tool that gives it.
#[derive(Debug)]
pub struct Description {
    /// The tool.
    pub tool: &'static str,
    /// Its arguments as JSON text.
    pub arguments: String,
}

struct Kind {
    scheme: &'static str,
    tool: &'static str,
    argument: &'static str,
    title: &'static str,
    description: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        scheme: "schema",
        tool: "get_schema",
        argument: "table",
        title: "Schema of a table",
        description: "What get_schema answers for a table or view of the default database: `name`, `schema.name`, or with double quotes \
                      `\"Odd.Name\"`, percent-encoded",
    },
    Kind {
        scheme: "mapping",
        tool: "get_mapping",
        argument: "index",
        title: "Mapping of an index",
        description: "What get_mapping answers for a search index or alias",
    },
];

/// How descriptions are named, of those whose tool is served.
pub fn templates(serves: impl Fn(&str) -> bool) -> Vec<ResourceTemplate> {
    let template = |kind: &Kind| {
        ResourceTemplate::new(format!("{}://{{{}}}", kind.scheme, kind.argument), kind.scheme)
            .with_title(kind.title)
            .with_description(kind.description)
            .with_mime_type(MIME_TYPE)
    };
    KINDS.iter().filter(|kind| serves(kind.tool)).map(template).collect()
}

impl Description {
    /// `None` when it is the URI of something else.
    ///
    /// # Errors
    /// When the name cannot be read.
    pub fn parse(uri: &str) -> Result<Option<Self>, ErrorData> {
        let Some((scheme, rest)) = uri.split_once("://") else { return Ok(None) };
        let Some(kind) = KINDS.iter().find(|kind| kind.scheme == scheme) else { return Ok(None) };
        let unreadable = |why: &str| ErrorData::invalid_params(format!("`uri` {why}"), Some(json!({ "uri": uri })));
        if rest.contains(['?', '#']) {
            return Err(unreadable("takes nothing after the name; write `?` as %3F and `#` as %23"));
        }
        // Some clients end a host with a slash.
        let name = percent_decode_str(rest.strip_suffix('/').unwrap_or(rest)).decode_utf8();
        let name = name.map_err(|_| unreadable("is not UTF-8 behind its percent signs"))?;
        Ok(Some(Self { tool: kind.tool, arguments: json!({ kind.argument: name }).to_string() }))
    }
}

/// What the tool answered, as the resource's text: byte for byte that of the tool.
///
/// # Errors
/// The tool's own failure: a protocol error, whose data is the envelope.
pub fn contents(uri: &str, answer: CallToolResult) -> Result<ReadResourceResult, ErrorData> {
    let text = match answer.structured_content {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    if answer.is_error != Some(true) {
        let contents = ResourceContents::text(text, uri).with_mime_type(MIME_TYPE);
        return Ok(ReadResourceResult::new(vec![contents]));
    }
    let mut data: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({}));
    clean::strings(&mut data);
    let said = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (code, message) = (said("code"), said("message"));
    if let Value::Object(members) = &mut data {
        members.insert("uri".to_owned(), json!(uri));
    }
    Err(match code.as_str() {
        "not_found" => ErrorData::resource_not_found(message, Some(data)),
        "invalid" => ErrorData::invalid_params(message, Some(data)),
        _ => ErrorData::internal_error(message, Some(data)),
    })
}

#[cfg(test)]
mod tests {
    use super::Description;

    #[test]
    fn names_are_read_as_they_are_meant() {
        for (uri, arguments) in [
            ("schema://products", r#"{"table":"products"}"#),
            ("schema://public.products/", r#"{"table":"public.products"}"#),
            ("schema://%22Odd%20Name%22", r#"{"table":"\"Odd Name\""}"#),
            (r#"schema://"Odd Name""#, r#"{"table":"\"Odd Name\""}"#),
            ("schema://%C5%BElu%C5%A5", r#"{"table":"žluť"}"#),
            ("schema://100%25%3F", r#"{"table":"100%?"}"#),
            ("mapping://notes-2026", r#"{"index":"notes-2026"}"#),
        ] {
            assert_eq!(Description::parse(uri).unwrap().unwrap().arguments, arguments, "{uri}");
        }
        for uri in ["export://x", "schema:x", "file:///x", "schemas://x", ""] {
            assert!(Description::parse(uri).unwrap().is_none(), "{uri}");
        }
        for uri in ["schema://a?database=x", "mapping://a#b", "schema://%ff"] {
            assert!(Description::parse(uri).is_err(), "{uri}");
        }
    }
}
