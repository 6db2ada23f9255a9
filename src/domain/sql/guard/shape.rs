//! The outline of a statement: one, reading, balanced.

use super::{Form, Source};
use crate::{
    domain::sql::lexer::{Kind, Token},
    error::Error,
};

/// Settings that SHOW may name: nothing in them is a path or a secret.
pub const SETTINGS: [&str; 36] = [
    "block_size",
    "bytea_output",
    "client_encoding",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "extra_float_digits",
    "in_hot_standby",
    "integer_datetimes",
    "intervalstyle",
    "is_superuser",
    "jit",
    "lc_collate",
    "lc_ctype",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "maintenance_work_mem",
    "max_connections",
    "max_identifier_length",
    "random_page_cost",
    "role",
    "search_path",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
    "shared_buffers",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_isolation",
    "work_mem",
];

/// Cuts trailing semicolons off; gives the byte where the statement ends.
pub(super) fn one_statement(source: &Source<'_>, tokens: &mut Vec<Token>) -> Result<usize, Error> {
    let Some(end) = tokens.iter().position(|token| token.kind == Kind::Symbol(';')) else {
        return Ok(source.0.len());
    };
    let byte = tokens.get(end).map_or(source.0.len(), |token| token.start);
    if let Some(second) = tokens.iter().skip(end).find(|token| token.kind != Kind::Symbol(';')) {
        let what = source.0.get(second.start..second.end).unwrap_or_default();
        return Err(source
            .denied(format!("`query` takes one statement; a second one begins with `{}`", short(what)), second.start)
            .hint("run them one after the other"));
    }
    tokens.truncate(end);
    Ok(byte)
}

/// What kind of statement it is, by its first words.
pub(super) fn form(source: &Source<'_>, tokens: &[Token]) -> Result<Form, Error> {
    match tokens.first().map(|token| &token.kind) {
        None => Err(source.invalid("`query` is empty", 0)),
        Some(Kind::Word(word)) if word == "explain" => {
            explain(source, tokens)?;
            Ok(Form::Explain)
        }
        Some(Kind::Word(word)) if word == "show" => {
            show(source, tokens)?;
            Ok(Form::Show)
        }
        Some(_) => rows(source, tokens).map(|()| Form::Rows),
    }
}

/// Tokens that begin a source of rows.
fn rows(source: &Source<'_>, tokens: &[Token]) -> Result<(), Error> {
    let Some(first) = tokens.iter().find(|token| token.kind != Kind::Symbol('(')) else {
        let end = tokens.first().map_or(source.0.len(), |token| token.start);
        return Err(source.invalid("the statement ends where a query is expected", end));
    };
    let text = source.0.get(first.start..first.end).unwrap_or_default();
    match &first.kind {
        Kind::Word(word) if matches!(word.as_str(), "select" | "with" | "values" | "table") => Ok(()),
        Kind::Word(word) => Err(source
            .writes(&format!("this statement starts with `{}`", short(word)), first.start)
            .hint(instead(word))),
        _ => Err(source.invalid(
            &format!("a query starts with select, with, values or table, not with `{}`", short(text)),
            first.start,
        )),
    }
}

fn instead(word: &str) -> &'static str {
    match word {
        "insert" | "update" | "delete" | "merge" | "copy" | "truncate" => "use insert_data or bulk_insert to write",
        "create" => "use create_table to create a table",
        "drop" | "alter" => "no tool drops or alters anything; the operator does that outside this server",
        "begin" | "start" | "commit" | "rollback" | "savepoint" | "end" | "abort" => {
            "every query runs in a transaction of its own"
        }
        "set" | "reset" => "pass timeout_ms, max_rows and max_bytes as arguments",
        _ => "a query starts with select, with, values or table",
    }
}

