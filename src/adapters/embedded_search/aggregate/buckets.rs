//! Aggregations that sort documents into buckets by value, range or query; and the documents themselves.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use chrono::FixedOffset;
use serde_json::Value as Request;

use super::{
    Aggregation, Evaluation, Input, Outcome, argument, entry,
    metrics::Identity,
    object,
    request::{Choice, Filters, Range, Terms, TopHits, wrong},
};
use crate::{
    adapters::embedded_search::{
        check,
        columns::Value,
        dates::{self, End},
        mapping::{Kind, Leaf},
        matched::Match,
        order::{self, Order},
    },
    error::Error,
};

/// Documents with one value.
struct Bucket {
    key: Value,
    found: Vec<Match>,
    /// What is ordered by beside count and key.
    ranks: Vec<Option<f64>>,
}

impl Evaluation<'_> {
    pub(super) fn terms(&self, aggregation: &Aggregation, terms: &Terms, found: &[Match]) -> Result<Outcome, Error> {
        let mut buckets = self.by_value(aggregation, terms, found)?;
        let kind = self.input(aggregation, &terms.field)?.kind();
        buckets.retain(|bucket| bucket.found.len() >= terms.least && terms.takes(&bucket.key, kind));
        for (path, _) in terms.order.iter().filter(|(path, _)| !is_own(path)) {
            for bucket in &mut buckets {
                let rank = self.rank(aggregation, path, &bucket.found)?;
                bucket.ranks.push(rank);
            }
        }
        buckets.sort_by(|a, b| terms.compare(a, b));
        let others: usize = buckets.iter().skip(terms.size).map(|bucket| bucket.found.len()).sum();
        buckets.truncate(terms.size);
        let shown = buckets.iter().map(|bucket| self.bucket(key_head(&bucket.key, kind), aggregation, &bucket.found));
        let shown = shown.collect::<Result<Vec<_>, _>>()?;
        Ok(object(vec![
            entry("doc_count_error_upper_bound", &0),
            entry("sum_other_doc_count", &others),
            entry("buckets", &shown),
        ]))
    }

    fn by_value(&self, aggregation: &Aggregation, terms: &Terms, found: &[Match]) -> Result<Vec<Bucket>, Error> {
        let input = self.input(aggregation, &terms.field)?;
        let missing = match &terms.missing {
            None => None,
            Some(value) => Some(
                stand_in(value, &input)
                    .ok_or_else(|| wrong(&aggregation.at, "has a `missing` that is not a value of its field"))?,
            ),
        };
        let mut places: HashMap<Identity, usize> = HashMap::new();
        let mut buckets: Vec<Bucket> = Vec::new();
        for (count, one) in found.iter().enumerate() {
            if count % 4096 == 0 {
                check(self.call)?;
            }
            let mut values = if terms.field == "_index" { self.index_of(one) } else { input.of(one) };
            if values.is_empty() {
                values.extend(missing.clone());
            }
            for value in values {
                let place = *places.entry(Identity::of(&value)).or_insert(buckets.len());
                if place == buckets.len() {
                    buckets.push(Bucket { key: value, found: Vec::new(), ranks: Vec::new() });
                }
                if let Some(bucket) = buckets.get_mut(place)
                    && bucket.found.last() != Some(one)
                {
                    bucket.found.push(*one);
                }
            }
        }
        Ok(buckets)
    }

    fn index_of(&self, found: &Match) -> Vec<Value> {
        let shard = self.view.shards.get(found.shard as usize);
        shard.map(|shard| Value::Text(Arc::from(shard.collection.name.as_str()))).into_iter().collect()
    }

    /// The number that a result inside has for these documents: `price`, `price.max`, `only>price`.
    fn rank(&self, aggregation: &Aggregation, path: &str, found: &[Match]) -> Result<Option<f64>, Error> {
        let first = path.split(['.', '>']).next().unwrap_or_default();
        let Some(inner) = aggregation.inner.iter().find(|inner| inner.name == first) else {
            return Err(wrong(&aggregation.at, &format!("orders by `{path}`, and has no such aggregation inside"))
                .hint("order by _count, _key, or a number of an aggregation inside"));
        };
        let result = self.one(inner, found)?;
        let part = path.split(['.', '>']).skip(1).try_fold(&result, |part, name| part.get(name));
        let number = |part: &Outcome| {
            part.number().or_else(|| part.get("value")?.number()).or_else(|| part.get("doc_count")?.number())
        };
        Ok(part.and_then(number))
    }

    pub(super) fn range(&self, aggregation: &Aggregation, range: &Range, found: &[Match]) -> Result<Outcome, Error> {
        let input = self.input(aggregation, &range.field)?;
        let dates = range.dates || input.kind() == Some(Kind::Date);
        if let Some(kind) = input.kind().filter(|kind| kind.is_words()) {
            return Err(wrong(&aggregation.at, &format!("asks for numbers of a field of type `{}`", kind.as_str())));
        }
        let mut edges = Vec::new();
        for (key, from, to) in &range.ranges {
            let edge = |value: &Option<Request>| match value {
                None => Ok(None),
                Some(value) => self
                    .edge(value, dates, range.zone)
                    .map(Some)
                    .ok_or_else(|| wrong(&aggregation.at, &format!("has a bound that cannot be read: {value}"))),
            };
            edges.push((key.clone(), edge(from)?, edge(to)?));
        }
        edges.sort_by(|a, b| {
            let low = |edge: Option<f64>, open| edge.unwrap_or(open);
            low(a.1, f64::NEG_INFINITY)
                .total_cmp(&low(b.1, f64::NEG_INFINITY))
                .then(low(a.2, f64::INFINITY).total_cmp(&low(b.2, f64::INFINITY)))
        });
        let mut shown = Vec::new();
        for (key, from, to) in edges {
            let inside = |number: f64| from.is_none_or(|from| number >= from) && to.is_none_or(|to| number < to);
            let here = found.iter().filter(|one| input.of(one).iter().filter_map(Value::number).any(inside));
            let here: Vec<Match> = here.copied().collect();
            let text = |edge: Option<f64>| {
                edge.map_or("*".to_owned(), |edge| {
                    if dates { dates::show(edge as i64) } else { Request::from(edge).to_string() }
                })
            };
            let key = key.unwrap_or_else(|| format!("{}-{}", text(from), text(to)));
            let mut head = if range.keyed { Vec::new() } else { vec![entry("key", &key)] };
            for (name, edge) in [("from", from), ("to", to)] {
                if let Some(edge) = edge {
                    head.push(entry(name, &edge));
                    if dates {
                        head.push(entry(&format!("{name}_as_string"), &dates::show(edge as i64)));
                    }
                }
            }
            shown.push((key, self.bucket(head, aggregation, &here)?));
        }
        Ok(listed(shown, range.keyed))
    }

    fn edge(&self, value: &Request, dates: bool, zone: FixedOffset) -> Option<f64> {
        if let Some(number) = value.as_f64() {
            return Some(number);
        }
        let text = value.as_str()?;
        if dates { dates::bound(text, End::First, zone, self.view.now).map(|at| at as f64) } else { text.parse().ok() }
    }

    pub(super) fn filters(
        &self,
        aggregation: &Aggregation,
        filters: &Filters,
        found: &[Match],
    ) -> Result<Outcome, Error> {
        let mut shown = Vec::new();
        let mut rest = found.to_vec();
        for (name, query) in &filters.named {
            let here = self.fitting(&format!("{}.filters.{name}", aggregation.at), query, found)?;
            rest.retain(|one| !here.contains(one));
            shown.push((name.clone(), self.bucket(Vec::new(), aggregation, &here)?));
        }
        if let Some(other) = &filters.other {
            shown.push((other.clone(), self.bucket(Vec::new(), aggregation, &rest)?));
        }
        Ok(listed(shown, filters.keyed))
    }

    pub(super) fn top_hits(&self, hits: &TopHits, found: &[Match]) -> Result<Outcome, Error> {
        let order = Order::read(hits.sort.as_ref(), self.view.shards).map_err(|error| argument(error, "aggs"))?;
        let (page, _) = order.page(found, self.view.columns, None, hits.from, hits.size)?;
        let best = found
            .iter()
            .map(|one| one.score)
            .fold(None, |best: Option<f32>, score| Some(best.map_or(score, |best| best.max(score))));
        let mut shown = Vec::new();
        for (one, place) in page {
            let hit = self.view.hit(&one, &hits.fields, None)?;
            let score = order.by_score().then(|| order::score(one.score));
            let mut entries = vec![
                entry("_index", &hit.index),
                entry("_id", &hit.id),
                entry("_score", &score),
                ("_source".to_owned(), Outcome::Json(hit.document)),
            ];
            if hits.sort.is_some() {
                entries.push(entry("sort", &order.shown_given(&place)));
            }
            shown.push(object(entries));
        }
        let total = object(vec![entry("value", &found.len()), entry("relation", "eq")]);
        let best = best.filter(|_| order.by_score()).map(order::score);
        let inner = object(vec![("total".to_owned(), total), entry("max_score", &best), entry("hits", &shown)]);
        Ok(object(vec![("hits".to_owned(), inner)]))
    }
}

