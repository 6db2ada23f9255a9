//! `query_string` and `simple_query_string`: the syntax people type, as clauses of the DSL.

use serde_json::{Value, json};
use tantivy::query::{EmptyQuery, Query as Compiled};

use super::{Compiler, clause::Clause, wrong};
use crate::{adapters::embedded_search::mapping::Kind, error::Error};

/// Parentheses inside parentheses.
const DEPTH_MAX: u32 = 32;

/// How one text is read.
struct Syntax<'c, 'a> {
    compiler: &'c Compiler<'a>,
    characters: Vec<char>,
    at: usize,
    /// Nothing is an error: what makes no sense is a word.
    simple: bool,
    all: bool,
    fields: Vec<String>,
}

/// How a part stands to the one before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    And,
    Or,
}

/// What a part is to the whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Must,
    Should,
    MustNot,
}

impl<'a> Compiler<'a> {
    pub(super) fn query_string(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        clause.open(&[
            "query",
            "default_field",
            "fields",
            "default_operator",
            "lenient",
            "analyze_wildcard",
            "allow_leading_wildcard",
            "minimum_should_match",
        ])?;
        self.typed(clause, false)
    }

    pub(super) fn simple_query_string(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        clause.open(&[
            "query",
            "fields",
            "default_operator",
            "lenient",
            "analyze_wildcard",
            "minimum_should_match",
            "auto_generate_synonyms_phrase_query",
        ])?;
        self.typed(clause, true)
    }

    fn typed(&self, clause: &Clause<'a>, simple: bool) -> Result<Box<dyn Compiled>, Error> {
        let text = clause.text("query")?.ok_or_else(|| wrong(&clause.at, "requires `query`"))?;
        let mut fields = Vec::new();
        for (at, field) in clause.list("fields")? {
            fields.push(field.as_str().ok_or_else(|| wrong(&at, "must be a field's name"))?.to_owned());
        }
        if let Some(field) = clause.text("default_field")? {
            fields.push(field.to_owned());
        }
        let all = clause.text("default_operator")?.is_some_and(|operator| operator.eq_ignore_ascii_case("and"));
        let mut syntax = Syntax { compiler: self, characters: text.chars().collect(), at: 0, simple, all, fields };
        let found = syntax
            .group(None, 0)
            .and_then(|found| if syntax.at < syntax.characters.len() { None } else { Some(found) });
        let Some(found) = found else {
            return Err(wrong(
                &clause.at,
                &format!("holds a text that cannot be read near character {}: `{text}`", syntax.at + 1),
            )
            .hint(
                "put words with special characters in double quotes, or use simple_query_string, which takes anything",
            ));
        };
        match found {
            None => Ok(Box::new(EmptyQuery)),
            Some(mut value) => {
                let least = clause.field("minimum_should_match");
                if let (Some(least), Some(parts)) = (least, value.get_mut("bool").and_then(Value::as_object_mut))
                    && parts.get("should").and_then(Value::as_array).is_some_and(|wishes| !wishes.is_empty())
                {
                    parts.insert("minimum_should_match".to_owned(), least.clone());
                }
                clause.boosted(self.compile(&clause.at, &value, clause.depth + 1)?)
            }
        }
    }
}

