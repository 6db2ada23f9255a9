//! The order of hits: `sort`, its ties, and where a next page begins.

use std::{cmp::Ordering, collections::HashMap, rc::Rc, sync::Arc};

use serde_json::Value as Json;

use super::{
    columns::Value,
    derived::Shard,
    mapping::{Field, Kind},
    matched::{Columns, Match, Of, Values},
    node::Node,
};
use crate::{domain::names, error::Error};

/// Keys of one sort at the most.
const KEYS_MAX: usize = 32;

/// What one key of the order is.
#[derive(Debug, Clone, PartialEq)]
enum By {
    Score,
    /// The order of writing.
    Doc,
    Id,
    Index,
    Field(String),
}

/// Which of several values counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Min,
    Max,
    Sum,
    Average,
    Median,
}

/// Where documents without a value go.
#[derive(Debug, Clone, PartialEq)]
enum Missing {
    First,
    Last,
    As(Value),
}

#[derive(Debug, Clone)]
struct Key {
    by: By,
    descending: bool,
    mode: Mode,
    missing: Missing,
    /// Of the field, where it is one.
    kind: Option<Kind>,
}

/// An order of hits.
pub(super) struct Order {
    keys: Vec<Key>,
    /// Keys that the caller gave; further ones make the order total.
    given: usize,
}

/// The sort values of a document.
pub(super) type Place = Vec<Option<Value>>;

impl Order {
    /// Reads `sort`; by score when there is none.
    pub(super) fn read(sort: Option<&Json>, shards: &[Shard]) -> Result<Self, Error> {
        let mut keys = Vec::new();
        match sort {
            None | Some(Json::Null) => keys.push(Key::plain(By::Score)),
            Some(Json::Array(parts)) => {
                for part in parts {
                    read_part(part, shards, &mut keys)?;
                }
                if parts.is_empty() {
                    keys.push(Key::plain(By::Score));
                }
            }
            Some(part) => read_part(part, shards, &mut keys)?,
        }
        if keys.len() > KEYS_MAX {
            return Err(wrong(&format!("holds {} keys; it takes up to {KEYS_MAX}", keys.len())));
        }
        let given = keys.len();
        keys.push(Key::plain(By::Id));
        if shards.len() > 1 {
            keys.push(Key::plain(By::Index));
        }
        Ok(Self { keys, given })
    }

    /// Whether the score is one of the keys.
    pub(super) fn by_score(&self) -> bool {
        self.keys.iter().any(|key| key.by == By::Score)
    }

    /// Sorts what was found, and gives the `from..from + size` best after `after`, and whether more follow.
    pub(super) fn page(
        &self,
        matches: &[Match],
        columns: &Columns<'_>,
        after: Option<&Place>,
        from: usize,
        size: usize,
    ) -> Result<(Vec<(Match, Place)>, bool), Error> {
        let mut readers = Vec::new();
        for key in self.keys.iter().take(self.given) {
            readers.push(match &key.by {
                By::Field(path) => Some(columns.values(&Of::Field(path.clone()))?),
                By::Id => Some(columns.values(&Of::Id)?),
                By::Score | By::Doc | By::Index => None,
            });
        }
        // Ties are broken by id, and reading an id is dear: only those are read that can matter.
        let (mut placed, mut tied) = (Vec::with_capacity(matches.len()), Vec::new());
        for found in matches {
            let place = self.place(found, &readers, columns)?;
            match after.map_or(Ordering::Greater, |after| self.compare(&place, after)) {
                Ordering::Greater => placed.push((*found, place)),
                Ordering::Equal if after.is_some_and(|after| after.len() > self.given) => tied.push((*found, place)),
                _ => {}
            }
        }
        if let Some(after) = after {
            self.complete(&mut tied, columns)?;
            tied.retain(|(_, place)| self.compare(place, after) == Ordering::Greater);
            tied.iter_mut().for_each(|(_, place)| place.truncate(self.given));
            placed.append(&mut tied);
        }
        let end = from.saturating_add(size);
        if end == 0 || from >= placed.len() {
            return Ok((Vec::new(), false));
        }
        let more = end < placed.len();
        if more {
            self.keep_best(&mut placed, end, columns)?;
        }
        self.complete(&mut placed, columns)?;
        placed.sort_unstable_by(|a, b| self.compare(&a.1, &b.1));
        placed.truncate(end);
        placed.drain(..from);
        Ok((placed, more && size > 0))
    }

