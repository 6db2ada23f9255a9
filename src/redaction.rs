//! The one redaction: everything that leaves this process other than data (log lines, errors, doctor, settings) passes here.

use std::borrow::Cow;

/// What stands in place of a secret.
pub const HIDDEN: &str = "***";

/// `text` without passwords: in URLs (`scheme://user:password@`), after `password=` and its like, and after `Authorization`.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if text.contains("://") {
        text = Cow::Owned(without_userinfo(&text));
    }
    let lower = text.to_ascii_lowercase();
    if WORDS.iter().any(|word| lower.contains(word)) {
        text = Cow::Owned(without_values(&text, &lower));
    }
    text
}

/// Names whose values are secrets, in lower case.
const WORDS: [&str; 11] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "api_key",
    "apikey",
    "api-key",
    "secret",
    "token",
    "authorization",
    "bearer",
];

fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '`' | '\'' | '<' | '>')).unwrap_or(after.len());
        let (url, later) = after.split_at(end);
        // Rather a host too few than a password too many.
        match url.rsplit_once('@') {
            Some((userinfo, place)) => {
                match userinfo.split_once(':') {
                    Some((user, _)) => {
                        out.push_str(user);
                        out.push(':');
                        out.push_str(HIDDEN);
                    }
                    None => out.push_str(HIDDEN),
                }
                out.push('@');
                out.push_str(place);
            }
            None => out.push_str(url),
        }
        rest = later;
    }
    out.push_str(rest);
    out
}

/// User information and the rest of what follows `://`. A password may hold `@`, `/` and `?` unescaped: the last `@` ends it, unless that one
/// stands in a query.
pub fn split_userinfo(url: &str) -> Option<(&str, &str)> {
    let last = url.rfind('@')?;
    let before_query = url.get(..last).and_then(|before| {
        let query = before.find('?').filter(|query| before.get(*query..).is_some_and(|query| query.contains('=')))?;
        before.get(..query)?.rfind('@')
    });
    let at = before_query.unwrap_or(last);
    Some((url.get(..at)?, url.get(at + 1..)?))
}

/// `lower` is `text` in lower case; ASCII only, so that places are equal.
fn without_values(text: &str, lower: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    while let Some((start, end)) = next_value(lower, done) {
        out.push_str(text.get(done..start).unwrap_or_default());
        out.push_str(HIDDEN);
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// Where the next value after a secret's name stands, from `from` on.
fn next_value(lower: &str, from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    loop {
        let rest = lower.get(from..)?;
        let (at, word) = WORDS
            .iter()
            .filter_map(|word| Some((rest.find(word)?, *word)))
            .min_by_key(|(at, word)| (*at, usize::MAX - word.len()))?;
        let after = from + at + word.len();
        if let Some(found) = value_after(lower, after, word) {
            return Some(found);
        }
        from = after;
    }
}

/// The value after a name that ends at `after`: `=`, `:`, or for a scheme of Authorization a blank stands between.
fn value_after(lower: &str, after: usize, word: &str) -> Option<(usize, usize)> {
    let rest = lower.get(after..)?;
    let trimmed = rest.trim_start_matches(['"', '\'', '\\']);
    let separated = trimmed.trim_start();
    let rest = match separated.strip_prefix("=>").or_else(|| separated.strip_prefix(['=', ':'])) {
        Some(value) => value.trim_start(),
        None if word == "bearer" && separated.len() < trimmed.len() => separated,
        None => return None,
    };
    let mut value = rest.trim_start_matches(['"', '\'', '\\']);
    let quoted = value.len() < rest.len();
    for scheme in ["basic ", "bearer ", "apikey "] {
        if let Some(credential) = value.strip_prefix(scheme) {
            value = credential;
        }
    }
    let start = lower.len() - value.len();
    let ends = |c: char| {
        if quoted {
            matches!(c, '"' | '\'' | '\\')
        } else {
            c.is_whitespace() || matches!(c, '&' | ';' | ',' | '"' | '\'' | '`' | ')' | '}')
        }
    };
    let length = value.find(ends).unwrap_or(value.len());
    (length > 0).then_some((start, start + length))
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn passwords_do_not_pass() {
        for (given, shown) in [
            ("postgres://me:s3cr3t@db:5432/x", "postgres://me:***@db:5432/x"),
            ("cannot reach `https://u:p@ss/w?rd@h:9200/`, sorry", "cannot reach `https://u:***@h:9200/`, sorry"),
            ("postgres://u:p@h/x?sslmode=require&password=abc", "postgres://u:***@h/x?sslmode=require&password=***"),
            ("http://token@h/", "http://***@h/"),
            ("host=x password=hunter2 user=y", "host=x password=*** user=y"),
            (r#"{"password":"hunter 2","user":"y"}"#, r#"{"password":"***","user":"y"}"#),
            ("Authorization: Basic aGk6aG8=", "Authorization: Basic ***"),
            ("\"authorization\": \"ApiKey abc==\"", "\"authorization\": \"ApiKey ***\""),
            ("sent Bearer eyJ0.eX now", "sent Bearer *** now"),
            ("PGPASSWORD=abc ES_API_KEY=def", "PGPASSWORD=*** ES_API_KEY=***"),
            ("Password(\"x\") is wrong", "Password(\"x\") is wrong"),
            ("a password is needed; token here", "a password is needed; token here"),
            ("see https://example.org/a?b=c", "see https://example.org/a?b=c"),
        ] {
            assert_eq!(redact(given), shown, "{given}");
        }
    }
}
