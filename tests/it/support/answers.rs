//! Every answer of a tool in these tests is held against the output schema of the tool, so that no schema can lie.

use std::{collections::HashMap, path::Path, sync::LazyLock};

use callboard::{app::App, config::Config, mcp::server::Server};
use jsonschema::Validator;
use serde_json::Value;

struct Schemas {
    /// Of answers: with what the schema does not name refused.
    closed: Validator,
    /// Of failures: as it is served. Some clients hold a failure's envelope against the same schema.
    served: Validator,
}

static SCHEMAS: LazyLock<HashMap<String, Schemas>> = LazyLock::new(|| {
    // Some tests have no runtime, others must not block theirs.
    std::thread::spawn(read).join().unwrap()
});

fn read() -> HashMap<String, Schemas> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let server = Server::new(App::new(Config::embedded(Path::new("/nonexistent"))).unwrap());
    let schemas = |tool: &rmcp::model::Tool| {
        let served = Value::Object(tool.output_schema.as_ref().unwrap().as_ref().clone());
        let validator = |schema: &Value| jsonschema::draft202012::new(schema).unwrap();
        let schemas = Schemas { closed: validator(&closed(served.clone())), served: validator(&served) };
        (tool.name.to_string(), schemas)
    };
    server.catalogue().iter().map(schemas).collect()
}

/// The schema with its objects taking no members but those that they name.
fn closed(mut schema: Value) -> Value {
    if schema["properties"].as_object().is_some_and(|properties| !properties.is_empty()) {
        schema.as_object_mut().unwrap().entry("additionalProperties").or_insert(false.into());
    }
    for word in ["items", "additionalProperties"] {
        if let Some(part) = schema.get_mut(word) {
            *part = closed(part.take());
        }
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|property| *property = closed(property.take()));
    }
    schema
}

/// Fails where an answer, or the envelope of a failure, is not as the tool's schema says.
pub fn hold(tool: &str, is_error: bool, answer: &Value) {
    let Some(schemas) = SCHEMAS.get(tool) else { return };
    let schema = if is_error { &schemas.served } else { &schemas.closed };
    let faults: Vec<String> =
        schema.iter_errors(answer).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{tool}: {faults:#?}\n{answer}");
}

#[test]
fn an_answer_that_is_not_as_its_schema_says_is_found() {
    let refused = |answer: Value| std::panic::catch_unwind(|| hold("count_rows", false, &answer)).is_err();
    assert!(!refused(serde_json::json!({"count": 1})));
    assert!(refused(serde_json::json!({"count": "1"})));
    assert!(refused(serde_json::json!({"count": 1, "more": true})));
    assert!(std::panic::catch_unwind(|| hold("get_schema", true, &serde_json::json!({"table": 1}))).is_err());
}
