//! A search engine. Every adapter passes `tests/it/contract/search.rs`.

use crate::{
    domain::{
        ops::BackendStatus,
        search::{
            Document, Engine, Export, ExportedDocument, Found, IndexSummary, Indexed, Mapping, NewDocuments, Query,
            Search,
        },
    },
    error::Error,
};

/// One engine. Partial answers (a failed shard, a time-out inside the engine) are errors, never success. Dropping a future stops the
/// work in the engine too. An engine that cannot be reached answers `unavailable` within one second.
#[async_trait::async_trait]
pub trait SearchEngine: Send + Sync {
    /// Searches.
    async fn search(&self, search: &Search) -> Result<Found, Error>;

    /// A document by its id. `None` when the index has no such document; a missing index is `not_found` with near names.
    async fn document(&self, index: &str, id: &str, fields: &[String]) -> Result<Option<Document>, Error>;

    /// Indices whose name fits the pattern, ordered by name; system (dot) indices never.
    async fn indices(&self, pattern: Option<&str>) -> Result<(Engine, Vec<IndexSummary>), Error>;

    /// How an index is made up. `not_found` brings near names.
    async fn mapping(&self, index: &str) -> Result<Mapping, Error>;

    /// Documents that a query finds, counted exactly.
    async fn count(&self, indices: &[String], query: &Query) -> Result<u64, Error>;

    /// Closed indices among these names and patterns: a pattern's search passes over them.
    async fn closed(&self, indices: &[String]) -> Result<Vec<String>, Error>;

    /// Indices among these names and patterns that keep only a part of each document, and give back no more.
    async fn partial(&self, indices: &[String]) -> Result<Vec<String>, Error>;

    /// Opens a consistent view of all documents of a query.
    async fn export(&self, export: &Export) -> Result<Box<dyn Pages>, Error>;

    /// Writes documents; each is accepted or refused on its own.
    async fn index(&self, documents: &NewDocuments) -> Result<Indexed, Error>;

    /// What answers, with its version where an earlier answer told it: `Elasticsearch 8.11.3`. Asks nobody.
    fn product(&self) -> String;

    /// A fresh look at the engine: never an `Err`, the problem is in the answer.
    async fn status(&self) -> BackendStatus;
}

/// The documents of an export, page by page. Dropping it releases what the engine holds for it.
#[async_trait::async_trait]
pub trait Pages: Send {
    /// How many documents there will be.
    fn total(&self) -> u64;

    /// The next documents; an empty page is the end. Every document comes exactly once, or the call fails.
    async fn next(&mut self) -> Result<Vec<ExportedDocument>, Error>;
}
