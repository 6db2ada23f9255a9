//! Parameters and constants beside columns: SQLite compares them as they are written, so they are given to it as their column keeps values.

use std::{collections::HashMap, ops::Range};

use rusqlite::types::Value;

use super::{
    ddl, dialect,
    encode::{self, Fault},
    sources::Sources,
    structure,
};
use crate::{
    adapters::sqlite::{collations, money},
    domain::sql::{
        column_types::BaseType,
        guard::TOKENS_MAX,
        lexer::{self, Kind, Token},
    },
    error::{Error, Place},
};

/// Functions whose result is a number.
const NUMBERS: [&str; 8] = ["sum", "avg", "round", "abs", "count", "total", "length", "char_length"];
/// Functions whose result is one of their arguments.
const CHOICES: [&str; 11] =
    ["coalesce", "ifnull", "nullif", "min", "max", "greatest", "least", "lag", "lead", "first_value", "last_value"];
/// Functions whose result is a date or time.
const TIMES: [&str; 8] =
    ["date", "date_trunc", "datetime", "make_date", "now", "statement_timestamp", "to_date", "transaction_timestamp"];
/// Such without parentheses.
const NOW: [&str; 2] = ["current_date", "current_timestamp"];

/// Words and functions that are a date or time too, and compared as they are.
const OTHER_TIMES: [&str; 5] = ["clock_timestamp", "current_time", "localtimestamp", "time", "to_timestamp"];
/// Functions of the text that a number is.
const TEXTS: [&str; 23] = [
    "concat",
    "concat_ws",
    "format",
    "group_concat",
    "hex",
    "instr",
    "json_array",
    "json_group_array",
    "json_group_object",
    "json_object",
    "json_quote",
    "length",
    "lower",
    "ltrim",
    "octet_length",
    "printf",
    "quote",
    "replace",
    "rtrim",
    "string_agg",
    "substr",
    "trim",
    "upper",
];
/// Words that a sign may follow.
const SIGNED: [&str; 11] = ["select", "where", "and", "or", "not", "by", "when", "then", "else", "between", "having"];

const INTEGERS: [&str; 7] = ["int", "int2", "int4", "int8", "integer", "bigint", "smallint"];

/// What stands beside columns in a statement.
#[derive(Default)]
pub(super) struct Operands {
    /// By the number of the parameter; none where its columns differ.
    parameters: HashMap<usize, Option<Beside>>,
    /// What to write otherwise, ascending.
    edits: Vec<(Range<usize>, String)>,
    /// What is a date or time and is added to or subtracted from, and where.
    moved: Option<(String, usize)>,
}

/// The column that a value is compared with.
#[derive(Clone, PartialEq)]
struct Beside {
    name: String,
    base: BaseType,
    /// The statement also gives this name to something else.
    ambiguous: bool,
}

impl Operands {
    /// Looks them up.
    pub(super) fn of(text: &str, sources: &Sources) -> Self {
        let mut found = Self::default();
        // What cannot be cut into tokens is SQLite's to refuse.
        let Ok(tokens) = lexer::tokens(text, TOKENS_MAX) else { return found };
        let pieces = Pieces { text, tokens: &tokens, sources };
        let mut last = 0;
        for (place, token) in tokens.iter().enumerate() {
            if let Some(number) = structure::number(text, &tokens, place, token, last) {
                last = last.max(number);
                let Some(beside) = pieces.beside(place) else { continue };
                let known = found.parameters.entry(number).or_insert_with(|| Some(beside.clone()));
                *known = known.take().filter(|known| *known == beside);
            } else if let Some(written) = pieces.rewritten(place, token) {
                found.edits.push((token.start..token.end, written));
            } else if found.moved.is_none() && matches!(pieces.written(place), "+" | "-") {
                found.moved = pieces.moved(place).map(|name| (name, token.start));
            }
        }
        found.edits.extend((0..tokens.len()).filter_map(|place| pieces.ordered(place)));
        if sources.scale().is_some() {
            found.edits.extend(rounded_casts(&tokens));
        }
        for place in 0..tokens.len() {
            found.edits.extend(pieces.lengthy(place));
        }
        found.edits.sort_by_key(|(place, _)| place.start);
        found
    }

