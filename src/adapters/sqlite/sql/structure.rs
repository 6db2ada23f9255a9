//! Lists and objects among the parameters of a query. SQLite binds them as JSON text, which equals nothing where a single value is
//! compared; so they are taken only where the statement reads JSON.

use crate::{
    domain::{
        json::Json,
        sql::{
            guard::TOKENS_MAX,
            lexer::{self, Kind, Token},
        },
    },
    error::Error,
};

/// Refuses a list or object that stands where a single value is meant.
///
/// # Errors
/// `invalid` about the parameter, with the form that works here.
pub(super) fn check(text: &str, params: &[Json]) -> Result<(), Error> {
    let structured = |param: &Json| param.get().starts_with(['[', '{']);
    if !params.iter().any(structured) {
        return Ok(());
    }
    // What cannot be cut into tokens is SQLite's to refuse.
    let Ok(tokens) = lexer::tokens(text, TOKENS_MAX) else { return Ok(()) };
    let mut last = 0;
    for (place, token) in tokens.iter().enumerate() {
        let Some(number) = number(text, &tokens, place, token, last) else { continue };
        last = last.max(number);
        let Some(param) = params.get(number.saturating_sub(1)).filter(|param| structured(param)) else { continue };
        if !reads_json(text, &tokens, place) {
            return Err(refusal(number - 1, param.get().starts_with('[')));
        }
    }
    Ok(())
}

/// The number of the parameter that a token is: `$1`, `?1`, or `?`, which is the one after the highest so far.
pub(super) fn number(text: &str, tokens: &[Token], place: usize, token: &Token, last: usize) -> Option<usize> {
    let written = text.get(token.start..token.end)?;
    match token.kind {
        Kind::Parameter => written.get(1..)?.parse().ok(),
        Kind::Operator if written.ends_with('?') => {
            let digits = tokens.get(place + 1).filter(|next| next.kind == Kind::Number && next.start == token.end);
            match digits {
                Some(digits) => text.get(digits.start..digits.end)?.parse().ok(),
                None => Some(last + 1),
            }
        }
        _ => None,
    }
}

/// Inside a function that reads JSON or a cast, or before `->`.
fn reads_json(text: &str, tokens: &[Token], place: usize) -> bool {
    let arrow = tokens.get(place + 1).and_then(|next| text.get(next.start..next.end));
    if arrow.is_some_and(|sign| sign.starts_with("->")) {
        return true;
    }
    let mut closed = 0usize;
    for at in (0..place).rev() {
        match tokens.get(at).map(|token| &token.kind) {
            Some(Kind::Symbol(')')) => closed += 1,
            Some(Kind::Symbol('(')) if closed > 0 => closed -= 1,
            Some(Kind::Symbol('(')) => {
                let before = at.checked_sub(1).and_then(|before| tokens.get(before)).map(|token| &token.kind);
                if matches!(before, Some(Kind::Word(name)) if name.starts_with("json") || name == "cast") {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

fn refusal(place: usize, is_list: bool) -> Error {
    let what = if is_list { "a list" } else { "an object" };
    let hint = if is_list {
        format!(
            "for one of several values write `in (select value from json_each(${}))`, as this database (SQLite) has no `= any(…)`; \
             for the JSON itself write `json(${0})`",
            place + 1
        )
    } else {
        format!("for the JSON itself write `json(${})`, or send it as a string", place + 1)
    };
    Error::invalid(
        format!("params[{place}]"),
        format!("`params[{place}]` is {what} where the statement takes one value"),
    )
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::check;

    #[test]
    fn a_list_is_taken_where_json_is_read() {
        let list = RawValue::from_string("[1]".to_owned()).unwrap();
        let one = RawValue::from_string("1".to_owned()).unwrap();
        for (text, taken) in [
            ("select * from t where a in ($1)", false),
            ("select * from t where a not in (?)", false),
            ("select * from t where a = ?1", false),
            ("select $1", false),
            ("select lower($1)", false),
            ("select * from t where a in (select value from json_each($1))", true),
            ("select * from t where a in (select value from json_each(coalesce(?1, '[]')))", true),
            ("select json($1), cast($1 as text), $1 -> 0, $1->>0", true),
            ("select json($1), $1", false),
            ("select json_each(x), $1", false),
        ] {
            assert_eq!(check(text, std::slice::from_ref(&list)).is_ok(), taken, "{text}");
            assert!(check(text, std::slice::from_ref(&one)).is_ok(), "{text}");
        }
        let failure = check("select ?, ?", &[one, list]).unwrap_err();
        assert_eq!(failure.argument.as_deref(), Some("params[1]"));
    }
}
