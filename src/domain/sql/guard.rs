//! What a reading statement may look like, before any database sees it.
//!
//! The text is cut into tokens and never parsed further: a parser knows fewer forms than the database does, and what it does not know
//! it cannot forbid. So this holds the statement's outline (one statement, a reading first word, balanced parentheses) and gives every
//! name in it, wherever it stands, to whoever knows what names mean there.

mod shape;

pub use shape::SETTINGS;

use super::lexer::{self, Kind, Token};
use crate::error::{Code, Error, Place};

/// Bytes of a statement.
const BYTES_MAX: usize = 64 * 1024;
/// Tokens of a statement.
pub const TOKENS_MAX: usize = 8_192;

/// Text that is one reading statement by its shape.
#[derive(Debug, Clone)]
pub struct Statement {
    text: String,
    form: Form,
    tokens: Vec<Token>,
}

/// How a statement can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A source of rows: it can stand inside the parentheses of another query.
    Rows,
    /// EXPLAIN of one, without running it.
    Explain,
    /// SHOW of one harmless setting.
    Show,
}

/// Which tool a statement was given to: refusals name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// execute_query.
    Run,
    /// explain_query.
    Explain,
}

impl Purpose {
    /// The beginning of every refusal of what does more than read.
    fn rule(self) -> &'static str {
        match self {
            Self::Run => "`execute_query` only reads",
            Self::Explain => "`explain_query` only explains queries that read",
        }
    }
}

/// A name in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a> {
    /// Folded, or exact when it was quoted.
    pub name: &'a str,
    /// It was quoted.
    pub quoted: bool,
    /// A point stands before it.
    pub after_point: bool,
    /// It may be called as a function: a parenthesis follows, or a point stands before it (`(value).function`).
    pub called: bool,
    /// What stands before the point where it is called as `schema.function(…)`.
    pub schema: Option<&'a str>,
    /// It is called with nothing between the parentheses.
    pub bare: bool,
    /// It stands where a type does: behind `::`, at the end of `cast(… as name)`, or before a string constant.
    pub types: bool,
    /// A point follows: it may be a schema.
    pub qualifies: bool,
    /// The string constant it is called with, when that is its only argument.
    pub argument: Option<&'a str>,
    /// Character where it stands, from 1.
    pub position: u32,
}

impl Statement {
    /// Holds `text` to the rules that need no catalog.
    ///
    /// # Errors
    /// `invalid` when it cannot be read, `denied` when it would do more than read; `position` says where.
    pub fn parse(text: &str, purpose: Purpose) -> Result<Self, Error> {
        if text.len() > BYTES_MAX {
            return Err(Error::new(
                Code::Limit,
                format!("`query` has {} bytes; it takes up to {BYTES_MAX}", text.len()),
            )
            .argument("query")
            .hint("pass values as params, and long lists as one array parameter: = any($1)"));
        }
        let source = Source(text, purpose);
        if let Some(at) = text.find('\0') {
            return Err(source.invalid("the statement contains a NUL character", at));
        }
        let mut tokens = lexer::tokens(text, TOKENS_MAX).map_err(|fault| match fault.what {
            lexer::TOO_MANY => source
                .error(Code::Limit, format!("the statement has more than {TOKENS_MAX} tokens"), fault.at)
                .hint("pass long lists as one array parameter: = any($1)"),
            what => source.invalid(&format!("the statement has {what}"), fault.at),
        })?;
        let end = shape::one_statement(&source, &mut tokens)?;
        let form = shape::form(&source, &tokens)?;
        shape::balanced(&source, &tokens)?;
        shape::reads(&source, &tokens)?;
        Ok(Self { text: text.get(..end).unwrap_or(text).to_owned(), form, tokens })
    }

