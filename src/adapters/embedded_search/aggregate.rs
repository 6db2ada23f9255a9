//! Aggregations over the documents found, computed exactly from their columns and answered in Elasticsearch's shape.

mod buckets;
mod histogram;
mod metrics;
mod request;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use serde::Serialize;

use self::request::Shape;
pub(super) use self::request::{Aggregation, read};
use super::{
    check,
    mapping::{Field, Kind},
    matched::{self, Match, Of, Values},
    query::Compiler,
    view::View,
};
use crate::{
    adapters::sqlite::call::Call,
    domain::json::{self, Json, Members},
    error::{Code, Error},
};

/// Buckets of one answer at the most, in all.
const BUCKETS_MAX: usize = 10_000;

/// One evaluation.
struct Evaluation<'a> {
    view: &'a View<'a>,
    call: &'a Arc<Call>,
    buckets: RefCell<usize>,
    /// What the queries of filters find, by their place in the request.
    filters: RefCell<HashMap<String, Rc<Fitting>>>,
}

/// Index, segment and document of all that a query finds.
type Fitting = HashSet<(u32, u32, u32)>;

/// What an aggregation gave: rendered but for the objects, so that buckets can be ordered by a number inside.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Object(Members<Outcome>),
    Json(Json),
}

/// The values that an aggregation reads.
struct Input {
    field: Option<Field>,
    values: Option<Rc<Values>>,
}

/// Evaluates all aggregations of a request.
pub(super) fn evaluate(
    wanted: &[Aggregation],
    view: &View<'_>,
    found: &[Match],
    call: &Arc<Call>,
) -> Result<Json, Error> {
    let evaluation = Evaluation { view, call, buckets: RefCell::new(0), filters: RefCell::default() };
    Ok(json::of(&Members(evaluation.all(wanted, found)?)))
}

impl Evaluation<'_> {
    /// Results by name.
    fn all(&self, wanted: &[Aggregation], found: &[Match]) -> Result<Vec<(String, Outcome)>, Error> {
        check(self.call)?;
        wanted.iter().map(|aggregation| Ok((aggregation.name.clone(), self.one(aggregation, found)?))).collect()
    }

    fn one(&self, aggregation: &Aggregation, found: &[Match]) -> Result<Outcome, Error> {
        match &aggregation.shape {
            Shape::Terms(terms) => self.terms(aggregation, terms, found),
            Shape::Range(range) => self.range(aggregation, range, found),
            Shape::Histogram(histogram) => self.histogram(aggregation, histogram, found),
            Shape::DateHistogram(histogram) => self.date_histogram(aggregation, histogram, found),
            Shape::Metric(metric) => self.metric(aggregation, metric, found),
            Shape::TopHits(hits) => self.top_hits(hits, found),
            Shape::Filter(query) => self.bucket(Vec::new(), aggregation, &self.fitting(&aggregation.at, query, found)?),
            Shape::Filters(filters) => self.filters(aggregation, filters, found),
            Shape::Missing(path) => {
                let input = self.input(aggregation, path)?;
                let without: Vec<Match> = found.iter().filter(|one| input.of(one).is_empty()).copied().collect();
                self.bucket(Vec::new(), aggregation, &without)
            }
        }
    }

    /// A bucket: what names it, its count, and what its own aggregations say.
    fn bucket(
        &self,
        mut head: Vec<(String, Outcome)>,
        aggregation: &Aggregation,
        found: &[Match],
    ) -> Result<Outcome, Error> {
        let mut count = self.buckets.borrow_mut();
        *count += 1;
        if *count > BUCKETS_MAX {
            return Err(Error::new(Code::Limit, format!("`{}` makes more than {BUCKETS_MAX} buckets", aggregation.at))
                .argument("aggs")
                .hint("use a larger interval, a smaller `size`, or a narrower query"));
        }
        drop(count);
        head.push(entry("doc_count", &found.len()));
        head.extend(self.all(&aggregation.inner, found)?);
        Ok(object(head))
    }

    /// Those of `found` that a query finds too.
    fn fitting(&self, at: &str, query: &serde_json::Value, found: &[Match]) -> Result<Vec<Match>, Error> {
        let known = self.filters.borrow().get(at).map(Rc::clone);
        let fitting = match known {
            Some(known) => known,
            None => {
                let mut all = HashSet::new();
                for (number, shard) in (0_u32..).zip(self.view.shards) {
                    let compiler = Compiler::new(shard, self.view.now);
                    let compiled = compiler.compile(at, query, 0).map_err(|error| argument(error, "aggs"))?;
                    let gathered = matched::gather(shard, number, compiled.as_ref(), self.call)?;
                    all.extend(gathered.iter().map(|one| (one.shard, one.segment, one.document)));
                }
                let all = Rc::new(all);
                self.filters.borrow_mut().insert(at.to_owned(), Rc::clone(&all));
                all
            }
        };
        Ok(found.iter().filter(|one| fitting.contains(&(one.shard, one.segment, one.document))).copied().collect())
    }

    /// The values of a field; of a text field those of the keyword beside it.
    fn input(&self, aggregation: &Aggregation, path: &str) -> Result<Input, Error> {
        if path == "_id" {
            return Ok(Input { field: None, values: Some(self.view.columns.values(&Of::Id)?) });
        }
        for shard in self.view.shards {
            let mapping = &shard.collection.mapping;
            match (mapping.column(path), mapping.find(path)) {
                (Some((_, field)), _) => {
                    let values = self.view.columns.values(&Of::Field(path.to_owned()))?;
                    return Ok(Input { field: Some(field.clone()), values: Some(values) });
                }
                (None, Some((_, field))) if field.kind == Kind::Text => {
                    let message =
                        format!("`{}` uses text field `{path}`, whose whole values are not kept", aggregation.at);
                    return Err(Error::invalid("aggs", message).hint("use a keyword field"));
                }
                _ => {}
            }
        }
        Ok(Input { field: None, values: None })
    }
}

impl Input {
    /// Of one document.
    fn of(&self, found: &Match) -> Vec<super::columns::Value> {
        self.values.as_ref().map(|values| values.of(found)).unwrap_or_default()
    }

    fn kind(&self) -> Option<Kind> {
        self.field.as_ref().map(|field| field.kind)
    }
}

impl Outcome {
    /// The part with this name.
    fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(Members(parts)) = self else { return None };
        parts.iter().find(|(known, _)| known == name).map(|(_, part)| part)
    }

    fn number(&self) -> Option<f64> {
        let Self::Json(json) = self else { return None };
        json.get().parse().ok()
    }
}

fn object(entries: Vec<(String, Outcome)>) -> Outcome {
    Outcome::Object(Members(entries))
}

fn entry<T: Serialize + ?Sized>(name: &str, value: &T) -> (String, Outcome) {
    (name.to_owned(), Outcome::Json(json::of(value)))
}

/// The same failure, of another argument.
fn argument(error: Error, name: &'static str) -> Error {
    let hint = error.hint.clone();
    let mut moved =
        Error::new(error.code, error.message.clone()).argument(name).did_you_mean(error.did_you_mean.clone());
    if let Some(hint) = hint {
        moved = moved.hint(hint);
    }
    moved
}
