//! The embedded search engine: documents in SQLite (the truth), a tantivy index beside (derived, caught up before each search). Several
//! processes share both. It speaks the part of Elasticsearch's query DSL that agents use; what it cannot do is an error that says so.

mod aggregate;
mod columns;
mod dates;
mod derived;
mod highlight;
mod mapping;
mod matched;
mod node;
mod order;
mod query;
mod search;
mod source;
mod store;
mod view;
mod words;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    derived::Derived,
    search::{Place, Selected},
    store::{Snapshot, Store},
};
use crate::{
    adapters::{
        disk,
        sqlite::call::{Call, spawn_blocking_cancellable},
    },
    clock::{Clock, SystemClock},
    domain::{
        json::Json,
        ops::{BackendStatus, State},
        search::{
            Document, Engine, Export, ExportedDocument, Found, IndexSummary, Indexed, Mapping, NewDocuments, Query,
            Search, access, ids as document_ids,
        },
    },
    error::{Code, Error},
    ids,
    ports::search::{Pages, SearchEngine},
};

/// What failed, when a panic ends a call.
const NAME: &str = "the embedded search engine";
/// Documents of one page of an export, and their bytes.
const PAGE_DOCUMENTS: usize = 500;
const PAGE_BYTES: usize = 1 << 20;
/// Written documents that the next search makes findable by itself; more are made findable at once, when that was asked for.
const TAIL_MAX: usize = 500;

/// The embedded engine. Cloning shares.
#[derive(Clone)]
pub struct EmbeddedSearch {
    store: Arc<Store>,
    derived: Arc<Derived>,
    clock: Arc<dyn Clock>,
    /// For what has no time of its own.
    time: Duration,
}

impl EmbeddedSearch {
    /// Opened when first used. `time`: for what has none of its own.
    pub fn new(data_dir: &Path, time: Duration) -> Self {
        Self {
            store: Arc::new(Store::new(data_dir.join("search.db"))),
            derived: Arc::new(Derived::new(data_dir)),
            clock: Arc::new(SystemClock),
            time,
        }
    }

    /// Creates an index with a mapping of its own: Elasticsearch's `properties`. `conflict` when it exists.
    pub async fn create(&self, index: &str, properties: &Json) -> Result<(), Error> {
        let given = serde_json::from_str(properties.get())
            .map_err(|error| Error::invalid("properties", "`properties` is not JSON").cause(error))?;
        let mapping = mapping::Mapping::given(&given).map_err(|reason| Error::invalid("properties", reason))?;
        let index = index.to_owned();
        self.work(self.time, move |engine, call| engine.store.create(&index, &mapping, call)).await
    }

    /// Runs blocking work off the async threads; it ends soon after nobody waits for it any more.
    async fn work<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce(&Self, &Arc<Call>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let engine = self.clone();
        spawn_blocking_cancellable(NAME, Call::new(time), move |call| {
            work(&engine, call).map_err(|error| ended(error, call))
        })
        .await
    }

    /// Runs work over derived indexes. When they fail they are made anew from the documents, once.
    async fn derive<T: Send + 'static>(
        &self,
        indices: &[String],
        time: Duration,
        work: impl Fn(&Place<'_>) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let work = Arc::new(work);
        let now = self.clock.now().0.div_euclid(1000);
        let again = Arc::clone(&work);
        let first = self.work(time, move |engine, call| work(&engine.place(now, call))).await;
        match first {
            Err(error) if error.code == Code::Internal && !disk::is_damage(&error) => {
                tracing::warn!(error = ?error, "the derived search index failed and is rebuilt");
            }
            settled => return settled,
        }
        let names = indices.to_vec();
        self.work(time, move |engine, call| {
            let collections = search::resolve(&engine.store.snapshot(call)?, &names)?;
            let uids: Vec<String> = collections.into_iter().map(|collection| collection.uid).collect();
            engine.derived.discard(&uids, call)?;
            again(&engine.place(now, call))
        })
        .await
    }

    fn place<'a>(&'a self, now: i64, call: &'a Arc<Call>) -> Place<'a> {
        Place { store: &self.store, derived: &self.derived, now, call }
    }
}

#[async_trait::async_trait]
impl SearchEngine for EmbeddedSearch {
    async fn search(&self, search: &Search) -> Result<Found, Error> {
        let asked = search.clone();
        self.derive(&search.indices, search.timeout, move |place| search::search(place, &asked)).await
    }

    async fn document(&self, index: &str, id: &str, fields: &[String]) -> Result<Option<Document>, Error> {
        let (index, id, fields) = (index.to_owned(), id.to_owned(), fields.to_vec());
        self.work(self.time, move |engine, call| {
            let snapshot = engine.store.snapshot(call)?;
            let collection = snapshot.collection(&index)?;
            let row = snapshot.document(&collection, &id)?;
            Ok(row.map(|row| Document {
                id: row.id,
                index,
                version: row.version,
                document: source::filtered(row.source, &fields),
            }))
        })
        .await
    }

    async fn indices(&self, pattern: Option<&str>) -> Result<(Engine, Vec<IndexSummary>), Error> {
        let pattern = pattern.unwrap_or("*").to_owned();
        let mut summaries = self.work(self.time, |engine, call| engine.store.snapshot(call)?.summaries()).await?;
        summaries.retain(|summary| pattern.split(',').any(|pattern| access::matches(pattern.trim(), &summary.name)));
        Ok((engine(), summaries))
    }

    async fn mapping(&self, index: &str) -> Result<Mapping, Error> {
        let index = index.to_owned();
        self.work(self.time, move |engine, call| {
            let collection = engine.store.snapshot(call)?.collection(&index)?;
            Ok(Mapping { index, fields: collection.mapping.described(), raw: collection.mapping.raw() })
        })
        .await
    }

