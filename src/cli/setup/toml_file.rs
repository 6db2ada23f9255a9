//! Changing one section of a TOML file, all other text staying as it is.

use std::ops::Range;

use super::{
    NAME,
    entry::{Change, Entry, Existing, other_keys},
    list::{edited, quoted, quoted_end, written},
};

const UNKNOWN_FORM: &str = "its entry is written in a form that setup cannot change";

/// The section.
pub fn section(entry: &Entry) -> String {
    format!("[mcp_servers.{NAME}]\ncommand = {}\nargs = {}\n", quoted(&entry.command), written(&entry.args))
}

/// The servers that the file lists.
///
/// # Errors
/// When the file is broken, in words.
pub fn entries(text: &str) -> Result<Vec<Existing>, String> {
    let table = parsed(text)?;
    let Some(servers) = table.get("mcp_servers") else { return Ok(Vec::new()) };
    let Some(servers) = servers.as_table() else { return Err("its `mcp_servers` is not a table".to_owned()) };
    servers.iter().map(|(name, entry)| existing(name, entry)).collect()
}

fn existing(name: &str, entry: &toml::Value) -> Result<Existing, String> {
    let Some(entry) = entry.as_table() else {
        if name == NAME {
            return Err(format!("its `mcp_servers.{name}` is not a table"));
        }
        return Ok(Existing { name: name.to_owned(), ..Existing::default() });
    };
    let command = entry.get("command").and_then(toml::Value::as_str).map(str::to_owned);
    let texts = |items: &Vec<toml::Value>| items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    let args: Option<Vec<String>> = entry.get("args").and_then(toml::Value::as_array).and_then(texts);
    if name == NAME
        && (entry.contains_key("command") != command.is_some() || entry.contains_key("args") != args.is_some())
    {
        return Err(format!(
            "the `command` of its `mcp_servers.{name}` is not a text, or its `args` are not a list of texts"
        ));
    }
    let variables: Vec<String> =
        entry.get("env").and_then(toml::Value::as_table).into_iter().flat_map(|env| env.keys().cloned()).collect();
    let other_keys = other_keys(entry.keys(), &variables);
    Ok(Existing { name: name.to_owned(), command, args, other_keys, variables })
}

fn parsed(text: &str) -> Result<toml::Table, String> {
    text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
        format!("it is not valid TOML: line {line}: {}", error.message().replace('\n', " "))
    })
}

/// The file with a further section.
///
/// # Errors
/// When servers are listed in a form that takes no section.
pub fn with_entry(text: &str, entry: &Entry) -> Result<String, String> {
    let gap = match text {
        "" => "",
        text if text.ends_with("\n\n") => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let new = format!("{text}{gap}{}", section(entry));
    parsed(&new).map_err(|_| "its `mcp_servers` are written in a form that setup cannot add to".to_owned())?;
    Ok(new)
}

/// The file with the section `name` changed.
///
/// # Errors
/// When the entry is written in another way than as a section.
pub fn changed(text: &str, name: &str, change: &Change) -> Result<String, String> {
    let mut text = text.to_owned();
    if let Some(command) = &change.command {
        text = with_value(&text, name, "command", &quoted(command)).ok_or(UNKNOWN_FORM)?;
    }
    if let Some(args) = &change.all_args {
        text = with_value(&text, name, "args", &written(args)).ok_or(UNKNOWN_FORM)?;
    }
    if !change.edits.is_empty() {
        let strict = strict(&text);
        let place = body(&strict, name).and_then(|body| value(&strict, body, "args")).ok_or(UNKNOWN_FORM)?;
        text = edited(&text, &strict, place, &change.edits).ok_or(UNKNOWN_FORM)?;
    }
    parsed(&text).map_err(|_| UNKNOWN_FORM.to_owned())?;
    Ok(text)
}

fn with_value(text: &str, name: &str, key: &str, new: &str) -> Option<String> {
    let strict = strict(text);
    let body = body(&strict, name)?;
    let mut out = text.to_owned();
    match value(&strict, body.clone(), key) {
        Some(place) => out.replace_range(place, new),
        None => out.insert_str(body.start, &format!("{key} = {new}\n")),
    }
    Some(out)
}

/// The text with comments as blanks, of the same length.
fn strict(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at).copied() {
        let rest = text.get(at..).unwrap_or_default();
        at = match byte {
            b'"' | b'\'' => {
                let three = if byte == b'"' { "\"\"\"" } else { "'''" };
                match rest.strip_prefix(three).and_then(|inner| inner.find(three)) {
                    Some(length) => at + length + 6,
                    None => quoted_end(text, at),
                }
            }
            b'#' => {
                let end = rest.find('\n').map_or(text.len(), |length| at + length);
                out.iter_mut().take(end).skip(at).for_each(|byte| *byte = b' ');
                end
            }
            _ => at + 1,
        };
    }
    String::from_utf8(out).unwrap_or_default()
}

