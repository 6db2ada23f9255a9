//! One search, one count, one export: from the port's question to its answer.

use std::{sync::Arc, time::Instant};

use serde_json::Value;

use super::{
    aggregate,
    derived::{Derived, Shard},
    highlight::Highlight,
    matched::{self, Columns, Match},
    order::{self, Order},
    query::Compiler,
    store::{Collection, Snapshot, Store},
    view::View,
};
use crate::{
    adapters::sqlite::call::Call,
    domain::{
        json::{self, Json},
        search::{After, Export, Found, Query, Search, access},
    },
    error::{Code, Error},
};

/// The two halves of the engine, and the time of the call.
pub(super) struct Place<'a> {
    pub(super) store: &'a Arc<Store>,
    pub(super) derived: &'a Derived,
    pub(super) now: i64,
    pub(super) call: &'a Arc<Call>,
}

/// The documents of an export, in the order they will be given.
pub(super) struct Selected {
    /// Of each index: its number, its name, and which of its documents.
    pub(super) indices: Vec<(i64, String, Vec<i64>)>,
}

/// The indexes that names and patterns stand for. A name that does not exist is an error, and so is when patterns stand for none.
pub(super) fn resolve(snapshot: &Snapshot, asked: &[String]) -> Result<Vec<Collection>, Error> {
    let mut found: Vec<Collection> = Vec::new();
    let mut add = |collection: Collection| {
        if !found.iter().any(|other| other.id == collection.id) {
            found.push(collection);
        }
    };
    for name in asked {
        let pattern = if name == "_all" { "*" } else { name };
        if pattern.contains('*') {
            for summary in snapshot.summaries()?.into_iter().filter(|summary| access::matches(pattern, &summary.name)) {
                add(snapshot.collection(&summary.name)?);
            }
        } else {
            add(snapshot.collection(name)?);
        }
    }
    if found.is_empty() {
        return Err(Error::new(Code::NotFound, format!("no index matches `{}`", asked.join(",")))
            .argument("index")
            .hint("list_indices shows the indices that exist"));
    }
    Ok(found)
}

/// Compiles the query for each index and gathers what it finds.
fn gather<'s>(place: &Place<'_>, shards: &'s [Shard], query: &Query) -> Result<(Vec<Compiler<'s>>, Vec<Match>), Error> {
    let (mut compilers, mut matches) = (Vec::new(), Vec::new());
    for (number, shard) in (0_u32..).zip(shards) {
        let compiler = Compiler::new(shard, place.now);
        let compiled = compiler.query(query)?;
        matches.extend(matched::gather(shard, number, compiled.as_ref(), place.call)?);
        compilers.push(compiler);
    }
    Ok((compilers, matches))
}

/// Searches.
pub(super) fn search(place: &Place<'_>, search: &Search) -> Result<Found, Error> {
    let started = Instant::now();
    let select = |snapshot: &Snapshot| resolve(snapshot, &search.indices);
    let (snapshot, shards) = place.derived.shards(place.store, &select, place.call)?;
    let sort = read("sort", search.sort.as_ref())?;
    let order = Order::read(sort.as_ref(), &shards)?;
    // The order is total here: nothing ties with a hit.
    let after = read("search_after", search.after.as_ref().map(After::values))?
        .map(|after| order.read_after(&after))
        .transpose()?;
    let highlight = search.highlight.as_ref().map(Highlight::read).transpose()?.flatten();
    let wanted = read("aggs", search.aggregations.as_ref())?;
    let wanted = wanted.as_ref().map(aggregate::read).transpose()?;
    let (compilers, matches) = gather(place, &shards, &search.query)?;
    let columns = Columns::new(&shards, &matches);
    let view = View { snapshot: &snapshot, shards: &shards, columns: &columns, compilers: &compilers, now: place.now };
    let aggregations = match &wanted {
        Some(wanted) => Some(aggregate::evaluate(wanted, &view, &matches, place.call)?),
        None => None,
    };
    let (page, more) = order.page(&matches, &columns, after.as_ref(), search.from, search.size)?;
    let mut names = view.names(page.iter().map(|(found, _)| *found).collect(), place.call)?;
    let mut hits = Vec::with_capacity(page.len());
    for (found, values) in page {
        let mut hit = view.hit(&found, &search.fields, highlight.as_ref())?;
        hit.matched_queries = names.remove(&(found.shard, found.segment, found.document)).map(|names| json::of(&names));
        hit.score = order.by_score().then(|| order::score(found.score));
        hit.sort = Some(json::of(&order.shown(&values)));
        hits.push(hit);
    }
    Ok(Found {
        total: matches.len() as u64,
        total_is_exact: true,
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        aggregations,
        hits,
        more: Some(more),
    })
}

/// Counts.
pub(super) fn count(place: &Place<'_>, indices: &[String], query: &Query) -> Result<u64, Error> {
    let select = |snapshot: &Snapshot| resolve(snapshot, indices);
    let (_snapshot, shards) = place.derived.shards(place.store, &select, place.call)?;
    Ok(gather(place, &shards, query)?.1.len() as u64)
}

/// Chooses the documents of an export. The snapshot stays open until they are all read.
pub(super) fn select(place: &Place<'_>, export: &Export) -> Result<(Snapshot, Selected), Error> {
    let select = |snapshot: &Snapshot| resolve(snapshot, &export.indices);
    let (snapshot, shards) = place.derived.shards(place.store, &select, place.call)?;
    let (_, matches) = gather(place, &shards, &export.query)?;
    let columns = Columns::new(&shards, &matches);
    let mut indices: Vec<(i64, String, Vec<i64>)> =
        shards.iter().map(|shard| (shard.collection.id, shard.collection.name.clone(), Vec::new())).collect();
    for found in &matches {
        if let Some((.., sequences)) = indices.get_mut(found.shard as usize) {
            sequences.push(columns.sequence(found)?);
        }
    }
    indices.iter_mut().for_each(|(.., sequences)| sequences.sort_unstable());
    Ok((snapshot, Selected { indices }))
}

fn read(argument: &'static str, json: Option<&Json>) -> Result<Option<Value>, Error> {
    json.map(|json| {
        serde_json::from_str(json.get())
            .map_err(|error| Error::invalid(argument, format!("`{argument}` is not JSON")).cause(error))
    })
    .transpose()
}
