//! Reading Elasticsearch's `aggs`.

use chrono::FixedOffset;
use serde_json::{Map, Value};

use crate::{
    adapters::embedded_search::dates::{self, Step},
    domain::names,
    error::Error,
};

/// Aggregations inside aggregations.
const DEPTH_MAX: usize = 16;

/// One aggregation, by its name.
pub(in super::super) struct Aggregation {
    pub(super) name: String,
    /// Its place in the request.
    pub(super) at: String,
    pub(super) shape: Shape,
    pub(super) inner: Vec<Aggregation>,
}

/// What is computed.
pub(super) enum Shape {
    Terms(Terms),
    Range(Range),
    Histogram(Histogram),
    DateHistogram(DateHistogram),
    Metric(Metric),
    TopHits(TopHits),
    Filter(Value),
    Filters(Filters),
    Missing(String),
}

pub(super) struct Terms {
    pub(super) field: String,
    pub(super) size: usize,
    /// What to order by (`_count`, `_key`, or the path of a result inside), and whether largest first.
    pub(super) order: Vec<(String, bool)>,
    pub(super) least: usize,
    pub(super) missing: Option<Value>,
    pub(super) include: Option<Choice>,
    pub(super) exclude: Option<Choice>,
}

/// Terms to take or leave.
pub(super) enum Choice {
    Exactly(Vec<String>),
    Fitting(regex::Regex),
}

pub(super) struct Range {
    pub(super) field: String,
    pub(super) ranges: Vec<(Option<String>, Option<Value>, Option<Value>)>,
    pub(super) keyed: bool,
    pub(super) dates: bool,
    pub(super) zone: FixedOffset,
}