    /// Leaves the `end` best, and of those that tie for the last place as many as can be among them.
    fn keep_best(&self, placed: &mut Vec<(Match, Place)>, end: usize, columns: &Columns<'_>) -> Result<(), Error> {
        let (_, pivot, _) = placed.select_nth_unstable_by(end - 1, |a, b| self.compare(&a.1, &b.1));
        let pivot = pivot.1.clone();
        let (mut best, mut tied) = (Vec::new(), HashMap::<_, Vec<_>>::new());
        for (found, place) in placed.drain(..) {
            match self.compare(&place, &pivot) {
                Ordering::Less => best.push((found, place)),
                Ordering::Equal => {
                    let segment: &mut Vec<_> = tied.entry((found.shard, found.segment)).or_default();
                    segment.push((columns.id_order(&found)?, found, place));
                }
                Ordering::Greater => {}
            }
        }
        let most = end - best.len();
        for mut segment in tied.into_values() {
            if segment.len() > most {
                segment.select_nth_unstable_by_key(most, |(order, ..)| *order);
                segment.truncate(most);
            }
            best.extend(segment.into_iter().map(|(_, found, place)| (found, place)));
        }
        *placed = best;
        Ok(())
    }

    /// Adds the keys that break ties.
    fn complete(&self, placed: &mut [(Match, Place)], columns: &Columns<'_>) -> Result<(), Error> {
        let all: Vec<Match> = placed.iter().map(|(found, _)| *found).collect();
        for ((found, place), id) in placed.iter_mut().zip(columns.ids(&all)?) {
            place.push(id);
            if self.keys.len() > place.len() {
                let shard = columns.shards().get(found.shard as usize);
                place.push(shard.map(|shard| Value::Text(Arc::from(shard.collection.name.as_str()))));
            }
        }
        Ok(())
    }

    fn place(&self, found: &Match, readers: &[Option<Rc<Values>>], columns: &Columns<'_>) -> Result<Place, Error> {
        let mut place = Vec::with_capacity(self.keys.len());
        for (key, reader) in self.keys.iter().zip(readers) {
            place.push(match (&key.by, reader) {
                (By::Score, _) => Some(Value::Number(f64::from(found.score))),
                (By::Doc, _) => Some(Value::Integer(columns.sequence(found)?)),
                (By::Index, _) => {
                    let shard = columns.shards().get(found.shard as usize);
                    shard.map(|shard| Value::Text(Arc::from(shard.collection.name.as_str())))
                }
                (_, Some(values)) => key.pick(values.of(found)),
                (_, None) => None,
            });
        }
        Ok(place)
    }

    /// Keys missing at the end of `b` are not looked at: that is how a place without tie-breakers is compared.
    fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let compared = self.keys.iter().zip(a.iter().zip(b)).map(|(key, (a, b))| key.compare(a.as_ref(), b.as_ref()));
        compared.fold(Ordering::Equal, Ordering::then)
    }

    /// Reads `search_after`: the sort values of a hit, with or without those that break ties.
    pub(super) fn read_after(&self, after: &Json) -> Result<Place, Error> {
        let refuse = |message: String| {
            Error::invalid("search_after", message)
                .hint("pass `next.search_after` exactly as the previous answer gave it")
        };
        let Some(values) = after.as_array() else { return Err(refuse("`search_after` must be a list".to_owned())) };
        if values.len() != self.keys.len() && values.len() != self.given {
            return Err(refuse(format!(
                "`search_after` holds {} values and the sort has {}",
                values.len(),
                self.keys.len()
            )));
        }
        let mut place = Vec::with_capacity(values.len());
        for (value, key) in values.iter().zip(&self.keys) {
            let read = key.read_after(value);
            place.push(
                read.ok_or_else(|| refuse(format!("`search_after` holds `{value}`, which does not fit the sort")))?,
            );
        }
        Ok(place)
    }

    /// The same without the values that only break ties.
    pub(super) fn shown_given(&self, place: &Place) -> Json {
        self.shown(&place.iter().take(self.given).cloned().collect())
    }

    /// Sort values as Elasticsearch shows them.
    pub(super) fn shown(&self, place: &Place) -> Json {
        let value = |(key, value): (&Key, &Option<Value>)| match value {
            None => Json::Null,
            Some(Value::Integer(number)) => Json::from(*number),
            Some(Value::Number(number)) if key.by == By::Score => Json::from(score(*number as f32)),
            Some(Value::Number(number)) => Json::from(*number),
            Some(Value::Text(text)) => Json::from(text.as_ref()),
        };
        Json::Array(self.keys.iter().zip(place).map(value).collect())
    }
}