impl Terms {
    fn compare(&self, a: &Bucket, b: &Bucket) -> Ordering {
        let mut ranks = 0;
        let compared = self.order.iter().map(|(path, descending)| {
            let order = match path.as_str() {
                "_count" => a.found.len().cmp(&b.found.len()),
                "_key" | "_term" => a.key.compare(&b.key),
                _ => {
                    ranks += 1;
                    let rank = |bucket: &Bucket| bucket.ranks.get(ranks - 1).copied().flatten();
                    return match (rank(a), rank(b)) {
                        (Some(a), Some(b)) if *descending => b.total_cmp(&a),
                        (Some(a), Some(b)) => a.total_cmp(&b),
                        // Without a number: last, whatever the direction.
                        (None, Some(_)) => Ordering::Greater,
                        (Some(_), None) => Ordering::Less,
                        (None, None) => Ordering::Equal,
                    };
                }
            };
            if *descending { order.reverse() } else { order }
        });
        compared.fold(Ordering::Equal, Ordering::then).then_with(|| a.key.compare(&b.key))
    }

    fn takes(&self, key: &Value, kind: Option<Kind>) -> bool {
        let text = match key {
            Value::Text(text) => text.to_string(),
            Value::Integer(flag) if kind == Some(Kind::Boolean) => (*flag != 0).to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Number(number) => Request::from(*number).to_string(),
        };
        self.include.as_ref().is_none_or(|include| include.holds(&text))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.holds(&text))
    }
}

