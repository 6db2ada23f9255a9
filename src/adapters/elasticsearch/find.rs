//! Searching and counting: the body that is sent, and the answer read back.
//!
//! Pages go on by sort values, so every search ends its order with `_index` and `_seq_no`: both are cheap everywhere (`_id` is refused by
//! Elasticsearch, and where it is allowed it takes the heap). Two documents can still tie when they are in different shards of one index,
//! so a page never ends inside a group of ties.

use std::time::Duration;

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    failure::{self, ShardFailure},
    lines::Lines,
    wire::{Answer, Body, Request, Wire},
};
use crate::{
    domain::{
        json::{self, Json},
        search::{Found, Hit, Query, Search},
    },
    error::{Code, Error},
};

/// Beyond the engine's own time-out, for the answer to arrive.
const ARRIVAL: Duration = Duration::from_millis(900);
/// Documents of a tied group that are looked for at the most; an index has no more shards than that in practice.
const TIES_MAX: usize = 128;
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
    #[serde(rename = "_score")]
    score: Option<f64>,
    #[serde(rename = "_source")]
    pub(super) source: Option<Box<RawValue>>,
    highlight: Option<Box<RawValue>>,
    pub(super) sort: Option<Box<RawValue>>,
}

/// The order of a search, with what makes it total.
struct Order {
    json: String,
    /// Ends in our own keys.
    is_total: bool,
}

pub(super) async fn search(wire: &Wire, target: &str, search: &Search) -> Result<Found, Error> {
    let order = order(search)?;
    let one_more = search.size.saturating_add(1).min(WINDOW_MAX.saturating_sub(search.from));
    let Some(total_order) = order.as_ref().filter(|order| order.is_total) else {
        return Ok(found(page_of(wire, target, search, order.as_ref(), search.size).await?, None));
    };
    let mut searched = page_of(wire, target, search, order.as_ref(), one_more.max(search.size)).await?;
    let shards = searched._shards.total;
    let hits = &mut searched.hits.hits;
    if hits.len() < search.size || hits.len() == search.size && one_more > search.size {
        return Ok(found(searched, Some(false)));
    }
    if one_more <= search.size {
        // The window of the engine ends here: what follows the last hit cannot be seen, so its group may go on.
        if shards > 1
            && search.from as u64 + hits.len() as u64 != searched.hits.total.as_ref().map_or(0, |total| total.value)
        {
            let keep = end_of_group(hits, search.size - 1).max(1);
            hits.truncate(keep);
            return Ok(found(searched, Some(true)));
        }
        return Ok(found(searched, None));
    }
    let mut keep = end_of_group(hits, search.size);
    if keep == 0 {
        // One group of ties fills the page: the whole group is answered, so that the next page begins behind it.
        let page = search.size.saturating_add(TIES_MAX).min(WINDOW_MAX.saturating_sub(search.from));
        searched = page_of(wire, target, search, Some(total_order), page).await?;
        keep = first_group(&searched.hits.hits);
    }
    let more = keep < searched.hits.hits.len();
    searched.hits.hits.truncate(keep);
    Ok(found(searched, Some(more)))
}

/// How many of the first `most` hits can be given without cutting a group of ties in two.
fn end_of_group(hits: &[WireHit], most: usize) -> usize {
    let key = |at: usize| hits.get(at).and_then(|hit| hit.sort.as_deref()).map(RawValue::get);
    (1..=most).rev().find(|end| key(end - 1) != key(*end)).unwrap_or(0)
}

fn first_group(hits: &[WireHit]) -> usize {
    let key = |hit: &WireHit| hit.sort.as_deref().map(|sort| sort.get().to_owned());
    let first = hits.first().and_then(key);
    hits.iter().take_while(|hit| key(hit) == first).count()
}

async fn page_of(
    wire: &Wire,
    target: &str,
    search: &Search,
    order: Option<&Order>,
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
    if let Some(order) = order {
        body.own("sort", &order.json);
    }
    if let Some(after) = &search.search_after {
        body.own("search_after", after.get());
    }
    query(&mut body, &search.query);
    if let Some(aggregations) = &search.aggregations {
        body.part("aggs", "aggs", aggregations);
    }
    match search.highlight.as_ref().map(|highlight| highlight.get()) {
        None | Some("false" | "null") => {}
        Some("true") => body.own("highlight", r#"{"fields":{"*":{}}}"#),
        Some(_) => {
            if let Some(highlight) = &search.highlight {
                body.part("highlight", "highlight", highlight);
            }
        }
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
        sort: hit.sort,
    }
}

/// The order asked for, or by relevance, made total by our own keys at its end.
fn order(search: &Search) -> Result<Option<Order>, Error> {
    // An index that never held a document knows neither.
    const TIE_BREAK: &str =
        r#"{"_index":{"order":"asc","unmapped_type":"keyword"}},{"_seq_no":{"order":"asc","unmapped_type":"long"}}"#;
    if search.size == 0 {
        return Ok(None);
    }
    let (mut keys, count) = match &search.sort {
        Some(sort) => keys(sort)?,
        None => ("\"_score\"".to_owned(), 1),
    };
    let given = match &search.search_after {
        Some(after) => Some(values(after)?),
        None => None,
    };
    // Sort values of the caller's own making go with the caller's own order.
    let is_total = given.is_none_or(|given| given == count + 2) && !keys.contains("_shard_doc");
    if is_total {
        if !keys.is_empty() {
            keys.push(',');
        }
        keys.push_str(TIE_BREAK);
    }
    Ok(Some(Order { json: format!("[{keys}]"), is_total }))
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
            Some(b'{') => super::ordered::keys(item).map_err(|error| refuse().cause(error))?.len(),
            _ => return Err(refuse()),
        };
    }
    if count == 0 {
        return Ok(("\"_score\"".to_owned(), 1));
    }
    Ok((items.iter().map(|item| item.get()).collect::<Vec<_>>().join(","), count))
}

fn values(after: &Json) -> Result<usize, Error> {
    let values: Vec<&RawValue> = serde_json::from_str(after.get()).map_err(|error| {
        Error::new(Code::Invalid, "`search_after` takes a list of sort values")
            .argument("search_after")
            .hint("pass `next.search_after` exactly as the previous answer gave it")
            .cause(error)
    })?;
    Ok(values.len())
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
