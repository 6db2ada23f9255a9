//! Tools over search engines. Reading tools only read; the writing one is `search/write.rs`, exports are `search/export.rs`.

mod export;
mod write;

use std::collections::BTreeMap;

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Json, Parameters, ToolError, Tools,
    raw::{self, Any, Lenient, Object},
};
use crate::{
    domain::search::{self, IndexSummary, Mapping},
    services::search::{Answered, IndexList, QueryRequest, SearchRequest},
};

/// Arguments of search_documents.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchDocuments {
    /// Name, several by commas, or pattern with *.
    index: String,
    /// Query DSL, e.g. {"match":{"name":"mouse"}}.
    #[schemars(with = "Option<Object>")]
    query: Option<Any>,
    /// Words, instead of `query`.
    text: Option<String>,
    /// Default all; * allowed.
    fields: Option<Lenient<Vec<String>>>,
    /// e.g. [{"price":"desc"}].
    #[schemars(with = "Option<Vec<Object>>")]
    sort: Option<Any>,
    /// Default 10.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(alias = "limit")]
    #[schemars(extend("x-aliases" = ["limit"]))]
    size: Option<u64>,
    /// from + size ≤ 10000.
    #[schemars(range(min = 0, max = 10_000))]
    from: Option<u64>,
    #[schemars(with = "Option<Object>")]
    #[serde(alias = "aggregations")]
    #[schemars(extend("x-aliases" = ["aggregations"]))]
    aggs: Option<Any>,
    /// {"fields":{"name":{}}}, or true.
    #[schemars(with = "Option<Object>")]
    highlight: Option<Any>,
    /// `next.search_after`.
    #[schemars(with = "Option<Vec<String>>")]
    search_after: Option<Any>,
    /// Default 24000.
    #[schemars(range(min = 1, max = 1_048_576))]
    max_bytes: Option<u64>,
}

/// Answer of search_documents.
#[derive(Serialize, JsonSchema)]
pub struct SearchAnswer {
    total: u64,
    total_relation: &'static str,
    took_ms: u64,
    truncated: bool,
    next: Option<NextHits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregations: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    untrusted: bool,
    hits: Vec<HitView>,
}

#[derive(Serialize, JsonSchema)]
struct NextHits {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    search_after: Option<[String; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct HitView {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_index")]
    index: String,
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Vec<String>>>")]
    highlight: Option<Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner_hits: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    matched_queries: Option<Any>,
    #[schemars(with = "Option<Object>")]
    document: Any,
}

/// Arguments of get_document.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetDocument {
    /// Index or alias.
    index: String,
    /// Its _id.
    id: String,
    /// Default all.
    fields: Option<Lenient<Vec<String>>>,
}

/// Answer of get_document.
#[derive(Serialize, JsonSchema)]
pub struct DocumentAnswer {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_index")]
    index: String,
    /// Other systems may have set it (`version_type=external`).
    #[serde(serialize_with = "raw::carried")]
    #[schemars(with = "raw::Carried")]
    version: u64,
    untrusted: bool,
    #[schemars(with = "Option<Object>")]
    document: Any,
}

/// Arguments of list_indices.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListIndices {
    /// * for any characters.
    pattern: Option<String>,
    /// Default 200.
    #[schemars(range(min = 1, max = 10_000))]
    limit: Option<u64>,
    cursor: Option<String>,
}

/// Answer of list_indices.
#[derive(Serialize, JsonSchema)]
pub struct IndicesAnswer {
    engine: EngineView,
    truncated: bool,
    next: Option<String>,
    indices: Vec<IndexView>,
}

#[derive(Serialize, JsonSchema)]
struct EngineView {
    name: &'static str,
    version: String,
}

#[derive(Serialize, JsonSchema)]
struct IndexView {
    name: String,
    documents: u64,
    size_bytes: u64,
    health: String,
    aliases: Vec<String>,
}

/// Arguments of get_mapping.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetMapping {
    /// Index or alias.
    index: String,
    /// Also give the engine's own mapping.
    raw: Option<bool>,
}

/// Answer of get_mapping.
#[derive(Serialize, JsonSchema)]
pub struct MappingAnswer {
    index: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    fields: Vec<FieldView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Object>,
}

#[derive(Serialize, JsonSchema)]
struct FieldView {
    path: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    analyzer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    multi_fields: Vec<String>,
}

/// Arguments of count_documents.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountDocuments {
    /// Name, several by commas, or pattern with *.
    index: String,
    /// Query DSL.
    #[schemars(with = "Option<Object>")]
    query: Option<Any>,
    /// Words, instead of `query`.
    text: Option<String>,
}

/// Answer of count_documents.
#[derive(Serialize, JsonSchema)]
pub struct DocumentCount {
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[tool_router(router = search_read_tools, vis = "pub(in crate::tools)")]
impl Tools {
    /// Search documents in Elasticsearch or OpenSearch: words in `text`, or query DSL in `query`, with sort, aggregations, highlights, paging.
    /// Use bulk_export for whole result sets.
    #[tool]
    async fn search_documents(
        &self,
        Parameters(arguments): Parameters<SearchDocuments>,
    ) -> Result<Json<SearchAnswer>, ToolError> {
        Ok(Json(self.app.search.search(arguments.into()).await?.into()))
    }

