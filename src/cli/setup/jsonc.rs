//! Changing one member of a JSON file with comments, all other text staying as it is.

use std::ops::Range;

use serde_json::Value;

use super::{
    entry::{Change, Existing, other_keys},
    list::quoted_end as string_end,
};

/// The servers that `list` of the document has.
///
/// # Errors
/// When the file is broken, in words.
pub fn entries(text: &str, list: &str) -> Result<Vec<Existing>, String> {
    let (_, document) = parsed(text)?;
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
    let (strict, document) = parsed(text)?;
    let root = object(&strict, 0).ok_or("it is not a JSON object")?;
    if document.get(list).is_none() {
        return Ok(insert(text, &strict, &root, list, &serde_json::json!({name: entry}), 1));
    }
    let servers = inner(&strict, &root, list)?;
    Ok(insert(text, &strict, &servers, name, entry, 2))
}

/// The document with the entry `name` of `list` changed.
///
/// # Errors
/// When the file is broken, in words.
pub fn changed(text: &str, list: &str, name: &str, change: &Change) -> Result<String, String> {
    let mut text = text.to_owned();
    if let Some(command) = &change.command {
        text = with_value(&text, list, name, "command", &Value::from(command.as_str()))?;
    }
    if let Some(args) = &change.all_args {
        text = with_value(&text, list, name, "args", &Value::from(args.clone()))?;
    }
    if !change.edits.is_empty() {
        let (strict, _) = parsed(&text)?;
        let root = object(&strict, 0).ok_or("it is not a JSON object")?;
        let entry = inner(&strict, &inner(&strict, &root, list)?, name)?;
        let place = entry.member("args").ok_or("its `args` cannot be found")?;
        text = super::list::edited(&text, &strict, place, &change.edits).ok_or("its `args` cannot be changed")?;
    }
    Ok(text)
}

fn with_value(text: &str, list: &str, name: &str, key: &str, value: &Value) -> Result<String, String> {
    let (strict, _) = parsed(text)?;
    let root = object(&strict, 0).ok_or("it is not a JSON object")?;
    let entry = inner(&strict, &inner(&strict, &root, list)?, name)?;
    match entry.member(key) {
        Some(place) => {
            let mut out = text.to_owned();
            out.replace_range(place, &value.to_string());
            Ok(out)
        }
        None => Ok(insert(text, &strict, &entry, key, value, 3)),
    }
}

fn inner(strict: &str, outer: &Object, name: &str) -> Result<Object, String> {
    let place = outer.member(name).ok_or_else(|| format!("its `{name}` cannot be found"))?;
    object(strict, place.start).ok_or_else(|| format!("its `{name}` is not an object"))
}

/// The text as strict JSON of the same length (comments and trailing commas become blanks), and its value.
fn parsed(text: &str) -> Result<(String, Value), String> {
    let strict = strict(text);
    let value: Value = serde_json::from_str(&strict).map_err(|error| format!("it is not valid JSON: {error}"))?;
    if !value.is_object() {
        return Err("it is not a JSON object".to_owned());
    }
    Ok((strict, value))
}

fn strict(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut last_comma = None;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at).copied() {
        let next = text.as_bytes().get(at + 1).copied();
        let end = match (byte, next) {
            (b'"', _) => {
                last_comma = None;
                string_end(text, at)
            }
            (b'/', Some(b'/')) => {
                text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length)
            }
            (b'/', Some(b'*')) => {
                text.get(at + 2..).and_then(|rest| rest.find("*/")).map_or(text.len(), |length| at + length + 4)
            }
            (b',', _) => {
                last_comma = Some(at);
                at + 1
            }
            (b'}' | b']', _) => {
                if let Some(byte) = last_comma.take().and_then(|comma| out.get_mut(comma)) {
                    *byte = b' ';
                }
                at + 1
            }
            (byte, _) => {
                if !byte.is_ascii_whitespace() {
                    last_comma = None;
                }
                at + 1
            }
        };
        if byte == b'/' && end > at + 1 {
            for byte in out.iter_mut().take(end).skip(at).filter(|byte| !byte.is_ascii_whitespace()) {
                *byte = b' ';
            }
        }
        at = end;
    }
    // A byte order mark is no JSON.
    if text.starts_with('\u{feff}') {
        out.iter_mut().take(3).for_each(|byte| *byte = b' ');
    }
    String::from_utf8(out).unwrap_or_default()
}

