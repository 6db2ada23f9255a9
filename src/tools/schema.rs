//! What tools/list serves: the schemas of the macro, made small and portable.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::domain::{catalogue, idempotency::IDEMPOTENCY_KEY};

/// Levels of references within references.
const NESTING_MAX: usize = 16;

/// Says which empty values of an argument are values: `containers` ({} and []) or `everything`; and of an answer's member that it may be `null`
/// although it may be left out. Only this server reads it.
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
/// argument one type, no `format: uint32` (hosts warn about it), no references, no line breaks in descriptions, no `$schema` and no `title` in
/// every schema, no bound that goes without saying (bytes a model pays for).
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
    tool.output_schema = tool.output_schema.map(|schema| Arc::new(output(&schema)));
    tool.description = tool.description.map(|text| one_line(&text).into());
    tool
}

/// `create_workflow` is `Create workflow`.
fn title(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters.map(|other| if other == '_' { ' ' } else { other })).collect()
}

/// The arguments of a tool, and the idempotency key that every tool takes that writes. None is ever null: absent is enough.
fn input(schema: &JsonObject, writes: bool) -> JsonObject {
    let mut object = plain(schema);
    if let (true, Some(Value::Object(properties))) = (writes, object.get_mut("properties")) {
        properties.insert(IDEMPOTENCY_KEY.to_owned(), json!({ "type": "string" }));
    }
    object.values_mut().for_each(|part| walk(part, &mut never_null));
    object
}

/// An answer. Null where a member that is always there may be without a value. Nothing is required at the top: some clients hold the envelope
/// of a failure against the same schema.
fn output(schema: &JsonObject) -> JsonObject {
    let mut schema = schema.clone();
    // What a type is called says nothing beside the names of members.
    for definition in schema.get_mut("$defs").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        definition.as_object_mut().map(|definition| definition.remove("description"));
    }
    let mut object = Value::Object(plain(&schema));
    walk(&mut object, &mut |schema| {
        let required = schema.get("required").cloned().unwrap_or_default();
        let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|known| known == name));
        let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
        for (name, property) in properties {
            let Some(property) = property.as_object_mut() else { continue };
            if !is_required(name) && property.get(KEEPS).is_none_or(|kept| kept != "null") {
                never_null(property);
            }
        }
    });
    let mut object = object.as_object().cloned().unwrap_or_default();
    object.remove("required");
    object
}

/// Leaves out what goes without saying, once bounds are known to who holds them: that numbers do not begin below 0 or 1, what only this server
/// reads, and arguments that it has no use for. They are accepted all the same.
pub fn slim(tool: &mut Tool, unused: &[&str]) {
    let slimmed = |schema: &JsonObject| {
        let mut schema = schema.clone();
        schema.values_mut().for_each(|part| walk(part, &mut slim_part));
        schema
    };
    let mut schema = slimmed(&tool.input_schema);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.retain(|name, _| !unused.contains(&name.as_str()));
    }
    tool.input_schema = Arc::new(schema);
    tool.output_schema = tool.output_schema.as_ref().map(|schema| Arc::new(slimmed(schema)));
}

fn slim_part(schema: &mut JsonObject) {
    for known_here in [KEEPS, ALIASES, TAKES_TEXT] {
        schema.remove(known_here);
    }
    if schema.get("minimum").and_then(Value::as_i64).is_some_and(|least| (0..=1).contains(&least)) {
        schema.remove("minimum");
    }
}

/// Changes each object inside of a schema, the outer ones first.
fn walk(part: &mut Value, change: &mut impl FnMut(&mut JsonObject)) {
    match part {
        Value::Object(members) => {
            change(members);
            members.values_mut().for_each(|part| walk(part, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|part| walk(part, change)),
        _ => {}
    }
}

fn never_null(schema: &mut JsonObject) {
    let Some(Value::Array(types)) = schema.get_mut("type") else { return };
    types.retain(|name| name != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        schema.insert("type".to_owned(), only);
    }
}

/// A schema without what some do not take: each definition stands where it is used.
fn plain(schema: &JsonObject) -> JsonObject {
    let mut object = schema.clone();
    let definitions = match object.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    for word in ["$schema", "title", "description", "additionalProperties"] {
        object.remove(word);
    }
    object.entry("properties").or_insert_with(|| json!({}));
    object.values_mut().for_each(|part| clean(part, &definitions, NESTING_MAX));
    object
}

fn clean(schema: &mut Value, definitions: &Map<String, Value>, nesting: usize) {
    match schema {
        Value::Object(object) => {
            follow(object, definitions);
            take_the_only(object, definitions);
            enumerate(object);
            if object.get("format").and_then(Value::as_str).is_some_and(is_a_number) {
                object.remove("format");
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
    let is_object = match object.get("type") {
        Some(Value::Array(types)) => types.iter().any(|kind| kind == "object"),
        kind => kind.is_some_and(|kind| kind == "object"),
    };
    if is_object && !object.contains_key("properties") {
        object.insert("properties".to_owned(), json!({}));
        object.entry("additionalProperties").or_insert_with(|| json!(true));
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

/// `anyOf` of one thing and null is that thing or null.
fn take_the_only(object: &mut JsonObject, definitions: &Map<String, Value>) {
    for word in ["anyOf", "allOf"] {
        let Some(Value::Array(parts)) = object.get(word) else { continue };
        let (nulls, others): (Vec<&Value>, Vec<&Value>) =
            parts.iter().partition(|part| part.get("type").is_some_and(|kind| kind == "null"));
        if let [Value::Object(only)] = others.as_slice() {
            let (only, nullable) = (only.clone(), !nulls.is_empty());
            object.remove(word);
            merge(object, only);
            follow(object, definitions);
            if let (true, Some(Value::String(kind))) = (nullable, object.get("type")) {
                let types = json!([kind, "null"]);
                object.insert("type".to_owned(), types);
            }
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
