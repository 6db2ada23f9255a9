//! Aggregations that answer numbers: sums, extremes, percentiles.

use std::collections::HashSet;

use super::{
    Aggregation, Evaluation, Input, Outcome, entry, object,
    request::{Metric, MetricKind, wrong},
};
use crate::{
    adapters::embedded_search::{columns::Value, dates, mapping::Kind, matched::Match},
    error::Error,
};

/// What numbers add up to. Summed with compensation, so that the order of documents does not show.
#[derive(Default)]
struct Sums {
    count: u64,
    sum: Compensated,
    squares: Compensated,
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Default, Clone, Copy)]
struct Compensated {
    total: f64,
    lost: f64,
}

impl Compensated {
    fn add(&mut self, value: f64) {
        let corrected = value - self.lost;
        let total = self.total + corrected;
        self.lost = (total - self.total) - corrected;
        self.total = total;
    }
}

impl Sums {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum.add(value);
        self.squares.add(value * value);
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
    }

    fn average(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum.total / self.count as f64)
    }
}

impl Evaluation<'_> {
    pub(super) fn metric(&self, aggregation: &Aggregation, metric: &Metric, found: &[Match]) -> Result<Outcome, Error> {
        let input = self.input(aggregation, &metric.field)?;
        match &metric.kind {
            MetricKind::Count => {
                let count: usize = found
                    .iter()
                    .map(|one| distinct_texts(input.of(one)).len().max(usize::from(metric.missing.is_some())))
                    .sum();
                return Ok(object(vec![entry("value", &count)]));
            }
            MetricKind::Distinct => {
                let mut seen = HashSet::new();
                for one in found {
                    seen.extend(input.of(one).iter().map(Identity::of));
                }
                return Ok(object(vec![entry("value", &seen.len())]));
            }
            _ => {}
        }
        if let Some(kind) = input.kind().filter(|kind| kind.is_words()) {
            let message = format!("asks for numbers of field `{}`, which is of type `{}`", metric.field, kind.as_str());
            return Err(wrong(&aggregation.at, &message));
        }
        let numbers = numbers(&input, found, metric.missing);
        if let MetricKind::Percentiles(percents, keyed) = &metric.kind {
            return Ok(percentiles(numbers, percents, *keyed));
        }
        let mut sums = Sums::default();
        numbers.into_iter().for_each(|number| sums.add(number));
        Ok(shown(&metric.kind, &sums, input.kind() == Some(Kind::Date)))
    }
}

/// What makes two values one.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Identity {
    Integer(i64),
    Number(u64),
    Text(std::sync::Arc<str>),
}

impl Identity {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Integer(number) => Self::Integer(*number),
            // Minus zero is zero.
            Value::Number(number) => Self::Number((number + 0.0).to_bits()),
            Value::Text(text) => Self::Text(std::sync::Arc::clone(text)),
        }
    }
}

/// A string counts once in a document, a number as often as it stands there: as in Elasticsearch.
fn distinct_texts(values: Vec<Value>) -> Vec<Value> {
    let mut seen = HashSet::new();
    values.into_iter().filter(|value| !matches!(value, Value::Text(_)) || seen.insert(Identity::of(value))).collect()
}

fn numbers(input: &Input, found: &[Match], missing: Option<f64>) -> Vec<f64> {
    let mut numbers = Vec::with_capacity(found.len());
    for one in found {
        let before = numbers.len();
        numbers.extend(input.of(one).iter().filter_map(Value::number));
        if numbers.len() == before {
            numbers.extend(missing);
        }
    }
    numbers
}

fn shown(kind: &MetricKind, sums: &Sums, dates: bool) -> Outcome {
    let one = |value: Option<f64>| {
        let mut entries = vec![entry("value", &value)];
        if let Some(value) = value.filter(|_| dates) {
            entries.push(entry("value_as_string", &dates::show(value as i64)));
        }
        object(entries)
    };
    match kind {
        MetricKind::Min => one(sums.min),
        MetricKind::Max => one(sums.max),
        MetricKind::Sum => one(Some(sums.sum.total)),
        MetricKind::Average => one(sums.average()),
        MetricKind::ExtendedStats(sigma) => extended(sums, *sigma, dates),
        _ => object(stats(sums, dates)),
    }
}

fn stats(sums: &Sums, dates: bool) -> Vec<(String, Outcome)> {
    let mut entries = vec![
        entry("count", &sums.count),
        entry("min", &sums.min),
        entry("max", &sums.max),
        entry("avg", &sums.average()),
        entry("sum", &sums.sum.total),
    ];
    if dates && sums.count > 0 {
        let text = |value: Option<f64>| value.map(|value| dates::show(value as i64));
        entries.push(entry("min_as_string", &text(sums.min)));
        entries.push(entry("max_as_string", &text(sums.max)));
        entries.push(entry("avg_as_string", &text(sums.average())));
        entries.push(entry("sum_as_string", &text(Some(sums.sum.total))));
    }
    entries
}

fn extended(sums: &Sums, sigma: f64, dates: bool) -> Outcome {
    let mut entries = stats(sums, dates);
    let count = sums.count as f64;
    let spread = sums.average().map(|_| (sums.squares.total - sums.sum.total * sums.sum.total / count).max(0.0));
    let population = spread.map(|spread| spread / count);
    let sampling = spread.filter(|_| sums.count > 1).map(|spread| spread / (count - 1.0));
    let deviation = population.map(f64::sqrt);
    entries.push(entry("sum_of_squares", &sums.average().map(|_| sums.squares.total)));
    entries.push(entry("variance", &population));
    entries.push(entry("variance_population", &population));
    entries.push(entry("variance_sampling", &sampling));
    entries.push(entry("std_deviation", &deviation));
    entries.push(entry("std_deviation_population", &deviation));
    entries.push(entry("std_deviation_sampling", &sampling.map(f64::sqrt)));
    let of_sample = sampling.map(f64::sqrt);
    let bound = |deviation: Option<f64>, factor: f64| {
        sums.average().zip(deviation).map(|(average, deviation)| average + factor * deviation)
    };
    let bounds = vec![
        entry("upper", &bound(deviation, sigma)),
        entry("lower", &bound(deviation, -sigma)),
        entry("upper_population", &bound(deviation, sigma)),
        entry("lower_population", &bound(deviation, -sigma)),
        entry("upper_sampling", &bound(of_sample, sigma)),
        entry("lower_sampling", &bound(of_sample, -sigma)),
    ];
    entries.push(("std_deviation_bounds".to_owned(), object(bounds)));
    object(entries)
}

fn percentiles(mut numbers: Vec<f64>, percents: &[f64], keyed: bool) -> Outcome {
    numbers.sort_by(f64::total_cmp);
    let at = |percent: f64| -> Option<f64> {
        let last = numbers.len().checked_sub(1)?;
        let place = percent / 100.0 * last as f64;
        let (low, high) = (numbers.get(place.floor() as usize)?, numbers.get(place.ceil() as usize)?);
        Some(low + (high - low) * place.fract())
    };
    let name = |percent: f64| serde_json::Value::from(percent).to_string();
    if keyed {
        let values = percents.iter().map(|percent| entry(&name(*percent), &at(*percent)));
        return object(vec![("values".to_owned(), object(values.collect()))]);
    }
    let values = percents.iter().map(|percent| object(vec![entry("key", percent), entry("value", &at(*percent))]));
    object(vec![entry("values", &values.collect::<Vec<_>>())])
}
