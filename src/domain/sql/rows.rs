//! Rows as callers give them: JSON objects, read without turning any number into a double, and with what no database can take named per row.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::domain::json::{Json, Members, Name};

/// Why a row cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The column at fault, where known.
    pub column: Option<String>,
    /// SQLSTATE.
    pub code: String,
    /// The sentence, as PostgreSQL says it where it says one.
    pub reason: String,
    /// What PostgreSQL adds as DETAIL.
    pub detail: Option<String>,
}

impl Fault {
    /// A fault of one column.
    pub fn of(column: &str, code: &str, reason: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), code: code.to_owned(), reason: reason.into(), detail: None }
    }
}

/// Hands each key of a row to `take` with the text of its value, in the row's order.
///
/// # Errors
/// The fault `take` answers, or 22P02 or 22P05 when the row itself cannot be read.
pub fn read<'row>(
    row: &'row str,
    mut take: impl FnMut(Cow<'row, str>, &'row str) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let members: Members<&RawValue, Name<'_>> = serde_json::from_str(row).map_err(|error| unreadable(&error))?;
    members.0.into_iter().try_for_each(|(Name(name), value)| take(name, value.get()))
}

/// What is wrong with the characters of a JSON value: NUL, or half of a surrogate pair, neither of which any text column holds.
pub fn characters(column: &str, value: &str) -> Option<Fault> {
    let mut rest = value;
    while let Some(at) = rest.find('\\') {
        let escape = rest.get(at..).unwrap_or_default();
        let Some(unit) = code_unit(escape) else {
            rest = escape.get(2..).unwrap_or_default();
            continue;
        };
        let after = escape.get(6..).unwrap_or_default();
        rest = after;
        match unit {
            0 => return Some(Fault::of(column, "22021", "invalid byte sequence for encoding \"UTF8\": 0x00")),
            0xd800..=0xdbff if code_unit(after).is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) => {
                rest = after.get(6..).unwrap_or_default();
            }
            0xd800..=0xdfff => return Some(Fault::of(column, "22P05", "unsupported Unicode escape sequence")),
            _ => {}
        }
    }
    None
}

/// The text inside a JSON string.
pub fn unescaped(string: &str) -> Option<Cow<'_, str>> {
    let inside = string.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') { serde_json::from_str(string).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
}

/// The document that a JSON string for a column of documents holds, where it begins as an object or array: hosts like to send those as
/// text. Any other string is a string.
///
/// # Errors
/// The place in a text that begins so and is no JSON, with what is wrong there.
pub fn document_in(json: &str) -> Result<Option<String>, String> {
    let Some(inner) = unescaped(json).filter(|inner| inner.trim_start().starts_with(['{', '['])) else {
        return Ok(None);
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(&inner) {
        Ok(_) => Ok(Some(inner.into_owned())),
        Err(error) => Err(broken(&inner, &error)),
    }
}

/// `expected value at line 1, character 7`. The parser counts bytes.
fn broken(document: &str, error: &serde_json::Error) -> String {
    let words = error.to_string();
    let what = words.split(" at line ").next().unwrap_or_default();
    let line = document.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let character = line.char_indices().take_while(|(at, _)| *at < error.column()).count();
    format!("{what} at line {}, character {character}", error.line())
}

/// A row fit for an answer: half a surrogate pair, which strict readers refuse, becomes U+FFFD.
pub fn readable(row: &Json) -> Json {
    let mut text = row.get().to_owned();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find('\\')).map(|at| at + from) {
        let escape = text.get(at..).unwrap_or_default();
        let after = escape.get(6..).unwrap_or_default();
        from = match code_unit(escape) {
            Some(0xd800..=0xdbff) if code_unit(after).is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) => at + 12,
            Some(0xd800..=0xdfff) => {
                text.replace_range(at..at + 6, "\\ufffd");
                at + 6
            }
            Some(_) => at + 6,
            None => at + 2,
        };
    }
    RawValue::from_string(text).unwrap_or_else(|_| row.clone())
}

fn code_unit(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

fn unreadable(error: &serde_json::Error) -> Fault {
    let reason = error.to_string();
    let code = if reason.contains("surrogate") || reason.contains("escape") { "22P05" } else { "22P02" };
    let reason =
        if code == "22P05" { "unsupported Unicode escape sequence" } else { "invalid input syntax for type json" };
    Fault { column: None, code: code.to_owned(), reason: reason.to_owned(), detail: None }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{characters, document_in, read, readable};

    fn keys(row: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        read(row, |key, value| {
            all.push((key.into_owned(), value.to_owned()));
            Ok(())
        })
        .unwrap();
        all
    }

    #[test]
    fn values_keep_their_text() {
        let row = r#"{"n":9007199254740993.10,"t":"a\"b","o":{"x":[1, 2]},"\u0041":null}"#;
        let wanted = [("n", "9007199254740993.10"), ("t", r#""a\"b""#), ("o", r#"{"x":[1, 2]}"#), ("A", "null")];
        assert_eq!(keys(row), wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn characters_that_no_column_holds_are_found() {
        let code = |value: &str| characters("c", value).map(|fault| fault.code);
        assert_eq!(code(r#""a\u0000b""#).as_deref(), Some("22021"));
        assert_eq!(code(r#""\ud800""#).as_deref(), Some("22P05"));
        assert_eq!(code(r#""\udc00\ud800""#).as_deref(), Some("22P05"));
        assert_eq!(code(r#""\ud83d\ude00 \\u0000 \n""#), None);
        assert_eq!(code(r#"{"k":["\\\u0000"]}"#).as_deref(), Some("22021"));
    }

    #[test]
    fn only_a_string_that_holds_an_object_or_array_is_a_document() {
        for (json, wanted) in [
            (r#""{\"n\":1.10, \"n\":9007199254740993}""#, Ok(Some(r#"{"n":1.10, "n":9007199254740993}"#))),
            (r#"" [1]""#, Ok(Some(" [1]"))),
            (r#""{a,b}""#, Err("key must be a string at line 1, character 2")),
            (r#""[1] and more""#, Err("trailing characters at line 1, character 5")),
            (r#""{\"ü\":\n \"ü\",}""#, Err("key must be a string at line 2, character 6")),
            (r#""[1, 2""#, Err("EOF while parsing a list at line 1, character 5")),
            (r#""5""#, Ok(None)),
            (r#""\"{}\"""#, Ok(None)),
            (r#"{"a":"{}"}"#, Ok(None)),
        ] {
            assert_eq!(document_in(json).as_ref().map(Option::as_deref).map_err(String::as_str), wanted, "{json}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced_in_answers() {
        let row = RawValue::from_string(r#"{"a":"\\ud800 \ud800 \ud83d\ude00 \udc00"}"#.to_owned()).unwrap();
        assert_eq!(readable(&row).get(), r#"{"a":"\\ud800 \ufffd \ud83d\ude00 \ufffd"}"#);
    }
}
