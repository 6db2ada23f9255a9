//! The tool that takes whole result sets out of search engines.

use rmcp::{
    model::{CallToolResult, ContentBlock, Resource},
    tool, tool_router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{
    Parameters, ToolError, Tools, answer,
    progress::Progress,
    raw::{Any, Lenient, Object},
};
use crate::services::{
    exports::{Destination, Exported, Format, Request},
    search::QueryRequest,
};

/// Arguments of bulk_export.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkExport {
    /// Name, several by commas, or pattern with *.
    index: String,
    /// Query DSL.
    #[schemars(with = "Option<Object>")]
    query: Option<Any>,
    /// Words, instead of `query`.
    text: Option<String>,
    /// Default all.
    fields: Option<Lenient<Vec<String>>>,
    /// Default ndjson.
    format: Option<FormatChoice>,
    /// inline, file, or auto (default: inline when small).
    destination: Option<DestinationChoice>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum FormatChoice {
    Ndjson,
    Csv,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum DestinationChoice {
    Auto,
    Inline,
    File,
}

/// Answer of bulk_export.
#[derive(Serialize, JsonSchema)]
pub struct ExportAnswer {
    count: u64,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    untrusted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    csv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<Vec<DocumentView>>,
}

#[derive(Serialize, JsonSchema)]
struct DocumentView {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_index")]
    index: String,
    #[schemars(with = "Option<Object>")]
    document: Any,
}

#[tool_router(router = search_export_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Export all documents of an index or query, complete and exact: small results inline, large ones as an NDJSON or CSV file by resource link.
    #[tool(output_schema = rmcp::handler::server::tool::schema_for_output::<ExportAnswer>())]
    async fn bulk_export(
        &self,
        Parameters(arguments): Parameters<BulkExport>,
        progress: Progress,
    ) -> Result<CallToolResult, ToolError> {
        let exported = self.app.exports.export(arguments.into(), &progress).await?;
        let links = link(&exported).into_iter().collect();
        Ok(answer::answered(&ExportAnswer::from(exported), links))
    }
}

fn link(exported: &Exported) -> Option<ContentBlock> {
    let file = exported.file.as_ref()?;
    let (mime_type, name) = match exported.format {
        Format::Ndjson => ("application/x-ndjson", "NDJSON"),
        Format::Csv => ("text/csv", "CSV"),
    };
    let resource = Resource::new(exported.uri()?, exported.file_name())
        .with_mime_type(mime_type)
        .with_size(file.bytes)
        .with_description(format!(
            "{} documents as {name}; read it in parts: ?offset=BYTE&length=BYTES after the uri",
            exported.count
        ));
    Some(ContentBlock::resource_link(resource))
}

impl From<BulkExport> for Request {
    fn from(arguments: BulkExport) -> Self {
        Self {
            index: arguments.index,
            query: QueryRequest { query: arguments.query.map(|Any(query)| query), text: arguments.text },
            fields: arguments.fields.map(|Lenient(fields)| fields).unwrap_or_default(),
            format: match arguments.format {
                Some(FormatChoice::Csv) => Format::Csv,
                Some(FormatChoice::Ndjson) | None => Format::Ndjson,
            },
            destination: match arguments.destination {
                Some(DestinationChoice::Inline) => Destination::Inline,
                Some(DestinationChoice::File) => Destination::File,
                Some(DestinationChoice::Auto) | None => Destination::Auto,
            },
        }
    }
}

impl From<Exported> for ExportAnswer {
    fn from(exported: Exported) -> Self {
        let resource_uri = exported.uri();
        let documents = exported.documents.map(|documents| {
            let view = |document: crate::domain::search::ExportedDocument| DocumentView {
                id: document.id,
                index: document.index,
                document: Any(document.document),
            };
            documents.into_iter().map(view).collect()
        });
        Self {
            count: exported.count,
            complete: true,
            note: exported.note,
            bytes: exported.file.as_ref().map(|file| file.bytes),
            sha256: exported.file.as_ref().map(|file| file.sha256.clone()),
            resource_uri,
            path: exported.file.map(|file| file.path.display().to_string()),
            untrusted: true,
            csv: exported.csv,
            documents,
        }
    }
}
