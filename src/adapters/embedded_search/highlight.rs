//! Fragments of text with the words found between tags.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    mapping::{FieldId, Kind, Mapping},
    node::Node,
    words::{Word, words},
};
use crate::{
    domain::{
        json::{self, Json},
        search::access::matches,
    },
    error::Error,
};

/// What of a document to show.
pub(super) struct Highlight {
    fields: Vec<(String, Style)>,
}

/// How to show it.
#[derive(Debug, Clone)]
struct Style {
    open: String,
    close: String,
    fragment_size: usize,
    fragments: usize,
    /// Words looked for in other fields are marked too.
    any_field: bool,
}

/// Words to mark, by field.
pub(super) type Marks = [(FieldId, String)];

impl Highlight {
    /// Reads `highlight`: true, or Elasticsearch's object. `None` for false.
    pub(super) fn read(json: &Json) -> Result<Option<Self>, Error> {
        let value: Value = serde_json::from_str(json.get()).map_err(|error| wrong("is not JSON").cause(error))?;
        let (open, close) = ("<em>".to_owned(), "</em>".to_owned());
        let style = Style { open, close, fragment_size: 100, fragments: 5, any_field: false };
        match value {
            Value::Bool(true) => Ok(Some(Self { fields: vec![("*".to_owned(), style)] })),
            Value::Bool(false) | Value::Null => Ok(None),
            Value::Object(settings) => Self::read_settings(&settings, &style).map(Some),
            _ => Err(wrong("takes true, or an object such as {\"fields\":{\"name\":{}}}")),
        }
    }

    fn read_settings(settings: &Map<String, Value>, style: &Style) -> Result<Self, Error> {
        let style = style.with(settings)?;
        let mut fields = Vec::new();
        let mut add = |name: &String, own: &Value| -> Result<(), Error> {
            let none = Map::new();
            let own = match own {
                Value::Object(own) => own,
                Value::Null => &none,
                _ => return Err(wrong(&format!("takes an object as `fields.{name}`"))),
            };
            fields.push((name.clone(), style.with(own)?));
            Ok(())
        };
        match settings.get("fields") {
            Some(Value::Object(named)) => named.iter().try_for_each(|(name, own)| add(name, own))?,
            Some(Value::Array(list)) => {
                for entry in list.iter().filter_map(Value::as_object) {
                    entry.iter().try_for_each(|(name, own)| add(name, own))?;
                }
            }
            None => add(&"*".to_owned(), &Value::Null)?,
            Some(_) => return Err(wrong("takes an object as `fields`")),
        }
        Ok(Self { fields })
    }

    /// The fragments of a document; `None` when nothing in it is marked.
    pub(super) fn of(&self, document: &Node, mapping: &Mapping, marks: &Marks) -> Option<Json> {
        let mut shown = Map::new();
        for (pattern, style) in &self.fields {
            for (id, field) in mapping.fields().filter(|(_, field)| matches(pattern, &field.path)) {
                if !field.kind.is_words() || shown.contains_key(&field.path) {
                    continue;
                }
                let here = |of: FieldId| style.any_field || of == id;
                let wanted: HashSet<&str> =
                    marks.iter().filter(|(of, _)| here(*of)).map(|(_, word)| word.as_str()).collect();
                let source = field.of.and_then(|of| mapping.fields().nth(of)).map_or(&field.path, |(_, of)| &of.path);
                let mut values = Vec::new();
                document.at(source, &mut values);
                let texts = values.iter().filter_map(|value| value.text());
                let fragments: Vec<Value> = match field.kind {
                    Kind::Keyword => {
                        texts.filter(|text| wanted.contains(text.as_str())).map(|text| style.whole(&text)).collect()
                    }
                    _ => texts.flat_map(|text| style.fragments(&text, &wanted)).map(Value::from).collect(),
                };
                if !fragments.is_empty() {
                    let most = if style.fragments == 0 { usize::MAX } else { style.fragments };
                    shown.insert(field.path.clone(), fragments.into_iter().take(most).collect());
                }
            }
        }
        (!shown.is_empty()).then(|| json::of(&shown))
    }
}

impl Style {
    fn with(&self, settings: &Map<String, Value>) -> Result<Self, Error> {
        let mut style = self.clone();
        let first =
            |value: &Value| value.as_array().and_then(|tags| tags.first()).unwrap_or(value).as_str().map(str::to_owned);
        let whole = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        for (name, value) in settings {
            let refuse = || wrong(&format!("has a `{name}` that cannot be read"));
            match name.as_str() {
                "pre_tags" => style.open = first(value).ok_or_else(refuse)?,
                "post_tags" => style.close = first(value).ok_or_else(refuse)?,
                "fragment_size" => style.fragment_size = whole(value).ok_or_else(refuse)?,
                "number_of_fragments" => style.fragments = whole(value).ok_or_else(refuse)?,
                "require_field_match" => style.any_field = !value.as_bool().ok_or_else(refuse)?,
                // How a text is cut; it is cut at words here.
                "fields" | "type" | "boundary_scanner" => {}
                "order" if value == "none" => {}
                "no_match_size" if value == 0 => {}
                "encoder" if value == "default" => {}
                other => {
                    return Err(wrong(&format!("uses `{other}`, which the embedded search engine does not know"))
                        .hint("a real Elasticsearch or OpenSearch does: set ELASTICSEARCH_URL"));
                }
            }
        }
        Ok(style)
    }

    fn whole(&self, text: &str) -> Value {
        Value::from(format!("{}{text}{}", self.open, self.close))
    }

    /// The parts of a text around the words wanted, in order.
    fn fragments(&self, text: &str, wanted: &HashSet<&str>) -> Vec<String> {
        let all = words(text);
        let hits: Vec<&Word> = all.iter().filter(|word| wanted.contains(word.text.as_str())).collect();
        let mut fragments = Vec::new();
        let mut waiting = hits.as_slice();
        while let Some((first, _)) = waiting.split_first() {
            let (start, end) = if self.fragments == 0 { (0, text.len()) } else { self.window(text, &all, first) };
            let inside = waiting.iter().take_while(|word| word.end <= end).count().max(1);
            let (here, later) = waiting.split_at(inside);
            fragments.push(self.marked(text, start, end, here));
            waiting = later;
        }
        fragments
    }

    /// Where the fragment around a word begins and ends: whole words, about `fragment_size` long.
    fn window(&self, text: &str, all: &[Word], word: &Word) -> (usize, usize) {
        if text.chars().count() <= self.fragment_size {
            return (0, text.len());
        }
        let lead = self.fragment_size / 4;
        let start = all.iter().map(|other| other.start).find(|start| start + lead >= word.start).unwrap_or(word.start);
        let start = if start <= lead / 2 { 0 } else { start.min(word.start) };
        let fits = all.iter().map(|other| other.end).filter(|end| *end <= start + self.fragment_size);
        let end = fits.max().unwrap_or(word.end).max(word.end);
        (start, if all.last().is_some_and(|last| last.end == end) { text.len() } else { end })
    }

    fn marked(&self, text: &str, start: usize, end: usize, hits: &[&Word]) -> String {
        let mut shown = String::new();
        let mut at = start;
        for hit in hits {
            shown.push_str(text.get(at..hit.start).unwrap_or_default());
            shown.push_str(&self.open);
            shown.push_str(text.get(hit.start..hit.end).unwrap_or_default());
            shown.push_str(&self.close);
            at = hit.end;
        }
        shown.push_str(text.get(at..end).unwrap_or_default());
        shown
    }
}

fn wrong(message: &str) -> Error {
    Error::invalid("highlight", format!("`highlight` {message}"))
}
