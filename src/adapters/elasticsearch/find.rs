//! Searching and counting: the body that is sent, and the answer read back.
//!
//! Pages go on by sort values, so every search ends its order with `_index` and `_seq_no`: both are cheap everywhere (`_id` is refused by
//! Elasticsearch, and where it is allowed it takes the heap). Documents in different shards of one index can still tie, so a page begins with
//! the whole group of ties in which the one before ended, and what was given of it is passed over.

use std::time::Duration;

use elasticsearch::http::Method;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    failure::{self, ShardFailure},
    lines::Lines,
    wire::{Answer, Body, Request, SHORT, Wire},
};
use crate::{
    domain::{
        json::{self, Json, Members},
        search::{After, Document, Found, Hit, Query, Search},
    },
    error::{Code, Error},
};

/// Beyond the engine's own time-out, for the answer to arrive.
const ARRIVAL: Duration = Duration::from_millis(900);
/// What engines page through without a cursor.
const WINDOW_MAX: usize = 10_000;

/// An answer to `_search`.
#[derive(Deserialize)]
pub(super) struct Searched {
    #[serde(default)]
    took: u64,
    #[serde(default)]
    timed_out: bool,
    _shards: Shards,
    pub(super) hits: Hits,
    aggregations: Option<Box<RawValue>>,
    #[serde(rename = "_scroll_id")]
    pub(super) scroll_id: Option<String>,
    pub(super) pit_id: Option<String>,
}

#[derive(Deserialize)]
struct Shards {
    total: u64,
    failed: u64,
    #[serde(default)]
    failures: Vec<ShardFailure>,
}

#[derive(Deserialize)]
pub(super) struct Hits {
    pub(super) total: Option<Total>,
    pub(super) hits: Vec<WireHit>,
}

#[derive(Deserialize)]
pub(super) struct Total {
    pub(super) value: u64,
    relation: String,
}

#[derive(Deserialize)]
pub(super) struct WireHit {
    #[serde(rename = "_id")]
    pub(super) id: String,
    #[serde(rename = "_index")]
    pub(super) index: String,
    #[serde(rename = "_version", default)]
    version: u64,
    #[serde(rename = "_score")]
    score: Option<f64>,
    #[serde(rename = "_source")]
    pub(super) source: Option<Box<RawValue>>,
    highlight: Option<Box<RawValue>>,
    inner_hits: Option<Box<RawValue>>,
    matched_queries: Option<Box<RawValue>>,
    pub(super) sort: Option<Box<RawValue>>,
}

pub(super) async fn search(wire: &Wire, target: &str, search: &Search) -> Result<Found, Error> {
    let order = Order::of(search)?;
    // One more tells whether hits follow.
    let size = if search.size == 0 { 0 } else { search.size.saturating_add(1).saturating_add(order.given.len()) };
    let size = size.min(WINDOW_MAX.saturating_sub(search.from));
    let mut searched = page_of(wire, target, search, &order, size).await?;
    let hits = &mut searched.hits.hits;
    let full = size > 0 && hits.len() == size;
    hits.retain(|hit| !order.was_given(hit));
    let more = match hits.len() {
        found if found > search.size => true,
        // The engine's window ended the page.
        found if full => {
            order.after.is_some()
                || (search.from + found) as u64 != searched.hits.total.as_ref().map_or(0, |total| total.value)
        }
        _ => false,
    };
    hits.truncate(search.size);
    Ok(found(searched, Some(more)))
}

