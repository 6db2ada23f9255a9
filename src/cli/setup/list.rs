//! Changing single elements of a list that is written in brackets: `["serve", "--read-only"]`, in TOML or YAML.

use std::ops::Range;

use super::entry::Edit;

/// Where the elements of a list stand. `place` is the list with its brackets, in text without comments.
pub fn elements(text: &str, place: Range<usize>) -> Option<Vec<Range<usize>>> {
    let end = place.end.checked_sub(1)?;
    let mut elements = Vec::new();
    let mut start = None;
    let mut last = 0;
    let mut at = place.start + 1;
    while at < end {
        let byte = *text.as_bytes().get(at)?;
        match byte {
            b',' => elements.extend(start.take().map(|start| start..last)),
            b'"' | b'\'' if start.is_none() => {
                start = Some(at);
                at = quoted_end(text, at);
                last = at;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                start.get_or_insert(at);
                last = at + 1;
            }
        }
        at += 1;
    }
    elements.extend(start.map(|start| start..last));
    Some(elements)
}

/// Where the text in quotes that begins at `start` ends.
pub fn quoted_end(text: &str, start: usize) -> usize {
    let quote = text.as_bytes().get(start).copied().unwrap_or(b'"');
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(start + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quote == b'"' => escaped = true,
            byte if byte == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The text with the list changed whose bracket opens at `open`; comments, line breaks and a trailing comma stay.
pub fn edited(text: &str, open: usize, elements: &[Range<usize>], edits: &[Edit]) -> Option<String> {
    let mut out = text.to_owned();
    let mut added = String::new();
    let between = elements.first().map_or(" ", |first| text.get(open + 1..first.start).unwrap_or_default());
    // One element a line: so does what is added.
    let separator = match between.rfind('\n') {
        Some(at) => format!(",{}", between.get(at..).unwrap_or_default()),
        None => ", ".to_owned(),
    };
    for edit in edits {
        if let Edit::Append(value) = edit {
            added.push_str(&separator);
            added.push_str(&quoted(value));
        }
    }
    match elements.last() {
        Some(last) => out.insert_str(last.end, &added),
        None => out.insert_str(open + 1, added.trim_start_matches([',', ' '])),
    }
    let mut replaced: Vec<(Range<usize>, String)> = Vec::new();
    for edit in edits {
        if let Edit::Replace(at, value) = edit {
            replaced.push((elements.get(*at)?.clone(), quoted(value)));
        }
    }
    // From the last to the first, so that no place moves.
    replaced.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, value) in replaced {
        out.replace_range(place, &value);
    }
    Some(out)
}

/// A JSON string is one in TOML and YAML too.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A list of texts, in one line.
pub fn written(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", "))
}