    /// The statement with its constants as their columns keep them, computed times in the order of times, and numbers rounded where they
    /// become integers; none when it stays as it is.
    pub(super) fn rewritten(&self, text: &str) -> Option<String> {
        let mut out = text.to_owned();
        self.edits.iter().rev().for_each(|(place, written)| out.replace_range(place.clone(), written));
        (!self.edits.is_empty()).then_some(out)
    }

    /// Refuses arithmetic on dates: SQLite would do it on the year that they begin with.
    ///
    /// # Errors
    /// `invalid` about the query.
    pub(super) fn check(&self, text: &str) -> Result<(), Error> {
        let Some((name, at)) = &self.moved else { return Ok(()) };
        let position = text.get(..*at).and_then(|before| u32::try_from(before.chars().count() + 1).ok());
        Err(Error::invalid("query", format!("`+` and `-` take numbers, and `{name}` is a date or time"))
            .hint("this database is SQLite: date(x, '+7 days') and datetime(x, '-1 hour') move one, julianday(a) - julianday(b) are the days between two")
            .place(Place { position, backend_code: Some("0A000".to_owned()), ..Place::default() }))
    }

    /// A parameter's value.
    ///
    /// # Errors
    /// `invalid` about a value that is none of its column's type.
    pub(super) fn value(&self, number: usize, raw: &str) -> Result<Value, Error> {
        let refused = |fault: Fault| {
            Error::invalid(format!("params[{}]", number - 1), fault.reason)
                .place(Place { backend_code: Some(fault.code.to_owned()), ..Place::default() })
        };
        let plain = || encode::untyped(raw).map_err(refused);
        let Some(Some(beside)) = self.parameters.get(&number).filter(|_| raw != "null" && !raw.starts_with(['[', '{']))
        else {
            return plain();
        };
        match encode::comparable(raw, beside.base) {
            Ok(value) => Ok(value),
            Err(fault) if beside.is_strict() => {
                let hint = format!("`${number}` is compared with `{}`", beside.name);
                Err(refused(fault).hint(hint))
            }
            Err(_) => plain(),
        }
    }
}

impl Beside {
    fn time(name: &str) -> Self {
        Self { name: name.to_owned(), base: BaseType::TimestampTz(None), ambiguous: false }
    }

    fn is_of_time(&self) -> bool {
        let of_time = matches!(
            self.base,
            BaseType::Date
                | BaseType::Timestamp(_)
                | BaseType::TimestampTz(_)
                | BaseType::Time(_)
                | BaseType::TimeTz(_)
        );
        of_time && !self.ambiguous
    }

    /// Whether a value of another type can only be a mistake.
    fn is_strict(&self) -> bool {
        let strict = matches!(
            self.base,
            BaseType::Boolean
                | BaseType::SmallInt
                | BaseType::Integer
                | BaseType::BigInt
                | BaseType::Numeric(_)
                | BaseType::Uuid
        );
        strict && !self.ambiguous
    }
}

struct Pieces<'a> {
    text: &'a str,
    tokens: &'a [Token],
    sources: &'a Sources,
}

