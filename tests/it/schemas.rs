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

/// Everything that is wrong with a schema, each with its path and the rule.
fn faults(schema: &Value, path: &str, found: &mut Vec<String>) {
    let mut fault = |rule: &str| found.push(format!("{path}: {rule}"));
    let Some(schema) = schema.as_object() else { return fault("a schema is an object, not a boolean") };
    for word in schema.keys().filter(|word| !WORDS.contains(&word.as_str())) {
        fault(&format!("`{word}` is not taken everywhere"));
    }
    let Some(kind) = schema.get("type").and_then(Value::as_str) else { return fault("one type, as a text") };
    if !["object", "array", "string", "integer", "number", "boolean"].contains(&kind) {
        fault("a type that JSON has, and not null");
    }
    if schema.get("default").is_some_and(Value::is_null) {
        fault("no default of null");
    }
    if let Some(choices) = schema.get("enum") {
        let texts = choices.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string));
        if kind != "string" || !texts {
            fault("an enum is a list of texts, and not empty");
        }
    }
    for bound in ["minimum", "maximum"] {
        if schema.contains_key(bound) && !["integer", "number"].contains(&kind) {
            fault("only numbers have bounds");
        }
    }
    if (kind == "array") != schema.contains_key("items") {
        fault("an array has items, and nothing else has");
    }
    if (kind == "object") != schema.contains_key("properties") {
        fault("an object has properties, and nothing else has");
    }
    inner_faults(schema, path, found);
}

fn inner_faults(schema: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
    let mut fault = |rule: &str| found.push(format!("{path}: {rule}"));
    let properties = match schema.get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        Some(_) => return fault("properties are an object"),
        None => Map::new(),
    };
    match schema.get("additionalProperties") {
        None | Some(Value::Bool(_)) => {}
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
        faults(property, &format!("{path}.{name}"), found);
    }
    if let Some(items) = schema.get("items") {
        faults(items, &format!("{path}[]"), found);
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
        for (which, schema) in [("input", input), ("output", output)] {
            if schema["type"] != "object" {
                found.push(format!("{} {which}: an object at the top", tool.name));
            }
            faults(&schema, &format!("{} {which}", tool.name), &mut found);
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
        faults(&schema, "s", &mut found);
        assert_eq!(found, [fault], "{schema}");
    }
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
