//! Elasticsearch and OpenSearch, by the one client crate that both understand: plain JSON, no version headers. What differs is asked of the
//! engine itself, when first needed.
//!
//! Every exchange goes through [`wire`]: it notices within a second when nobody answers, and does not try again and again what is known to
//! be down. [`failure`] is the only place where an engine's failures get their meaning.

mod bulk;
mod export;
mod failure;
mod fields;
mod find;
mod lines;
mod names;
mod pace;
mod wire;

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::value::RawValue;

use self::wire::{Body, Request, Wire};
use crate::{
    background::Background,
    config::SearchConfig,
    domain::{
        json,
        names::nearest,
        ops::{BackendStatus, State},
        search::{Document, Engine, Export, Found, IndexSummary, Indexed, Mapping, NewDocuments, Query, Search},
    },
    error::{Code, Error},
    ports::search::{Pages, SearchEngine},
};

/// How long what the engine is is believed: it may be upgraded while we run.
const BELIEVED: Duration = Duration::from_secs(60);

/// An Elasticsearch or OpenSearch behind the search tools.
pub struct Elasticsearch {
    wire: Wire,
    remembered: names::Remembered,
    engine: Mutex<Option<(Instant, Engine)>>,
    background: Background,
    /// For what has no time of its own.
    time: Duration,
}

impl Elasticsearch {
    /// Connects when first used. `time`: for what has none of its own.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &SearchConfig, background: Background, time: Duration) -> Result<Self, Error> {
        let wire = Wire::new(settings, background.clone())?;
        Ok(Self { wire, remembered: names::Remembered::default(), engine: Mutex::default(), background, time })
    }

    /// Who answers, asked at most once a minute.
    async fn engine(&self) -> Result<Engine, Error> {
        let known = self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((at, engine)) if at.elapsed() < BELIEVED => Ok(engine),
            _ => self.look().await,
        }
    }

    async fn look(&self) -> Result<Engine, Error> {
        let engine = names::engine(&self.wire).await?;
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), engine.clone()));
        Ok(engine)
    }

    /// The path segment for indices that can be searched.
    async fn target(&self, indices: &[String]) -> Result<String, Error> {
        Ok(self.open(indices).await?.path)
    }

    /// What names mean, if it can be searched.
    async fn open(&self, indices: &[String]) -> Result<names::Target, Error> {
        let target = self.meant(indices).await?;
        if target.names_closed { Err(failure::closed(&target.closed)) } else { Ok(target) }
    }

    /// The same, closed ones too.
    async fn meant(&self, indices: &[String]) -> Result<names::Target, Error> {
        let target = names::target(&self.wire, &self.remembered, indices).await;
        self.named(target, indices).await
    }

    /// Adds what a name that does not exist may have meant.
    async fn with_near_names(&self, error: Error, indices: &[String]) -> Error {
        if error.code != Code::NotFound || error.argument.as_deref() != Some("index") {
            return error;
        }
        let known = names::known(&self.wire).await;
        let missing = indices.iter().find(|name| !known.contains(name)).map_or("", String::as_str);
        let near = nearest(missing.trim_end_matches('*'), known.iter().map(String::as_str));
        error.did_you_mean(near)
    }

    async fn named<T>(&self, answer: Result<T, Error>, indices: &[String]) -> Result<T, Error> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.with_near_names(error, indices).await),
        }
    }
}

/// An answer to `_mget`.
#[derive(Deserialize)]
struct Got {
    docs: Vec<GotDocument>,
}

#[derive(Deserialize)]
struct GotDocument {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version", default)]
    version: u64,
    #[serde(default)]
    found: bool,
    #[serde(rename = "_source")]
    source: Option<Box<RawValue>>,
    error: Option<failure::Exception>,
}

#[derive(Deserialize)]
struct Health {
    status: String,
}

#[async_trait::async_trait]
impl SearchEngine for Elasticsearch {
    async fn search(&self, search: &Search) -> Result<Found, Error> {
        let target = self.target(&search.indices).await?;
        self.named(find::search(&self.wire, &target, search).await, &search.indices).await
    }

