//! Which fields a collection has, and of which type: found out from documents as Elasticsearch does, or given at creation.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{dates, node::Node};
use crate::domain::{json, search};

/// Fields of one collection at the most, as in Elasticsearch.
const FIELDS_MAX: usize = 1_000;
/// A longer string is not kept as a keyword.
const IGNORE_ABOVE: usize = 256;
/// Objects inside objects.
const DEPTH_MAX: usize = 20;

/// Its place in the mapping: also the name of its columns in the derived index, so fields are only ever added.
pub(super) type FieldId = usize;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Text,
    Keyword,
    Long,
    Integer,
    Short,
    Byte,
    Double,
    Float,
    HalfFloat,
    Boolean,
    Date,
}

/// A field that can be searched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) path: String,
    pub(super) kind: Kind,
    /// The field whose values it repeats (`name` of `name.keyword`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<FieldId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ignore_above: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<String>,
}

/// One value of one field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Leaf {
    Integer(i64),
    Number(f64),
    Text(String),
}

/// The fields of a collection.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping {
    fields: Vec<Field>,
    by_path: HashMap<String, FieldId>,
    objects: HashSet<String>,
}

impl Kind {
    /// Elasticsearch's word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Keyword => "keyword",
            Self::Long => "long",
            Self::Integer => "integer",
            Self::Short => "short",
            Self::Byte => "byte",
            Self::Double => "double",
            Self::Float => "float",
            Self::HalfFloat => "half_float",
            Self::Boolean => "boolean",
            Self::Date => "date",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        serde_json::from_value(Value::String(name.to_owned())).ok()
    }

    /// Smallest and largest whole number, for the kinds of whole numbers.
    fn whole_range(self) -> Option<(i64, i64)> {
        Some(match self {
            Self::Long => (i64::MIN, i64::MAX),
            Self::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Self::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Self::Byte => (i64::from(i8::MIN), i64::from(i8::MAX)),
            _ => return None,
        })
    }

    /// Whether its values are fractions.
    pub(super) fn is_fraction(self) -> bool {
        matches!(self, Self::Double | Self::Float | Self::HalfFloat)
    }

    /// Whether its values are words, as a whole or one by one.
    pub(super) fn is_words(self) -> bool {
        matches!(self, Self::Text | Self::Keyword)
    }
}

impl Field {
    /// Reads a scalar as a value of this field; `None` when it cannot be one.
    pub(super) fn value(&self, node: &Node) -> Option<Leaf> {
        match self.kind {
            Kind::Text | Kind::Keyword => node.text().map(Leaf::Text),
            Kind::Boolean => match node {
                Node::Bool(value) => Some(Leaf::Integer(i64::from(*value))),
                Node::Text(text) if text == "true" => Some(Leaf::Integer(1)),
                Node::Text(text) if text == "false" || text.is_empty() => Some(Leaf::Integer(0)),
                _ => None,
            },
            Kind::Date => match node {
                Node::Integer(milliseconds) => Some(Leaf::Integer(*milliseconds)),
                Node::Text(text) => dates::parse(text).or_else(|| text.parse().ok()).map(Leaf::Integer),
                _ => None,
            },
            kind if kind.is_fraction() => {
                let number = match node {
                    Node::Integer(value) => *value as f64,
                    Node::Wide(value) => *value as f64,
                    Node::Number(value) => *value,
                    Node::Text(text) => text.trim().parse().ok()?,
                    _ => return None,
                };
                number.is_finite().then_some(Leaf::Number(number))
            }
            kind => {
                let (least, most) = kind.whole_range()?;
                let whole = match node {
                    Node::Integer(value) => *value,
                    Node::Number(value) => truncated(*value)?,
                    Node::Text(text) => {
                        let text = text.trim();
                        text.parse().ok().or_else(|| truncated(text.parse().ok()?))?
                    }
                    _ => return None,
                };
                (least..=most).contains(&whole).then_some(Leaf::Integer(whole))
            }
        }
    }
}

/// The whole part of a fraction, as Elasticsearch coerces one into a field of whole numbers.
fn truncated(value: f64) -> Option<i64> {
    (value.is_finite() && value.abs() < 9.2e18).then(|| value.trunc() as i64)
}