/// A score by its shortest digits, `1.42` and not `1.4199999570846558`.
pub(super) fn score(score: f32) -> f64 {
    score.to_string().parse().unwrap_or_else(|_| f64::from(score))
}

impl Key {
    fn plain(by: By) -> Self {
        let descending = by == By::Score;
        Self {
            by,
            descending,
            mode: if descending { Mode::Max } else { Mode::Min },
            missing: Missing::Last,
            kind: None,
        }
    }

    /// A sort value as it was shown, or as a caller may write it; `None` when it is none of this key's.
    fn read_after(&self, value: &Json) -> Option<Option<Value>> {
        let written = match value {
            Json::Null if matches!(self.by, By::Field(_)) => return Some(None),
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
            Json::String(text) => text.clone(),
            Json::Bool(_) | Json::Number(_) => value.to_string(),
        };
        let number = || {
            let whole = written.parse().ok().map(Value::Integer);
            whole.or_else(|| written.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Number))
        };
        Some(Some(match (&self.by, self.kind) {
            // Scores are single precision, and shown by their shortest digits.
            (By::Score, _) => Value::Number(f64::from(number()?.number()? as f32)),
            (By::Doc, _) => number()?,
            (By::Id | By::Index, _) | (By::Field(_), Some(Kind::Keyword | Kind::Text)) => {
                Value::Text(Arc::from(written.as_str()))
            }
            (By::Field(_), Some(Kind::Date)) if value.is_string() => {
                super::dates::parse(&written).map(Value::Integer).or_else(number)?
            }
            (By::Field(_), Some(Kind::Boolean)) => match written.as_str() {
                "true" | "1" => Value::Integer(1),
                "false" | "0" => Value::Integer(0),
                _ => return None,
            },
            (By::Field(_), Some(_)) => number()?,
            // No document has a value.
            (By::Field(_), None) => Value::Text(Arc::from(written.as_str())),
        }))
    }

    fn pick(&self, mut values: Vec<Value>) -> Option<Value> {
        values.sort_by(Value::compare);
        let numbers = || values.iter().filter_map(Value::number).collect::<Vec<_>>();
        match self.mode {
            Mode::Min => values.into_iter().next(),
            Mode::Max => values.pop(),
            Mode::Sum if !values.is_empty() => Some(Value::Number(numbers().iter().sum())),
            Mode::Average if !values.is_empty() => {
                Some(Value::Number(numbers().iter().sum::<f64>() / values.len() as f64))
            }
            Mode::Median if !values.is_empty() => {
                let numbers = numbers();
                let (low, high) = (numbers.get((numbers.len() - 1) / 2)?, numbers.get(numbers.len() / 2)?);
                Some(Value::Number((low + high) / 2.0))
            }
            Mode::Sum | Mode::Average | Mode::Median => None,
        }
    }

    fn compare(&self, a: Option<&Value>, b: Option<&Value>) -> Ordering {
        let stand_in = match &self.missing {
            Missing::As(value) => Some(value),
            Missing::First | Missing::Last => None,
        };
        match (a.or(stand_in), b.or(stand_in)) {
            (Some(a), Some(b)) if self.descending => b.compare(a),
            (Some(a), Some(b)) => a.compare(b),
            (None, None) => Ordering::Equal,
            (None, Some(_)) if self.missing == Missing::First => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) if self.missing == Missing::First => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
        }
    }
}

fn read_part(part: &Json, shards: &[Shard], keys: &mut Vec<Key>) -> Result<(), Error> {
    match part {
        Json::String(name) => {
            // `price:desc`, as in a URL, is understood too.
            let (name, order) = name.split_once(':').map_or((name.as_str(), None), |(name, order)| (name, Some(order)));
            let order = order.map(|order| Json::String(order.to_owned()));
            keys.push(read_key(name, order.as_ref(), shards)?);
            Ok(())
        }
        Json::Object(entries) => {
            for (name, settings) in entries {
                keys.push(read_key(name, Some(settings), shards)?);
            }
            Ok(())
        }
        _ => Err(wrong("holds field names such as `price`, or objects such as {\"price\":\"desc\"}")),
    }
}

fn word<'a>(value: &'a Json, taken: &str, name: &str) -> Result<&'a str, Error> {
    value.as_str().ok_or_else(|| wrong(&format!("takes {taken} of `{name}`, not `{value}`")))
}

fn no_setting(given: &str, name: &str) -> Error {
    const SETTINGS: [&str; 6] = ["order", "mode", "missing", "unmapped_type", "format", "numeric_type"];
    let not_taken = format!("does not take `{given}` for `{name}`");
    if given.starts_with("nested") {
        return wrong(&format!("{not_taken}: the embedded search engine has no nested fields"))
            .hint("leave it out: the values of all objects in a list count");
    }
    wrong(&not_taken)
        .did_you_mean(names::nearest(given, SETTINGS))
        .hint(format!("a key of `sort` takes {}", SETTINGS.join(", ")))
}