    async fn document(&self, index: &str, id: &str, fields: &[String]) -> Result<Option<Document>, Error> {
        let indices = [index.to_owned()];
        let names::Target { path: target, is_alias, .. } = self.open(&indices).await?;
        // By its id alone the engine would give also what the filter of an alias hides.
        if is_alias && names::is_filtered(&self.wire, index).await? {
            return self.named(find::by_id(&self.wire, &target, id, fields).await, &indices).await;
        }
        // By `_mget`, because there the id stands in the body: some ids (`..`) cannot be a segment of a path.
        let id_json = json::of(id);
        let source = if fields.is_empty() { String::new() } else { format!(",\"_source\":{}", json::of(fields)) };
        let body = Body::Text(format!("{{\"docs\":[{{\"_id\":{id_json}{source}}}]}}"));
        let asked = self.wire.ask(Request::post(format!("{target}/_mget"), &[], body)).await;
        let answer = self.named(asked, &indices).await?;
        let got = answer.read::<Got>()?.docs.into_iter().next();
        let Some(got) = got else { return Ok(None) };
        if let Some(error) = got.error {
            // An alias of several indices, or a data stream: there documents are only found by searching.
            return match error.of_document() {
                error if error.code == Code::Conflict => Err(error),
                _ => self.named(find::by_id(&self.wire, &target, id, fields).await, &indices).await,
            };
        }
        if !got.found {
            return Ok(None);
        }
        let document = got.source.ok_or_else(|| failure::sourceless(&got.index))?;
        Ok(Some(Document { id: got.id, index: got.index, version: got.version, document }))
    }

    async fn closed(&self, indices: &[String]) -> Result<Vec<String>, Error> {
        Ok(self.meant(indices).await?.closed)
    }

    async fn indices(&self, pattern: Option<&str>) -> Result<(Engine, Vec<IndexSummary>), Error> {
        let (engine, indices) = tokio::join!(self.engine(), names::list(&self.wire, pattern));
        Ok((engine?, indices?))
    }

    async fn mapping(&self, index: &str) -> Result<Mapping, Error> {
        let indices = [index.to_owned()];
        let target = self.meant(&indices).await?.path;
        self.named(fields::mapping(&self.wire, &target, index).await, &indices).await
    }

    async fn count(&self, indices: &[String], query: &Query) -> Result<u64, Error> {
        let target = self.target(indices).await?;
        self.named(find::count(&self.wire, &target, query, self.time).await, indices).await
    }

    async fn partial(&self, indices: &[String]) -> Result<Vec<String>, Error> {
        let target = self.target(indices).await?;
        self.named(fields::partial(&self.wire, &target).await, indices).await
    }

    async fn export(&self, export: &Export) -> Result<Box<dyn Pages>, Error> {
        let target = self.target(&export.indices).await?;
        let engine = self.engine().await?;
        let opened = export::open(&self.wire, &self.background, &engine, &target, export.clone()).await;
        self.named(opened, &export.indices).await
    }

    async fn index(&self, documents: &NewDocuments) -> Result<Indexed, Error> {
        let names = [documents.index.clone()];
        let target = match names::target_now(&self.wire, &self.remembered, &names).await {
            // A missing index is made by the first document.
            Err(error) if error.code == Code::NotFound => names::Target::default(),
            Err(error) => return Err(error),
            Ok(target) if target.names_closed => return Err(failure::closed(&target.closed)),
            Ok(target) => target,
        };
        let indexed = bulk::index(&self.wire, documents, target.is_stream, self.time).await;
        self.remembered.forget();
        self.named(indexed, &names).await
    }

    fn product(&self) -> String {
        let known = self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((_, engine)) = known else { return "Elasticsearch or OpenSearch".to_owned() };
        let name = if engine.name == "opensearch" { "OpenSearch" } else { "Elasticsearch" };
        if engine.version == "unknown" { name.to_owned() } else { format!("{name} {}", engine.version) }
    }

    async fn status(&self) -> BackendStatus {
        let started = Instant::now();
        let looked = self.look().await;
        let latency_ms = started.elapsed().as_secs_f64() * 1000.0;
        let mut status = BackendStatus {
            name: "search".to_owned(),
            kind: "elasticsearch",
            state: State::Down,
            version: None,
            latency_ms,
            problem: None,
            notes: Vec::new(),
            remedy: None,
        };
        match looked {
            Ok(engine) => {
                (status.kind, status.version, status.state) = (engine.name, Some(engine.version), State::Up);
                let asked = self.wire.ask_anyway(Request::get("_cluster/health", &[("timeout", "1s")])).await;
                let health = asked.and_then(|answer| answer.read::<Health>()).map(|health| health.status).ok();
                if health.as_deref() == Some("red") {
                    status.state = State::Degraded;
                    status.notes.push("the cluster's health is red: some indices miss primary shards".to_owned());
                }
            }
            Err(error) => status.problem = Some(error),
        }
        status
    }
}
