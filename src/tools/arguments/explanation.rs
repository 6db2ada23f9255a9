//! The parser's words about an argument, in ours.

use super::super::raw::{joined, within};
use crate::{domain::names::nearest, error::Error};

/// What other tools call an argument, and what it is called here.
const OTHER_WORDS: [(&str, &str); 23] = [
    ("name", "title"),
    ("name", "agent_id"),
    ("id", "key"),
    ("id", "workflow_id"),
    ("capability", "required_capabilities"),
    ("retries", "max_attempts"),
    ("retry", "max_attempts"),
    ("max_retries", "max_attempts"),
    ("timeout", "max_runtime_ms"),
    ("timeout", "timeout_ms"),
    ("timeout", "deadline_ms"),
    ("delay", "delay_ms"),
    ("payload", "input"),
    ("budget", "budget_usd"),
    ("callback_url", "webhook_url"),
    ("since", "created_after"),
    ("since", "after"),
    ("since", "window"),
    ("sql", "query"),
    ("filter", "where"),
    ("order_by", "sort"),
    ("offset", "from"),
    ("max_results", "limit"),
];

fn other_word(given: &str, accepted: &[&str]) -> Option<&'static str> {
    let mut meant = OTHER_WORDS.iter().filter(|(other, _)| *other == given).map(|(_, meant)| *meant);
    meant.find(|meant| accepted.contains(meant))
}

/// Names the argument, what is wrong with it, and what is accepted. Older names are accepted, too, and not listed; `beside` are arguments that
/// were read before.
pub(super) fn explain(
    error: &serde_path_to_error::Error<serde_json::Error>,
    older: &[String],
    beside: &[&str],
) -> Error {
    let message = error.inner().to_string();
    let sentence = message.split(" at line ").next().unwrap_or(&message);
    let (within, sentence) = within(sentence);
    let quoted: Vec<&str> = sentence.split('`').skip(1).step_by(2).collect();
    let path = error.path().to_string();
    let inside = joined(path.trim_end_matches('.'), within);
    let top = inside.split(['.', '[']).next().filter(|top| !top.is_empty()).unwrap_or("arguments").to_owned();
    let Some(first) = quoted.first().copied() else { return other(top, &inside, sentence) };
    let is_member = inside.ends_with(first) && inside != first;
    let beside = if sentence.starts_with("unknown field") && !is_member { beside } else { &[] };
    let known = quoted.iter().skip(1).chain(beside).copied();
    let accepted: Vec<&str> = known.clone().filter(|name| !older.iter().any(|older| older == name)).collect();
    if sentence.starts_with("unknown field") {
        let (argument, kind) = if is_member { (top, "member") } else { (first.to_owned(), "argument") };
        let unknown = if within.is_empty() { first } else { inside.as_str() };
        let near = match other_word(first, &accepted) {
            Some(meant) => vec![meant.to_owned()],
            None => nearest(first, known),
        };
        let error = Error::invalid(argument, format!("no {kind} `{unknown}`")).did_you_mean(near);
        return if accepted.is_empty() {
            error.hint("this takes none")
        } else {
            error.hint(format!("the {kind}s are: {}", accepted.join(", ")))
        };
    }
    if sentence.starts_with("unknown variant") {
        return Error::invalid(top, format!("`{inside}` is `{first}`; it takes {}", accepted.join(", ")))
            .did_you_mean(nearest(first, known));
    }
    if sentence.starts_with("missing field") {
        return match inside.as_str() {
            "" => Error::invalid(first.to_owned(), format!("`{first}` is required")),
            inside => Error::invalid(top, format!("`{inside}` lacks `{first}`, which is required")),
        };
    }
    if sentence.starts_with("duplicate field") {
        return Error::invalid(first.to_owned(), format!("`{first}` is given twice"));
    }
    other(top, &inside, sentence)
}

fn other(top: String, inside: &str, sentence: &str) -> Error {
    let inside = if inside.is_empty() { "arguments" } else { inside };
    if let Some(expected) = sentence.strip_prefix("expected ") {
        return Error::invalid(top, format!("`{inside}` takes {expected}"));
    }
    if sentence == "number out of range" {
        return Error::invalid(top, format!("`{inside}` is a number beyond what any argument takes"));
    }
    let Some((given, expected)) = sentence.split_once(", expected ") else {
        return Error::invalid(top, format!("`{inside}` cannot be read: {sentence}"));
    };
    let given = given.strip_prefix("invalid type: ").or(given.strip_prefix("invalid value: ")).unwrap_or(given);
    let accepted = match expected {
        number if number.starts_with('u') => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        sequence if sequence.starts_with("a sequence") => "a list",
        "a map" => "an object",
        object if object.starts_with("struct") => "an object",
        other => other,
    };
    let given = match given {
        "map" => "an object",
        "sequence" => "a list",
        "unit value" => "null",
        other => other,
    };
    let error = Error::invalid(top, format!("`{inside}` takes {accepted}, not {given}"));
    match given.strip_prefix("string ") {
        Some(text) if accepted == "a list" && text != "\"\"" => {
            error.hint("a list is written in brackets, also one of a single value: [ … ]")
        }
        _ => error,
    }
}