impl Choice {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Exactly(all) => all.iter().any(|one| one == text),
            Self::Fitting(expression) => expression.is_match(text),
        }
    }
}

fn is_own(path: &str) -> bool {
    matches!(path, "_count" | "_key" | "_term")
}

/// The key of a bucket as Elasticsearch shows it: flags and dates as numbers, with their text beside.
pub(super) fn key_head(key: &Value, kind: Option<Kind>) -> Vec<(String, Outcome)> {
    match (key, kind) {
        (Value::Integer(flag), Some(Kind::Boolean)) => {
            vec![entry("key", flag), entry("key_as_string", if *flag == 0 { "false" } else { "true" })]
        }
        (Value::Integer(at), Some(Kind::Date)) => vec![entry("key", at), entry("key_as_string", &dates::show(*at))],
        (Value::Integer(number), _) => vec![entry("key", number)],
        (Value::Number(number), _) => vec![entry("key", number)],
        (Value::Text(text), _) => vec![entry("key", text.as_ref())],
    }
}

fn stand_in(value: &Request, input: &Input) -> Option<Value> {
    let node = serde_json::from_value(value.clone()).ok()?;
    Some(match &input.field {
        Some(field) => match field.value(&node)? {
            Leaf::Integer(number) => Value::Integer(number),
            Leaf::Number(number) => Value::Number(number),
            Leaf::Text(text) => Value::Text(Arc::from(text)),
        },
        None => Value::Text(Arc::from(node.text()?)),
    })
}

/// Buckets as a list, or by their keys.
pub(super) fn listed(buckets: Vec<(String, Outcome)>, keyed: bool) -> Outcome {
    if keyed {
        return object(vec![("buckets".to_owned(), object(buckets))]);
    }
    object(vec![entry("buckets", &buckets.into_iter().map(|(_, bucket)| bucket).collect::<Vec<_>>())])
}
