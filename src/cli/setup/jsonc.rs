//! Changing one member of a JSON file with comments, all other text staying as it is.

use jsonc_parser::{
    ParseOptions,
    cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode},
};
use serde_json::Value;

use super::{
    entry::{Change, Edit, Existing, other_keys},
    list::quoted,
};

/// JSON with comments and trailing commas, as editors write and read it.
const FORM: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The servers that `list` of the document has.
///
/// # Errors
/// When the file is broken, in words.
pub fn entries(text: &str, list: &str) -> Result<Vec<Existing>, String> {
    let document = Document::parse(text)?.root.to_serde_value().unwrap_or_default();
    let Some(servers) = document.get(list) else { return Ok(Vec::new()) };
    let Some(servers) = servers.as_object() else { return Err(format!("its `{list}` is not an object")) };
    servers.iter().map(|(name, entry)| existing(list, name, entry)).collect()
}

fn existing(list: &str, name: &str, entry: &Value) -> Result<Existing, String> {
    let ours = name == super::NAME;
    let Some(entry) = entry.as_object() else {
        if ours {
            return Err(format!("its `{list}.{name}` is not an object"));
        }
        return Ok(Existing { name: name.to_owned(), ..Existing::default() });
    };
    let command = entry.get("command").and_then(Value::as_str).map(str::to_owned);
    let texts = |items: &Vec<Value>| items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    let args: Option<Vec<String>> = entry.get("args").and_then(Value::as_array).and_then(texts);
    if ours && (entry.contains_key("command") != command.is_some() || entry.contains_key("args") != args.is_some()) {
        return Err(format!(
            "the `command` of its `{list}.{name}` is not a text, or its `args` are not a list of texts"
        ));
    }
    let variables: Vec<String> =
        entry.get("env").and_then(Value::as_object).into_iter().flat_map(|env| env.keys().cloned()).collect();
    let other_keys = other_keys(entry.keys(), &variables);
    Ok(Existing { name: name.to_owned(), command, args, other_keys, variables })
}

/// The document with `entry` as a further member `name` of `list`.
///
/// # Errors
/// When the file is broken, in words.
pub fn with_entry(text: &str, list: &str, name: &str, entry: &Value) -> Result<String, String> {
    let document = Document::parse(text)?;
    match member(&document.object, list) {
        Some(_) => drop(inner(&document.object, list)?.append(name, input(entry))),
        None => drop(document.object.append(list, input(&serde_json::json!({name: entry})))),
    }
    Ok(document.root.to_string())
}

/// The document with the entry `name` of `list` changed.
///
/// # Errors
/// When the file is broken, in words.
pub fn changed(text: &str, list: &str, name: &str, change: &Change) -> Result<String, String> {
    let document = Document::parse(text)?;
    let entry = inner(&inner(&document.object, list)?, name)?;
    if let Some(command) = &change.command {
        set(&entry, "command", command.as_str().into());
    }
    if let Some(args) = &change.all_args {
        set(&entry, "args", CstInputValue::Array(args.iter().map(|arg| arg.as_str().into()).collect()));
    }
    if !change.edits.is_empty() {
        let args = member(&entry, "args").and_then(|args| args.array_value()).ok_or("its `args` cannot be found")?;
        for edit in &change.edits {
            match edit {
                Edit::Append(value) => drop(args.append(value.as_str().into())),
                Edit::Replace(at, value) => {
                    let text = args.elements().get(*at).and_then(|element| element.as_string_lit());
                    text.ok_or("its `args` cannot be changed")?.set_raw_value(quoted(value));
                }
            }
        }
    }
    Ok(document.root.to_string())
}

/// A document and the object that it is. The root has to live as long as its parts are used.
struct Document {
    root: CstRootNode,
    object: CstObject,
}

impl Document {
    fn parse(text: &str) -> Result<Self, String> {
        let root = CstRootNode::parse(text, &FORM).map_err(|error| format!("it is not valid JSON: {error}"))?;
        let object = root.object_value().ok_or("it is not a JSON object")?;
        Ok(Self { root, object })
    }
}

/// Where a name comes twice, parsers take the last.
fn member(object: &CstObject, name: &str) -> Option<CstObjectProp> {
    object.properties().into_iter().rev().find(|member| member.decoded_name().as_deref() == Some(name))
}

fn inner(outer: &CstObject, name: &str) -> Result<CstObject, String> {
    let member = member(outer, name).ok_or_else(|| format!("its `{name}` cannot be found"))?;
    member.object_value().ok_or_else(|| format!("its `{name}` is not an object"))
}

fn set(object: &CstObject, name: &str, value: CstInputValue) {
    match member(object, name) {
        Some(member) => member.set_value(value),
        None => drop(object.append(name, value)),
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(truth) => CstInputValue::Bool(*truth),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(members) => {
            CstInputValue::Object(members.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{entries, with_entry};

    #[test]
    fn everything_else_stays() {
        let entry = json!({"command": "callboard", "args": ["serve"], "env": {}});
        for old in [
            "{}",
            "{ }\n",
            "{\n  // mine\n  \"theme\": \"dark\", /* , } */\n}\n",
            "{\"mcpServers\": {}}",
            "{\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\", \"args\": [\"}\", \"//\"]} // keep\n  },\n  \"z\": 1\n}",
            "{\"mcpServers\": {\"other\": {\"command\": \"é\\\"\"}, /* c */ }, }",
            "{\"a\": [1, 2,], \"mcpServers\": {\"b\": 1,\n}}",
            "{\"mcpServers\": {\"b\": 1 /* , */}}",
        ] {
            let new =
                with_entry(old, "mcpServers", "callboard", &entry).unwrap_or_else(|error| panic!("{old}: {error}"));
            let found = entries(&new, "mcpServers").unwrap_or_else(|error| panic!("{old}\n{new}\n{error}"));
            assert!(found.iter().any(|entry| entry.name == "callboard"), "{new}");
            for kept in ["// mine", "// keep", "\"other\"", "\"theme\": \"dark\"", "/* c */", "\"z\": 1", "/* , } */"] {
                assert_eq!(old.contains(kept), new.contains(kept), "{kept}\n{new}");
            }
        }
    }

    #[test]
    fn a_broken_file_is_refused() {
        for broken in ["{", "[]", "{\"a\" 1}", "nonsense", "{\"mcpServers\": []}", "{\"a\": \"x}"] {
            assert!(entries(broken, "mcpServers").is_err(), "{broken}");
        }
    }
}