impl Syntax<'_, '_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn eat(&mut self, text: &str) -> bool {
        let fits = text.chars().enumerate().all(|(ahead, character)| self.peek(ahead) == Some(character));
        if fits {
            self.at += text.chars().count();
        }
        fits
    }

    /// A word operator, only as a word of its own.
    fn eat_word(&mut self, word: &str) -> bool {
        let ends = self.peek(word.chars().count()).is_none_or(|next| next.is_whitespace() || next == '(');
        ends && self.eat(word)
    }

    fn skip_space(&mut self) {
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Parts up to a closing parenthesis or the end. Outer `None`: unreadable; inner: nothing there.
    fn group(&mut self, field: Option<&str>, depth: u32) -> Option<Option<Value>> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut parts: Vec<(Role, Value)> = Vec::new();
        loop {
            self.skip_space();
            let link = self.link();
            self.skip_space();
            match self.peek(0) {
                None => break,
                Some(')') if depth > 0 => break,
                Some(')') if self.simple => {
                    self.at += 1;
                    continue;
                }
                Some(')') => return None,
                Some(_) => {}
            }
            let (mut required, mut prohibited) = (false, false);
            if self.eat("-") || self.eat("!") || !self.simple && self.eat_word("NOT") {
                prohibited = true;
                self.skip_space();
            } else if !self.simple && self.eat("+") {
                required = true;
            }
            let Some(part) = self.part(field, depth)? else { continue };
            if self.simple {
                let and = link == Link::And || self.all && link != Link::Or;
                let part = if prohibited { json!({ "bool": { "must_not": [part] } }) } else { part };
                parts.push((if and { Role::Must } else { Role::Should }, part));
                continue;
            }
            if let Some((role, _)) = parts.last_mut()
                && *role != Role::MustNot
            {
                match link {
                    Link::And => *role = Role::Must,
                    Link::Or if self.all => *role = Role::Should,
                    _ => {}
                }
            }
            let must = required || link == Link::And || self.all && link != Link::Or;
            let role = if prohibited {
                Role::MustNot
            } else if must {
                Role::Must
            } else {
                Role::Should
            };
            parts.push((role, part));
        }
        Some(if self.simple { in_turn(parts) } else { together(parts) })
    }

    fn link(&mut self) -> Link {
        if self.simple {
            return if self.eat("+") {
                Link::And
            } else if self.eat("|") {
                Link::Or
            } else {
                Link::None
            };
        }
        if self.eat_word("AND") || self.eat("&&") {
            Link::And
        } else if self.eat_word("OR") || self.eat("||") {
            Link::Or
        } else {
            Link::None
        }
    }

    fn part(&mut self, field: Option<&str>, depth: u32) -> Option<Option<Value>> {
        if self.eat("(") {
            let inner = self.group(field, depth + 1)?;
            if !self.eat(")") && !self.simple {
                return None;
            }
            return Some(self.boosted(inner));
        }
        if self.eat("\"") {
            let phrase = self.until('"')?;
            let slop = if self.eat("~") { self.number().unwrap_or(0.0) as u32 } else { 0 };
            let found = self.over(
                field,
                &phrase,
                |name| json!({ "match_phrase": { name: { "query": phrase, "slop": slop } } }),
                "phrase",
                slop,
            );
            return Some(self.boosted(Some(found)));
        }
        if !self.simple && matches!(self.peek(0), Some('[' | '{')) {
            let range = self.range(field)?;
            return Some(self.boosted(Some(range)));
        }
        if !self.simple && self.eat("/") {
            let expression = self.until('/')?;
            let found = self.over_each(field, &|name| json!({ "regexp": { name: { "value": expression } } }));
            return Some(self.boosted(Some(found)));
        }
        self.word(field, depth)
    }

    fn word(&mut self, field: Option<&str>, depth: u32) -> Option<Option<Value>> {
        let mut word = String::new();
        // The same with wildcards kept apart from escaped characters.
        let (mut pattern, mut wild) = (String::new(), false);
        while let Some(character) = self.peek(0) {
            match character {
                '\\' => {
                    self.at += 1;
                    let Some(next) = self.peek(0) else { break };
                    word.push(next);
                    if matches!(next, '*' | '?') {
                        pattern.push('\\');
                    }
                    pattern.push(next);
                }
                character if character.is_whitespace() => break,
                '(' | ')' | '"' => break,
                '|' | '+' if self.simple && character == '|' => break,
                '~' | '^' if !self.simple || character == '~' => break,
                '[' | ']' | '{' | '}' if !self.simple => break,
                ':' if !self.simple && field.is_none() && !word.is_empty() => {
                    self.at += 1;
                    self.skip_space();
                    return self.named(&word, depth);
                }
                '*' | '?' if !self.simple || character == '*' => {
                    wild = true;
                    word.push(character);
                    pattern.push(character);
                }
                other => {
                    word.push(other);
                    pattern.push(other);
                }
            }
            self.at += 1;
        }
        if word.is_empty() {
            // A sign that begins nothing: an error in the strict syntax, passed over in the simple one.
            self.at += 1;
            return if self.simple { Some(None) } else { None };
        }
        let found = self.plain(field, &word, &pattern, wild)?;
        Some(self.boosted(Some(found)))
    }

    fn plain(&mut self, field: Option<&str>, word: &str, pattern: &str, wild: bool) -> Option<Value> {
        if wild {
            return Some(match (field, word) {
                (None, "*") => json!({ "match_all": {} }),
                (Some(field), "*") => json!({ "exists": { "field": field } }),
                _ => self
                    .over_each(field, &|name| json!({ "wildcard": { name: { "value": self.cased(name, pattern) } } })),
            });
        }
        let compare = [(">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt")];
        if let Some((sign, name)) = compare.into_iter().find(|(sign, _)| field.is_some() && word.starts_with(sign)) {
            let value = word.get(sign.len()..).unwrap_or_default();
            return Some(json!({ "range": { (field?): { name: value } } }));
        }
        if self.eat("~") {
            let edits = self.number().map_or(json!("AUTO"), |edits| json!(edits as u32));
            return Some(self.over_each(
                field,
                &|name| json!({ "match": { name: { "query": word, "fuzziness": edits, "lenient": true } } }),
            ));
        }
        Some(self.over(
            field,
            word,
            |name| json!({ "match": { name: { "query": word, "operator": self.operator(), "lenient": true } } }),
            "best_fields",
            0,
        ))
    }

    /// What follows `name:`.
    fn named(&mut self, name: &str, depth: u32) -> Option<Option<Value>> {
        if name == "_exists_" {
            let start = self.at;
            while self.peek(0).is_some_and(|character| !character.is_whitespace() && character != ')') {
                self.at += 1;
            }
            let field: String = self.characters.get(start..self.at)?.iter().collect();
            return Some(Some(json!({ "exists": { "field": field } })));
        }
        if name == "*" && self.eat("*") {
            return Some(Some(json!({ "match_all": {} })));
        }
        self.part(Some(name), depth)
    }

    fn range(&mut self, field: Option<&str>) -> Option<Value> {
        let low_open = self.peek(0)? == '{';
        self.at += 1;
        let start = self.at;
        while !matches!(self.peek(0)?, ']' | '}') {
            self.at += 1;
        }
        let inner: String = self.characters.get(start..self.at)?.iter().collect();
        let high_open = self.peek(0)? == '}';
        self.at += 1;
        let (low, high) = inner.split_once(" TO ")?;
        let mut bounds = serde_json::Map::new();
        let mut bound = |name: &str, text: &str| {
            let text = text.trim().trim_matches('"');
            if text != "*" {
                bounds.insert(name.to_owned(), json!(text));
            }
        };
        bound(if low_open { "gt" } else { "gte" }, low);
        bound(if high_open { "lt" } else { "lte" }, high);
        Some(self.over_each(field, &|name| json!({ "range": { name: bounds } })))
    }

    fn until(&mut self, end: char) -> Option<String> {
        let mut text = String::new();
        loop {
            let next = self.peek(0);
            self.at += 1;
            match next {
                Some(character) if character == end => return Some(text),
                Some('\\') if end == '"' => {
                    text.extend(self.peek(0));
                    self.at += 1;
                }
                Some(character) => text.push(character),
                None if self.simple => {
                    self.at = self.characters.len();
                    return Some(text);
                }
                None => return None,
            }
        }
    }

    fn number(&mut self) -> Option<f64> {
        let start = self.at;
        while self.peek(0).is_some_and(|character| character.is_ascii_digit() || character == '.') {
            self.at += 1;
        }
        self.characters.get(start..self.at)?.iter().collect::<String>().parse().ok()
    }

    fn boosted(&mut self, value: Option<Value>) -> Option<Value> {
        let value = value?;
        if self.simple || !self.eat("^") {
            return Some(value);
        }
        let boost = self.number().unwrap_or(1.0);
        Some(json!({ "bool": { "must": [value], "boost": boost } }))
    }

    fn operator(&self) -> &'static str {
        if self.all { "and" } else { "or" }
    }

    /// Words of text fields are in lower case, so patterns over them are too.
    fn cased(&self, field: &str, pattern: &str) -> String {
        match self.compiler.mapping().find(field) {
            Some((_, field)) if field.kind == Kind::Text => pattern.to_lowercase(),
            _ => pattern.to_owned(),
        }
    }

    fn over(&self, field: Option<&str>, words: &str, one: impl Fn(&str) -> Value, kind: &str, slop: u32) -> Value {
        match field {
            Some(name) if !name.contains('*') => one(name),
            Some(pattern) => {
                json!({ "multi_match": { "query": words, "fields": [pattern], "type": kind, "slop": slop, "lenient": true } })
            }
            None => json!({ "multi_match": {
                "query": words, "fields": self.fields, "type": kind, "slop": slop, "lenient": true, "operator": self.operator(),
            } }),
        }
    }

    /// The same clause on each field that holds words.
    fn over_each(&self, field: Option<&str>, one: &dyn Fn(&str) -> Value) -> Value {
        if let Some(name) = field.filter(|name| !name.contains('*')) {
            return one(name);
        }
        let patterns: Vec<&str> = match field {
            Some(pattern) => vec![pattern],
            None if self.fields.is_empty() => vec!["*"],
            None => self.fields.iter().map(String::as_str).collect(),
        };
        let plain = patterns.iter().map(|pattern| pattern.split('^').next().unwrap_or_default());
        let fields = plain.flat_map(|pattern| self.compiler.fields(pattern));
        let queries: Vec<Value> =
            fields.filter(|(_, field)| field.kind.is_words()).map(|(_, field)| one(&field.path)).collect();
        if queries.is_empty() { json!({ "match_none": {} }) } else { json!({ "dis_max": { "queries": queries } }) }
    }
}