/// `EXPLAIN [VERBOSE | QUERY PLAN] query` or `EXPLAIN (options) query`; nothing that runs the query.
fn explain(source: &Source<'_>, tokens: &[Token]) -> Result<(), Error> {
    let mut rest = tokens.get(1..).unwrap_or_default();
    let options = match rest.first().map(|token| &token.kind) {
        // Either options or a query in parentheses.
        Some(Kind::Symbol('(')) if !rows_ahead(rest) => {
            let end = rest.iter().position(|token| token.kind == Kind::Symbol(')')).unwrap_or(rest.len());
            let (options, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            options
        }
        _ => {
            let known = |token: &&Token| matches!(&token.kind, Kind::Word(word) if matches!(word.as_str(), "analyze" | "analyse" | "verbose" | "query" | "plan"));
            let (options, after) = rest.split_at(rest.iter().take_while(known).count());
            rest = after;
            options
        }
    };
    let runs = |token: &&Token| match &token.kind {
        Kind::Word(word) | Kind::Quoted(word) => {
            word.eq_ignore_ascii_case("analyze") || word.eq_ignore_ascii_case("analyse")
        }
        _ => false,
    };
    match options.iter().find(runs) {
        Some(token) => Err(source
            .denied("EXPLAIN ANALYZE runs the statement, and that is not allowed here".to_owned(), token.start)
            .hint("leave analyze out, or run the query itself")),
        None => rows(source, rest),
    }
}

fn rows_ahead(tokens: &[Token]) -> bool {
    let first = tokens.iter().find(|token| token.kind != Kind::Symbol('('));
    matches!(first.map(|token| &token.kind), Some(Kind::Word(word)) if matches!(word.as_str(), "select" | "with" | "values" | "table"))
}

fn show(source: &Source<'_>, tokens: &[Token]) -> Result<(), Error> {
    let rest = tokens.get(1..).unwrap_or_default();
    let word = |place: usize| match rest.get(place).map(|token| &token.kind) {
        Some(Kind::Word(word)) => word.as_str(),
        Some(Kind::Quoted(word)) => word.as_str(),
        _ => "",
    };
    let allowed = match (word(0), rest.len()) {
        (name, 1) => SETTINGS.iter().any(|setting| setting.eq_ignore_ascii_case(name)),
        ("time", 2) => word(1) == "zone",
        ("transaction", 3) => word(1) == "isolation" && word(2) == "level",
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    let at = rest.first().map_or(source.0.len(), |token| token.start);
    Err(source
        .denied("SHOW of that setting is not allowed here: it may hold a path or a secret".to_owned(), at)
        .hint(format!("the settings are: {}", SETTINGS.join(", "))))
}

/// Every parenthesis has its other half: the text can stand inside others and stay there.
pub(super) fn balanced(source: &Source<'_>, tokens: &[Token]) -> Result<(), Error> {
    let mut open = Vec::new();
    for token in tokens {
        let closes = match token.kind {
            Kind::Symbol(bracket @ ('(' | '[')) => {
                open.push((bracket, token.start));
                continue;
            }
            Kind::Symbol(')') => '(',
            Kind::Symbol(']') => '[',
            _ => continue,
        };
        if open.pop().is_none_or(|(bracket, _)| bracket != closes) {
            let bracket = if closes == '(' { ')' } else { ']' };
            return Err(
                source.invalid(&format!("the statement has a `{bracket}` without its opening bracket"), token.start)
            );
        }
    }
    match open.last() {
        Some((bracket, at)) => {
            Err(source.invalid(&format!("the statement has a `{bracket}` that is never closed"), *at))
        }
        None => Ok(()),
    }
}

/// No part of it writes or locks. The database holds this too; here it gets its own words.
pub(super) fn reads(source: &Source<'_>, tokens: &[Token]) -> Result<(), Error> {
    let word = |place: Option<usize>| match place.and_then(|place| tokens.get(place)).map(|token| &token.kind) {
        Some(Kind::Word(word)) => word.as_str(),
        _ => "",
    };
    for (place, token) in tokens.iter().enumerate() {
        let Kind::Word(own) = &token.kind else { continue };
        let before = place.checked_sub(1).and_then(|before| tokens.get(before)).map(|token| &token.kind);
        let next = word(Some(place + 1));
        let after_bracket = matches!(before, Some(Kind::Symbol('(' | ')')));
        let named =
            matches!(before, Some(Kind::Symbol('.'))) || matches!(before, Some(Kind::Word(word)) if word == "as");
        let writes = match own.as_str() {
            "insert" | "merge" => after_bracket && next == "into",
            "delete" => after_bracket && next == "from",
            "update" => {
                let target = tokens.get(place + 1).map(|token| &token.kind);
                after_bracket
                    && matches!(target, Some(Kind::Word(_) | Kind::Quoted(_)))
                    && !matches!(next, "from" | "as" | "is" | "and" | "or" | "in")
            }
            _ => false,
        };
        if writes {
            return Err(source
                .writes(&format!("a part of this statement starts with `{own}`"), token.start)
                .hint("use insert_data or bulk_insert to write"));
        }
        if own == "into" && !named {
            return Err(source
                .writes("SELECT INTO creates a table", token.start)
                .hint("use create_table to create a table"));
        }
        let lock = own == "for"
            && match next {
                "update" | "share" => true,
                "no" => word(Some(place + 2)) == "key",
                "key" => word(Some(place + 2)) == "share",
                _ => false,
            };
        if lock && !named {
            return Err(source
                .writes("FOR UPDATE and FOR SHARE lock rows", token.start)
                .hint("leave the locking clause out"));
        }
    }
    Ok(())
}

/// A word for a message, not longer than one can be useful.
fn short(word: &str) -> &str {
    word.char_indices().nth(40).and_then(|(end, _)| word.get(..end)).unwrap_or(word)
}
