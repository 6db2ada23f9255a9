//! Regular expressions. They are those of the `regex` crate, which reads PostgreSQL's usual ones alike and takes linear time.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use rusqlite::{functions::Context, types::Value};

use super::{Answer, text, wrong};

/// A pattern made ready, which SQLite keeps as long as its argument is a constant.
struct Ready {
    pattern: String,
    flags: String,
    regex: Regex,
}

fn ready(context: &Context<'_>, place: usize, flags: &str) -> rusqlite::Result<Arc<Ready>> {
    let pattern = text(context, place).unwrap_or_default();
    let make = || {
        if let Some(unknown) = flags.chars().find(|flag| !"gic".contains(*flag)) {
            return Err(wrong(format!(
                "`{unknown}` is not known here as a flag of a regular expression; g, i and c are"
            )));
        }
        // In PostgreSQL `.` is any character, a new line too.
        let built =
            RegexBuilder::new(&pattern).case_insensitive(flags.contains('i')).dot_matches_new_line(true).build();
        let regex = built.map_err(|_| wrong(format!("invalid regular expression: {pattern}")))?;
        Ok(Ready { pattern: pattern.clone(), flags: flags.to_owned(), regex })
    };
    let kept: Arc<Ready> = context.get_or_create_aux(i32::try_from(place).unwrap_or_default(), |_| make())?;
    // The flags may be others in the next row.
    if kept.pattern == pattern && kept.flags == flags { Ok(kept) } else { make().map(Arc::new) }
}

/// `regexp_replace(text, pattern, new, flags)`: the first match, with the flag g all of them; `\1` is a group and `\&` the match.
pub(super) fn replace(context: &Context<'_>) -> Answer {
    if !(3..=4).contains(&context.len()) {
        return Err(wrong("regexp_replace takes a text, a pattern, its replacement and flags"));
    }
    let (given, new) = (text(context, 0).unwrap_or_default(), text(context, 2).unwrap_or_default());
    let flags = if context.len() == 4 { text(context, 3).unwrap_or_default() } else { String::new() };
    let ready = ready(context, 1, &flags)?;
    let most = usize::from(!flags.contains('g'));
    Ok(Value::Text(ready.regex.replacen(&given, most, replacement(&new)).into_owned()))
}

/// PostgreSQL's `\1` as the crate's `${1}`.
fn replacement(new: &str) -> String {
    let mut out = String::new();
    let mut characters = new.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' => out.push_str("$$"),
            '\\' => match characters.next() {
                Some('&') => out.push_str("${0}"),
                Some(digit @ '1'..='9') => out.push_str(&format!("${{{digit}}}")),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

/// `regexp_like(text, pattern, flags)`.
pub(super) fn like(context: &Context<'_>) -> Answer {
    if !(2..=3).contains(&context.len()) {
        return Err(wrong("regexp_like takes a text, a pattern and flags"));
    }
    let flags = if context.len() == 3 { text(context, 2).unwrap_or_default() } else { String::new() };
    let is_match = ready(context, 1, &flags)?.regex.is_match(&text(context, 0).unwrap_or_default());
    Ok(Value::Integer(is_match.into()))
}

/// What `text REGEXP pattern` calls, the pattern first.
pub(super) fn regexp(context: &Context<'_>) -> Answer {
    let is_match = ready(context, 0, "")?.regex.is_match(&text(context, 1).unwrap_or_default());
    Ok(Value::Integer(is_match.into()))
}

/// `regexp_substr(text, pattern)`: the first match, NULL when there is none.
pub(super) fn substr(context: &Context<'_>) -> Answer {
    let given = text(context, 0).unwrap_or_default();
    let found = ready(context, 1, "")?.regex.find(&given).map(|found| found.as_str().to_owned());
    Ok(found.map_or(Value::Null, Value::Text))
}

#[cfg(test)]
mod tests {
    use crate::adapters::sqlite::functions::tests::assert_answers;

    #[test]
    fn patterns_match_as_in_postgresql() {
        assert_answers(&[
            ("regexp_replace('a1b22', '[0-9]+', '#')", "a#b22"),
            ("regexp_replace('a1b22', '[0-9]+', '#', 'g')", "a#b#"),
            ("regexp_replace('John Doe', '(\\w+) (\\w+)', '\\2, \\1 <\\&> $1')", "Doe, John <John Doe> $1"),
            ("regexp_replace('Abc', 'B', 'x', 'i')", "Axc"),
            ("regexp_replace('a', null, 'x')", "null"),
            ("regexp_replace('a', '(', 'x')", "invalid regular expression: ("),
            (
                "regexp_replace('a', 'a', 'x', 'q')",
                "`q` is not known here as a flag of a regular expression; g, i and c are",
            ),
            ("regexp_like('Abc', '^a')", "0"),
            ("regexp_like('Abc', '^a', 'i')", "1"),
            ("'a1' regexp '[0-9]$'", "1"),
            ("regexp_substr('tel 030-123', '\\d+')", "030"),
            ("regexp_substr('none', '\\d+')", "null"),
            (
                "group_concat(regexp_like('A', p, f), '') from (select 'a' p, 'i' f union all select 'a', 'c' union all select 'A', 'c')",
                "101",
            ),
        ]);
    }
}