impl Mapping {
    /// From the stored text.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        let mut mapping = Self::default();
        for field in serde_json::from_str::<Vec<Field>>(text)? {
            mapping.push(field);
        }
        Ok(mapping)
    }

    /// The text to store.
    pub(super) fn write(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.fields)
    }

    /// From Elasticsearch's `properties`; what is wrong with them otherwise.
    pub(super) fn given(properties: &Value) -> Result<Self, String> {
        let mut mapping = Self::default();
        mapping.give("", properties)?;
        Ok(mapping)
    }

    fn give(&mut self, prefix: &str, properties: &Value) -> Result<(), String> {
        let fields = properties.as_object().ok_or("`properties` is not an object")?;
        for (name, field) in fields {
            let path = format!("{prefix}{name}");
            if let Some(inner) = field.get("properties") {
                self.objects.insert(path.clone());
                self.give(&format!("{path}."), inner)?;
                continue;
            }
            if field.get("type").and_then(Value::as_str) == Some("object") {
                continue;
            }
            let id = self.give_one(path.clone(), None, field)?;
            for (sub, field) in field.get("fields").and_then(Value::as_object).into_iter().flatten() {
                self.give_one(format!("{path}.{sub}"), Some(id), field)?;
            }
        }
        Ok(())
    }

    fn give_one(&mut self, path: String, of: Option<FieldId>, field: &Value) -> Result<FieldId, String> {
        let name = field.get("type").and_then(Value::as_str).unwrap_or("none");
        let kind = Kind::of_name(name).ok_or_else(|| format!("type `{name}` of field `{path}` is not known here"))?;
        let ignore_above =
            field.get("ignore_above").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
        let format = field.get("format").and_then(Value::as_str).map(str::to_owned);
        Ok(self.push(Field { path, kind, of, ignore_above, format }))
    }

    /// All fields, in the order they came.
    pub(super) fn fields(&self) -> impl Iterator<Item = (FieldId, &Field)> {
        self.fields.iter().enumerate()
    }

    /// How many fields there are: with [`Mapping::truncate`] the way back when a document is refused.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Forgets the fields added after there were `length`.
    pub(super) fn truncate(&mut self, length: usize) {
        if length == self.fields.len() {
            return;
        }
        let kept = self.fields.drain(..).take(length).collect::<Vec<_>>();
        *self = Self::default();
        for field in kept {
            self.push(field);
        }
    }

    /// A field by its path.
    pub(super) fn find(&self, path: &str) -> Option<(FieldId, &Field)> {
        let id = *self.by_path.get(path)?;
        Some((id, self.fields.get(id)?))
    }

    /// A field whose whole values are kept in columns: a text field stands for the keyword beside it.
    pub(super) fn column(&self, path: &str) -> Option<(FieldId, &Field)> {
        let (id, field) = self.find(path)?;
        if field.kind != Kind::Text {
            return Some((id, field));
        }
        self.fields().find(|(_, other)| other.of == Some(id) && other.kind == Kind::Keyword)
    }

    /// Whether `path` is an object.
    pub(super) fn is_object(&self, path: &str) -> bool {
        self.objects.contains(path)
    }

    fn push(&mut self, field: Field) -> FieldId {
        let id = self.fields.len();
        if field.of.is_none() {
            for (at, _) in field.path.match_indices('.') {
                self.objects.insert(field.path.get(..at).unwrap_or_default().to_owned());
            }
        }
        self.by_path.insert(field.path.clone(), id);
        self.fields.push(field);
        id
    }

    /// The values of a document, adding fields that are new. The reason, in Elasticsearch's words, when the document does not fit.
    pub(super) fn leaves(&mut self, document: &Node) -> Result<Vec<(FieldId, Leaf)>, String> {
        let mut leaves = Vec::new();
        self.walk("", document, 0, &mut leaves)?;
        Ok(leaves)
    }

    fn walk(&mut self, path: &str, node: &Node, depth: usize, leaves: &mut Vec<(FieldId, Leaf)>) -> Result<(), String> {
        match node {
            Node::Null => Ok(()),
            Node::List(items) => items.iter().try_for_each(|item| self.walk(path, item, depth, leaves)),
            Node::Object(fields) => {
                if depth > DEPTH_MAX {
                    return Err(format!(
                        "Limit of mapping depth [{DEPTH_MAX}] has been exceeded due to object field [{path}]"
                    ));
                }
                if let Some((_, field)) = self.find(path) {
                    return Err(failed(field));
                }
                for (name, value) in fields {
                    if name.trim().is_empty() || name.split('.').any(str::is_empty) {
                        return Err(format!(
                            "field name cannot contain only whitespace or begin or end with a dot: [{name}]"
                        ));
                    }
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.walk(&inner, value, depth + 1, leaves)?;
                }
                Ok(())
            }
            scalar => {
                let id = self.resolve(path, scalar)?;
                let field = self.fields.get(id).ok_or_else(String::new)?;
                let value = field.value(scalar).ok_or_else(|| failed(field))?;
                self.keep(id, value, leaves);
                Ok(())
            }
        }
    }

    /// The values of a stored document. What does not fit is passed over: an empty object stays in its document when later ones make the
    /// field a number.
    pub(super) fn known_leaves(&self, document: &Node) -> Vec<(FieldId, Leaf)> {
        let mut leaves = Vec::new();
        self.walk_known("", document, &mut leaves);
        leaves
    }

    fn walk_known(&self, path: &str, node: &Node, leaves: &mut Vec<(FieldId, Leaf)>) {
        match node {
            Node::Null => {}
            Node::List(items) => items.iter().for_each(|item| self.walk_known(path, item, leaves)),
            Node::Object(fields) => {
                for (name, value) in fields {
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.walk_known(&inner, value, leaves);
                }
            }
            scalar => {
                if let Some((id, field)) = self.find(path).filter(|(_, field)| field.of.is_none())
                    && let Some(value) = field.value(scalar)
                {
                    self.keep(id, value, leaves);
                }
            }
        }
    }

    fn keep(&self, id: FieldId, value: Leaf, leaves: &mut Vec<(FieldId, Leaf)>) {
        let too_long = |field: &Field, text: &str| field.ignore_above.is_some_and(|most| text.chars().count() > most);
        if let Leaf::Text(text) = &value {
            for (sub, field) in self.fields().filter(|(_, field)| field.of == Some(id)) {
                if !too_long(field, text) {
                    leaves.push((sub, value.clone()));
                }
            }
            if self.fields.get(id).is_some_and(|field| too_long(field, text)) {
                return;
            }
        }
        leaves.push((id, value));
    }

    fn resolve(&mut self, path: &str, scalar: &Node) -> Result<FieldId, String> {
        if let Some((id, field)) = self.find(path) {
            return if field.of.is_none() { Ok(id) } else { Err(failed(field)) };
        }
        if self.is_object(path) {
            return Err(format!(
                "object mapping for [{path}] tried to parse field [{path}] as object, but found a concrete value"
            ));
        }
        for (at, _) in path.match_indices('.') {
            if let Some((_, field)) = self.find(path.get(..at).unwrap_or_default()) {
                return Err(failed(field));
            }
        }
        if self.fields.len() + 2 > FIELDS_MAX {
            return Err(format!(
                "Limit of total fields [{FIELDS_MAX}] has been exceeded while adding new field [{path}]"
            ));
        }
        let plain = |kind| Field { path: path.to_owned(), kind, of: None, ignore_above: None, format: None };
        Ok(match scalar {
            Node::Bool(_) => self.push(plain(Kind::Boolean)),
            Node::Integer(_) | Node::Wide(_) => self.push(plain(Kind::Long)),
            Node::Number(_) => self.push(plain(Kind::Float)),
            Node::Text(text) if text.parse::<f64>().is_err() && dates::parse(text).is_some() => {
                let format = text.contains('/').then(|| dates::SLASHED.to_owned());
                self.push(Field { format, ..plain(Kind::Date) })
            }
            _ => {
                let id = self.push(plain(Kind::Text));
                let keyword = Field { path: format!("{path}.keyword"), of: Some(id), ..plain(Kind::Keyword) };
                self.push(Field { ignore_above: Some(IGNORE_ABOVE), ..keyword });
                id
            }
        })
    }

    /// As the port tells it: leaves in order, multi-fields with the field they belong to.
    pub(super) fn described(&self) -> Vec<search::Field> {
        let own = self.fields().filter(|(_, field)| field.of.is_none());
        own.map(|(id, field)| search::Field {
            path: field.path.clone(),
            type_name: field.kind.as_str().to_owned(),
            analyzer: None,
            format: field.format.clone(),
            target: None,
            multi_fields: self
                .fields()
                .filter(|(_, sub)| sub.of == Some(id))
                .map(|(_, sub)| sub.path.clone())
                .collect(),
        })
        .collect()
    }

    /// As Elasticsearch tells it.
    pub(super) fn raw(&self) -> json::Json {
        let mut root = Map::new();
        for (id, field) in self.fields().filter(|(_, field)| field.of.is_none()) {
            let mut shown = described(field);
            let inner = self.fields().filter(|(_, sub)| sub.of == Some(id)).map(|(_, sub)| {
                (sub.path.rsplit('.').next().unwrap_or_default().to_owned(), Value::Object(described(sub)))
            });
            let inner: Map<String, Value> = inner.collect();
            if !inner.is_empty() {
                shown.insert("fields".to_owned(), Value::Object(inner));
            }
            insert(&mut root, &field.path, shown);
        }
        json::of(&json!({ "mappings": { "properties": root } }))
    }
}