fn read_key(name: &str, settings: Option<&Json>, shards: &[Shard]) -> Result<Key, Error> {
    let by = match name {
        "_score" => By::Score,
        "_doc" | "_shard_doc" => By::Doc,
        "_id" => By::Id,
        "_index" => By::Index,
        "_script" | "_geo_distance" => {
            return Err(wrong(&format!("uses `{name}`, which the embedded search engine does not know"))
                .hint("a real Elasticsearch or OpenSearch does: set ELASTICSEARCH_URL"));
        }
        path => By::Field(path.to_owned()),
    };
    let (mut order, mut mode, mut missing, mut unmapped) = (None, None, None, false);
    match settings {
        None => {}
        Some(Json::String(text)) => order = Some(text.as_str()),
        Some(Json::Object(settings)) => {
            for (setting, value) in settings {
                match setting.as_str() {
                    "order" => order = Some(word(value, "`asc` or `desc` as order", name)?),
                    "mode" => mode = Some(word(value, "min, max, sum, avg or median as mode", name)?),
                    "missing" => missing = Some(value),
                    "unmapped_type" => unmapped = true,
                    "format" | "numeric_type" => {}
                    other => return Err(no_setting(other, name)),
                }
            }
        }
        Some(_) => return Err(wrong(&format!("takes `asc`, `desc` or an object for `{name}`"))),
    }
    let descending = match order.map(str::to_lowercase).as_deref() {
        None => by == By::Score,
        Some("asc") => false,
        Some("desc") => true,
        Some(other) => return Err(wrong(&format!("takes `asc` or `desc` for `{name}`, not `{other}`"))),
    };
    let mode = read_mode(mode.unwrap_or(if descending { "max" } else { "min" }), name)?;
    let field = match &by {
        By::Field(path) => sortable(path, shards, unmapped)?,
        _ => None,
    };
    let missing = match missing {
        None => Missing::Last,
        Some(Json::String(text)) if text == "_last" => Missing::Last,
        Some(Json::String(text)) if text == "_first" => Missing::First,
        Some(value) => Missing::As(
            stand_in(value, field.as_ref())
                .ok_or_else(|| wrong(&format!("has a `missing` of `{name}` that is not a value of its field")))?,
        ),
    };
    Ok(Key { by, descending, mode, missing, kind: field.map(|field| field.kind) })
}

fn read_mode(mode: &str, name: &str) -> Result<Mode, Error> {
    Ok(match mode {
        "min" => Mode::Min,
        "max" => Mode::Max,
        "sum" => Mode::Sum,
        "avg" => Mode::Average,
        "median" => Mode::Median,
        other => return Err(wrong(&format!("takes min, max, sum, avg or median as mode of `{name}`, not `{other}`"))),
    })
}

fn stand_in(value: &Json, field: Option<&Field>) -> Option<Value> {
    let node: Node = serde_json::from_value(value.clone()).ok()?;
    Some(match field?.value(&node)? {
        super::mapping::Leaf::Integer(value) => Value::Integer(value),
        super::mapping::Leaf::Number(value) => Value::Number(value),
        super::mapping::Leaf::Text(text) => Value::Text(Arc::from(text)),
    })
}

/// A field by which documents can be ordered, from the first index that has it.
fn sortable(path: &str, shards: &[Shard], unmapped: bool) -> Result<Option<Field>, Error> {
    for shard in shards {
        let mapping = &shard.collection.mapping;
        match (mapping.column(path), mapping.find(path)) {
            (Some((_, field)), _) => return Ok(Some(field.clone())),
            (None, Some((_, field))) if field.kind == Kind::Text => {
                return Err(
                    wrong(&format!("uses text field `{path}`, which has no order")).hint("sort by a keyword field")
                );
            }
            _ => {}
        }
    }
    if unmapped || shards.is_empty() {
        return Ok(None);
    }
    let known = shards.iter().flat_map(|shard| shard.collection.mapping.fields().map(|(_, field)| field.path.as_str()));
    Err(wrong(&format!("uses field `{path}`, which no document has"))
        .hint("get_mapping shows the fields; `unmapped_type` lets a missing one pass")
        .did_you_mean(names::nearest(path, known)))
}

fn wrong(message: &str) -> Error {
    Error::invalid("sort", format!("`sort` {message}"))
}
