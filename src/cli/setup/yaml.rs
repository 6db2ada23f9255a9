//! Changing one extension of Goose's YAML file, all other text staying as it is. Only the plain layout that Goose itself writes is understood.

use std::ops::Range;

use super::{
    NAME,
    entry::{Change, Edit, Entry, Existing},
    list::{edited, elements, quoted, quoted_end, written},
};

const UNKNOWN_FORM: &str = "its `extensions` are written in a form that setup cannot change";

/// The extension, below `extensions:`.
pub fn block(entry: &Entry) -> String {
    format!(
        "  {NAME}:\n    enabled: true\n    type: stdio\n    name: {NAME}\n    cmd: {}\n    args: {}\n    envs: {{}}\n    timeout: 300\n",
        quoted(&entry.command),
        written(&entry.args)
    )
}

/// The extensions of the file.
///
/// # Errors
/// When the file has another layout, in words.
pub fn entries(text: &str) -> Result<Vec<Existing>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let Some(block) = extensions(&lines)? else { return Ok(Vec::new()) };
    names(&lines, block).into_iter().map(|(name, body)| existing(&lines, name, body)).collect()
}

fn existing(lines: &[&str], name: String, body: Range<usize>) -> Result<Existing, String> {
    let mut existing = Existing { name, ..Existing::default() };
    for at in body.clone() {
        let Some((key, value)) = field(lines, at) else { continue };
        match key {
            "cmd" => existing.command = Some(scalar(value)),
            "args" => existing.args = Some(args(lines, at, body.end).ok_or(UNKNOWN_FORM)?),
            "envs" => {
                existing.variables = variables(lines, at, body.end);
                if !existing.variables.is_empty() {
                    existing.other_keys.push(key.to_owned());
                }
            }
            _ => existing.other_keys.push(key.to_owned()),
        }
    }
    Ok(existing)
}

/// The file with a further extension.
///
/// # Errors
/// When the file has another layout, in words.
pub fn with_entry(text: &str, entry: &Entry) -> Result<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    if let Some(block_lines) = extensions(&lines)? {
        let mut out: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let heading = block_lines.start.saturating_sub(1);
        if let Some(line) = out.get_mut(heading) {
            *line = line.replacen("{}", "", 1).trim_end().to_owned();
        }
        out.splice(block_lines.start..block_lines.start, block(entry).lines().map(str::to_owned));
        return Ok(format!("{}\n", out.join("\n")));
    }
    Ok(format!("{}\n\nextensions:\n{}", text.trim_end(), block(entry)))
}

/// The file with the extension `name` changed.
///
/// # Errors
/// When the extension is written in a form that cannot be changed.
pub fn changed(text: &str, name: &str, change: &Change) -> Result<String, String> {
    let mut out: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(command) = &change.command {
        let lines: Vec<&str> = out.iter().map(String::as_str).collect();
        let body = body(&lines, name)?;
        match key_line(&lines, body.clone(), "cmd") {
            Some(at) => replace_scalar(&mut out, at, command)?,
            None => out.insert(body.start, format!("    cmd: {}", quoted(command))),
        }
    }
    let lines: Vec<&str> = out.iter().map(String::as_str).collect();
    let body = body(&lines, name)?;
    if let Some(args) = &change.all_args {
        out.insert(body.start, format!("    args: {}", written(args)));
    } else if !change.edits.is_empty() {
        let at = key_line(&lines, body.clone(), "args").ok_or(UNKNOWN_FORM)?;
        let items = items(&lines, at, body.end);
        if items.is_empty() {
            let line = lines.get(at).copied().unwrap_or_default();
            let place = bracketed(line).ok_or(UNKNOWN_FORM)?;
            let elements = elements(line, place.clone()).ok_or(UNKNOWN_FORM)?;
            let new = edited(line, place.start, &elements, &change.edits).ok_or(UNKNOWN_FORM)?;
            out.splice(at..=at, [new]);
        } else {
            edit_items(&mut out, &items, &change.edits)?;
        }
    }
    Ok(format!("{}{}", out.join("\n"), if text.ends_with('\n') { "\n" } else { "" }))
}

