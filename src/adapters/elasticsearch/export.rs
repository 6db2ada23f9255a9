//! All documents of a query, from one consistent view: complete and exact, or an error.
//!
//! Where the engine has points in time that sort by `_shard_doc` (Elasticsearch, OpenSearch from 3.3) a page that failed can be asked
//! again and pages follow the size of the documents. Elsewhere it is a scroll: also one consistent view, but with a fixed page. (A point in
//! time sorted by `_doc` loses documents there when there are several shards.)

use std::time::Duration;

use elasticsearch::http::Method;
use serde::Deserialize;

use super::{
    failure,
    find::{self, Searched},
    lines::Lines,
    wire::{Body, Request, SHORT, Wire},
};
use crate::{
    background::Background,
    domain::{
        json::{self, Json},
        search::{Engine, Export, ExportedDocument},
    },
    error::{Code, Error},
    ports::search::Pages,
};

/// How long the engine keeps the view between two pages.
const KEPT: &str = "2m";
/// One page.
const DEADLINE: Duration = Duration::from_secs(60);
/// Documents of the first page, and of every page of a scroll.
const PAGE_FIRST: usize = 500;
/// Documents of a page at the most.
const PAGE_MAX: usize = 10_000;
/// What a page should weigh.
const PAGE_BYTES: usize = 4 << 20;
/// How often a page is asked again when the engine has too much to do.
const ATTEMPTS: u32 = 6;

/// What the engine holds for an export.
#[derive(Clone)]
enum View {
    Pit { id: String, closed_at: &'static str, member: &'static str },
    Scroll { id: String },
}

/// An export under way.
pub(super) struct Exporting {
    wire: Wire,
    background: Background,
    view: Option<View>,
    export: Export,
    /// A page read already: of a scroll that was opened with it, or the one that told the total.
    waiting: Option<Searched>,
    after: Option<Json>,
    size: usize,
    total: u64,
    given: u64,
}

#[derive(Deserialize)]
struct Opened {
    #[serde(alias = "pit_id")]
    id: String,
}

/// Opens the view.
pub(super) async fn open(
    wire: &Wire,
    background: &Background,
    engine: &Engine,
    target: &str,
    export: Export,
) -> Result<Box<dyn Pages>, Error> {
    let mut exporting = Exporting {
        wire: wire.clone(),
        background: background.clone(),
        view: None,
        export,
        waiting: None,
        after: None,
        size: PAGE_FIRST,
        total: 0,
        given: 0,
    };
    let first = match pit_paths(engine) {
        Some(paths) => {
            let opened = wire.ask(Request::post(format!("{target}/{}", paths.open), paths.query, Body::None)).await?;
            let id = opened.read::<Opened>()?.id;
            exporting.view = Some(View::Pit { id, closed_at: paths.close, member: paths.member });
            exporting.pit_page(true).await?
        }
        None => exporting.open_scroll(target).await?,
    };
    exporting.total = first.hits.total.as_ref().map_or(0, |total| total.value);
    exporting.waiting = Some(first);
    Ok(Box::new(exporting))
}

struct PitPaths {
    open: &'static str,
    query: &'static [(&'static str, &'static str)],
    close: &'static str,
    member: &'static str,
}

/// How an engine names points in time, when they can be read in a total order.
fn pit_paths(engine: &Engine) -> Option<PitPaths> {
    let mut numbers = engine.version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match engine.name {
        "opensearch" if version >= (3, 3) => Some(PitPaths {
            open: "_search/point_in_time",
            query: &[("keep_alive", KEPT), ("allow_partial_pit_creation", "false"), ("expand_wildcards", "open")],
            close: "_search/point_in_time",
            member: "pit_id",
        }),
        "elasticsearch" if version >= (7, 12) || engine.version == "unknown" => Some(PitPaths {
            open: "_pit",
            query: &[("keep_alive", KEPT), ("expand_wildcards", "open")],
            close: "_pit",
            member: "id",
        }),
        _ => None,
    }
}

#[async_trait::async_trait]
impl Pages for Exporting {
    fn total(&self) -> u64 {
        self.total
    }

    async fn next(&mut self) -> Result<Vec<ExportedDocument>, Error> {
        let page = match self.waiting.take() {
            Some(page) => page,
            None if self.view.is_none() => return Ok(Vec::new()),
            None => self.page().await?,
        };
        let hits = page.hits.hits;
        self.after = hits.last().and_then(|hit| hit.sort.clone()).or_else(|| self.after.take());
        self.given += hits.len() as u64;
        if hits.is_empty() {
            self.close();
            return self.complete();
        }
        let bytes: usize = hits.iter().map(|hit| hit.source.as_ref().map_or(0, |source| source.get().len())).sum();
        self.size = (PAGE_BYTES / (bytes / hits.len()).max(64)).clamp(1, PAGE_MAX).min(self.size.saturating_mul(4));
        let document = |hit: find::WireHit| match hit.source {
            Some(document) => Ok(ExportedDocument { id: hit.id, index: hit.index, document }),
            None => Err(failure::sourceless(&hit.index)),
        };
        hits.into_iter().map(document).collect()
    }
}