    /// Get one document of a search index by its _id.
    #[tool]
    async fn get_document(
        &self,
        Parameters(arguments): Parameters<GetDocument>,
    ) -> Result<Json<DocumentAnswer>, ToolError> {
        let fields = arguments.fields.map(|Lenient(fields)| fields).unwrap_or_default();
        Ok(Json(self.app.search.document(&arguments.index, &arguments.id, &fields).await?.into()))
    }

    /// List search indices with document counts, sizes, health and aliases.
    #[tool]
    async fn list_indices(
        &self,
        Parameters(arguments): Parameters<ListIndices>,
    ) -> Result<Json<IndicesAnswer>, ToolError> {
        Ok(Json(self.app.search.indices(arguments.pattern, arguments.limit, arguments.cursor).await?.into()))
    }

    /// Describe the fields of a search index: path, type, analyzer. Use it before you write a query or map fields to columns.
    #[tool]
    async fn get_mapping(
        &self,
        Parameters(arguments): Parameters<GetMapping>,
    ) -> Result<Json<MappingAnswer>, ToolError> {
        let (mapping, note) = self.app.search.mapping(&arguments.index).await?;
        Ok(Json(MappingAnswer::new(mapping, note, arguments.raw.unwrap_or(false))))
    }

    /// Count the documents of a search index that match a query or words, or all of them.
    #[tool]
    async fn count_documents(
        &self,
        Parameters(arguments): Parameters<CountDocuments>,
    ) -> Result<Json<DocumentCount>, ToolError> {
        let query = QueryRequest { query: text(arguments.query), text: arguments.text };
        let (count, note) = self.app.search.count(&arguments.index, query).await?;
        Ok(Json(DocumentCount { count, note }))
    }
}

fn text(part: Option<Any>) -> Option<crate::domain::json::Json> {
    part.map(|Any(text)| text)
}

impl From<SearchDocuments> for SearchRequest {
    fn from(arguments: SearchDocuments) -> Self {
        Self {
            index: arguments.index,
            query: QueryRequest { query: text(arguments.query), text: arguments.text },
            fields: arguments.fields.map(|Lenient(fields)| fields).unwrap_or_default(),
            sort: text(arguments.sort),
            size: arguments.size,
            from: arguments.from,
            aggregations: text(arguments.aggs),
            highlight: text(arguments.highlight),
            search_after: text(arguments.search_after),
            bytes_max: arguments.max_bytes,
        }
    }
}

impl From<Answered> for SearchAnswer {
    fn from(answered: Answered) -> Self {
        let hit = |hit: search::Hit| HitView {
            id: hit.id,
            index: hit.index,
            score: hit.score,
            highlight: hit.highlight.map(Any),
            inner_hits: hit.inner_hits.map(Object),
            matched_queries: hit.matched_queries.map(Any),
            document: Any(hit.document),
        };
        let Answered { found, truncated, next_search_after, next_from, note } = answered;
        let next = (next_search_after.is_some() || next_from.is_some())
            .then_some(NextHits { search_after: next_search_after.map(|place| [place]), from: next_from });
        Self {
            total: found.total,
            total_relation: if found.total_is_exact { "eq" } else { "gte" },
            took_ms: found.took_ms,
            truncated,
            next,
            aggregations: found.aggregations.map(Object),
            note,
            untrusted: true,
            hits: found.hits.into_iter().map(hit).collect(),
        }
    }
}

impl From<search::Document> for DocumentAnswer {
    fn from(document: search::Document) -> Self {
        Self {
            id: document.id,
            index: document.index,
            version: document.version,
            untrusted: true,
            document: Any(document.document),
        }
    }
}

impl From<IndexList> for IndicesAnswer {
    fn from(list: IndexList) -> Self {
        let view = |index: IndexSummary| IndexView {
            name: index.name,
            documents: index.documents,
            size_bytes: index.size_bytes,
            health: index.health,
            aliases: index.aliases,
        };
        Self {
            engine: EngineView { name: list.engine.name, version: list.engine.version },
            truncated: list.next.is_some(),
            next: list.next,
            indices: list.indices.into_iter().map(view).collect(),
        }
    }
}

impl MappingAnswer {
    fn new(mapping: Mapping, note: Option<String>, raw: bool) -> Self {
        let field = |field: search::Field| FieldView {
            path: field.path,
            r#type: field.type_name,
            analyzer: field.analyzer,
            format: field.format,
            target: field.target,
            multi_fields: field.multi_fields,
        };
        Self {
            index: mapping.index,
            note,
            fields: mapping.fields.into_iter().map(field).collect(),
            raw: raw.then_some(Object(mapping.raw)),
        }
    }
}
