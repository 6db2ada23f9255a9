//! Schemas that every provider of models takes, and that a model can work from.

use std::path::Path;

use callboard::{
    app::App,
    config::{Config, DatabaseConfig, Toolsets},
    mcp::server::Server,
};
use serde_json::{Map, Value, json};

/// A server with every tool, and with arguments that are only shown where several databases are set. Nothing is opened.
fn server(groups: Option<&str>) -> Server {
    let mut config = Config::embedded(Path::new("/nonexistent"));
    config.toolsets = Toolsets::new(groups.map(|group| vec![group.to_owned()]));
    let database = |name: &str| DatabaseConfig {
        name: name.to_owned(),
        description: None,
        url: "postgres://localhost/none".to_owned().into(),
    };
    config.databases = vec![database("main"), database("other")];
    Server::new(App::new(config).unwrap())
}

/// What a schema may say. Anything else is refused by one provider or another.
const WORDS: [&str; 10] = [
    "type",
    "description",
    "properties",
    "required",
    "items",
    "enum",
    "minimum",
    "maximum",
    "additionalProperties",
    "default",
];

fn is_name(text: &str, most: usize, extra: &[char]) -> bool {
    (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
}

/// What a schema is of. Models and their providers are shown arguments; answers stay with the host, and say three things more: that a value may
/// be null, or of one of several types; nothing, where any JSON may stand; and what the members of a map are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Arguments,
    Answer,
}

/// Everything that is wrong with a schema, each with its path and the rule.
fn faults(schema: &Value, of: Of, path: &str, found: &mut Vec<String>) {
    let mut fault = |rule: &str| found.push(format!("{path}: {rule}"));
    let Some(schema) = schema.as_object() else { return fault("a schema is an object, not a boolean") };
    for word in schema.keys().filter(|word| !WORDS.contains(&word.as_str())) {
        fault(&format!("`{word}` is not taken everywhere"));
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) if of == Of::Answer => kinds.iter().filter_map(Value::as_str).collect(),
        None if of == Of::Answer && schema.is_empty() => return,
        _ => return fault("one type, as a text"),
    };
    let known = |kind: &&str| match *kind {
        "null" => of == Of::Answer && kinds.len() > 1,
        kind => ["object", "array", "string", "integer", "number", "boolean"].contains(&kind),
    };
    if kinds.is_empty() || !kinds.iter().all(known) {
        fault("a type that JSON has, and not null");
    }
    let is = |kind: &str| kinds.contains(&kind);
    if schema.get("default").is_some_and(Value::is_null) {
        fault("no default of null");
    }
    if let Some(choices) = schema.get("enum") {
        let texts = choices.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string));
        if !is("string") || !texts {
            fault("an enum is a list of texts, and not empty");
        }
    }
    for bound in ["minimum", "maximum"] {
        if schema.contains_key(bound) && !is("integer") && !is("number") {
            fault("only numbers have bounds");
        }
    }
    if is("array") != schema.contains_key("items") {
        fault("an array has items, and nothing else has");
    }
    if is("object") != schema.contains_key("properties") {
        fault("an object has properties, and nothing else has");
    }
    inner_faults(schema, of, path, found);
}

fn inner_faults(schema: &Map<String, Value>, of: Of, path: &str, found: &mut Vec<String>) {
    if let (Of::Answer, Some(members @ Value::Object(_))) = (of, schema.get("additionalProperties")) {
        faults(members, of, &format!("{path}.*"), found);
    }
    let mut fault = |rule: &str| found.push(format!("{path}: {rule}"));
    let properties = match schema.get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        Some(_) => return fault("properties are an object"),
        None => Map::new(),
    };
    match schema.get("additionalProperties") {
        None | Some(Value::Bool(_)) => {}
        Some(Value::Object(_)) if of == Of::Answer => {}
        Some(_) => fault("further properties are allowed or not, without a schema"),
    }
    let required = schema.get("required").map_or(&[][..], |list| list.as_array().map_or(&[][..], Vec::as_slice));
    if schema.contains_key("required") && required.is_empty() {
        fault("a list of required properties is not empty");
    }
    for name in required {
        if name.as_str().is_none_or(|name| !properties.contains_key(name)) {
            fault(&format!("{name} is required and no property"));
        }
    }
    for (name, property) in &properties {
        if !is_name(name, 64, &['_', '-', '.']) {
            found.push(format!("{path}: `{name}` is no name of a property"));
        }
        faults(property, of, &format!("{path}.{name}"), found);
    }
    if let Some(items) = schema.get("items") {
        faults(items, of, &format!("{path}[]"), found);
    }
}