/// Puts a field where its path says.
fn insert(properties: &mut Map<String, Value>, path: &str, field: Map<String, Value>) {
    let Some((first, rest)) = path.split_once('.') else {
        properties.insert(path.to_owned(), Value::Object(field));
        return;
    };
    let object = properties.entry(first).or_insert_with(|| json!({ "properties": {} }));
    if let Some(inner) = object.get_mut("properties").and_then(Value::as_object_mut) {
        insert(inner, rest, field);
    }
}

fn described(field: &Field) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("type".to_owned(), field.kind.as_str().into());
    if let Some(most) = field.ignore_above {
        shown.insert("ignore_above".to_owned(), most.into());
    }
    if let Some(format) = &field.format {
        shown.insert("format".to_owned(), format.clone().into());
    }
    shown
}

fn failed(field: &Field) -> String {
    format!("failed to parse field [{}] of type [{}]", field.path, field.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(mapping: &mut Mapping, text: &str) -> Result<Vec<(String, Leaf)>, String> {
        let leaves = mapping.leaves(&Node::read(text).unwrap())?;
        Ok(leaves.into_iter().map(|(id, leaf)| (mapping.fields[id].path.clone(), leaf)).collect())
    }

    #[test]
    fn types_are_found_out_and_held_to() {
        let mut mapping = Mapping::default();
        leaves(
            &mut mapping,
            r#"{"n":1,"p":1.5,"s":"word","d":"2026-01-01","b":true,"o":{"x":[1,2]},"z":null,"y":"2026"}"#,
        )
        .unwrap();
        let kinds: Vec<_> =
            mapping.described().into_iter().map(|field| format!("{}:{}", field.path, field.type_name)).collect();
        assert_eq!(kinds, ["n:long", "p:float", "s:text", "d:date", "b:boolean", "o.x:long", "y:text"]);
        assert_eq!(leaves(&mut mapping, r#"{"n":"x"}"#).unwrap_err(), "failed to parse field [n] of type [long]");
        assert_eq!(leaves(&mut mapping, r#"{"n":{"a":1}}"#).unwrap_err(), "failed to parse field [n] of type [long]");
        assert!(leaves(&mut mapping, r#"{"o":5}"#).unwrap_err().starts_with("object mapping for [o]"));
        assert_eq!(
            leaves(&mut mapping, r#"{"n":"12","p":2}"#).unwrap(),
            [("n".to_owned(), Leaf::Integer(12)), ("p".to_owned(), Leaf::Number(2.0)),]
        );
        assert!(leaves(&mut mapping, r#"{"n":18446744073709551615}"#).is_err());
        assert!(Node::read(r#"{"a":1,"a":2}"#).is_err());
    }

    #[test]
    fn a_stored_mapping_is_read_again() {
        let mut mapping = Mapping::default();
        leaves(&mut mapping, r#"{"a":{"b":"x"},"c":1}"#).unwrap();
        let again = Mapping::read(&mapping.write().unwrap()).unwrap();
        assert_eq!(again.raw().get(), mapping.raw().get());
        assert!(again.is_object("a") && again.find("a.b.keyword").is_some());
    }
}
