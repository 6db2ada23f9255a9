//! The tool that writes into search engines.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{
    Json, Keyed, Parameters, ToolError, Tools,
    raw::{Lenient, Object},
};
use crate::domain::search::{FailedDocument, Indexed, NewDocuments};

/// Arguments of index_documents.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexDocuments {
    /// Created when missing.
    index: String,
    /// Up to 5,000.
    documents: Lenient<Vec<Object>>,
    /// Its value becomes _id and replaces an existing document.
    id_field: Option<String>,
    /// Wait until searches see them (default true).
    refresh: Option<bool>,
}

/// Answer of index_documents.
#[derive(Serialize, JsonSchema)]
pub struct IndexAnswer {
    indexed: u64,
    failed: Vec<FailureView>,
}

#[derive(Serialize, JsonSchema)]
struct FailureView {
    position: usize,
    id: Option<String>,
    code: &'static str,
    reason: String,
}

#[tool_router(router = search_write_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Index documents into Elasticsearch or OpenSearch; each is written or fails on its own, with the reason.
    #[tool]
    async fn index_documents(
        &self,
        Keyed(key): Keyed,
        Parameters(arguments): Parameters<IndexDocuments>,
    ) -> Result<Json<IndexAnswer>, ToolError> {
        Ok(Json(self.app.search.index(arguments.into(), key).await?.into()))
    }
}

impl From<IndexDocuments> for NewDocuments {
    fn from(arguments: IndexDocuments) -> Self {
        Self {
            index: arguments.index,
            documents: arguments.documents.0.into_iter().map(|Object(document)| document).collect(),
            id_field: arguments.id_field,
            made_from: None,
            refresh: arguments.refresh.unwrap_or(true),
        }
    }
}

impl From<Indexed> for IndexAnswer {
    fn from(indexed: Indexed) -> Self {
        let failure = |failed: FailedDocument| FailureView {
            position: failed.position,
            id: failed.id,
            code: failed.code.as_str(),
            reason: failed.reason,
        };
        Self { indexed: indexed.indexed, failed: indexed.failed.into_iter().map(failure).collect() }
    }
}
