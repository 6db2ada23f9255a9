//! What a search body may hold: one walk over the JSON, before any engine sees it.

mod rules;

use std::{cell::RefCell, collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::{
    super::json::{Json, Members},
    Query,
};
use crate::error::Error;

/// Objects and lists inside each other.
const DEPTH_MAX: usize = 32;
/// Values in all.
const NODES_MAX: usize = 10_000;
/// What stands beside `query` in a whole search body, each an argument of its own here.
const BODY_KEYS: [&str; 14] = [
    "query",
    "size",
    "from",
    "sort",
    "aggs",
    "aggregations",
    "highlight",
    "_source",
    "fields",
    "search_after",
    "track_total_hits",
    "timeout",
    "min_score",
    "explain",
];

/// Holds a part of a search body (`query`, `aggs`, `sort`, `highlight`) to the rules of `docs/security.md`.
///
/// # Errors
/// `invalid` when it is too deep or too large or names a key twice, `denied` when it would run code or read other indices.
pub fn check(argument: &'static str, part: &Json) -> Result<(), Error> {
    let walk = RefCell::new(Walk { argument, path: Vec::new(), nodes: 0, refusal: None });
    let mut reader = serde_json::Deserializer::from_str(part.get());
    match Node(&walk).deserialize(&mut reader) {
        Ok(()) => Ok(()),
        Err(error) => Err(walk.into_inner().refusal.unwrap_or_else(|| unreadable(argument, &error))),
    }
}

/// Reads `query`: the DSL object, or a whole search body that holds nothing but one under `query`, or a plain string, which is words to
/// look for.
///
/// # Errors
/// As [`check`], and `invalid` for what is no query.
pub fn read_query(query: Json) -> Result<Query, Error> {
    let query = unwrapped("query", query)?;
    let text = query.get().trim();
    if text.starts_with('"') {
        let words = serde_json::from_str(text).map_err(|error| unreadable("query", &error))?;
        return Ok(Query::Text(words));
    }
    if text == "null" {
        return Ok(Query::All);
    }
    if !text.starts_with('{') {
        return Err(Error::invalid("query", "`query` takes an object of query DSL")
            .hint(r#"for example {"match":{"name":"mouse"}}; plain words go into `text`"#));
    }
    check("query", &query)?;
    let keys: Members<Json> = serde_json::from_str(text).map_err(|error| unreadable("query", &error))?;
    let names: Vec<&str> = keys.0.iter().map(|(name, _)| name.as_str()).collect();
    match keys.0.as_slice() {
        [] => return Ok(Query::All),
        [(name, inner)] if name == "query" => return read_query(inner.to_owned().to_owned()),
        [_] => {}
        _ if names.iter().all(|name| BODY_KEYS.contains(name)) => {
            let others: Vec<&str> = names.into_iter().filter(|name| *name != "query").collect();
            return Err(Error::invalid(
                "query",
                "`query` is a whole search body; it takes only the part under `query`",
            )
            .hint(format!(
                "pass {} as separate arguments: size, from, sort, aggs, highlight, fields, search_after",
                others.join(", ")
            )));
        }
        _ => {
            return Err(Error::invalid(
                "query",
                format!("`query` holds {} clauses ({}); it takes one", names.len(), names.join(", ")),
            )
            .hint(r#"combine them with {"bool":{"must":[…]}} or {"bool":{"filter":[…]}}"#));
        }
    }
    // What stands alone under the name of a body's part is a body without a query.
    if let Some(name) = names.iter().find(|name| BODY_KEYS.contains(name)) {
        return Err(Error::invalid("query", format!("`query` holds `{name}`, which is an argument of its own"))
            .hint("leave `query` out to search everything"));
    }
    Ok(Query::Dsl(query))
}

/// Refuses a query that asks for `inner_hits`, which only a search answers.
///
/// # Errors
/// `invalid`, naming where they are asked for.
pub fn without_inner_hits(query: &Query, tool: &str) -> Result<(), Error> {
    fn find(value: &Value, place: &str) -> Option<String> {
        match value {
            Value::Object(members) => members.iter().find_map(|(name, inner)| {
                let place = format!("{place}.{name}");
                let joins = matches!(name.as_str(), "nested" | "has_child" | "has_parent");
                if joins && inner.get("inner_hits").is_some_and(|asked| !asked.is_null()) {
                    return Some(format!("{place}.inner_hits"));
                }
                find(inner, &place)
            }),
            Value::Array(items) => {
                items.iter().enumerate().find_map(|(at, item)| find(item, &format!("{place}[{at}]")))
            }
            _ => None,
        }
    }
    let Query::Dsl(dsl) = query else { return Ok(()) };
    let value: Value = serde_json::from_str(dsl.get()).map_err(|error| unreadable("query", &error))?;
    match find(&value, "query") {
        None => Ok(()),
        Some(place) => Err(Error::invalid("query", format!("`{place}` is not answered by {tool}"))
            .hint("leave `inner_hits` out, or use search_documents, which answers them with each hit")),
    }
}

/// Reads `aggs`, `highlight` or `search_after`: also from a string that holds the JSON, as some hosts send it.
///
/// # Errors
/// As [`check`].
pub fn read_part(argument: &'static str, part: Json) -> Result<Json, Error> {
    let part = unwrapped(argument, part)?;
    check(argument, &part)?;
    Ok(part)
}

/// Reads `sort`: as Elasticsearch takes it, or `price:desc` as its URLs do.
///
/// # Errors
/// As [`check`].
pub fn read_sort(sort: Json) -> Result<Json, Error> {
    let sort = read_part("sort", sort)?;
    let words = if sort.get().starts_with('"') { serde_json::from_str::<String>(sort.get()).ok() } else { None };
    let Some(words) = words else { return Ok(sort) };
    let keys: Vec<Json> = words
        .split(',')
        .map(|key| match key.trim().rsplit_once(':') {
            Some((field, order @ ("asc" | "desc"))) => {
                super::super::json::of(&std::collections::BTreeMap::from([(field, order)]))
            }
            _ => super::super::json::of(key.trim()),
        })
        .collect();
    let sort = super::super::json::of(&keys);
    check("sort", &sort)?;
    Ok(sort)
}

/// The JSON inside a JSON string, where there is some.
fn unwrapped(argument: &'static str, part: Json) -> Result<Json, Error> {
    if !part.get().trim_start().starts_with('"') {
        return Ok(part);
    }
    let inner: String = serde_json::from_str(part.get()).map_err(|error| unreadable(argument, &error))?;
    if !inner.trim_start().starts_with(['{', '[']) && !matches!(inner.trim(), "true" | "false") {
        return Ok(part);
    }
    Ok(RawValue::from_string(inner.trim().to_owned()).unwrap_or(part))
}

pub(super) fn unreadable(argument: &'static str, error: &serde_json::Error) -> Error {
    let sentence = error.to_string();
    let sentence = sentence.split(" at line ").next().unwrap_or_default().to_owned();
    Error::invalid(argument, format!("`{argument}` cannot be read: {sentence}"))
}

/// Where the walk is, and why it ended.
struct Walk {
    argument: &'static str,
    /// Keys and places from the top.
    path: Vec<Step>,
    nodes: usize,
    refusal: Option<Error>,
}

enum Step {
    Key(String),
    Place(usize),
}

impl Walk {
    /// The clause, as a caller would point at it.
    fn place(&self) -> String {
        let mut place = self.argument.to_owned();
        for step in &self.path {
            match step {
                Step::Key(key) => {
                    place.push('.');
                    place.extend(key.chars().take(64));
                }
                Step::Place(at) => place.push_str(&format!("[{at}]")),
            }
        }
        place
    }

    /// The key `back` steps above, lists not counted.
    fn above(&self, back: usize) -> Option<&str> {
        let keys = self.path.iter().rev().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Place(_) => None,
        });
        keys.into_iter().nth(back)
    }

    fn count(&mut self) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Error::invalid(
                self.argument,
                format!("`{}` holds more than {NODES_MAX} values", self.argument),
            )
            .hint("search in several steps, or with a shorter list of terms"));
        }
        if self.path.len() > DEPTH_MAX {
            return Err(Error::invalid(
                self.argument,
                format!("`{}` is more than {DEPTH_MAX} levels deep", self.argument),
            ));
        }
        Ok(())
    }
}