impl Exporting {
    /// The end: what was given must be what the view held.
    fn complete(&self) -> Result<Vec<ExportedDocument>, Error> {
        if self.given == self.total {
            return Ok(Vec::new());
        }
        Err(Error::new(
            Code::Unavailable,
            format!("the search engine returned {} of {} documents", self.given, self.total),
        )
        .hint("an index may have been deleted or moved meanwhile; export again"))
    }

    async fn page(&mut self) -> Result<Searched, Error> {
        match self.view.clone() {
            Some(View::Scroll { id }) => self.scroll_page(&id).await,
            _ => self.pit_page(false).await,
        }
    }

    /// The next page of a point in time. It can be asked again, smaller, when the engine has too much to do.
    async fn pit_page(&mut self, counting: bool) -> Result<Searched, Error> {
        let mut pause = Duration::from_millis(100);
        for attempt in 1.. {
            let error = match self.try_pit_page(counting).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            if error.code != Code::Busy || attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            self.size = (self.size / 2).max(1);
        }
        Err(failure::silent(false))
    }

    async fn try_pit_page(&mut self, counting: bool) -> Result<Searched, Error> {
        let Some(View::Pit { id, .. }) = &mut self.view else { return Err(failure::silent(false)) };
        let mut body = Lines::default();
        body.own("size", &self.size.to_string());
        body.own("track_total_hits", if counting { "true" } else { "false" });
        body.own("pit", &format!(r#"{{"id":{},"keep_alive":"{KEPT}"}}"#, json::of(id)));
        body.own("sort", r#"[{"_shard_doc":"asc"}]"#);
        if let Some(after) = &self.after {
            body.own("search_after", after.get());
        }
        find::source(&mut body, &self.export.fields);
        find::query(&mut body, &self.export.query);
        let query = [("allow_partial_search_results", "false")];
        let page = find::page(&self.wire, "_search".to_owned(), &query, body, DEADLINE).await?;
        // The engine may answer with another id: only the newest is good.
        if let Some(newest) = &page.pit_id {
            id.clone_from(newest);
        }
        Ok(page)
    }

    async fn open_scroll(&mut self, target: &str) -> Result<Searched, Error> {
        let mut body = Lines::default();
        body.own("size", &PAGE_FIRST.to_string());
        body.own("track_total_hits", "true");
        body.own("sort", r#"["_doc"]"#);
        find::source(&mut body, &self.export.fields);
        find::query(&mut body, &self.export.query);
        let query = [("scroll", KEPT), ("allow_partial_search_results", "false"), ("expand_wildcards", "open")];
        let page = find::page(&self.wire, format!("{target}/_search"), &query, body, DEADLINE).await?;
        self.keep_scroll(&page)?;
        Ok(page)
    }

    /// The next page of a scroll. It cannot be asked again: the engine has moved on.
    async fn scroll_page(&mut self, id: &str) -> Result<Searched, Error> {
        let mut body = Lines::default();
        body.own("scroll", &format!("\"{KEPT}\""));
        body.own("scroll_id", json::of(id).get());
        let page = find::page(&self.wire, "_search/scroll".to_owned(), &[], body, DEADLINE).await?;
        self.keep_scroll(&page)?;
        Ok(page)
    }

    fn keep_scroll(&mut self, page: &Searched) -> Result<(), Error> {
        let id = page.scroll_id.clone().ok_or_else(|| failure::unreadable("no scroll id".into()))?;
        self.view = Some(View::Scroll { id });
        Ok(())
    }

    /// Tells the engine that the view is not needed any more, beside what goes on.
    fn close(&mut self) {
        let Some(view) = self.view.take() else { return };
        let wire = self.wire.clone();
        self.background.spawn(async move {
            let (path, body) = match view {
                View::Pit { id, closed_at, member: "pit_id" } => {
                    (closed_at, format!(r#"{{"pit_id":[{}]}}"#, json::of(&id)))
                }
                View::Pit { id, closed_at, member } => (closed_at, format!(r#"{{"{member}":{}}}"#, json::of(&id))),
                View::Scroll { id } => ("_search/scroll", format!(r#"{{"scroll_id":{}}}"#, json::of(&id))),
            };
            let request =
                Request { method: Method::Delete, ..Request::post(path, &[], Body::Text(body)).deadline(SHORT) };
            if let Err(error) = wire.ask(request).await {
                // It ends by itself after the time it was asked to be kept.
                tracing::debug!(error = %error, "a view of the search engine was not closed");
            }
        });
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.close();
    }
}