    /// The statement, without a trailing semicolon. Characters count as in the text given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it can be run.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Every name and keyword in it.
    pub fn names(&self) -> impl Iterator<Item = Name<'_>> {
        let mut counted = Counted { text: &self.text, byte: 0, character: 1 };
        self.tokens.iter().enumerate().filter_map(move |(place, token)| {
            let (name, quoted) = match &token.kind {
                Kind::Word(name) => (name.as_str(), false),
                Kind::Quoted(name) => (name.as_str(), true),
                _ => return None,
            };
            let symbol = |ahead: usize, wanted: char| self.kind(place + ahead) == Some(&Kind::Symbol(wanted));
            let after_point = place.checked_sub(1).and_then(|before| self.kind(before)) == Some(&Kind::Symbol('.'));
            let argument = match (self.kind(place + 2), symbol(1, '(') && symbol(3, ')')) {
                (Some(Kind::Text(text)), true) => Some(text.as_str()),
                _ => None,
            };
            Some(Name {
                name,
                quoted,
                after_point,
                called: after_point || symbol(1, '('),
                schema: self.word_before_point(place).filter(|_| symbol(1, '(')),
                bare: symbol(1, '(') && symbol(2, ')'),
                types: self.types(place),
                qualifies: symbol(1, '.'),
                argument,
                position: counted.at(token.start),
            })
        })
    }

    /// Every operator in it with its position.
    pub fn operators(&self) -> impl Iterator<Item = (&str, u32)> {
        let mut counted = Counted { text: &self.text, byte: 0, character: 1 };
        self.tokens.iter().filter(|token| token.kind == Kind::Operator).filter_map(move |token| {
            let position = counted.at(token.start);
            self.text.get(token.start..token.end).map(|operator| (operator, position))
        })
    }

    /// Its string constants; none where one is written with escapes, which is not read here.
    pub fn constants(&self) -> Option<Vec<&str>> {
        if self.tokens.iter().any(|token| token.kind == Kind::OtherText) {
            return None;
        }
        let texts = self.tokens.iter().filter_map(|token| match &token.kind {
            Kind::Text(text) => Some(text.as_str()),
            _ => None,
        });
        Some(texts.collect())
    }

    /// Whether the name at `place`, with what qualifies it, is written as a type.
    fn types(&self, place: usize) -> bool {
        let mut first = place;
        while first >= 2 && self.kind(first - 1) == Some(&Kind::Symbol('.')) {
            first -= 2;
        }
        let before = |back: usize| first.checked_sub(back).and_then(|place| self.kind(place));
        let colon = Some(&Kind::Symbol(':'));
        match self.kind(place + 1) {
            Some(Kind::Text(_) | Kind::OtherText) => true,
            Some(Kind::Symbol(')' | '[')) if matches!(before(1), Some(Kind::Word(word)) if word == "as") => true,
            _ => before(1) == colon && before(2) == colon,
        }
    }

    /// `a` of `a.b`, where `b` stands at `place`.
    fn word_before_point(&self, place: usize) -> Option<&str> {
        let before = |back: usize| place.checked_sub(back).and_then(|place| self.kind(place));
        match (before(2), before(1) == Some(&Kind::Symbol('.'))) {
            (Some(Kind::Word(name) | Kind::Quoted(name)), true) => Some(name),
            _ => None,
        }
    }

    fn kind(&self, place: usize) -> Option<&Kind> {
        self.tokens.get(place).map(|token| &token.kind)
    }
}

/// Characters counted from the last place asked for, so that asking for all of them stays linear.
struct Counted<'a> {
    text: &'a str,
    byte: usize,
    character: u32,
}

impl Counted<'_> {
    fn at(&mut self, byte: usize) -> u32 {
        let between = self.text.get(self.byte..byte).unwrap_or_default().chars().count();
        self.byte = byte;
        self.character = self.character.saturating_add(u32::try_from(between).unwrap_or(u32::MAX));
        self.character
    }
}

/// The caller's text, for errors that point into it, and the tool that they name.
struct Source<'a>(&'a str, Purpose);