/// What stands below the heading of `mcp_servers.name`, up to the next heading.
fn body(strict: &str, name: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut depth = 0_usize;
    let mut at = 0;
    for line in strict.split_inclusive('\n') {
        let is_heading = depth == 0 && line.trim_start().starts_with('[');
        match found {
            Some(start) if is_heading => return Some(start..at),
            None if is_heading && is_heading_of(line.trim(), name) => found = Some(at + line.len()),
            _ => {}
        }
        if !is_heading {
            depth = (depth + line.matches('[').count()).saturating_sub(line.matches(']').count());
        }
        at += line.len();
    }
    found.map(|start| start..strict.len())
}

fn is_heading_of(line: &str, name: &str) -> bool {
    let Some(inner) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) else { return false };
    let mut parts = inner.splitn(2, '.').map(|part| part.trim().trim_matches(['"', '\'']));
    parts.next() == Some("mcp_servers") && parts.next() == Some(name)
}

/// Where the value of a key stands.
fn value(strict: &str, body: Range<usize>, key: &str) -> Option<Range<usize>> {
    let mut at = body.start;
    for line in strict.get(body)?.split_inclusive('\n') {
        if let Some((left, right)) = line.split_once('=')
            && left.trim().trim_matches(['"', '\'']) == key
        {
            let start = at + left.len() + 1 + (right.len() - right.trim_start().len());
            return Some(start..end_of_value(strict, start)?);
        }
        at += line.len();
    }
    None
}

fn end_of_value(strict: &str, start: usize) -> Option<usize> {
    match strict.as_bytes().get(start)? {
        b'"' | b'\'' => Some(quoted_end(strict, start)),
        b'[' => {
            let mut at = start + 1;
            loop {
                match strict.as_bytes().get(at)? {
                    b']' => return Some(at + 1),
                    b'"' | b'\'' => at = quoted_end(strict, at),
                    _ => at += 1,
                }
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Entry, entries, with_entry};
    use crate::cli::setup::entry::Edit;

    #[test]
    fn everything_else_stays() {
        let entry = Entry { command: "/opt/call board".to_owned(), args: vec!["serve".to_owned()] };
        let old = "# mine\nmodel = \"x\"\n\n[mcp_servers.other]\ncommand = \"y\" # keep\n";
        let new = with_entry(old, &entry).unwrap();
        assert_eq!(new, format!("{old}\n[mcp_servers.callboard]\ncommand = \"/opt/call board\"\nargs = [\"serve\"]\n"));
        assert_eq!(entries(&new).unwrap().len(), 2);
        assert!(entries("a = ").unwrap_err().starts_with("it is not valid TOML: line 1: "));
    }

    #[test]
    fn a_section_keeps_its_comments_and_other_keys() {
        let old = "[ mcp_servers . \"callboard\" ] # ours\ncommand = 'old' # where\nargs = [\n  \"serve\", # on\n]\nstartup_timeout_sec = 5\n[mcp_servers.callboard.env]\ncommand = \"x\"\n";
        let change = Change {
            command: Some("/new".to_owned()),
            edits: vec![Edit::Append("--read-only".to_owned())],
            ..Change::default()
        };
        let new = super::changed(old, "callboard", &change).unwrap();
        let wanted = old.replace("'old'", "\"/new\"").replace("\"serve\",", "\"serve\",\n  \"--read-only\",");
        assert_eq!(new, wanted);
        assert!(super::changed("mcp_servers.callboard = {command = \"x\"}", "callboard", &change).is_err());
    }
}
