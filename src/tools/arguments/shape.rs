//! What the arguments of each tool are made of, as its input schema says.

use std::{collections::HashMap, sync::Arc};

use rmcp::model::Tool;
use serde_json::Value;

use super::super::schema::{ALIASES, KEEPS, TAKES_TEXT};

/// The arguments of all tools.
pub struct Shapes(HashMap<String, Shape>);

/// What a value is to be.
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// It may be left out.
    pub(super) optional: bool,
    pub(super) keeps: Keeps,
    /// A text is a value of it, also one that holds an object.
    pub(super) takes_text: bool,
    pub(super) range: Option<Range>,
}

pub(super) enum Kind {
    Text,
    Whole,
    Number,
    Truth,
    /// One of these words.
    Choice(Vec<String>),
    /// Of such items, where something is known of them.
    List(Option<Box<Shape>>),
    /// With these members, by all their names; None: with any.
    Object(Option<HashMap<String, Arc<Shape>>>),
    /// Any JSON.
    Anything,
}

/// Which empty values of an optional argument are values, not a way to leave it out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    Nothing,
    /// `{}` and `[]`.
    Containers,
    /// These, and `""`.
    Everything,
}

pub(super) struct Range {
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) shown: String,
}

impl Shapes {
    /// As the schemas say, before what they say only to this server is taken out of them.
    pub fn of(tools: &[Tool]) -> Self {
        let shape = |tool: &Tool| {
            let schema = Value::Object(tool.input_schema.as_ref().clone());
            (tool.name.to_string(), Shape { kind: Kind::object(&schema), ..Shape::of(&schema, false) })
        };
        Self(tools.iter().map(shape).collect())
    }

    /// Whether a tool takes one of these arguments.
    pub fn take_any(&self, tool: &str, arguments: &[&str]) -> bool {
        match self.get(tool).map(|shape| &shape.kind) {
            Some(Kind::Object(Some(members))) => arguments.iter().any(|name| members.contains_key(*name)),
            _ => false,
        }
    }

    pub(super) fn get(&self, tool: &str) -> Option<&Shape> {
        self.0.get(tool)
    }
}

impl Shape {
    fn of(schema: &Value, optional: bool) -> Self {
        let keeps = match schema.get(KEEPS).and_then(Value::as_str) {
            Some("containers") => Keeps::Containers,
            Some("everything") => Keeps::Everything,
            _ => Keeps::Nothing,
        };
        let kind = if keeps == Keeps::Nothing { Kind::of(schema) } else { Kind::Anything };
        let takes_text = schema.get(TAKES_TEXT).is_some_and(|takes| takes == true);
        Self { kind, optional, keeps, takes_text, range: Range::of(schema) }
    }

    /// Something inside of it may have to be changed.
    fn matters(&self) -> bool {
        !matches!(self.kind, Kind::Text | Kind::Anything | Kind::Object(None) | Kind::List(None))
    }
}

impl Kind {
    fn of(schema: &Value) -> Self {
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return Self::Choice(words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => Self::Text,
            Some("integer") => Self::Whole,
            Some("number") => Self::Number,
            Some("boolean") => Self::Truth,
            Some("array") => {
                let item = schema.get("items").map(|items| Shape::of(items, false));
                Self::List(item.filter(Shape::matters).map(Box::new))
            }
            Some("object") => Self::object(schema),
            _ => Self::Anything,
        }
    }

    fn object(schema: &Value) -> Self {
        let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|all| !all.is_empty()) else {
            return Self::Object(None);
        };
        let required: Vec<&str> = texts(schema.get("required"));
        let mut members = HashMap::new();
        for (name, property) in properties {
            let shape = Arc::new(Shape::of(property, !required.contains(&name.as_str())));
            for alias in texts(property.get(ALIASES)) {
                members.insert(alias.to_owned(), Arc::clone(&shape));
            }
            members.insert(name.clone(), shape);
        }
        Self::Object(Some(members))
    }
}

fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

impl Range {
    fn of(schema: &Value) -> Option<Self> {
        let least = schema.get("minimum").and_then(Value::as_f64);
        let most = schema.get("maximum").and_then(Value::as_f64);
        let shown = match (least, most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("{least} or more"),
            (None, Some(most)) => format!("{most} or less"),
            (None, None) => return None,
        };
        Some(Self { least: least.unwrap_or(f64::MIN), most: most.unwrap_or(f64::MAX), shown })
    }
}