/// The simple syntax reads from left to right: where the operator changes, all before becomes one part.
fn in_turn(parts: Vec<(Role, Value)>) -> Option<Value> {
    let of = |role: Role, mut parts: Vec<Value>| match (role, parts.len()) {
        (_, 1) => parts.pop(),
        (Role::Must, _) => Some(json!({ "bool": { "must": parts } })),
        _ => Some(json!({ "bool": { "should": parts } })),
    };
    let mut parts = parts.into_iter();
    let (_, first) = parts.next()?;
    let (mut role, mut waiting) = (None, vec![first]);
    for (next, part) in parts {
        if let Some(before) = role.filter(|before| *before != next) {
            waiting = of(before, waiting).into_iter().collect();
        }
        role = Some(next);
        waiting.push(part);
    }
    of(role.unwrap_or(Role::Should), waiting)
}

fn together(mut parts: Vec<(Role, Value)>) -> Option<Value> {
    if parts.len() == 1 && parts.first().is_some_and(|(role, _)| *role != Role::MustNot) {
        return parts.pop().map(|(_, value)| value);
    }
    let of = |wanted: Role| -> Vec<&Value> {
        parts.iter().filter(|(role, _)| *role == wanted).map(|(_, value)| value).collect()
    };
    (!parts.is_empty()).then(
        || json!({ "bool": { "must": of(Role::Must), "should": of(Role::Should), "must_not": of(Role::MustNot) } }),
    )
}
