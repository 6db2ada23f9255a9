//! Clauses that look for values: term, range, exists and their kin.

use chrono::FixedOffset;
use serde_json::Value;
use tantivy::{
    Term,
    query::{AllQuery, BooleanQuery, ConstScoreQuery, EmptyQuery, Query as Compiled, TermQuery, TermSetQuery},
    schema::IndexRecordOption,
};

use super::{Compiler, clause::Clause, pattern, wrong};
use crate::{
    adapters::embedded_search::{
        columns,
        dates::{self, End},
        mapping::{Field, FieldId, Kind, Leaf},
        node::Node,
    },
    domain::search::access,
    error::Error,
};

/// Values of one terms clause at the most, as in Elasticsearch.
const TERMS_MAX: usize = 65_536;

/// The bounds of a range.
struct Bounds<'a> {
    low: Option<(&'a Value, bool)>,
    high: Option<(&'a Value, bool)>,
}

impl<'a> Compiler<'a> {
    pub(super) fn term(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let (path, inner, value) = clause.of_field("value", &["case_insensitive"])?;
        let Some(value) = value else { return Err(wrong(&inner.at, "requires `value`")) };
        if inner.flag("case_insensitive")? {
            let text = scalar_text(&inner.at, value)?;
            let expression =
                pattern::wildcard(&regex_free(&text), true).map_err(|error| unreadable(&inner.at, &error))?;
            return inner.boosted(self.fitting(path, String::new(), expression)?);
        }
        inner.boosted(self.one_of(&inner.at, path, std::slice::from_ref(value))?)
    }

    pub(super) fn terms(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let object =
            clause.body().as_object().ok_or_else(|| wrong(&clause.at, "must be an object with a field's name"))?;
        let mut fields = object.iter().filter(|(name, _)| !matches!(name.as_str(), "boost" | "_name"));
        let (Some((path, values)), None) = (fields.next(), fields.next()) else {
            return Err(wrong(&clause.at, "takes one field with a list of values"));
        };
        let at = format!("{}.{path}", clause.at);
        let Some(values) = values.as_array() else {
            return Err(wrong(&at, "takes a list of values"));
        };
        if values.len() > TERMS_MAX {
            return Err(wrong(&at, &format!("holds {} values; it takes up to {TERMS_MAX}", values.len())));
        }
        clause.boosted(Box::new(ConstScoreQuery::new(self.one_of(&at, path, values)?, 1.0)))
    }

    fn one_of(&self, at: &str, path: &str, values: &[Value]) -> Result<Box<dyn Compiled>, Error> {
        let mut parts: Vec<Box<dyn Compiled>> = Vec::new();
        match (path, self.mapping().find(path)) {
            ("_id", _) => {
                for value in values {
                    parts.push(self.exactly_id(&scalar_text(at, value)?)?);
                }
            }
            ("_index", _) => {
                for value in values {
                    if access::matches(&scalar_text(at, value)?, &self.shard.collection.name) {
                        parts.push(Box::new(AllQuery));
                    }
                }
            }
            (_, Some((id, field))) if values.len() > 8 && field.kind.is_words() => {
                let texts = values.iter().map(|value| scalar_text(at, value)).collect::<Result<Vec<_>, _>>()?;
                texts.iter().for_each(|text| self.mark(id, text));
                let terms = texts.iter().map(|text| match self.ordinals.get(&id) {
                    Some(ordinal) => self.layout.word(*ordinal, text),
                    None => self.layout.key(id, text),
                });
                parts.push(Box::new(TermSetQuery::new(terms.collect::<Vec<_>>())));
            }
            (_, Some((id, field))) => {
                for value in values {
                    parts.push(self.equal(at, id, field, value)?);
                }
            }
            (_, None) => {}
        }
        Ok(match parts.pop() {
            None => Box::new(EmptyQuery),
            Some(only) if parts.is_empty() => only,
            Some(another) => {
                parts.push(another);
                Box::new(BooleanQuery::union(parts))
            }
        })
    }

    /// Documents whose field has this value, as it stands.
    pub(super) fn equal(
        &self,
        at: &str,
        id: FieldId,
        field: &Field,
        value: &Value,
    ) -> Result<Box<dyn Compiled>, Error> {
        match field.kind {
            Kind::Text | Kind::Keyword => Ok(self.word(id, field, &scalar_text(at, value)?)),
            Kind::Date => {
                let bounds = Bounds { low: Some((value, true)), high: Some((value, true)) };
                self.between(at, id, field, &bounds, utc())
            }
            Kind::Boolean => match field.value(&node(at, value)?) {
                Some(Leaf::Integer(flag)) => Ok(columns::integers(id, move |other| other == flag)),
                _ => Err(wrong(at, &format!("takes true or false, not `{}`", scalar_text(at, value)?))),
            },
            kind => {
                let number = number(at, field, value)?;
                if kind.is_fraction() {
                    return Ok(columns::numbers(id, move |other| other == number));
                }
                match whole(value) {
                    Some(whole) => Ok(columns::integers(id, move |other| other == whole)),
                    None => Ok(Box::new(EmptyQuery)),
                }
            }
        }
    }

    pub(super) fn range(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let allowed = [
            "gt",
            "gte",
            "lt",
            "lte",
            "from",
            "to",
            "include_lower",
            "include_upper",
            "format",
            "time_zone",
            "relation",
        ];
        let (path, inner, _) = clause.of_field("", &allowed)?;
        if !inner.body().is_object() {
            return Err(wrong(&inner.at, "must be an object with gt, gte, lt or lte"));
        }
        let edge = |strict: &str, wide: &str, old: &str, include: &str| -> Result<_, Error> {
            let open = inner.field(include).is_some() && !inner.flag(include)?;
            Ok(match (inner.field(strict), inner.field(wide), inner.field(old)) {
                (Some(value), ..) => Some((value, false)),
                (_, Some(value), _) => Some((value, true)),
                (.., Some(value)) => Some((value, !open)),
                _ => None,
            })
        };
        let bounds = Bounds {
            low: edge("gt", "gte", "from", "include_lower")?,
            high: edge("lt", "lte", "to", "include_upper")?,
        };
        let zone = match inner.text("time_zone")? {
            Some(zone) => dates::offset(zone).ok_or_else(|| {
                wrong(&inner.at, &format!("takes an offset such as `+02:00` as `time_zone`, not `{zone}`"))
            })?,
            None => utc(),
        };
        let found: Box<dyn Compiled> = match self.mapping().column(path).or_else(|| self.mapping().find(path)) {
            Some((id, field)) => self.between(&inner.at, id, field, &bounds, zone)?,
            None => Box::new(EmptyQuery),
        };
        inner.boosted(Box::new(ConstScoreQuery::new(found, 1.0)))
    }

    fn between(
        &self,
        at: &str,
        id: FieldId,
        field: &Field,
        bounds: &Bounds<'_>,
        zone: FixedOffset,
    ) -> Result<Box<dyn Compiled>, Error> {
        match field.kind {
            Kind::Text | Kind::Keyword => {
                let text = |bound: Option<(&Value, bool)>| {
                    bound.map(|(value, inclusive)| Ok((scalar_text(at, value)?, inclusive))).transpose()
                };
                let (low, high): (_, Option<(String, bool)>) = (text(bounds.low)?, text(bounds.high)?);
                let fits = move |other: &str| {
                    low.as_ref().is_none_or(|(low, inclusive)| other > low.as_str() || *inclusive && other == low)
                        && high
                            .as_ref()
                            .is_none_or(|(high, inclusive)| other < high.as_str() || *inclusive && other == high)
                };
                if field.kind == Kind::Keyword {
                    return Ok(columns::strings(Some(id), String::new(), fits));
                }
                self.any_word(id, &self.expand(id, "", &fits)?)
            }
            Kind::Date => {
                let moment = |value: &Value, end: End| {
                    let text = scalar_text(at, value)?;
                    dates::bound(&text, end, zone, self.now).ok_or_else(|| {
                        wrong(at, &format!("takes dates such as `2026-01-31T12:00:00Z` or `now-7d`, not `{text}`"))
                    })
                };
                let low = match bounds.low {
                    Some((value, true)) => moment(value, End::First)?,
                    Some((value, false)) => moment(value, End::Last)?.saturating_add(1),
                    None => i64::MIN,
                };
                let high = match bounds.high {
                    Some((value, true)) => moment(value, End::Last)?,
                    Some((value, false)) => moment(value, End::First)?.saturating_sub(1),
                    None => i64::MAX,
                };
                Ok(columns::integers(id, move |other| (low..=high).contains(&other)))
            }
            kind => {
                let edge = |bound: Option<(&Value, bool)>| {
                    bound
                        .map(|(value, inclusive)| Ok::<_, Error>((number(at, field, value)?, whole(value), inclusive)))
                        .transpose()
                };
                let (low, high) = (edge(bounds.low)?, edge(bounds.high)?);
                if kind.is_fraction() {
                    return Ok(columns::numbers(id, move |other| {
                        low.is_none_or(|(low, _, inclusive)| other > low || inclusive && other == low)
                            && high.is_none_or(|(high, _, inclusive)| other < high || inclusive && other == high)
                    }));
                }
                // Whole bounds are compared as such: beyond 2^53 a fraction would no longer be exact.
                Ok(columns::integers(id, move |other| {
                    low.is_none_or(|(low, whole, inclusive)| match whole {
                        Some(low) => other > low || inclusive && other == low,
                        None => other as f64 > low,
                    }) && high.is_none_or(|(high, whole, inclusive)| match whole {
                        Some(high) => other < high || inclusive && other == high,
                        None => (other as f64) < high,
                    })
                }))
            }
        }
    }

    pub(super) fn exists(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        clause.open(&["field"])?;
        let path = clause.text("field")?.ok_or_else(|| wrong(&clause.at, "requires `field`"))?;
        if matches!(path, "_id" | "_index" | "_source") {
            return Ok(Box::new(AllQuery));
        }
        let inside = format!("{path}.");
        let mut fields: Vec<FieldId> = self.fields(path).into_iter().map(|(id, _)| id).collect();
        if self.mapping().is_object(path) {
            let inner = self.mapping().fields().filter(|(_, field)| field.path.starts_with(&inside));
            fields.extend(inner.map(|(id, _)| id));
        }
        let names: Vec<Term> = fields.into_iter().map(|id| self.layout.name(id)).collect();
        if names.is_empty() {
            return Ok(Box::new(EmptyQuery));
        }
        clause.boosted(Box::new(ConstScoreQuery::new(Box::new(TermSetQuery::new(names)), 1.0)))
    }

    pub(super) fn ids(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        clause.open(&["values"])?;
        let mut ids = Vec::new();
        for (at, value) in clause.list("values")? {
            ids.push(Term::from_field_text(self.layout.id, &scalar_text(&at, value)?));
        }
        clause.boosted(Box::new(ConstScoreQuery::new(Box::new(TermSetQuery::new(ids)), 1.0)))
    }

    /// The document with this id.
    pub(super) fn exactly_id(&self, id: &str) -> Result<Box<dyn Compiled>, Error> {
        let term = TermQuery::new(Term::from_field_text(self.layout.id, id), IndexRecordOption::Basic);
        Ok(Box::new(ConstScoreQuery::new(Box::new(term), 1.0)))
    }

    pub(super) fn prefix(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let (path, inner, value) = clause.of_field("value", &["case_insensitive", "rewrite"])?;
        let text = scalar_text(&inner.at, value.unwrap_or(&Value::Null))?;
        let ignore_case = inner.flag("case_insensitive")?;
        let expression = pattern::wildcard(&format!("{}*", regex_free(&text)), ignore_case)
            .map_err(|error| unreadable(&inner.at, &error))?;
        let begins = if ignore_case { String::new() } else { text };
        inner.boosted(self.fitting(path, begins, expression)?)
    }

    pub(super) fn wildcard(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let main = if names_wildcard(clause.body()) { "wildcard" } else { "value" };
        let (path, inner, value) = clause.of_field(main, &["case_insensitive", "rewrite"])?;
        let text = scalar_text(&inner.at, value.unwrap_or(&Value::Null))?;
        let ignore_case = inner.flag("case_insensitive")?;
        let expression = pattern::wildcard(&text, ignore_case).map_err(|error| unreadable(&inner.at, &error))?;
        let begins = if ignore_case { String::new() } else { pattern::literal_prefix(&text) };
        inner.boosted(self.fitting(path, begins, expression)?)
    }

    pub(super) fn regexp(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let (path, inner, value) =
            clause.of_field("value", &["case_insensitive", "flags", "max_determinized_states", "rewrite"])?;
        let text = scalar_text(&inner.at, value.unwrap_or(&Value::Null))?;
        let expression =
            pattern::regular(&text, inner.flag("case_insensitive")?).map_err(|error| unreadable(&inner.at, &error))?;
        inner.boosted(self.fitting(path, String::new(), expression)?)
    }

    pub(super) fn fuzzy(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let (path, inner, value) =
            clause.of_field("value", &["fuzziness", "max_expansions", "prefix_length", "transpositions", "rewrite"])?;
        let text = scalar_text(&inner.at, value.unwrap_or(&Value::Null))?;
        let fuzziness = inner.field("fuzziness").map_or(Some(pattern::Fuzziness::Auto(3, 6)), pattern::Fuzziness::read);
        let fuzziness = fuzziness.ok_or_else(|| wrong(&inner.at, "takes `AUTO`, 0, 1 or 2 as `fuzziness`"))?;
        let prefix = inner.whole("prefix_length")?.unwrap_or(0) as usize;
        let most = inner.whole("max_expansions")?.unwrap_or(50).clamp(1, 1_000) as usize;
        match self.mapping().find(path) {
            Some((id, field)) if field.kind.is_words() => {
                inner.boosted(self.near(id, field, &text, fuzziness, prefix, most)?)
            }
            Some((_, field)) => Err(not_for(&inner.at, "fuzzy", field)),
            None => Ok(Box::new(EmptyQuery)),
        }
    }

    /// Documents with a word or a keyword that fits the expression.
    fn fitting(&self, path: &str, begins: String, expression: regex::Regex) -> Result<Box<dyn Compiled>, Error> {
        let found = match self.mapping().find(path) {
            Some((id, field)) if field.kind == Kind::Keyword => {
                columns::strings(Some(id), begins, move |text| expression.is_match(text))
            }
            Some((id, field)) if field.kind == Kind::Text => {
                self.any_word(id, &self.expand(id, &begins, &|word| expression.is_match(word))?)?
            }
            Some((_, field)) => return Err(not_for(path, "a pattern", field)),
            None if path == "_id" => columns::strings(None, begins, move |text| expression.is_match(text)),
            None => Box::new(EmptyQuery),
        };
        Ok(Box::new(ConstScoreQuery::new(found, 1.0)))
    }

    fn any_word(&self, id: FieldId, words: &[String]) -> Result<Box<dyn Compiled>, Error> {
        let Some(ordinal) = self.ordinals.get(&id) else { return Ok(Box::new(EmptyQuery)) };
        // Only so many words are marked; finding is not bounded.
        words.iter().take(1_000).for_each(|word| self.mark(id, word));
        let terms: Vec<Term> = words.iter().map(|word| self.layout.word(*ordinal, word)).collect();
        Ok(Box::new(TermSetQuery::new(terms)))
    }
}

fn utc() -> FixedOffset {
    // Zero is always an offset.
    dates::offset("Z").unwrap_or_else(|| chrono::Offset::fix(&chrono::Utc))
}

/// `{"field": {"wildcard": "…"}}`, the older way to write it.
fn names_wildcard(body: &Value) -> bool {
    let inner = body.as_object().and_then(|object| object.values().find(|value| value.is_object()));
    inner.is_some_and(|inner| inner.get("wildcard").is_some())
}

/// A text as a wildcard pattern that means just itself.
fn regex_free(text: &str) -> String {
    text.chars()
        .flat_map(|character| matches!(character, '*' | '?' | '\\').then_some('\\').into_iter().chain([character]))
        .collect()
}

fn unreadable(at: &str, error: &regex::Error) -> Error {
    let detail = error.to_string();
    wrong(at, &format!("holds a pattern that cannot be read: {}", detail.lines().last().unwrap_or_default()))
}

fn not_for(at: &str, what: &str, field: &Field) -> Error {
    wrong(at, &format!("asks for {what} on field `{}`, which is of type `{}`", field.path, field.kind.as_str()))
        .hint("text and keyword fields take it")
}

fn node(at: &str, value: &Value) -> Result<Node, Error> {
    serde_json::from_value(value.clone()).map_err(|error| wrong(at, "has a value that cannot be read").cause(error))
}

fn scalar_text(at: &str, value: &Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null => Err(wrong(at, "has no value")),
        Value::Array(_) | Value::Object(_) => Err(wrong(at, "takes one value, not a list or an object")),
    }
}

fn number(at: &str, field: &Field, value: &Value) -> Result<f64, Error> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    match number {
        Some(number) if !number.is_nan() => Ok(number),
        _ => Err(wrong(
            at,
            &format!(
                "takes numbers, as field `{}` is of type `{}`: not `{}`",
                field.path,
                field.kind.as_str(),
                scalar_text(at, value)?
            ),
        )),
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()).or_else(|| {
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
        (number.fract() == 0.0 && number.abs() < 9.0e15).then_some(number as i64)
    })
}
