//! `callboard config`: what is set, what can be set, and where.

use serde_json::{Map, Value, json};

use super::{GOOD, output};
use crate::config::{
    Environment, Loaded,
    setting::{Kind, Setting},
    table::settings,
};

/// What is set, with its source and without secrets, in the form of callboard.toml.
pub fn show(loaded: &Loaded) -> u8 {
    let mut text = String::new();
    for one in &loaded.config.shown {
        let note = one.note.map(|note| format!(", {note}")).unwrap_or_default();
        text.push_str(&format!("{} = {}   # {}{note}\n", one.name, Value::from(one.value.as_str()), one.source));
    }
    for warning in &loaded.warnings {
        text.push_str(&format!("# warning: {warning}\n"));
    }
    for note in &loaded.notes {
        text.push_str(&format!("# note: {note}\n"));
    }
    output::write(&text);
    GOOD
}

/// The JSON Schema of callboard.toml.
pub fn schema() -> u8 {
    let mut properties = Map::new();
    for setting in settings() {
        properties.insert(setting.key(), property(setting));
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "callboard.toml",
        "type": "object",
        "properties": properties,
        "patternProperties": {
            "^database_url_.+$": {"type": "string", "description": "A further database."},
            "^database_desc_.+$": {"type": "string", "description": "What a further database holds."}
        },
        "additionalProperties": false
    });
    output::line(&serde_json::to_string_pretty(&schema).unwrap_or_default());
    GOOD
}

fn property(setting: &Setting) -> Value {
    let mut property = match setting.kind {
        Kind::Switch => json!({"type": "boolean"}),
        Kind::Number { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Duration { .. } | Kind::Bytes { .. } => json!({"type": ["integer", "string"]}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Words(words) => json!({"type": "array", "items": {"type": "string", "enum": words}}),
        Kind::List | Kind::Names => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Text | Kind::Url | Kind::Path | Kind::LogFilter => json!({"type": "string"}),
    };
    let names: Vec<&str> = setting.names().collect();
    let accepts = setting.kind.accepts();
    let text = format!("{} ({accepts}; environment: {})", setting.description, names.join(", "));
    if let Some(object) = property.as_object_mut() {
        object.insert("description".to_owned(), Value::from(text));
        object.insert("default".to_owned(), Value::from(setting.default));
    }
    property
}

/// Where settings files are looked for, the strongest first.
pub fn path(environment: &Environment, loaded: &Loaded) -> u8 {
    let mut text = String::new();
    let named = environment.text("CALLBOARD_CONFIG").map(|path| environment.path(path));
    let all = named.into_iter().chain([environment.project_file()]).chain(environment.user_file());
    for path in all {
        let state = if loaded.files.contains(&path) { "read" } else { "not there" };
        text.push_str(&format!("{}   ({state})\n", path.display()));
    }
    output::write(&text);
    GOOD
}
