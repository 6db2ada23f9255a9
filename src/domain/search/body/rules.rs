//! What is refused in a search body, and why. A false positive says which word and where.

use std::collections::HashSet;

use super::Walk;
use crate::error::{Code, Error};

/// Queries whose members are names of fields: under them a field may be called like a refused word. What runs code or reads elsewhere
/// has its own word one level below such a name again, so nothing slips through.
const BY_FIELD: [&str; 11] = [
    "term",
    "terms",
    "match",
    "match_phrase",
    "match_phrase_prefix",
    "match_bool_prefix",
    "prefix",
    "wildcard",
    "fuzzy",
    "regexp",
    "range",
];

/// Holds a key, before its value is visited.
pub(super) fn key(walk: &Walk, key: &str) -> Result<(), Error> {
    let why = match key {
        "runtime_mappings" => "defines fields with scripts",
        "wrapper" => "hides a query in base64",
        "indexed_shape" => "reads a document of another index",
        "script" | "_script" | "template" | "pipeline" | "search_pipeline" | "derived" if is_field(walk) => {
            return Ok(());
        }
        "script" | "_script" => "runs a script",
        "template" => "runs a stored template",
        "pipeline" | "search_pipeline" => "runs a pipeline",
        "derived" => "defines fields with scripts",
        _ if key.starts_with("script_") || key.starts_with("scripted_") || key.ends_with("_script") => {
            if is_field(walk) {
                return Ok(());
            }
            "runs a script"
        }
        _ => return Ok(()),
    };
    Err(denied(walk, key, why))
}

/// Whether the key stands where a field's name does. Two aggregations are called like such queries, and they take scripts.
fn is_field(walk: &Walk) -> bool {
    walk.above(0).is_some_and(|above| {
        BY_FIELD.contains(&above) && (walk.argument == "query" || !matches!(above, "terms" | "range"))
    })
}

/// Holds an object by the keys it has together.
pub(super) fn members(walk: &Walk, keys: &HashSet<String>) -> Result<(), Error> {
    let has = |key: &str| keys.contains(key);
    // At the very top stand the keys of a sort, which are names of fields.
    if walk.above(0).is_some() && has("index") && (has("id") || has("path") || has("routing")) {
        return Err(denied(walk, "index", "reads a document of another index"));
    }
    let like = walk.above(0).is_some_and(|above| matches!(above, "like" | "unlike" | "docs"));
    if has("_index") && (has("_id") || like) {
        return Err(denied(walk, "_index", "reads a document of another index"));
    }
    if walk.above(0) == Some("percolate") && (has("index") || has("id")) {
        return Err(denied(walk, "percolate", "reads a document of another index"));
    }
    Ok(())
}

/// Holds a string by where it stands.
pub(super) fn text(walk: &Walk, text: &str) -> Result<(), Error> {
    let (last, before, first) = (walk.above(0), walk.above(1), walk.above(2));
    // `{"wildcard":{"name":"*x"}}`, or with the text under `value` or `wildcard`.
    let of = |query: &str| before == Some(query) || first == Some(query) && matches!(last, Some("value" | "wildcard"));
    let slow = if of("wildcard") {
        leads(text)
    } else if of("regexp") {
        text.starts_with(".*") || text.starts_with(".+")
    } else if last == Some("query") && before == Some("query_string") {
        words_lead(text) || text.contains("/.*") || text.contains("/.+")
    } else {
        false
    };
    if !slow {
        return Ok(());
    }
    Err(Error::new(
        Code::Denied,
        format!("`{}` starts with a wildcard, which reads every term of the index", walk.place()),
    )
    .argument(walk.argument)
    .hint("start with the characters you know, or search for whole words with match or `text`"))
}

/// Begins with a wildcard and goes on with something: `*` alone is "has a value", which is cheap.
fn leads(text: &str) -> bool {
    text.starts_with(['*', '?']) && !text.trim_matches('*').is_empty()
}

/// The same for any word of a query string.
fn words_lead(text: &str) -> bool {
    let ends =
        |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')' | '+' | '-' | '!' | '[' | ']' | '{' | '}');
    text.split(ends).filter(|word| *word != "*:*").any(|word| {
        let word = word.split('^').next().unwrap_or(word);
        let value = match word.split_once(':') {
            Some((field, value)) if !field.ends_with('\\') => value,
            _ => word,
        };
        leads(value)
    })
}

fn denied(walk: &Walk, key: &str, why: &str) -> Error {
    let place = walk.place();
    let place = if place.ends_with(key) { place } else { format!("{place}.{key}") };
    Error::new(Code::Denied, format!("`{place}` {why}, which this server does not allow"))
        .argument(walk.argument)
        .hint("a query only finds documents in the indices it names; compute the rest with execute_query, or yourself")
}