fn edit_items(out: &mut Vec<String>, items: &[usize], edits: &[Edit]) -> Result<(), String> {
    let last = *items.last().ok_or(UNKNOWN_FORM)?;
    let indent = out.get(last).and_then(|line| line.split_once('-')).map(|(indent, _)| indent.to_owned());
    let indent = indent.unwrap_or_default();
    let mut after = last + 1;
    for edit in edits {
        match edit {
            Edit::Replace(index, value) => replace_scalar(out, *items.get(*index).ok_or(UNKNOWN_FORM)?, value)?,
            Edit::Append(value) => {
                out.insert(after, format!("{indent}- {}", quoted(value)));
                after += 1;
            }
        }
    }
    Ok(())
}

/// The lines below `extensions:`, up to the next key of the document. None where there is no such key.
fn extensions(lines: &[&str]) -> Result<Option<Range<usize>>, String> {
    if let Some(at) = lines.iter().position(|line| line.trim_start_matches(' ').starts_with('\t')) {
        return Err(format!("it is not valid YAML: line {} is indented by a tab", at + 1));
    }
    let fits = |line: &&str| line.is_empty() || line.starts_with([' ', '#', '-', '.', '%']) || line.contains(':');
    if let Some(at) = lines.iter().position(|line| !fits(line)) {
        return Err(format!("it is not a YAML file of settings: line {} has no key", at + 1));
    }
    let Some(heading) = lines.iter().position(|line| line.starts_with("extensions:")) else { return Ok(None) };
    let start = heading + 1;
    let length = lines.iter().skip(start).position(|line| !line.is_empty() && !line.starts_with([' ', '#']));
    let end = length.map_or(lines.len(), |length| start + length);
    let value = lines.get(heading).and_then(|line| line.split_once(':')).map_or("", |(_, value)| value);
    let value = value.split_once('#').map_or(value, |(value, _)| value).trim();
    let strange =
        |line: &&str| !line.trim().is_empty() && !line.starts_with("  ") && !line.trim_start().starts_with('#');
    if !["", "{}"].contains(&value) || lines.iter().take(end).skip(start).any(strange) {
        return Err(UNKNOWN_FORM.to_owned());
    }
    Ok(Some(start..end))
}

/// Each extension with the lines of its fields.
fn names(lines: &[&str], block: Range<usize>) -> Vec<(String, Range<usize>)> {
    let mut names: Vec<(String, Range<usize>)> = Vec::new();
    for at in block {
        let line = lines.get(at).copied().unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if indent == 2
            && let Some((name, _)) = line.trim().split_once(':')
        {
            names.push((scalar(name), at + 1..at + 1));
        } else if let Some((_, body)) = names.last_mut() {
            body.end = at + 1;
        }
    }
    names
}

fn body(lines: &[&str], name: &str) -> Result<Range<usize>, String> {
    let block = extensions(lines)?.ok_or(UNKNOWN_FORM)?;
    let found = names(lines, block).into_iter().find(|(known, _)| known == name);
    found.map(|(_, body)| body).ok_or_else(|| UNKNOWN_FORM.to_owned())
}

/// The key and the value of a field of an extension.
fn field<'a>(lines: &[&'a str], at: usize) -> Option<(&'a str, &'a str)> {
    let line = lines.get(at)?.strip_prefix("    ")?;
    if line.starts_with([' ', '#', '-']) {
        return None;
    }
    line.split_once(':').map(|(key, value)| (key.trim(), value.trim()))
}

fn key_line(lines: &[&str], mut body: Range<usize>, key: &str) -> Option<usize> {
    body.find(|at| field(lines, *at).is_some_and(|(known, _)| known == key))
}

fn args(lines: &[&str], at: usize, end: usize) -> Option<Vec<String>> {
    let items = items(lines, at, end);
    if !items.is_empty() {
        let item = |at: &usize| lines.get(*at)?.trim_start().strip_prefix('-').map(|item| scalar(item.trim()));
        return items.iter().map(item).collect();
    }
    let line = lines.get(at)?;
    let places = elements(line, bracketed(line)?)?;
    places.into_iter().map(|place| line.get(place).map(scalar)).collect()
}

/// Names below a key, or in braces behind it.
fn variables(lines: &[&str], at: usize, end: usize) -> Vec<String> {
    let name = |text: &str| text.split_once(':').map(|(name, _)| scalar(name));
    let braces = lines.get(at).and_then(|line| line.split_once('{')?.1.split_once('}'));
    if let Some((inner, _)) = braces {
        return inner.split(',').filter_map(name).collect();
    }
    let below =
        lines.iter().take(end).skip(at + 1).take_while(|line| line.trim().is_empty() || line.starts_with("      "));
    below.filter(|line| !line.trim_start().starts_with('#')).filter_map(|line| name(line)).collect()
}