pub(super) struct Histogram {
    pub(super) field: String,
    pub(super) interval: f64,
    pub(super) offset: f64,
    pub(super) least: usize,
    pub(super) bounds: Option<(f64, f64)>,
    pub(super) keyed: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Interval {
    Calendar(Step),
    Fixed(i64),
}

pub(super) struct DateHistogram {
    pub(super) field: String,
    pub(super) interval: Interval,
    pub(super) zone: FixedOffset,
    pub(super) format: Option<String>,
    pub(super) least: usize,
    pub(super) bounds: Option<(String, String)>,
    pub(super) keyed: bool,
}

pub(super) struct Metric {
    pub(super) field: String,
    pub(super) kind: MetricKind,
    pub(super) missing: Option<f64>,
}

pub(super) enum MetricKind {
    Min,
    Max,
    Sum,
    Average,
    Count,
    Distinct,
    Stats,
    ExtendedStats(f64),
    Percentiles(Vec<f64>, bool),
}

pub(super) struct TopHits {
    pub(super) size: usize,
    pub(super) from: usize,
    pub(super) sort: Option<Value>,
    pub(super) fields: Vec<String>,
}

pub(super) struct Filters {
    pub(super) named: Vec<(String, Value)>,
    pub(super) keyed: bool,
    pub(super) other: Option<String>,
}

const KNOWN: [&str; 17] = [
    "terms",
    "range",
    "date_range",
    "histogram",
    "date_histogram",
    "min",
    "max",
    "sum",
    "avg",
    "value_count",
    "cardinality",
    "stats",
    "extended_stats",
    "percentiles",
    "top_hits",
    "filter",
    "filters",
];

/// Reads an object of named aggregations.
pub(in super::super) fn read(value: &Value) -> Result<Vec<Aggregation>, Error> {
    named("aggs", value, 0)
}

fn named(at: &str, value: &Value, depth: usize) -> Result<Vec<Aggregation>, Error> {
    if depth > DEPTH_MAX {
        return Err(wrong(at, "is nested too deeply"));
    }
    let object = value
        .as_object()
        .ok_or_else(|| wrong(at, "must be an object such as {\"by\":{\"terms\":{\"field\":\"brand\"}}}"))?;
    object.iter().map(|(name, value)| one(&format!("{at}.{name}"), name, value, depth)).collect()
}

fn one(at: &str, name: &str, value: &Value, depth: usize) -> Result<Aggregation, Error> {
    let object =
        value.as_object().ok_or_else(|| wrong(at, "must be an object such as {\"terms\":{\"field\":\"brand\"}}"))?;
    let (mut shape, mut inner) = (None, Vec::new());
    for (kind, body) in object {
        match kind.as_str() {
            "aggs" | "aggregations" => inner = named(&format!("{at}.{kind}"), body, depth + 1)?,
            "meta" => {}
            kind if shape.is_none() => shape = Some((kind, body)),
            _ => return Err(wrong(at, "holds two kinds of aggregations").hint("give each a name of its own")),
        }
    }
    let (kind, body) = shape.ok_or_else(|| wrong(at, "names no kind of aggregation such as `terms`"))?;
    let body = Body { at: format!("{at}.{kind}"), map: body.as_object() };
    let shape = read_shape(kind, &body)?;
    if matches!(shape, Shape::Metric(_) | Shape::TopHits(_)) && !inner.is_empty() {
        return Err(wrong(at, &format!("is a `{kind}`, which takes no aggregations inside")));
    }
    Ok(Aggregation { name: name.to_owned(), at: body.at, shape, inner })
}

fn read_shape(kind: &str, body: &Body<'_>) -> Result<Shape, Error> {
    let metric = |kind| {
        body.open(&[
            "field",
            "missing",
            "precision_threshold",
            "sigma",
            "percents",
            "keyed",
            "tdigest",
            "hdr",
            "format",
        ])?;
        Ok(Shape::Metric(Metric { field: body.field()?, kind, missing: body.number("missing")? }))
    };
    match kind {
        "terms" => read_terms(body).map(Shape::Terms),
        "range" | "date_range" => read_range(kind == "date_range", body).map(Shape::Range),
        "histogram" => read_histogram(body).map(Shape::Histogram),
        "date_histogram" => read_date_histogram(body).map(Shape::DateHistogram),
        "min" => metric(MetricKind::Min),
        "max" => metric(MetricKind::Max),
        "sum" => metric(MetricKind::Sum),
        "avg" => metric(MetricKind::Average),
        "value_count" => metric(MetricKind::Count),
        "cardinality" => metric(MetricKind::Distinct),
        "stats" => metric(MetricKind::Stats),
        "extended_stats" => metric(MetricKind::ExtendedStats(body.number("sigma")?.unwrap_or(2.0))),
        "percentiles" => {
            let percents = match body.get("percents") {
                None => Some(vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0]),
                Some(given) => given.as_array().and_then(|all| all.iter().map(Value::as_f64).collect()),
            };
            let percents = percents.filter(|all| all.iter().all(|percent| (0.0..=100.0).contains(percent)));
            let percents = percents.ok_or_else(|| wrong(&body.at, "takes numbers from 0 to 100 as `percents`"))?;
            metric(MetricKind::Percentiles(percents, body.flag("keyed", true)?))
        }
        "top_hits" => read_top_hits(body).map(Shape::TopHits),
        "filter" => {
            Ok(Shape::Filter(Value::Object(body.map.cloned().ok_or_else(|| wrong(&body.at, "must be a query"))?)))
        }
        "filters" => read_filters(body).map(Shape::Filters),
        "missing" => {
            body.open(&["field"])?;
            body.field().map(Shape::Missing)
        }
        other => Err(wrong(
            &body.at,
            &format!("is an aggregation `{other}`, which the embedded search engine does not know"),
        )
        .hint("a real Elasticsearch or OpenSearch may: set ELASTICSEARCH_URL")
        .did_you_mean(names::nearest(other, KNOWN))),
    }
}

fn read_terms(body: &Body<'_>) -> Result<Terms, Error> {
    body.open(&[
        "field",
        "size",
        "shard_size",
        "order",
        "min_doc_count",
        "missing",
        "include",
        "exclude",
        "show_term_doc_count_error",
        "execution_hint",
        "collect_mode",
    ])?;
    let mut order = Vec::new();
    let mut add = |entries: &Map<String, Value>| {
        for (key, direction) in entries {
            match direction.as_str().map(str::to_lowercase).as_deref() {
                Some("asc") => order.push((key.clone(), false)),
                Some("desc") => order.push((key.clone(), true)),
                _ => return Err(wrong(&body.at, "takes `asc` or `desc` in `order`")),
            }
        }
        Ok(())
    };
    match body.get("order") {
        None => {}
        Some(Value::Object(entries)) => add(entries)?,
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_object).try_for_each(add)?,
        Some(_) => return Err(wrong(&body.at, "takes an object as `order`")),
    }
    if order.is_empty() {
        order.push(("_count".to_owned(), true));
    }
    let least = body.whole("min_doc_count")?.unwrap_or(1);
    if least == 0 {
        return Err(wrong(&body.at, "takes 1 or more as `min_doc_count`")
            .hint("a real Elasticsearch or OpenSearch also lists terms without documents: set ELASTICSEARCH_URL"));
    }
    let size = body.whole("size")?.unwrap_or(10);
    if size == 0 {
        return Err(wrong(&body.at, "takes 1 or more as `size`"));
    }
    Ok(Terms {
        field: body.field()?,
        size,
        order,
        least,
        missing: body.get("missing").cloned(),
        include: body.choice("include")?,
        exclude: body.choice("exclude")?,
    })
}

