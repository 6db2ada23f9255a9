//! Resources: exported files, read part by part, and descriptions of tables and indices.

pub mod descriptions;

use base64::{Engine, engine::general_purpose::STANDARD};
use rmcp::{
    ErrorData,
    model::{
        ListResourceTemplatesResult, ListResourcesResult, MetaObject, ReadResourceResult, Resource, ResourceContents,
        ResourceTemplate,
    },
};
use serde_json::json;

use super::envelope::envelope;
use crate::{
    error::{Code, Error},
    ids,
    services::exports::{Content, Exports, Part},
};

/// Resources in one answer of resources/list.
const LIST_MAX: usize = 100;

/// The exported files, the newest first.
///
/// # Errors
/// A protocol error, whose data is our envelope.
pub async fn list(exports: &Exports, cursor: Option<&str>) -> Result<ListResourcesResult, ErrorData> {
    let files = exports.list().await.map_err(|error| refused(&error))?;
    // The cursor is the last id given. Ids sort by time, so files that come or go meanwhile neither repeat nor hide others.
    let mut after = files.into_iter().filter(|file| cursor.is_none_or(|last| file.id.as_str() < last));
    let given: Vec<_> = after.by_ref().take(LIST_MAX).collect();
    let more = after.next().is_some();
    let next = if more { given.last().map(|file| file.id.clone()) } else { None };
    let resource = |file: crate::ports::exports::ExportSummary| {
        Resource::new(uri(&file.id), format!("{}.{}", file.id, file.extension))
            .with_mime_type(mime_type(file.extension))
            .with_size(file.bytes)
    };
    let mut result = ListResourcesResult::with_all_items(given.into_iter().map(resource).collect());
    result.next_cursor = next;
    Ok(result)
}

/// How resources are named. `serves` says whether a tool is served.
pub fn templates(serves: impl Fn(&str) -> bool) -> ListResourceTemplatesResult {
    let export = ResourceTemplate::new("export://{id}{?offset,length}", "export")
        .with_title("Exported documents")
        .with_description(
            "A file written by bulk_export: NDJSON or CSV, kept for seven days. Read it part by part: offset is a byte (default 0), length up to 1048576 bytes \
             (default 65536); _meta of each part has bytes_total and the uri of the next one",
        );
    let mut templates = vec![export];
    templates.extend(descriptions::templates(serves));
    ListResourceTemplatesResult::with_all_items(templates)
}

/// A part of an exported file.
///
/// # Errors
/// A protocol error: there is no such resource, or the range is wrong.
pub async fn read(exports: &Exports, asked: &str) -> Result<ReadResourceResult, ErrorData> {
    let Some(range) = Range::parse(asked).map_err(|error| refused(&error))? else { return Err(unknown(asked)) };
    let part = exports.read(&range.id, range.offset, range.length).await.map_err(|error| refused(&error))?;
    let Some(part) = part else { return Err(unknown(asked)) };
    Ok(ReadResourceResult::new(vec![contents(&range.id, part)]))
}

/// The MIME type of an export.
pub fn mime_type(extension: &str) -> &'static str {
    match extension {
        "csv" => "text/csv",
        _ => "application/x-ndjson",
    }
}

fn uri(id: &str) -> String {
    format!("export://{id}")
}

fn contents(id: &str, part: Part) -> ResourceContents {
    let length = match &part.content {
        Content::Text(text) => text.len(),
        Content::Bytes(bytes) => bytes.len(),
    };
    let whole = part.offset == 0 && part.next.is_none();
    let this = if whole { uri(id) } else { format!("{}?offset={}&length={length}", uri(id), part.offset) };
    let mut meta = MetaObject::default();
    meta.0.insert("offset".to_owned(), json!(part.offset));
    meta.0.insert("bytes_total".to_owned(), json!(part.bytes_total));
    meta.0.insert("next".to_owned(), json!(part.next.map(|next| format!("{}?offset={next}", uri(id)))));
    let contents = match part.content {
        Content::Text(text) => ResourceContents::text(text, this),
        Content::Bytes(bytes) => ResourceContents::blob(STANDARD.encode(bytes), this),
    };
    contents.with_mime_type(mime_type(part.extension)).with_meta(meta)
}

struct Range {
    id: String,
    offset: u64,
    length: Option<u64>,
}

impl Range {
    /// `None` when it is the URI of something else.
    fn parse(uri: &str) -> Result<Option<Self>, Error> {
        let Some(rest) = uri.strip_prefix("export://") else { return Ok(None) };
        let (id, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut range = Self { id: id.trim_end_matches('/').to_owned(), offset: 0, length: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = value.parse::<u64>();
            match (name, number) {
                ("offset", Ok(offset)) => range.offset = offset,
                ("length", Ok(length)) => range.length = Some(length),
                ("offset" | "length", Err(_)) => {
                    return Err(Error::invalid(
                        name.to_owned(),
                        format!("`{name}` is not a number of bytes: `{value}`"),
                    ));
                }
                _ => {
                    return Err(Error::invalid("uri", format!("a part of an export has no `{name}`"))
                        .hint("export://ID?offset=BYTE&length=BYTES"));
                }
            }
        }
        Ok(Some(range))
    }
}

/// The SDK gives it the code of the client's protocol revision.
fn unknown(uri: &str) -> ErrorData {
    ErrorData::resource_not_found("no such resource", Some(json!({ "uri": uri })))
}

fn refused(error: &Error) -> ErrorData {
    let data = serde_json::from_str(&envelope(error, &ids::new(ids::Kind::Request))).ok();
    match error.code {
        Code::Invalid => ErrorData::invalid_params(error.message.clone(), data),
        _ => ErrorData::internal_error(error.message.clone(), data),
    }
}