/// One value, visited with the walk.
#[derive(Clone, Copy)]
struct Node<'a>(&'a RefCell<Walk>);

impl Node<'_> {
    /// Ends the walk where a rule refuses; the refusal is kept beside, because the reader's own error is only text.
    fn hold<E: serde::de::Error>(self, rule: impl FnOnce(&mut Walk) -> Result<(), Error>) -> Result<(), E> {
        let mut walk = self.0.borrow_mut();
        rule(&mut walk).map_err(|refusal| {
            walk.refusal = Some(refusal);
            E::custom("refused")
        })
    }

    fn enter(self, step: Step) {
        self.0.borrow_mut().path.push(step);
    }

    fn leave(self) {
        self.0.borrow_mut().path.pop();
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.hold(Walk::count)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.hold(|walk| rules::text(walk, text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for place in 0.. {
            self.enter(Step::Place(place));
            let more = list.next_element_seed(self)?;
            self.leave();
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.hold(|walk| rules::key(walk, &key))?;
            if seen.contains(&key) {
                let refuse = |walk: &mut Walk| {
                    let place = walk.place();
                    Err(Error::invalid(walk.argument, format!("`{place}` names `{key}` twice")))
                };
                self.hold(refuse)?;
            }
            self.enter(Step::Key(key.clone()));
            map.next_value_seed(self)?;
            self.leave();
            seen.insert(key);
        }
        self.hold(|walk| rules::members(walk, &seen))
    }
}