fn read_range(dates: bool, body: &Body<'_>) -> Result<Range, Error> {
    body.open(&["field", "ranges", "keyed", "format", "time_zone"])?;
    let list = body.get("ranges").and_then(Value::as_array).ok_or_else(|| wrong(&body.at, "requires `ranges`"))?;
    let mut ranges = Vec::new();
    for range in list {
        let range = range.as_object().ok_or_else(|| wrong(&body.at, "takes ranges such as {\"from\":10,\"to\":20}"))?;
        if let Some(other) = range.keys().find(|name| !matches!(name.as_str(), "from" | "to" | "key")) {
            return Err(wrong(&body.at, &format!("does not take `{other}` in a range")));
        }
        let edge = |name: &str| range.get(name).filter(|value| !value.is_null()).cloned();
        ranges.push((range.get("key").and_then(Value::as_str).map(str::to_owned), edge("from"), edge("to")));
    }
    Ok(Range { field: body.field()?, ranges, keyed: body.flag("keyed", false)?, dates, zone: body.zone()? })
}

fn read_histogram(body: &Body<'_>) -> Result<Histogram, Error> {
    body.open(&["field", "interval", "offset", "min_doc_count", "extended_bounds", "keyed", "missing"])?;
    let interval = body.number("interval")?.filter(|interval| *interval > 0.0);
    let bound = |name: &str| body.get("extended_bounds").and_then(|bounds| bounds.get(name)).and_then(Value::as_f64);
    Ok(Histogram {
        field: body.field()?,
        interval: interval.ok_or_else(|| wrong(&body.at, "requires an `interval` above 0"))?,
        offset: body.number("offset")?.unwrap_or(0.0),
        least: body.whole("min_doc_count")?.unwrap_or(0),
        bounds: bound("min").zip(bound("max")),
        keyed: body.flag("keyed", false)?,
    })
}

fn read_date_histogram(body: &Body<'_>) -> Result<DateHistogram, Error> {
    body.open(&[
        "field",
        "calendar_interval",
        "fixed_interval",
        "interval",
        "time_zone",
        "format",
        "min_doc_count",
        "extended_bounds",
        "keyed",
    ])?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let interval = match (text("calendar_interval"), text("fixed_interval"), text("interval")) {
        (Some(name), None, None) => Step::of_name(name).map(Interval::Calendar),
        (None, Some(name), None) => dates::fixed_interval(name).map(Interval::Fixed),
        (None, None, Some(name)) => {
            Step::of_name(name).map(Interval::Calendar).or_else(|| dates::fixed_interval(name).map(Interval::Fixed))
        }
        _ => None,
    };
    let interval = interval.ok_or_else(|| {
        wrong(&body.at, "requires one `calendar_interval` (minute, hour, day, week, month, quarter, year) or `fixed_interval` (such as 12h)")
    })?;
    let bound = |name: &str| {
        let value = body.get("extended_bounds")?.get(name)?;
        value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|at| at.to_string()))
    };
    Ok(DateHistogram {
        field: body.field()?,
        interval,
        zone: body.zone()?,
        format: text("format").map(str::to_owned),
        least: body.whole("min_doc_count")?.unwrap_or(0),
        bounds: bound("min").zip(bound("max")),
        keyed: body.flag("keyed", false)?,
    })
}