impl Source<'_> {
    fn error(&self, code: Code, message: String, at: usize) -> Error {
        let position = self.0.get(..at).unwrap_or_default().chars().count() + 1;
        let place = Place { position: u32::try_from(position).ok(), ..Place::default() };
        Error::new(code, message).argument("query").place(place)
    }

    fn invalid(&self, message: &str, at: usize) -> Error {
        self.error(Code::Invalid, message.to_owned(), at)
    }

    fn denied(&self, message: String, at: usize) -> Error {
        self.error(Code::Denied, message, at)
    }

    /// What does more than read.
    fn writes(&self, what: &str, at: usize) -> Error {
        self.denied(format!("{}; {what}", self.1.rule()), at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Purpose, Statement};
    use crate::error::Code;

    fn run(text: &str) -> Result<Statement, crate::error::Error> {
        Statement::parse(text, Purpose::Run)
    }

    #[test]
    fn reading_statements_pass() {
        for (text, form) in [
            ("select 1", Form::Rows),
            ("  -- why\n SELECT 1 ; ;-- end", Form::Rows),
            ("((select 1) union (values (2)))", Form::Rows),
            ("table orders", Form::Rows),
            ("with recursive t as (select 1) select * from t", Form::Rows),
            ("explain (format json, verbose) select 1", Form::Explain),
            ("explain verbose select 1", Form::Explain),
            ("show time zone", Form::Show),
            ("select ';', $$;$$, \";\" from t -- ;", Form::Rows),
            ("select x as into, update from (select 1 as x, 2 as update) t", Form::Rows),
            ("select substring(name for 3) from t", Form::Rows),
        ] {
            assert_eq!(run(text).map(|statement| statement.form()).map_err(|e| e.to_string()), Ok(form), "{text}");
        }
    }

    #[test]
    fn what_does_more_than_read_is_denied_where_it_stands() {
        for (text, position) in [
            ("delete from products", 1),
            ("  /* é */ drop table t", 11),
            ("select 1; drop table t", 11),
            ("with d as (delete from t returning *) select * from d", 12),
            ("with d as (select 1) insert into t select * from d", 22),
            ("select * into t2 from t", 10),
            ("select * from t for no key update", 17),
            ("explain analyze select 1", 9),
            ("explain (verbose, analyze true) select 1", 19),
            ("explain delete from t", 9),
            ("show data_directory", 6),
        ] {
            let error = run(text).unwrap_err();
            assert_eq!((error.code, error.place.position), (Code::Denied, Some(position)), "{text}: {error}");
        }
    }

    #[test]
    fn a_refusal_names_the_tool_that_was_called() {
        for (text, told) in [
            ("delete from t", "this statement starts with `delete`"),
            ("explain delete from t", "this statement starts with `delete`"),
            ("with d as (delete from t returning *) select * from d", "a part of this statement starts with `delete`"),
            ("select * into t2 from t", "SELECT INTO creates a table"),
            ("select * from t for update", "FOR UPDATE and FOR SHARE lock rows"),
        ] {
            let explained = Statement::parse(text, Purpose::Explain).unwrap_err();
            assert_eq!(run(text).unwrap_err().message, format!("`execute_query` only reads; {told}"));
            assert_eq!(explained.message, format!("`explain_query` only explains queries that read; {told}"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_invalid() {
        for text in [
            "",
            " ; ",
            "-- only",
            "select 'open",
            "select (1",
            "select 1)",
            "select /* /* */",
            "select $a$ x",
            "1",
            "select \"",
            "\0",
        ] {
            assert_eq!(run(text).unwrap_err().code, Code::Invalid, "{text}");
        }
        assert_eq!(run(&"select 1,".repeat(10_000)).unwrap_err().code, Code::Limit);
        assert_eq!(run(&format!("select {}1", "1,".repeat(5_000))).unwrap_err().code, Code::Limit);
    }

    #[test]
    fn every_name_is_seen() {
        let text =
            r#"select U&"\0070g_read_file"('x'), ('y'::text)./**/"Evil Fn", PG_Sleep (1), current_setting('TimeZone')"#;
        let statement = run(text).unwrap();
        let names: Vec<_> = statement.names().filter(|name| name.called).map(|name| name.name).collect();
        assert_eq!(names, ["pg_read_file", "Evil Fn", "pg_sleep", "current_setting"]);
        assert_eq!(statement.names().last().unwrap().argument, Some("TimeZone"));
    }
}
