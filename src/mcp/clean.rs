//! What agents read cannot hide anything: characters that turn the reading order or carry invisible text are taken out and counted, control
//! characters are shown as escapes, and half of a surrogate pair as U+FFFD. Only answers are changed, never what is written.

use std::fmt::Write;

use serde_json::Value;

/// Cleans the JSON text of an answer. The first member, `removed_characters`, says how many characters were taken out, if any were.
pub fn clean(json: String) -> String {
    if json.is_ascii() && memchr::memchr2(b'\\', 0x7f, json.as_bytes()).is_none() {
        return json;
    }
    let mut cleaned = Cleaned { text: String::with_capacity(json.len() + 32), removed: 0 };
    let mut rest = json.as_str();
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'\\' | 0x7f | 0xc2 | 0xd8 | 0xe2 | 0xf3)) {
        let (harmless, suspect) = rest.split_at(at);
        cleaned.text.push_str(harmless);
        rest = cleaned.one(suspect);
    }
    cleaned.text.push_str(rest);
    match (cleaned.removed, cleaned.text.strip_prefix('{')) {
        (0, _) | (_, None) => cleaned.text,
        (removed, Some(members)) => {
            let comma = if members.starts_with('}') { "" } else { "," };
            format!(r#"{{"removed_characters":{removed}{comma}{members}"#)
        }
    }
}

/// Cleans a sentence, not JSON: what would be taken out or escaped becomes a replacement character.
pub fn sentence(text: &str) -> String {
    text.chars().map(|c| if hides(u32::from(c)) || c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Cleans the strings of a JSON value that others write: what would be taken out or escaped becomes a replacement character.
pub fn strings(value: &mut Value) {
    match value {
        Value::String(text) => {
            let shown =
                |c: char| if hides(u32::from(c)) || breaks(u32::from(c)) { char::REPLACEMENT_CHARACTER } else { c };
            *text = text.chars().map(shown).collect();
        }
        Value::Array(items) => items.iter_mut().for_each(strings),
        Value::Object(members) => members.values_mut().for_each(strings),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

struct Cleaned {
    text: String,
    removed: usize,
}

impl Cleaned {
    /// Handles what `suspect` starts with: an escape or a character. Gives back what follows.
    fn one<'a>(&mut self, suspect: &'a str) -> &'a str {
        if suspect.starts_with('\\') {
            let (character, length) = escape(suspect);
            let (written, rest) = suspect.split_at_checked(length).unwrap_or((suspect, ""));
            match character {
                hidden if hides(hidden) => self.removed += 1,
                // Half of a character, with which strict readers refuse the whole answer.
                0xd800..=0xdfff => self.text.push_str("\\ufffd"),
                _ => self.text.push_str(written),
            }
            return rest;
        }
        let mut characters = suspect.chars();
        let Some(character) = characters.next() else { return "" };
        match u32::from(character) {
            hidden if hides(hidden) => self.removed += 1,
            shown if breaks(shown) => {
                // Writing to a string cannot fail.
                let _ = write!(self.text, "\\u{shown:04x}");
            }
            _ => self.text.push(character),
        }
        characters.as_str()
    }
}

/// The character that an escape stands for (0 where it is of no interest), and how long it is.
fn escape(text: &str) -> (u32, usize) {
    match (unit(text, 0), unit(text, 6)) {
        (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
            (0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00), 12)
        }
        (Some(unit), _) => (unit, 6),
        (None, _) => (0, 2),
    }
}

fn unit(text: &str, at: usize) -> Option<u32> {
    u32::from_str_radix(text.get(at..at + 6)?.strip_prefix("\\u")?, 16).ok()
}

/// Control characters that JSON lets stand as they are, and two that some readers take for line breaks.
fn breaks(character: u32) -> bool {
    matches!(character, 0x7f..=0x9f | 0x2028 | 0x2029)
}

/// Bidirectional controls and tag characters.
fn hides(character: u32) -> bool {
    matches!(character, 0x061c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069 | 0xe0000..=0xe007f)
}