/// Lines of a list that has one item a line.
fn items(lines: &[&str], at: usize, end: usize) -> Vec<usize> {
    let is_comment = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let rows = (at + 1..end).filter(|at| lines.get(*at).is_some_and(|line| !is_comment(line)));
    rows.take_while(|at| lines.get(*at).is_some_and(|line| line.trim_start().starts_with("- "))).collect()
}

/// Where a list in brackets stands that ends on its line.
fn bracketed(line: &str) -> Option<Range<usize>> {
    let start = line.find('[')?;
    let mut at = start + 1;
    loop {
        match line.as_bytes().get(at)? {
            b']' => return Some(start..at + 1),
            b'"' => at = quoted_end(line, at),
            _ => at += 1,
        }
    }
}

/// What a value says, without its quotes and its comment.
fn scalar(written: &str) -> String {
    let written = written.trim();
    if written.starts_with(['"', '\'']) {
        let inner = written.get(..quoted_end(written, 0)).unwrap_or_default();
        return serde_json::from_str(inner).unwrap_or_else(|_| inner.trim_matches('\'').to_owned());
    }
    written.split_once(" #").map_or(written, |(value, _)| value).trim().to_owned()
}

/// Puts another value into `key: value` or `- value`; a comment behind it stays.
fn replace_scalar(out: &mut [String], at: usize, value: &str) -> Result<(), String> {
    let line = out.get_mut(at).ok_or(UNKNOWN_FORM)?;
    let mark = if line.trim_start().starts_with("- ") { "-" } else { ":" };
    let (head, old) = line.split_once(mark).ok_or(UNKNOWN_FORM)?;
    let trimmed = old.trim_start();
    let length = match trimmed.starts_with(['"', '\'']) {
        true => quoted_end(trimmed, 0),
        false => trimmed.find(" #").unwrap_or(trimmed.len()),
    };
    let tail = trimmed.get(length..).unwrap_or_default();
    *line = format!("{head}{mark} {}{tail}", quoted(value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Change, Edit, Entry, changed, entries, with_entry};

    #[test]
    fn everything_else_stays() {
        let entry = Entry { command: "/opt/callboard".to_owned(), args: vec!["serve".to_owned()] };
        for old in [
            "GOOSE_MODEL: x\n",
            "extensions:\n  developer:\n    enabled: true # keep\nGOOSE_MODEL: x\n",
            "# mine\nextensions: {}\nGOOSE_MODEL: x\n",
        ] {
            let new = with_entry(old, &entry).unwrap();
            let found = entries(&new).unwrap();
            let ours = found.iter().find(|entry| entry.name == "callboard").unwrap();
            assert_eq!(ours.command.as_deref(), Some("/opt/callboard"), "{new}");
            assert_eq!(ours.args, Some(vec!["serve".to_owned()]), "{new}");
            assert!(new.contains("GOOSE_MODEL: x") && old.contains("# keep") == new.contains("# keep"), "{new}");
        }
        assert!(entries("\tx: 1\n").is_err());
        assert!(entries("extensions: [a]\n").is_err());
    }

    #[test]
    fn an_extension_keeps_its_layout() {
        let change = Change {
            command: Some("/new".to_owned()),
            edits: vec![Edit::Replace(1, "--toolsets=ops".to_owned()), Edit::Append("--read-only".to_owned())],
            ..Change::default()
        };
        let old = "extensions:\n  callboard:\n    cmd: old # where\n    args:\n      - serve\n      - --toolsets=sql # these\n    envs:\n      A: b\n  other:\n    cmd: x\n";
        let wanted = old
            .replace("old # where", "\"/new\" # where")
            .replace("--toolsets=sql # these", "\"--toolsets=ops\" # these\n      - \"--read-only\"");
        assert_eq!(changed(old, "callboard", &change).unwrap(), wanted);
        let flow = "extensions:\n  callboard:\n    args: [serve, '--toolsets=sql'] # these\n    cmd: 'old'\n";
        let wanted = "extensions:\n  callboard:\n    args: [serve, \"--toolsets=ops\", \"--read-only\"] # these\n    cmd: \"/new\"\n";
        assert_eq!(changed(flow, "callboard", &change).unwrap(), wanted);
    }
}
