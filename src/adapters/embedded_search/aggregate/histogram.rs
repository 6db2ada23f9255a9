//! Aggregations by steps of equal width: of numbers, and of the calendar.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, Utc};

use super::{
    Aggregation, BUCKETS_MAX, Evaluation, Outcome,
    buckets::listed,
    entry,
    request::{DateHistogram, Histogram, Interval, wrong},
};
use crate::{
    adapters::embedded_search::{
        columns::Value,
        dates::{self, End},
        mapping::Kind,
        matched::Match,
    },
    error::{Code, Error},
};

impl Evaluation<'_> {
    pub(super) fn histogram(
        &self,
        aggregation: &Aggregation,
        asked: &Histogram,
        found: &[Match],
    ) -> Result<Outcome, Error> {
        let input = self.input(aggregation, &asked.field)?;
        if let Some(kind) = input.kind().filter(|kind| kind.is_words()) {
            return Err(wrong(&aggregation.at, &format!("asks for numbers of a field of type `{}`", kind.as_str())));
        }
        let step = |number: f64| ((number - asked.offset) / asked.interval).floor() as i64;
        let mut steps: BTreeMap<i64, Vec<Match>> = BTreeMap::new();
        for one in found {
            for number in input.of(one).iter().filter_map(Value::number) {
                add(steps.entry(step(number)).or_default(), one);
            }
        }
        if asked.least == 0 {
            let bounds = asked.bounds.map(|(low, high)| (step(low), step(high)));
            let first = steps.keys().next().copied().into_iter().chain(bounds.map(|(low, _)| low)).min();
            let last = steps.keys().next_back().copied().into_iter().chain(bounds.map(|(_, high)| high)).max();
            if let (Some(first), Some(last)) = (first, last) {
                if last.saturating_sub(first) as usize >= BUCKETS_MAX {
                    return Err(too_many(aggregation));
                }
                for step in first..=last {
                    steps.entry(step).or_default();
                }
            }
        }
        let mut shown = Vec::new();
        for (step, here) in steps.into_iter().filter(|(_, here)| here.len() >= asked.least) {
            let key = step as f64 * asked.interval + asked.offset;
            shown.push((
                serde_json::Value::from(key).to_string(),
                self.bucket(vec![entry("key", &key)], aggregation, &here)?,
            ));
        }
        Ok(listed(shown, asked.keyed))
    }

    pub(super) fn date_histogram(
        &self,
        aggregation: &Aggregation,
        asked: &DateHistogram,
        found: &[Match],
    ) -> Result<Outcome, Error> {
        let input = self.input(aggregation, &asked.field)?;
        if let Some(kind) = input.kind().filter(|kind| *kind != Kind::Date) {
            return Err(wrong(&aggregation.at, &format!("asks for dates of a field of type `{}`", kind.as_str())));
        }
        let mut steps: BTreeMap<i64, Vec<Match>> = BTreeMap::new();
        for one in found {
            for value in input.of(one) {
                if let Value::Integer(at) = value
                    && let Some(start) = asked.floor(at)
                {
                    add(steps.entry(start).or_default(), one);
                }
            }
        }
        if asked.least == 0 {
            let bounds = match &asked.bounds {
                None => None,
                Some((low, high)) => {
                    let read = |text: &str| {
                        dates::bound(text, End::First, asked.zone, self.view.now).and_then(|at| asked.floor(at))
                    };
                    let bounds = read(low).zip(read(high));
                    Some(bounds.ok_or_else(|| wrong(&aggregation.at, "has `extended_bounds` that cannot be read"))?)
                }
            };
            let first = steps.keys().next().copied().into_iter().chain(bounds.map(|(low, _)| low)).min();
            let last = steps.keys().next_back().copied().into_iter().chain(bounds.map(|(_, high)| high)).max();
            let mut at = first;
            while let Some(start) = at.filter(|start| last.is_some_and(|last| *start <= last)) {
                steps.entry(start).or_default();
                if steps.len() > BUCKETS_MAX {
                    return Err(too_many(aggregation));
                }
                at = asked.next(start);
            }
        }
        let mut shown = Vec::new();
        for (start, here) in steps.into_iter().filter(|(_, here)| here.len() >= asked.least) {
            let text = asked.shown(start);
            let head = vec![entry("key_as_string", &text), entry("key", &start)];
            shown.push((text, self.bucket(head, aggregation, &here)?));
        }
        Ok(listed(shown, asked.keyed))
    }
}

impl DateHistogram {
    fn floor(&self, at: i64) -> Option<i64> {
        match self.interval {
            Interval::Calendar(step) => step.floor(at, self.zone),
            Interval::Fixed(width) => {
                let shift = i64::from(self.zone.local_minus_utc()) * 1000;
                Some((at + shift).div_euclid(width) * width - shift)
            }
        }
    }

    fn next(&self, start: i64) -> Option<i64> {
        match self.interval {
            Interval::Calendar(step) => step.add(start, 1, self.zone),
            Interval::Fixed(width) => start.checked_add(width),
        }
    }

    fn shown(&self, at: i64) -> String {
        let Some(moment) = DateTime::<Utc>::from_timestamp_millis(at) else { return at.to_string() };
        let moment = moment.with_timezone(&self.zone);
        match &self.format {
            Some(format) => formatted(format, at, moment),
            None if self.zone.local_minus_utc() == 0 => dates::show(at),
            None => moment.to_rfc3339_opts(chrono::SecondsFormat::Millis, false),
        }
    }
}

/// Elasticsearch's common patterns: `yyyy-MM-dd`, `HH:mm`, `epoch_millis`.
fn formatted(format: &str, at: i64, moment: DateTime<FixedOffset>) -> String {
    use chrono::{Datelike, Timelike};
    match format {
        "epoch_millis" => return at.to_string(),
        "epoch_second" => return at.div_euclid(1000).to_string(),
        "strict_date_optional_time" | "date_optional_time" | "iso8601" => return dates::show(at),
        "strict_date" | "date" => return formatted("yyyy-MM-dd", at, moment),
        _ => {}
    }
    let mut shown = String::new();
    let mut rest = format;
    while let Some(letter) = rest.chars().next() {
        let length = rest.chars().take_while(|other| *other == letter).count();
        match letter {
            'y' | 'u' => shown.push_str(&format!("{:04}", moment.year())),
            'M' => shown.push_str(&format!("{:0length$}", moment.month())),
            'd' => shown.push_str(&format!("{:0length$}", moment.day())),
            'H' => shown.push_str(&format!("{:0length$}", moment.hour())),
            'm' => shown.push_str(&format!("{:0length$}", moment.minute())),
            's' => shown.push_str(&format!("{:0length$}", moment.second())),
            'S' => shown.push_str(&format!("{:03}", moment.timestamp_subsec_millis())),
            '\'' => {}
            other => (0..length).for_each(|_| shown.push(other)),
        }
        rest = rest.get(length * letter.len_utf8()..).unwrap_or_default();
    }
    shown
}

fn add(bucket: &mut Vec<Match>, one: &Match) {
    if bucket.last() != Some(one) {
        bucket.push(*one);
    }
}

fn too_many(aggregation: &Aggregation) -> Error {
    Error::new(Code::Limit, format!("`{}` makes more than {BUCKETS_MAX} buckets", aggregation.at))
        .argument("aggs")
        .hint("use a larger interval, a narrower query, or `min_doc_count`: 1")
}
