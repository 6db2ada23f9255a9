//! What SQLite tells about a table only in the text of its CREATE TABLE: checks, generated columns, and comments.

use crate::domain::sql::table::Check;

/// What the text of a statement says.
#[derive(Debug, Default)]
pub(super) struct Definition {
    /// Check constraints.
    pub checks: Vec<Check>,
    /// Column → the expression that makes it.
    pub generated: Vec<(String, String)>,
    /// Column → its comment.
    pub comments: Vec<(String, String)>,
}

#[derive(Debug, PartialEq)]
enum Token {
    /// A bare word or a number.
    Word(String),
    /// A name or string in quotes, without them.
    Quoted(String),
    /// Parentheses with everything in them.
    Group(String),
    /// A comment.
    Comment(String),
    Comma,
    Other,
}

/// Reads the text of a CREATE TABLE.
pub(super) fn read(sql: &str) -> Definition {
    let mut definition = Definition::default();
    let Some(body) = tokens(sql).into_iter().find_map(|token| match token {
        Token::Group(text) => Some(text),
        _ => None,
    }) else {
        return definition;
    };
    for part in tokens(&body).split(|token| *token == Token::Comma) {
        read_part(part, &mut definition);
    }
    definition
}

fn read_part(part: &[Token], definition: &mut Definition) {
    let meaningful: Vec<&Token> = part.iter().filter(|token| !matches!(token, Token::Comment(_))).collect();
    let name = match meaningful.first() {
        Some(Token::Word(name) | Token::Quoted(name)) => name.clone(),
        _ => return,
    };
    let word = |at: usize| match meaningful.get(at) {
        Some(Token::Word(word)) => word.to_ascii_uppercase(),
        _ => String::new(),
    };
    for (at, token) in meaningful.iter().enumerate() {
        let Token::Group(text) = token else { continue };
        match at.checked_sub(1).map(word).as_deref() {
            Some("CHECK") => {
                let named = at.checked_sub(3).is_some_and(|before| word(before) == "CONSTRAINT");
                let name = match at.checked_sub(2).and_then(|before| meaningful.get(before)) {
                    Some(Token::Word(name) | Token::Quoted(name)) if named => name.clone(),
                    _ => String::new(),
                };
                definition.checks.push(Check { name, definition: format!("CHECK ({})", text.trim()) });
            }
            Some("AS") => definition.generated.push((name.clone(), text.trim().to_owned())),
            _ => {}
        }
    }
    if let Some(Token::Comment(text)) = part.iter().rfind(|token| matches!(token, Token::Comment(_))) {
        definition.comments.push((name, text.trim().to_owned()));
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' | '\'' | '`' => quoted(rest, first),
            '[' => quoted(rest, ']'),
            '(' => {
                let length = group(rest);
                let inside = rest.get(1..length.saturating_sub(1).max(1)).unwrap_or_default();
                (Some(Token::Group(inside.to_owned())), length)
            }
            ',' => (Some(Token::Comma), 1),
            _ if rest.starts_with("--") => {
                let end = rest.find('\n').unwrap_or(rest.len());
                (Some(Token::Comment(rest.get(2..end).unwrap_or_default().to_owned())), end)
            }
            _ if rest.starts_with("/*") => {
                let end = rest.find("*/").unwrap_or(rest.len());
                (Some(Token::Comment(rest.get(2..end).unwrap_or_default().to_owned())), (end + 2).min(rest.len()))
            }
            other if other.is_alphanumeric() || other == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                (rest.get(..end).map(|word| Token::Word(word.to_owned())), end)
            }
            other if other.is_whitespace() => (None, other.len_utf8()),
            other => (Some(Token::Other), other.len_utf8()),
        };
        found.extend(token);
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    found
}

/// A quoted text at the beginning, and its length; the closing character doubled stands for itself.
fn quoted(text: &str, close: char) -> (Option<Token>, usize) {
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != close {
            name.push(character);
        } else if characters.peek().is_some_and(|(_, next)| *next == close) {
            characters.next();
            name.push(close);
        } else {
            return (Some(Token::Quoted(name)), at + 1);
        }
    }
    (Some(Token::Quoted(name)), text.len())
}

/// The length of the parenthesised text at the beginning.
fn group(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0usize);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        at += match rest.chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => quoted(rest, quote).1,
            Some('[') => quoted(rest, ']').1,
            _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            Some('(') => {
                depth += 1;
                1
            }
            Some(')') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
                1
            }
            other => other.map_or(1, char::len_utf8),
        };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn checks_generated_columns_and_comments_are_found() {
        let sql = r#"CREATE TABLE "t" (
            "id" integer NOT NULL /* the key */,
            price numeric(10,2) CHECK (price > 0 AND note <> ')') CONSTRAINT cheap CHECK (price < (100)),
            "double, one" numeric GENERATED ALWAYS AS (price * 2) STORED,
            PRIMARY KEY ("id"), CONSTRAINT "big id" CHECK ("id" > 5)
        )"#;
        let read = read(sql);
        let checks: Vec<_> = read.checks.iter().map(|check| (check.name.as_str(), check.definition.as_str())).collect();
        assert_eq!(
            checks,
            [
                ("", "CHECK (price > 0 AND note <> ')')"),
                ("cheap", "CHECK (price < (100))"),
                ("big id", "CHECK (\"id\" > 5)")
            ]
        );
        assert_eq!(read.generated, [("double, one".to_owned(), "price * 2".to_owned())]);
        assert_eq!(read.comments, [("id".to_owned(), "the key".to_owned())]);
    }
}
