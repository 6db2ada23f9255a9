//! What tools/list serves: the schemas of the macro, made small and portable.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::arguments::IDEMPOTENCY_KEY;
use crate::domain::catalogue;

/// Levels of references within references.
const NESTING_MAX: usize = 16;

/// Says which empty values are values: `containers` ({} and []) or `everything`. Only this server reads it.
pub const KEEPS: &str = "x-keeps";
/// Other names of an argument. Only this server reads it.
pub const ALIASES: &str = "x-aliases";
/// Says that a text is a value of an object as it stands. Only this server reads it.
pub const TAKES_TEXT: &str = "x-takes-text";

/// Older names inside of the arguments of a tool.
pub fn aliases<T: JsonSchema>() -> Vec<String> {
    fn collect(part: &Value, found: &mut Vec<String>) {
        match part {
            Value::Object(members) => {
                let names = members.get(ALIASES).and_then(Value::as_array).into_iter().flatten();
                found.extend(names.filter_map(Value::as_str).map(str::to_owned));
                members.values().for_each(|part| collect(part, found));
            }
            Value::Array(items) => items.iter().for_each(|part| collect(part, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(SchemaGenerator::default().into_root_schema_for::<T>().as_value(), &mut found);
    found
}

/// A tool as it is served ([decision 19](../../docs/decisions/0019-schemas-that-every-provider-takes.md)): every object has properties, every
/// property one type, no `format: uint32` (hosts warn about it), no `["string","null"]` (absent is enough), no references, no line breaks
/// in descriptions, no `$schema` and no `title` in every schema, no bound that goes without saying (bytes a model pays for).
pub fn portable(mut tool: Tool, row: &catalogue::Tool) -> Tool {
    tool.title = Some(title(row.name));
    tool.annotations = Some(
        ToolAnnotations::new()
            .read_only(!row.writes)
            .destructive(row.destructive)
            .idempotent(row.idempotent)
            .open_world(false),
    );
    tool.input_schema = Arc::new(input(&tool.input_schema, row.writes));
    tool.output_schema = tool.output_schema.map(|_| Arc::new(output()));
    tool.description = tool.description.map(|text| one_line(&text).into());
    tool
}

/// `create_workflow` is `Create workflow`.
fn title(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters.map(|other| if other == '_' { ' ' } else { other })).collect()
}

/// The arguments of a tool, and the idempotency key that every tool takes that writes.
fn input(schema: &JsonObject, writes: bool) -> JsonObject {
    let mut object = schema.clone();
    let definitions = match object.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    object.remove("$schema");
    object.remove("title");
    object.remove("description");
    object.remove("additionalProperties");
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    if let (true, Some(properties)) = (writes, properties.as_object_mut()) {
        properties.insert(IDEMPOTENCY_KEY.to_owned(), json!({ "type": "string" }));
    }
    object.values_mut().for_each(|part| clean(part, &definitions, NESTING_MAX));
    object
}

/// Leaves out what goes without saying, once bounds are known to who holds them: that numbers do not begin below 0 or 1, what only this server
/// reads, and arguments that it has no use for. They are accepted all the same.
pub fn slim(tool: &mut Tool, unused: &[&str]) {
    let mut schema = JsonObject::clone(&tool.input_schema);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.retain(|name, _| !unused.contains(&name.as_str()));
    }
    schema.values_mut().for_each(slim_part);
    tool.input_schema = Arc::new(schema);
}

fn slim_part(part: &mut Value) {
    match part {
        Value::Object(members) => {
            members.remove(KEEPS);
            members.remove(ALIASES);
            members.remove(TAKES_TEXT);
            if members.get("minimum").and_then(Value::as_i64).is_some_and(|least| (0..=1).contains(&least)) {
                members.remove("minimum");
            }
            members.values_mut().for_each(slim_part);
        }
        Value::Array(items) => items.iter_mut().for_each(slim_part),
        _ => {}
    }
}

/// Only that it is an object: a failure's envelope is held against the same schema by some clients, models read answers and not their
/// schemas, and every client is sent all of it.
fn output() -> JsonObject {
    let mut outline = Map::new();
    outline.insert("type".to_owned(), json!("object"));
    outline.insert("properties".to_owned(), json!({}));
    outline
}

fn clean(schema: &mut Value, definitions: &Map<String, Value>, nesting: usize) {
    match schema {
        Value::Object(object) => {
            follow(object, definitions);
            take_the_only(object);
            enumerate(object);
            if object.get("format").and_then(Value::as_str).is_some_and(is_a_number) {
                object.remove("format");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = one_line(text);
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            open(object);
            if nesting > 0 {
                object.values_mut().for_each(|part| clean(part, definitions, nesting - 1));
            }
        }
        Value::Array(items) if nesting > 0 => items.iter_mut().for_each(|part| clean(part, definitions, nesting - 1)),
        _ => {}
    }
}

/// Says of an object that has no properties of its own that it takes any. What an object with properties does not know is refused by name all
/// the same, so that this need not be said.
fn open(object: &mut JsonObject) {
    if object.get("additionalProperties").is_some_and(Value::is_boolean) {
        object.remove("additionalProperties");
    }
    if object.get("type").is_some_and(|kind| kind == "object") && !object.contains_key("properties") {
        object.insert("properties".to_owned(), json!({}));
        object.insert("additionalProperties".to_owned(), json!(true));
    }
}

/// Puts a definition where it is referred to; what is said there goes before.
fn follow(object: &mut JsonObject, definitions: &Map<String, Value>) {
    let Some(Value::String(reference)) = object.get("$ref") else { return };
    let name = reference.trim_start_matches("#/$defs/");
    let Some(Value::Object(definition)) = definitions.get(name) else { return };
    object.remove("$ref");
    merge(object, definition.clone());
}

/// `anyOf` of one thing and null is that thing.
fn take_the_only(object: &mut JsonObject) {
    for word in ["anyOf", "allOf"] {
        let Some(Value::Array(parts)) = object.get(word) else { continue };
        let mut others = parts.iter().filter(|part| part.get("type").is_none_or(|kind| kind != "null"));
        if let (Some(Value::Object(only)), None) = (others.next(), others.next()) {
            let only = only.clone();
            object.remove(word);
            merge(object, only);
        }
    }
}

/// A choice between constants is a list of them; what each one means joins the description.
fn enumerate(object: &mut JsonObject) {
    let Some(Value::Array(choices)) = object.get("oneOf") else { return };
    let Some(constants) = choices.iter().map(|choice| choice.get("const").cloned()).collect::<Option<Vec<_>>>() else {
        return;
    };
    let meanings: Vec<String> = choices
        .iter()
        .filter_map(|choice| {
            let text = one_line(choice.get("description")?.as_str()?);
            Some(format!("{}: {}", choice.get("const")?.as_str()?, text.trim_end_matches('.')))
        })
        .collect();
    object.remove("oneOf");
    object.insert("type".to_owned(), json!("string"));
    object.insert("enum".to_owned(), Value::Array(constants));
    if !meanings.is_empty() {
        let said = object.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{} {}.", one_line(said), meanings.join("; "));
        object.insert("description".to_owned(), json!(text.trim()));
    }
}

fn merge(object: &mut JsonObject, from: JsonObject) {
    for (name, part) in from {
        object.entry(name).or_insert(part);
    }
    object.remove("title");
}

fn is_a_number(format: &str) -> bool {
    format.starts_with("uint") || format.starts_with("int") || matches!(format, "double" | "float")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