    async fn count(&self, indices: &[String], query: &Query) -> Result<u64, Error> {
        let (names, query) = (indices.to_vec(), query.clone());
        self.derive(indices, self.time, move |place| search::count(place, &names, &query)).await
    }

    async fn closed(&self, _indices: &[String]) -> Result<Vec<String>, Error> {
        // An index cannot be closed here.
        Ok(Vec::new())
    }

    async fn partial(&self, _indices: &[String]) -> Result<Vec<String>, Error> {
        // Every document is kept whole here.
        Ok(Vec::new())
    }

    async fn export(&self, export: &Export) -> Result<Box<dyn Pages>, Error> {
        let asked = export.clone();
        let selected = self.derive(&export.indices, self.time, move |place| search::select(place, &asked)).await;
        let (snapshot, selected) = selected?;
        let total = selected.indices.iter().map(|(.., documents)| documents.len() as u64).sum();
        Ok(Box::new(Documents {
            open: Some((snapshot, selected)),
            fields: export.fields.clone(),
            time: self.time,
            total,
            given: 0,
        }))
    }

    async fn index(&self, documents: &NewDocuments) -> Result<Indexed, Error> {
        let new = NewDocuments {
            index: documents.index.clone(),
            documents: documents.documents.clone(),
            id_field: documents.id_field.clone(),
            made_from: documents.made_from.clone(),
            refresh: documents.refresh,
        };
        let places = 0..new.documents.len();
        let made_ids: Vec<String> = match (&new.id_field, &new.made_from) {
            (Some(_), _) => Vec::new(),
            (None, Some(from)) => places.map(|position| document_ids::made(from, position)).collect(),
            (None, None) => places.map(|_| ids::new(ids::Kind::Document)).collect(),
        };
        let catch_up = new.refresh && new.documents.len() >= TAIL_MAX;
        let indexed = self.work(self.time, move |engine, call| engine.store.write(&new, &made_ids, call)).await?;
        if catch_up {
            // They are on disk; a failure to make them findable now is mended by the next search.
            let one = [documents.index.clone()];
            let all = one.to_vec();
            let found = self.derive(&one, self.time, move |place| search::count(place, &all, &Query::All)).await;
            if let Err(error) = found {
                tracing::warn!(%error, "written documents could not be made searchable at once");
            }
        }
        Ok(indexed)
    }

    fn product(&self) -> String {
        "the embedded index".to_owned()
    }

    async fn status(&self) -> BackendStatus {
        let started = Instant::now();
        // A look creates nothing.
        let look = if self.store.path().exists() {
            self.work(Duration::from_secs(1), |engine, call| {
                engine.store.snapshot(call)?.summaries()?;
                engine.store.try_writing()
            })
            .await
        } else {
            disk::cannot_be_made(self.store.path()).map_or(Ok(()), Err)
        };
        BackendStatus {
            name: "search".to_owned(),
            kind: "embedded",
            state: if look.is_ok() { State::Up } else { State::Down },
            version: Some(engine().version),
            latency_ms: started.elapsed().as_secs_f64() * 1000.0,
            problem: look.err(),
            notes: Vec::new(),
            remedy: None,
        }
    }
}

/// Ends the work of a call whose caller has gone or whose time is up.
fn check(call: &Call) -> Result<(), Error> {
    if call.is_cancelled() {
        return Err(Error::new(Code::Cancelled, "the call was cancelled"));
    }
    if call.is_over() {
        return Err(Error::new(Code::Timeout, "the search exceeded its time limit")
            .hint("narrow the query, or ask again: the work done so far is kept"));
    }
    Ok(())
}

/// A statement that was interrupted does not say whether time or caller ended it.
fn ended(error: Error, call: &Call) -> Error {
    if error.code == Code::Cancelled { check(call).err().unwrap_or(error) } else { error }
}

fn engine() -> Engine {
    Engine { name: "embedded", version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// The documents of an export: which they are was settled at the beginning, and the snapshot keeps them as they were.
struct Documents {
    open: Option<(Snapshot, Selected)>,
    fields: Vec<String>,
    /// For one page.
    time: Duration,
    total: u64,
    given: usize,
}

#[async_trait::async_trait]
impl Pages for Documents {
    fn total(&self) -> u64 {
        self.total
    }

    async fn next(&mut self) -> Result<Vec<ExportedDocument>, Error> {
        let Some((mut snapshot, selected)) = self.open.take() else {
            return Err(Error::new(Code::Cancelled, "the export was broken off before"));
        };
        let (fields, given) = (self.fields.clone(), self.given);
        let read = move |call: &Arc<Call>| {
            snapshot.watch(call)?;
            let page = page(&snapshot, &selected, given, &fields).map_err(|error| ended(error, call));
            Ok((page, snapshot, selected))
        };
        let (page, snapshot, selected) = spawn_blocking_cancellable(NAME, Call::new(self.time), read).await?;
        self.open = Some((snapshot, selected));
        let page = page?;
        self.given += page.len();
        Ok(page)
    }
}

fn page(
    snapshot: &Snapshot,
    selected: &Selected,
    given: usize,
    fields: &[String],
) -> Result<Vec<ExportedDocument>, Error> {
    let all = selected
        .indices
        .iter()
        .flat_map(|(index, name, documents)| documents.iter().map(move |sequence| (*index, name, *sequence)));
    let (mut page, mut bytes) = (Vec::new(), 0);
    for (index, name, sequence) in all.skip(given).take(PAGE_DOCUMENTS) {
        let row = snapshot.by_seq(index, sequence)?;
        bytes += row.source.len();
        let document = source::filtered(row.source, fields);
        page.push(ExportedDocument { id: row.id, index: name.clone(), document });
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}
