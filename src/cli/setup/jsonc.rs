//! Changing one member of a JSON file with comments, all other text staying as it is.

use std::ops::Range;

use serde_json::{Map, Value};

/// Whether `list` of the document has a member `name`.
///
/// # Errors
/// When the file is broken, in words.
pub fn has(text: &str, list: &str, name: &str) -> Result<bool, String> {
    let (_, document) = parsed(text)?;
    Ok(document.get(list).and_then(|list| list.get(name)).is_some())
}

/// The document with `entry` as member `name` of `list`. An entry that is there keeps what `entry` does not say, and its environment.
///
/// # Errors
/// When the file is broken, in words.
pub fn with_entry(text: &str, list: &str, name: &str, entry: &Value) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    let (strict, document) = parsed(text)?;
    let root = object(&strict, 0).ok_or("it is not a JSON object")?;
    let Some(servers) = document.get(list) else {
        return Ok(insert(text, &strict, &root, list, &serde_json::json!({name: entry}), 1));
    };
    let Some(servers) = servers.as_object() else { return Err(format!("its `{list}` is not an object")) };
    let place = root.member(list).ok_or_else(|| format!("its `{list}` cannot be found"))?;
    let inner = object(&strict, place.start).ok_or_else(|| format!("its `{list}` is not an object"))?;
    match servers.get(name) {
        None => Ok(insert(text, &strict, &inner, name, entry, 2)),
        Some(old) => {
            let merged = merged(old, entry);
            if merged == *old {
                return Ok(text.to_owned());
            }
            let place = inner.member(name).ok_or_else(|| format!("its `{name}` cannot be found"))?;
            let mut out = text.to_owned();
            out.replace_range(place, &indented(&merged, 2));
            Ok(out)
        }
    }
}

fn merged(old: &Value, entry: &Value) -> Value {
    let mut all = old.as_object().cloned().unwrap_or_else(Map::new);
    for (key, value) in entry.as_object().into_iter().flatten() {
        if key != "env" || !all.contains_key("env") {
            all.insert(key.clone(), value.clone());
        }
    }
    Value::Object(all)
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

/// Where the string that begins at `start` ends.
fn string_end(text: &str, start: usize) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(start + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// An object's place in the text.
struct Object {
    members: Vec<(String, Range<usize>)>,
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
            b'}' => return Some(Object { members, close: at }),
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
    let indent = "  ".repeat(depth);
    let member = format!("{indent}{}: {}", Value::from(name), indented(value, depth));
    let mut out = text.to_owned();
    let before_close = text.get(..object.close).unwrap_or_default();
    // The closing brace keeps its own line where it has one.
    let own_line = before_close.rsplit_once('\n').is_some_and(|(_, last)| last.trim().is_empty());
    let outer = "  ".repeat(depth - 1);
    let (at, text_in) = if own_line {
        (before_close.trim_end_matches([' ', '\t']).len(), format!("{member}\n"))
    } else {
        (object.close, format!("\n{member}\n{outer}"))
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

fn indented(value: &Value, depth: usize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default().replace('\n', &format!("\n{}", "  ".repeat(depth)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{has, with_entry};

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
            assert!(
                has(&new, "mcpServers", "callboard").unwrap_or_else(|error| panic!("{old}\n{new}\n{error}")),
                "{new}"
            );
            for kept in ["// mine", "// keep", "\"other\"", "\"theme\": \"dark\"", "/* c */", "\"z\": 1", "/* , } */"] {
                assert_eq!(old.contains(kept), new.contains(kept), "{kept}\n{new}");
            }
            assert_eq!(
                with_entry(&new, "mcpServers", "callboard", &entry).unwrap(),
                new,
                "a second time changes nothing"
            );
        }
    }

    #[test]
    fn an_entry_that_is_there_keeps_its_environment() {
        let old = r#"{"mcpServers": {"callboard": {"command": "old", "env": {"DATABASE_URL": "x"}, "timeout": 5}}}"#;
        let new =
            with_entry(old, "mcpServers", "callboard", &json!({"command": "new", "args": [], "env": {}})).unwrap();
        let new: serde_json::Value = serde_json::from_str(&new).unwrap();
        assert_eq!(
            new["mcpServers"]["callboard"],
            json!({"command": "new", "args": [], "env": {"DATABASE_URL": "x"}, "timeout": 5})
        );
    }

    #[test]
    fn a_broken_file_is_refused() {
        for broken in ["{", "[]", "{\"a\" 1}", "nonsense", "{\"mcpServers\": []}", "{\"a\": \"x}"] {
            assert!(with_entry(broken, "mcpServers", "callboard", &json!({})).is_err(), "{broken}");
        }
    }
}