async fn page_of(
    wire: &Wire,
    target: &str,
    search: &Search,
    order: &Order<'_>,
    size: usize,
) -> Result<Searched, Error> {
    let mut body = Lines::default();
    body.own("size", &size.to_string());
    if search.from > 0 {
        body.own("from", &search.from.to_string());
    }
    body.own("track_total_hits", "true");
    body.own("timeout", &format!("\"{}ms\"", search.timeout.as_millis()));
    source(&mut body, &search.fields);
    if size > 0 {
        body.own("sort", &order.json);
    }
    if let Some(after) = &order.after {
        body.own("search_after", after);
    }
    query(&mut body, &search.query);
    if let Some(aggregations) = &search.aggregations {
        body.part("aggs", "aggs", aggregations);
    }
    match &search.highlight {
        Some(highlight) if highlight.get() == "true" => body.own("highlight", r#"{"fields":{"*":{}}}"#),
        Some(highlight) => body.part("highlight", "highlight", highlight),
        None => {}
    }
    let request = Request::post(
        format!("{target}/_search"),
        &[("allow_partial_search_results", "false"), ("expand_wildcards", "open")],
        Body::Search(body.close()),
    );
    let answer = wire.ask(request.deadline(search.timeout + ARRIVAL)).await?;
    whole(&answer, search.timeout)
}

/// Documents that a query finds, counted exactly.
pub(super) async fn count(wire: &Wire, target: &str, looked_for: &Query, timeout: Duration) -> Result<u64, Error> {
    let mut body = Lines::default();
    body.own("size", "0");
    body.own("track_total_hits", "true");
    body.own("timeout", &format!("\"{}ms\"", timeout.as_millis()));
    query(&mut body, looked_for);
    let request = Request::post(
        format!("{target}/_search"),
        &[("allow_partial_search_results", "false"), ("expand_wildcards", "open")],
        Body::Search(body.close()),
    );
    let answer = wire.ask(request.deadline(timeout + ARRIVAL)).await?;
    Ok(whole(&answer, timeout)?.hits.total.map_or(0, |total| total.value))
}

/// A document by its id among several indices: those of an alias or behind a data stream.
pub(super) async fn by_id(wire: &Wire, target: &str, id: &str, fields: &[String]) -> Result<Option<Document>, Error> {
    // Two tell that it is not one; the others are for naming the indices.
    const SIZE: &str = "10";
    let mut body = Lines::default();
    body.own("size", SIZE);
    body.own("version", "true");
    source(&mut body, fields);
    body.own("query", &format!(r#"{{"ids":{{"values":[{}]}}}}"#, json::of(id)));
    let query = [("allow_partial_search_results", "false"), ("expand_wildcards", "open")];
    let hits = page(wire, format!("{target}/_search"), &query, body, SHORT).await?.hits.hits;
    if hits.len() > 1 {
        let indices = hits.iter().map(|hit| format!("`{}`", hit.index)).collect::<Vec<_>>().join(", ");
        return Err(Error::new(Code::Conflict, format!("several documents have the id `{id}`: in {indices}"))
            .argument("index")
            .hint("name one of these indices as `index`"));
    }
    let Some(hit) = hits.into_iter().next() else { return Ok(None) };
    let document = hit.source.ok_or_else(|| failure::sourceless(&hit.index))?;
    Ok(Some(Document { id: hit.id, index: hit.index, version: hit.version, document }))
}

/// Reads an answer, which counts only if no part of it is missing.
pub(super) fn whole(answer: &Answer, timeout: Duration) -> Result<Searched, Error> {
    let searched: Searched = answer.read()?;
    if searched.timed_out {
        return Err(failure::overdue(timeout));
    }
    if searched._shards.failed > 0 {
        return Err(failure::partial(searched._shards.failed, searched._shards.total, &searched._shards.failures));
    }
    Ok(searched)
}

/// Adds `_source`.
pub(super) fn source(body: &mut Lines, fields: &[String]) {
    if !fields.is_empty() {
        body.own("_source", json::of(fields).get());
    }
}

/// Adds `query`.
pub(super) fn query(body: &mut Lines, query: &Query) {
    match query {
        Query::All => body.own("query", r#"{"match_all":{}}"#),
        // Lenient: a word is no mistake because some field holds numbers.
        Query::Text(words) => {
            let words = json::of(words);
            body.own("query", &format!(r#"{{"multi_match":{{"query":{words},"fields":["*"],"lenient":true}}}}"#));
        }
        Query::Dsl(dsl) => body.part("query", "query", dsl),
    }
}

fn found(searched: Searched, more: Option<bool>) -> Found {
    let total = searched.hits.total;
    Found {
        total_is_exact: total.as_ref().is_none_or(|total| total.relation == "eq"),
        total: total.map_or(0, |total| total.value),
        took_ms: searched.took,
        aggregations: searched.aggregations,
        hits: searched.hits.hits.into_iter().map(hit).collect(),
        more,
    }
}

fn hit(hit: WireHit) -> Hit {
    Hit {
        id: hit.id,
        index: hit.index,
        score: hit.score,
        document: hit.source.unwrap_or_else(json::null),
        highlight: hit.highlight,
        inner_hits: hit.inner_hits,
        matched_queries: hit.matched_queries,
        sort: hit.sort,
    }
}

/// The order of a search, made total but for documents that tie in different shards, and where in it a page begins.
struct Order<'a> {
    /// `sort`.
    json: String,
    /// `search_after`: before the group of ties in which the page before ended.
    after: Option<String>,
    /// Sort values of that group.
    group: &'a str,
    /// `_id`s of that group that were given already.
    given: &'a [String],
}

impl<'a> Order<'a> {
    /// The order asked for, or by relevance, with our own keys at its end.
    fn of(search: &'a Search) -> Result<Self, Error> {
        // An index that never held a document knows neither.
        const TIE_BREAK: &str = r#"{"_index":{"order":"asc","unmapped_type":"keyword"}},{"_seq_no":{"order":"asc","unmapped_type":"long"}}"#;
        let (keys, count) = match &search.sort {
            Some(sort) => keys(sort)?,
            None => ("\"_score\"".to_owned(), 1),
        };
        let mut order = Self { json: format!("[{keys},{TIE_BREAK}]"), after: None, group: "", given: &[] };
        match search.after.as_ref().filter(|_| search.size > 0) {
            Some(After::Hit(place)) => {
                order.after = Some(before(&place.sort, count + 2)?);
                (order.group, order.given) = (place.sort.get(), &place.given);
            }
            Some(After::Values(own)) => order.after = Some(behind(own, count)?),
            None => {}
        }
        Ok(order)
    }

    fn was_given(&self, hit: &WireHit) -> bool {
        hit.sort.as_deref().is_some_and(|sort| sort.get() == self.group) && self.given.contains(&hit.id)
    }
}

/// The sort values just before a group of ties: those of the group, one lower in `_seq_no`.
fn before(group: &Json, count: usize) -> Result<String, Error> {
    let refuse = || {
        Error::invalid("search_after", "`search_after` is not what an answer of this search gave")
            .hint("pass `next.search_after` exactly as the previous answer gave it")
    };
    let mut values: Vec<&RawValue> = serde_json::from_str(group.get()).map_err(|error| refuse().cause(error))?;
    let number = values.pop().and_then(|number| number.get().parse::<i64>().ok()).ok_or_else(refuse)?;
    if values.len() + 1 != count {
        return Err(refuse());
    }
    let values: String = values.into_iter().map(|value| format!("{},", value.get())).collect();
    Ok(format!("[{values}{}]", number.saturating_sub(1)))
}

/// The sort values behind all documents with the caller's own: whatever their index and number.
fn behind(own: &Json, count: usize) -> Result<String, Error> {
    let values: Vec<&RawValue> = serde_json::from_str(own.get())
        .map_err(|error| Error::invalid("search_after", "`search_after` takes a list of sort values").cause(error))?;
    if values.len() != count {
        let given = values.len();
        return Err(Error::invalid(
            "search_after",
            format!("`search_after` holds {given} values and the sort has {count}"),
        )
        .hint("pass `next.search_after` exactly as the previous answer gave it, or one value for each key of `sort`"));
    }
    let values: String = values.into_iter().map(|value| format!("{},", value.get())).collect();
    // The last letter there is, as JSON escapes it.
    Ok(format!(r#"[{values}"\udbff\udfff",{}]"#, i64::MAX))
}

/// The keys of a sort (a name, an object, or a list of those), as the inside of a JSON array, and how many there are.
fn keys(sort: &Json) -> Result<(String, usize), Error> {
    let refuse = || {
        Error::invalid("sort", "`sort` takes a field, an object, or a list of those")
            .hint(r#"for example [{"price":"desc"}] or ["name.keyword"]"#)
    };
    let text = sort.get().trim();
    let items: Vec<Box<RawValue>> = match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str(text).map_err(|error| refuse().cause(error))?,
        Some(b'{' | b'"') => vec![sort.clone()],
        Some(b'n') => Vec::new(),
        _ => return Err(refuse()),
    };
    let mut count = 0;
    for item in &items {
        count += match item.get().as_bytes().first() {
            Some(b'"') => 1,
            Some(b'{') => {
                let keys: Members<IgnoredAny> =
                    serde_json::from_str(item.get()).map_err(|error| refuse().cause(error))?;
                keys.0.len()
            }
            _ => return Err(refuse()),
        };
    }
    if count == 0 {
        return Ok(("\"_score\"".to_owned(), 1));
    }
    Ok((items.iter().map(|item| item.get()).collect::<Vec<_>>().join(","), count))
}

/// A search sent as it is, for exports.
pub(super) async fn page(
    wire: &Wire,
    path: String,
    query: &[(&str, &str)],
    body: Lines,
    deadline: Duration,
) -> Result<Searched, Error> {
    let request =
        Request { method: Method::Post, path, query, body: Body::Search(body.close()), deadline, writes: false };
    whole(&wire.ask(request).await?, deadline)
}