#[tokio::test]
async fn every_schema_is_one_that_every_provider_takes() {
    let mut found = Vec::new();
    for tool in server(None).catalogue() {
        if !is_name(&tool.name, 64, &['_', '-']) {
            found.push(format!("{}: is no name of a tool", tool.name));
        }
        let input = Value::Object(tool.input_schema.as_ref().clone());
        let output = Value::Object(tool.output_schema.as_ref().unwrap().as_ref().clone());
        for (of, which, schema) in [(Of::Arguments, "input", input), (Of::Answer, "output", output)] {
            if schema["type"] != "object" {
                found.push(format!("{} {which}: an object at the top", tool.name));
            }
            faults(&schema, of, &format!("{} {which}", tool.name), &mut found);
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_walk_finds_what_is_wrong() {
    for (schema, fault) in [
        (json!({"type": "object"}), "s: an object has properties, and nothing else has"),
        (json!({"type": "object", "properties": {"a": {}}}), "s.a: one type, as a text"),
        (json!({"type": "object", "properties": {"a": {"type": ["integer", "string"]}}}), "s.a: one type, as a text"),
        (json!({"type": "array", "items": {}}), "s[]: one type, as a text"),
        (json!({"type": "array", "items": true}), "s[]: a schema is an object, not a boolean"),
        (json!({"type": "array"}), "s: an array has items, and nothing else has"),
        (json!({"type": "integer", "enum": [1]}), "s: an enum is a list of texts, and not empty"),
        (json!({"type": "integer", "format": "uint64"}), "s: `format` is not taken everywhere"),
        (json!({"type": "string", "default": null}), "s: no default of null"),
        (json!({"type": "object", "properties": {}, "required": ["a"]}), "s: \"a\" is required and no property"),
        (
            json!({"type": "object", "properties": {}, "additionalProperties": {}}),
            "s: further properties are allowed or not, without a schema",
        ),
        (json!({"type": "object", "properties": {"a b": {"type": "string"}}}), "s: `a b` is no name of a property"),
    ] {
        let mut found = Vec::new();
        faults(&schema, Of::Arguments, "s", &mut found);
        assert_eq!(found, [fault], "{schema}");
    }
    for (schema, fault) in [
        (json!({"type": "null"}), "s: a type that JSON has, and not null"),
        (json!({"type": []}), "s: a type that JSON has, and not null"),
        (json!({"description": "anything"}), "s: one type, as a text"),
        (json!({"type": ["array", "null"]}), "s: an array has items, and nothing else has"),
        (
            json!({"type": "object", "properties": {}, "additionalProperties": {"type": "u64"}}),
            "s.*: a type that JSON has, and not null",
        ),
    ] {
        let mut found = Vec::new();
        faults(&schema, Of::Answer, "s", &mut found);
        assert_eq!(found, [fault], "{schema}");
    }
    let mut found = Vec::new();
    let answer = json!({"type": "object", "properties": {
        "any": {}, "text": {"type": ["string", "null"]}, "counts": {"type": "object", "properties": {}, "additionalProperties": {"type": "integer"}},
    }});
    faults(&answer, Of::Answer, "s", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

/// What a host shows a model of a server's tools.
fn seen_by_a_model(server: &Server) -> usize {
    let seen = |tool: &rmcp::model::Tool| {
        json!({"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema.as_ref()})
            .to_string()
            .len()
    };
    server.catalogue().iter().map(seen).sum()
}

#[tokio::test]
async fn what_a_model_is_shown_fits() {
    for (groups, most) in [(None, 36 * 1024), (Some("core"), 8 * 1024)] {
        let bytes = seen_by_a_model(&server(groups));
        assert!(bytes <= most, "{groups:?}: {bytes} bytes of at most {most}");
    }
}

/// Where any members are taken, because they are the caller's own.
const FREE: [&str; 16] = [
    "aggs",
    "answer",
    "checkpoint",
    "documents[]",
    "highlight",
    "input",
    "metadata",
    "metrics",
    "payload",
    "query",
    "result",
    "row",
    "rows[]",
    "sort[]",
    "where",
    "tasks[].input",
];

#[tokio::test]
async fn nested_arguments_are_described() {
    fn free(schema: &Value, path: &str, found: &mut Vec<String>) {
        if schema["additionalProperties"] == true {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            free(property, format!("{path}.{name}").trim_start_matches('.'), found);
        }
        if schema["items"].is_object() {
            free(&schema["items"], &format!("{path}[]"), found);
        }
    }
    for tool in server(None).catalogue() {
        let mut found = Vec::new();
        free(&Value::Object(tool.input_schema.as_ref().clone()), "", &mut found);
        for path in found {
            assert!(FREE.contains(&path.as_str()), "{}: {path} says nothing of its members", tool.name);
        }
    }
}

/// Members of answers that may be any JSON, because they are somebody's own: what was given comes back, and what a database holds.
const ANY: [&str; 11] = [
    "answer",
    "checkpoint",
    "dependency_results.*",
    "event_data",
    "input",
    "payload",
    "plan",
    "question",
    "result",
    "row",
    "rows[][]",
];

#[tokio::test]
async fn answers_are_described() {
    fn untyped(schema: &Value, path: &str, found: &mut Vec<String>) {
        if schema.get("type").is_none() {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            untyped(property, &format!("{path}.{name}"), found);
        }
        for (word, place) in [("items", "[]"), ("additionalProperties", ".*")] {
            if schema[word].is_object() {
                untyped(&schema[word], &format!("{path}{place}"), found);
            }
        }
    }
    let mut bytes = 0;
    for tool in server(None).catalogue() {
        let schema = Value::Object(tool.output_schema.as_ref().unwrap().as_ref().clone());
        assert!(schema["properties"].as_object().is_some_and(|properties| !properties.is_empty()), "{}", tool.name);
        let mut found = Vec::new();
        untyped(&schema, "", &mut found);
        for path in found {
            assert!(ANY.iter().any(|any| path.ends_with(&format!(".{any}"))), "{}: {path} has no type", tool.name);
        }
        bytes += schema.to_string().len();
    }
    assert!(bytes <= 80 * 1024, "{bytes} bytes");
}

#[test]
fn every_other_name_of_an_argument_is_known_to_what_reads_it() {
    fn visit(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            for pair in lines.windows(2).filter(|pair| pair[0].starts_with("#[serde(alias = ")) {
                // A word of a choice has no schema of its own.
                let names: Vec<&str> = pair[0].split('"').skip(1).step_by(2).collect();
                let known: Vec<&str> = pair[1].split('"').skip(3).step_by(2).collect();
                let variant = pair[1].ends_with(',') && !pair[1].contains(':');
                if !variant && (!pair[1].contains("x-aliases") || names != known) {
                    found.push(format!("{}: {}", path.display(), pair[0]));
                }
            }
        }
    }
    let mut found = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tools"), &mut found);
    assert_eq!(found, Vec::<String>::new());
}