/// An object's place in the text.
struct Object {
    members: Vec<(String, Range<usize>)>,
    open: usize,
    close: usize,
}

impl Object {
    fn member(&self, name: &str) -> Option<Range<usize>> {
        // Where a name comes twice, parsers take the last.
        self.members.iter().rev().find(|(key, _)| key == name).map(|(_, place)| place.clone())
    }
}

/// The object that begins at or after `from` in strict JSON.
fn object(strict: &str, from: usize) -> Option<Object> {
    let open = from + strict.get(from..)?.find('{')?;
    let mut members = Vec::new();
    let mut at = open + 1;
    loop {
        at += blanks(strict.get(at..)?);
        match strict.as_bytes().get(at)? {
            b'}' => return Some(Object { members, open, close: at }),
            b',' => at += 1,
            b'"' => {
                let end = string_end(strict, at);
                let key = serde_json::from_str(strict.get(at..end)?).ok()?;
                at = end + strict.get(end..)?.find(':')? + 1;
                at += blanks(strict.get(at..)?);
                let end = value_end(strict, at)?;
                members.push((key, at..end));
                at = end;
            }
            _ => return None,
        }
    }
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

fn value_end(strict: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match strict.as_bytes().get(at)? {
            b'"' => {
                at = string_end(strict, at);
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' if depth == 0 => return Some(at),
            byte if depth == 0 && byte.is_ascii_whitespace() => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

/// The text with a further member at the end of an object.
fn insert(text: &str, strict: &str, object: &Object, name: &str, value: &Value, depth: usize) -> String {
    let unit = indentation(text);
    let mut out = text.to_owned();
    let inside = text.get(object.open..object.close).unwrap_or_default();
    if let (Some((_, last)), false, 3..) = (object.members.last(), inside.contains('\n'), depth) {
        // An entry that is written in one line stays in one.
        out.insert_str(last.end, &format!(", {}: {value}", Value::from(name)));
        return out;
    }
    let member = format!("{}{}: {}", unit.repeat(depth), Value::from(name), indented(value, &unit, depth));
    let before_close = text.get(..object.close).unwrap_or_default();
    // The closing brace keeps its own line where it has one.
    let own_line = before_close.rsplit_once('\n').is_some_and(|(_, last)| last.trim().is_empty());
    let (at, text_in) = if own_line {
        (before_close.trim_end_matches([' ', '\t']).len(), format!("{member}\n"))
    } else {
        (object.close, format!("\n{member}\n{}", unit.repeat(depth - 1)))
    };
    out.insert_str(at, &text_in);
    if let Some((_, last)) = object.members.last() {
        // A trailing comma of the original became a blank in `strict`.
        let between = |of: &str| of.get(last.end..object.close).unwrap_or_default().to_owned();
        let trailing = between(text).bytes().zip(between(strict).bytes()).any(|(was, is)| was == b',' && is == b' ')
            && first_is_comma(text, last.end);
        if !trailing {
            out.insert(last.end, ',');
        }
    }
    out
}

/// What one step of indentation is in this file.
fn indentation(text: &str) -> String {
    let first = text.lines().find(|line| line.starts_with([' ', '\t']) && line.trim_start().starts_with('"'));
    let found = first.map(|line| line.len() - line.trim_start().len()).and_then(|length| first?.get(..length));
    found.unwrap_or("  ").to_owned()
}

/// Whether the first thing after a value, comments aside, is a comma.
fn first_is_comma(text: &str, from: usize) -> bool {
    let mut rest = text.get(from..).unwrap_or_default().trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, rest)| rest).trim_start()
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest).trim_start()
        } else {
            return rest.starts_with(',');
        };
    }
}

fn indented(value: &Value, unit: &str, depth: usize) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    let lines = pretty.lines().map(|line| {
        let inner = line.trim_start_matches(' ');
        format!("{}{inner}", unit.repeat((line.len() - inner.len()) / 2))
    });
    lines.collect::<Vec<_>>().join(&format!("\n{}", unit.repeat(depth)))
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
            "\u{feff}{\"a\": [1, 2,], \"mcpServers\": {\"b\": 1,\n}}",
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
