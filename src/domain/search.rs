//! Search engines: what can be asked of one, and what it answers.

pub mod access;
pub mod after;
pub mod body;
pub mod export;
pub mod highlight;
pub mod ids;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{json::Json, page::Bounds};

pub use access::Patterns;
pub use after::{After, Place};

/// What to look for.
#[derive(Debug, Clone)]
pub enum Query {
    /// Everything.
    All,
    /// Words a person would type, looked for in all text fields.
    Text(String),
    /// Elasticsearch's query DSL: the object under `query`. Already walked by [`body::check`].
    Dsl(Json),
}

/// A search.
#[derive(Debug, Clone)]
pub struct Search {
    /// Names, lists or patterns as the caller gave them, already inside what is allowed.
    pub indices: Vec<String>,
    /// What to look for.
    pub query: Query,
    /// Fields of the document to give back; empty means all.
    pub fields: Vec<String>,
    /// Elasticsearch's `sort`.
    pub sort: Option<Json>,
    /// Hits to give at the most.
    pub size: usize,
    /// Hits to pass over.
    pub from: usize,
    /// Elasticsearch's `aggs`.
    pub aggregations: Option<Json>,
    /// Elasticsearch's `highlight`, or true for all text fields; read by [`highlight::read`].
    pub highlight: Option<Json>,
    /// Where the page begins; `None`: with the first hit.
    pub after: Option<After>,
    /// How long the engine may take.
    pub timeout: Duration,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// Hits in all.
    pub total: u64,
    /// Whether `total` is exact or a lower bound.
    pub total_is_exact: bool,
    /// The engine's own time, in milliseconds.
    pub took_ms: u64,
    /// Elasticsearch's `aggregations`.
    pub aggregations: Option<Json>,
    /// In order.
    pub hits: Vec<Hit>,
    /// Whether hits follow these. `None`: not known, then a full page is taken to be followed by another.
    pub more: Option<bool>,
}

/// A document that was found.
#[derive(Debug)]
pub struct Hit {
    /// `_id`.
    pub id: String,
    /// `_index`.
    pub index: String,
    /// Relevance; `None` when sorted by something else.
    pub score: Option<f64>,
    /// `_source`.
    pub document: Json,
    /// Field → fragments.
    pub highlight: Option<Json>,
    /// Elasticsearch's `inner_hits`: the parts of the document that nested queries found.
    pub inner_hits: Option<Json>,
    /// Names of the query's clauses that found it.
    pub matched_queries: Option<Json>,
    /// Its sort values: where a next page begins.
    pub sort: Option<Json>,
}

/// A document by its id.
#[derive(Debug)]
pub struct Document {
    /// `_id`.
    pub id: String,
    /// `_index`: the concrete one when asked for by alias.
    pub index: String,
    /// `_version`.
    pub version: u64,
    /// `_source`.
    pub document: Json,
}

/// One line of a list of indices.
#[derive(Debug)]
pub struct IndexSummary {
    /// Name.
    pub name: String,
    /// Documents.
    pub documents: u64,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// green, yellow, red.
    pub health: String,
    /// Other names.
    pub aliases: Vec<String>,
}

/// The engine behind the search tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// elasticsearch, opensearch, embedded.
    pub name: &'static str,
    /// Its version.
    pub version: String,
}

/// How an index is made up.
#[derive(Debug)]
pub struct Mapping {
    /// The concrete index.
    pub index: String,
    /// Leaves, flattened, in the mapping's order.
    pub fields: Vec<Field>,
    /// The mapping as the engine tells it.
    pub raw: Json,
}

/// A field of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Dotted path.
    pub path: String,
    /// keyword, text, long, …
    pub type_name: String,
    /// Analyzer, when it is not the default.
    pub analyzer: Option<String>,
    /// Date format, when given.
    pub format: Option<String>,
    /// The field that an alias stands for.
    pub target: Option<String>,
    /// Paths of its multi-fields.
    pub multi_fields: Vec<String>,
}

/// What to export.
#[derive(Debug, Clone)]
pub struct Export {
    /// As in [`Search::indices`].
    pub indices: Vec<String>,
    /// Which documents.
    pub query: Query,
    /// Fields to keep; empty means all.
    pub fields: Vec<String>,
}

/// A document on its way out.
#[derive(Debug)]
pub struct ExportedDocument {
    /// `_id`.
    pub id: String,
    /// `_index`.
    pub index: String,
    /// `_source`, byte for byte.
    pub document: Json,
}

/// Documents to write into one index.
#[derive(Debug)]
pub struct NewDocuments {
    /// One concrete name, inside what is allowed.
    pub index: String,
    /// Each a JSON object.
    pub documents: Vec<Json>,
    /// The field whose value becomes `_id`; without it ids are made.
    pub id_field: Option<String>,
    /// Ids are made from it and a document's place, so that the same documents written again are the same.
    pub made_from: Option<String>,
    /// Wait until a search sees them.
    pub refresh: bool,
}

/// What writing documents did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Indexed {
    /// Written.
    pub indexed: u64,
    /// Not written, in the order given.
    pub failed: Vec<FailedDocument>,
}

/// A document that was not written.
#[derive(Debug, Serialize, Deserialize)]
pub struct FailedDocument {
    /// Its place in the documents given, from 0.
    pub position: usize,
    /// Its `_id`, where it has one.
    pub id: Option<String>,
    /// invalid, conflict, busy, …: the codes of [`crate::error::Code`].
    pub code: crate::error::Code,
    /// The engine's reason.
    pub reason: String,
}

/// How much of a search to answer; see [`Bounds`].
pub type SearchBounds = Bounds;