impl Pieces<'_> {
    fn kind(&self, place: usize) -> Option<&Kind> {
        self.tokens.get(place).map(|token| &token.kind)
    }

    fn written(&self, place: usize) -> &str {
        self.tokens.get(place).and_then(|token| self.text.get(token.start..token.end)).unwrap_or_default()
    }

    fn is(&self, place: usize, word: &str) -> bool {
        matches!(self.kind(place), Some(Kind::Word(known)) if known == word)
    }

    fn is_symbol(&self, place: usize, symbol: char) -> bool {
        self.kind(place) == Some(&Kind::Symbol(symbol))
    }

    fn name(&self, place: usize) -> Option<&str> {
        match self.kind(place)? {
            Kind::Word(name) | Kind::Quoted(name) => Some(name),
            _ => None,
        }
    }

    /// What the value at `place` is compared with.
    fn beside(&self, place: usize) -> Option<Beside> {
        // `=?` is one token; so is `?`, with its number behind it.
        let sign = self.written(place).trim_end_matches('?');
        let own = sign.len() < self.written(place).len() && !sign.is_empty();
        let numbered = self.written(place).ends_with('?')
            && self.kind(place + 1) == Some(&Kind::Number)
            && self.tokens.get(place).map(|token| token.end) == self.tokens.get(place + 1).map(|token| token.start);
        let behind = place + 1 + usize::from(numbered);
        if self.kind(behind) == Some(&Kind::Operator) && !compares(self.written(behind)) {
            return None;
        }
        let before = if own { compares(sign).then(|| place.checked_sub(1)).flatten() } else { self.compared(place) };
        match before {
            Some(end) => self.ending(end),
            None if compares(self.written(behind)) && !own => self.beginning(behind + 1),
            None => None,
        }
    }

    /// Where the expression ends that stands before the comparison whose right side is at `place`: `a =`, `a in (1,`, `a between 1 and`.
    fn compared(&self, place: usize) -> Option<usize> {
        let sign = place.checked_sub(1)?;
        if compares(self.written(sign)) {
            return sign.checked_sub(1);
        }
        let word = if self.is(sign, "between") {
            sign
        } else if self.is(sign, "and") {
            place.checked_sub(3).filter(|at| self.is(*at, "between"))?
        } else {
            self.list(sign)?
        };
        let before = word.checked_sub(1)?;
        if self.is(before, "not") { before.checked_sub(1) } else { Some(before) }
    }

    /// The `in` of the list of values that `at` is a separator of.
    fn list(&self, mut at: usize) -> Option<usize> {
        loop {
            let value = at.checked_sub(1)?;
            match self.kind(at)? {
                Kind::Symbol('(') => return Some(value).filter(|value| self.is(*value, "in")),
                Kind::Symbol(',') if matches!(self.kind(value)?, Kind::Text(_) | Kind::Number | Kind::Parameter) => {
                    at = value.checked_sub(1)?;
                }
                _ => return None,
            }
        }
    }

    /// The column, or the function of one, that an expression is which ends at `at`.
    fn ending(&self, at: usize) -> Option<Beside> {
        if !self.is_symbol(at, ')') {
            return self.column(at);
        }
        self.call(self.opening(at)?.checked_sub(1)?)
    }

    /// Where the parenthesis opens that closes at `at`.
    fn opening(&self, at: usize) -> Option<usize> {
        let mut open = 0_i64;
        let start = (0..=at).rev().find(|at| {
            open += i64::from(self.is_symbol(*at, ')')) - i64::from(self.is_symbol(*at, '('));
            open <= 0
        });
        start.filter(|_| self.is_symbol(at, ')'))
    }

    /// What is a date or time beside the sign at `place`.
    fn moved(&self, place: usize) -> Option<String> {
        let before = place.checked_sub(1)?;
        let of_time = |beside: Option<Beside>| beside.filter(Beside::is_of_time).map(|beside| beside.name);
        let known = |at: usize, is_call: bool| {
            let name = self.name(at).filter(|name| OTHER_TIMES.contains(name) && (is_call || *name == "current_time"));
            name.map(str::to_owned)
        };
        let called = self.opening(before).and_then(|open| open.checked_sub(1));
        of_time(self.ending(before))
            .or_else(|| called.map_or_else(|| known(before, false), |name| known(name, true)))
            .or_else(|| of_time(self.beginning(place + 1)))
            .or_else(|| known(place + 1, self.is_symbol(place + 2, '(')))
    }

    /// The same of one that begins at `at`.
    fn beginning(&self, at: usize) -> Option<Beside> {
        if self.is_symbol(at + 1, '(') {
            return self.call(at);
        }
        self.column(if self.is_symbol(at + 1, '.') { at + 2 } else { at })
    }

    fn column(&self, at: usize) -> Option<Beside> {
        let name = self.name(at)?;
        if NOW.iter().any(|word| self.is(at, word)) {
            return Some(Beside::time(name));
        }
        let found = self.sources.type_of(name).filter(|found| found.dimensions == 0)?;
        let taken =
            |at: &usize| self.is(*at, "as") && self.name(at + 1).is_some_and(|alias| alias.eq_ignore_ascii_case(name));
        let ambiguous = (0..self.tokens.len()).any(|at| taken(&at));
        Some(Beside { name: name.to_owned(), base: found.base, ambiguous })
    }

    fn call(&self, at: usize) -> Option<Beside> {
        let name = self.name(at)?;
        if NUMBERS.contains(&name) {
            return Some(Beside { name: name.to_owned(), base: BaseType::Numeric(None), ambiguous: false });
        }
        if TIMES.contains(&name) {
            return Some(Beside::time(name));
        }
        let first = if self.is_symbol(at + 3, '.') { at + 4 } else { at + 2 };
        let ends = self.is_symbol(first + 1, ',') || self.is_symbol(first + 1, ')');
        if CHOICES.contains(&name) && ends { self.column(first) } else { None }
    }

    /// Computed times are compared, grouped and sorted as times, as columns of times are, and not as the texts that they are to SQLite.
    fn ordered(&self, place: usize) -> Option<(Range<usize>, String)> {
        if let Some(end) = self.subselect(place) {
            return Some((end..end, format!(" COLLATE {}", collations::INSTANT)));
        }
        let is_now = NOW.iter().any(|word| self.is(place, word));
        let is_call = self.is_symbol(place + 1, '(') && self.call(place)?.is_of_time();
        if !is_now && !is_call {
            return None;
        }
        let mut last = if is_now { place } else { self.closing(place + 1)? };
        if self.is(last + 1, "filter") && self.is_symbol(last + 2, '(') {
            last = self.closing(last + 2)?;
        }
        if self.is(last + 1, "over") {
            last = if self.is_symbol(last + 2, '(') { self.closing(last + 2)? } else { last + 2 };
        }
        let end = self.tokens.get(last)?.end;
        Some((end..end, format!(" COLLATE {}", collations::INSTANT)))
    }

    /// A column of numbers that may be longer than doubles: without its mark where its text is wanted, with all digits behind a minus.
    fn lengthy(&self, at: usize) -> Vec<(Range<usize>, String)> {
        let is_long = |beside: &Beside| matches!(beside.base, BaseType::Numeric(size) if size.is_none_or(|(precision, _)| precision > 15));
        let is_called = self.is_symbol(at + 1, '(') || self.is_symbol(at + 1, '.');
        if is_called || !self.column(at).is_some_and(|beside| is_long(&beside) && !beside.ambiguous) {
            return Vec::new();
        }
        let first = if at > 1 && self.is_symbol(at - 1, '.') { at - 2 } else { at };
        let (Some(before), Some(start), Some(end)) = (
            first.checked_sub(1),
            self.tokens.get(first).map(|token| token.start),
            self.tokens.get(at).map(|token| token.end),
        ) else {
            return Vec::new();
        };
        let minus = self.tokens.get(before).filter(|_| self.written(before) == "-" && self.is_unary(before));
        if let Some(minus) = minus {
            return vec![(minus.start..minus.end, format!("{}(", money::NEGATED)), (end..end, ")".to_owned())];
        }
        let joins = |place: usize| ["||", "like", "glob"].contains(&self.written(place).to_lowercase().as_str());
        let negated = self.is(at + 1, "not") && joins(at + 2);
        if joins(before) || joins(at + 1) || negated || self.is_argument(before, at + 1) {
            return vec![(start..start, format!("{}(", money::PLAIN)), (end..end, ")".to_owned())];
        }
        Vec::new()
    }

    /// Whether what stands between two places is an argument of a function of texts.
    fn is_argument(&self, before: usize, behind: usize) -> bool {
        let is_text = self.is(behind, "as") && self.is(behind + 1, "text");
        let ends = self.is_symbol(behind, ',') || self.is_symbol(behind, ')') || is_text;
        let starts = self.is_symbol(before, ',') || self.is_symbol(before, '(');
        let mut depth = 0_usize;
        let open = (0..=before).rev().find(|at| {
            let is_open = self.is_symbol(*at, '(');
            depth += usize::from(self.is_symbol(*at, ')'));
            let found = is_open && depth == 0;
            depth = depth.saturating_sub(usize::from(is_open));
            found
        });
        let name = open.and_then(|open| self.name(open.checked_sub(1)?));
        starts && ends && name.is_some_and(|name| TEXTS.contains(&name) || is_text && name == "cast")
    }

    /// Whether the sign at `at` belongs to what follows it alone.
    fn is_unary(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return false };
        match self.kind(before) {
            Some(Kind::Operator | Kind::Symbol('(' | ',')) => true,
            Some(Kind::Word(word)) => SIGNED.contains(&word.as_str()),
            _ => false,
        }
    }

    /// The end of `(select max(time) …)` that begins at `open` and is compared: the order of its column does not come out of it.
    fn subselect(&self, open: usize) -> Option<usize> {
        let is_one = self.is_symbol(open, '(') && self.is(open + 1, "select");
        self.beginning(open + 2).filter(|beside| is_one && beside.is_of_time())?;
        let last = self.closing(open)?;
        let before = open.checked_sub(1)?;
        let is_compared = compares(self.written(before)) || compares(self.written(last + 1));
        let is_value = !self.is(before, "in") && !self.is(before, "exists");
        self.tokens.get(last).map(|token| token.end).filter(|_| is_compared && is_value)
    }

    /// Where the parenthesis at `open` is closed.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        (open..self.tokens.len()).find(|at| {
            depth += usize::from(self.is_symbol(*at, '('));
            let closes = self.is_symbol(*at, ')');
            depth = depth.saturating_sub(usize::from(closes));
            closes && depth == 0
        })
    }

    /// How a constant is written so that it is a value of the column beside it, where that is not how it stands there.
    fn rewritten(&self, place: usize, token: &Token) -> Option<String> {
        let (text, is_text) = match &token.kind {
            Kind::Text(text) => (text.as_str(), true),
            Kind::Number => (self.text.get(token.start..token.end)?, false),
            _ => return None,
        };
        let base = self.beside(place).filter(|beside| !beside.ambiguous)?.base;
        // Times have an order of their own, and numbers that are short are made doubles of by SQLite.
        let differs = matches!(
            base,
            BaseType::Boolean | BaseType::Numeric(_) | BaseType::Uuid | BaseType::Time(_) | BaseType::TimeTz(_)
        );
        let value = encode::comparable_text(text, base).ok().filter(|_| differs)?;
        let same = match &value {
            Value::Text(kept) => is_text && kept == text,
            _ => !is_text,
        };
        (!same).then(|| ddl::literal(&value))
    }
}

/// `cast(x as integer)` rounds exact numbers in PostgreSQL, and cuts doubles in SQLite.
fn rounded_casts(tokens: &[Token]) -> Vec<(Range<usize>, String)> {
    let kinds: Vec<&Kind> = tokens.iter().map(|token| &token.kind).collect();
    let mut edits = Vec::new();
    for place in (0..kinds.len()).filter(|place| matches!(kinds.get(*place), Some(Kind::Word(word)) if word == "cast"))
    {
        let Some(target) = kinds.get(place..).and_then(dialect::target).map(|target| place + target) else { continue };
        let is_integer = matches!(kinds.get(target), Some(Kind::Word(name)) if INTEGERS.contains(&name.as_str()));
        if let (true, Some(open), Some(r#as)) = (is_integer, tokens.get(place + 1), tokens.get(target - 1)) {
            edits.extend([(open.end..open.end, "round(".to_owned()), (r#as.start..r#as.start, ") ".to_owned())]);
        }
    }
    edits
}

/// Whether an operator compares.
fn compares(sign: &str) -> bool {
    matches!(sign, "=" | "==" | "<>" | "!=" | "<" | "<=" | ">" | ">=")
}