fn read_top_hits(body: &Body<'_>) -> Result<TopHits, Error> {
    body.open(&["size", "from", "sort", "_source"])?;
    let names = |value: &Value| -> Option<Vec<String>> {
        match value {
            Value::String(one) => Some(vec![one.clone()]),
            Value::Array(all) => all.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
            Value::Object(parts) => match parts.get("includes") {
                Some(Value::Array(all)) if parts.len() == 1 => {
                    all.iter().map(|name| name.as_str().map(str::to_owned)).collect()
                }
                _ => None,
            },
            Value::Bool(true) => Some(Vec::new()),
            _ => None,
        }
    };
    let fields = match body.get("_source") {
        None => Vec::new(),
        Some(value) => names(value).ok_or_else(|| wrong(&body.at, "takes a list of fields as `_source`"))?,
    };
    Ok(TopHits {
        size: body.whole("size")?.unwrap_or(3).min(100),
        from: body.whole("from")?.unwrap_or(0),
        sort: body.get("sort").cloned(),
        fields,
    })
}

fn read_filters(body: &Body<'_>) -> Result<Filters, Error> {
    body.open(&["filters", "other_bucket", "other_bucket_key", "keyed"])?;
    let (named, keyed) = match body.get("filters") {
        Some(Value::Object(entries)) => {
            (entries.iter().map(|(name, query)| (name.clone(), query.clone())).collect(), true)
        }
        Some(Value::Array(list)) => {
            (list.iter().enumerate().map(|(place, query)| (place.to_string(), query.clone())).collect(), false)
        }
        _ => return Err(wrong(&body.at, "requires `filters`")),
    };
    let key = body.get("other_bucket_key").and_then(Value::as_str).map(str::to_owned);
    let other = if key.is_none() && body.flag("other_bucket", false)? { Some("_other_".to_owned()) } else { key };
    Ok(Filters { named, keyed, other })
}

/// The parameters of an aggregation.
struct Body<'a> {
    at: String,
    map: Option<&'a Map<String, Value>>,
}

impl Body<'_> {
    fn open(&self, allowed: &[&str]) -> Result<(), Error> {
        let map = self.map.ok_or_else(|| wrong(&self.at, "must be an object"))?;
        match map.keys().find(|name| !allowed.contains(&name.as_str())) {
            None => Ok(()),
            Some(other) if other == "script" => {
                Err(Error::new(crate::error::Code::Denied, format!("`{}` runs a script", self.at)).argument("aggs"))
            }
            Some(other) => Err(wrong(&self.at, &format!("does not take `{other}` here"))
                .hint("a real Elasticsearch or OpenSearch may: set ELASTICSEARCH_URL")
                .did_you_mean(names::nearest(other, allowed.iter().copied()))),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.map?.get(name).filter(|value| !value.is_null())
    }

    fn field(&self) -> Result<String, Error> {
        let field = self.get("field").and_then(Value::as_str);
        field.map(str::to_owned).ok_or_else(|| wrong(&self.at, "requires `field`"))
    }

    fn number(&self, name: &str) -> Result<Option<f64>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| wrong(&self.at, &format!("takes a number as `{name}`")))
    }

    fn whole(&self, name: &str) -> Result<Option<usize>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.map(Some).ok_or_else(|| wrong(&self.at, &format!("takes a whole number as `{name}`")))
    }

    fn flag(&self, name: &str, otherwise: bool) -> Result<bool, Error> {
        let Some(value) = self.get(name) else { return Ok(otherwise) };
        value.as_bool().ok_or_else(|| wrong(&self.at, &format!("takes true or false as `{name}`")))
    }

    fn zone(&self) -> Result<FixedOffset, Error> {
        let zone = self.get("time_zone").and_then(Value::as_str).unwrap_or("Z");
        dates::offset(zone)
            .ok_or_else(|| wrong(&self.at, &format!("takes an offset such as `+02:00` as `time_zone`, not `{zone}`")))
    }

    fn choice(&self, name: &str) -> Result<Option<Choice>, Error> {
        let refuse = || wrong(&self.at, &format!("takes a list or a regular expression as `{name}`"));
        Ok(match self.get(name) {
            None => None,
            Some(Value::Array(all)) => {
                let texts = all.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                Some(Choice::Exactly(texts.collect()))
            }
            Some(Value::String(text)) => {
                let expression = regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build();
                Some(Choice::Fitting(expression.map_err(|error| refuse().cause(error))?))
            }
            Some(_) => return Err(refuse()),
        })
    }
}

pub(super) fn wrong(at: &str, message: &str) -> Error {
    Error::invalid("aggs", format!("`{at}` {message}"))
}
