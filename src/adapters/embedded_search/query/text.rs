//! Clauses that look for words: match and its kin.

use serde_json::Value;
use tantivy::{
    Term,
    query::{
        AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery, Occur, PhraseQuery,
        Query as Compiled, TermQuery,
    },
    schema::IndexRecordOption,
};

use super::{
    Compiler,
    clause::{self, Clause},
    pattern, wrong,
};
use crate::{
    adapters::embedded_search::{
        derived::failed,
        mapping::{Field, FieldId, Kind},
        words::words,
    },
    error::Error,
};

/// Words that a prefix or a fuzzy word may stand for inside a match.
const EXPANSIONS: usize = 50;

/// What match and multi_match take beside the words.
pub(super) const MATCH: [&str; 9] = [
    "operator",
    "minimum_should_match",
    "fuzziness",
    "prefix_length",
    "max_expansions",
    "fuzzy_transpositions",
    "zero_terms_query",
    "lenient",
    "auto_generate_synonyms_phrase_query",
];

/// How the words of one match are put together.
struct Manner<'a> {
    all: bool,
    least: Option<&'a Value>,
    fuzziness: Option<pattern::Fuzziness>,
    prefix_length: usize,
    expansions: usize,
    none_is_all: bool,
    lenient: bool,
    slop: u32,
    /// The last word may be the beginning of one.
    last_is_prefix: bool,
}

impl<'a> Manner<'a> {
    fn read(clause: &Clause<'a>) -> Result<Self, Error> {
        let all = match clause.text("operator")?.map(str::to_lowercase).as_deref() {
            None | Some("or") => false,
            Some("and") => true,
            Some(other) => return Err(wrong(&clause.at, &format!("takes `and` or `or` as `operator`, not `{other}`"))),
        };
        let fuzziness = match clause.field("fuzziness") {
            Some(value) => Some(
                pattern::Fuzziness::read(value)
                    .ok_or_else(|| wrong(&clause.at, "takes `AUTO`, 0, 1 or 2 as `fuzziness`"))?,
            ),
            None => None,
        };
        Ok(Self {
            all,
            least: clause.field("minimum_should_match"),
            fuzziness,
            prefix_length: clause.whole("prefix_length")?.unwrap_or(0) as usize,
            expansions: clause.whole("max_expansions")?.map_or(EXPANSIONS, |most| (most as usize).clamp(1, 1_000)),
            none_is_all: clause.text("zero_terms_query")? == Some("all"),
            lenient: clause.flag("lenient")?,
            slop: clause.whole("slop")?.unwrap_or(0),
            last_is_prefix: false,
        })
    }
}

impl<'a> Compiler<'a> {
    /// One word of a text field, or a whole keyword.
    pub(super) fn word(&self, id: FieldId, field: &Field, word: &str) -> Box<dyn Compiled> {
        match self.ordinals.get(&id) {
            Some(_) => {
                self.mark(id, word);
                self.term_query(id, word)
            }
            None if field.kind == Kind::Keyword => self.key(id, word),
            None => Box::new(EmptyQuery),
        }
    }

    fn term_query(&self, id: FieldId, word: &str) -> Box<dyn Compiled> {
        Box::new(TermQuery::new(self.word_term(id, word), IndexRecordOption::WithFreqs))
    }

    fn word_term(&self, id: FieldId, word: &str) -> Term {
        self.layout.word(self.ordinals.get(&id).copied().unwrap_or_default(), word)
    }

    /// A whole keyword.
    pub(super) fn key(&self, id: FieldId, text: &str) -> Box<dyn Compiled> {
        self.mark(id, text);
        Box::new(TermQuery::new(self.layout.key(id, text), IndexRecordOption::Basic))
    }

    /// Words of a text field that begin with `prefix` and pass the test, over all segments.
    pub(super) fn expand(&self, id: FieldId, prefix: &str, test: &dyn Fn(&str) -> bool) -> Result<Vec<String>, Error> {
        let base = self.word_term(id, "");
        let (field, start) = (base.field(), base.serialized_value_bytes().len());
        let begin = self.word_term(id, prefix);
        let mut found = Vec::new();
        for reader in self.shard.searcher.segment_readers() {
            let index = reader.inverted_index(field).map_err(failed)?;
            let range = index.terms().range().ge(begin.serialized_value_bytes());
            let mut stream = range.into_stream().map_err(|error| failed(error.into()))?;
            while stream.advance() {
                if !stream.key().starts_with(begin.serialized_value_bytes()) {
                    break;
                }
                let word = stream.key().get(start..).and_then(|bytes| std::str::from_utf8(bytes).ok());
                found.extend(word.filter(|word| test(word)).map(str::to_owned));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    pub(super) fn match_words(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let (path, inner, words) = clause.of_field("query", &MATCH)?;
        let text = spoken(&inner, words)?;
        let manner = Manner::read(&inner)?;
        inner.boosted(self.matched(&inner, path, &text, &manner)?)
    }

    pub(super) fn match_bool_prefix(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let (path, inner, words) = clause.of_field("query", &MATCH)?;
        let text = spoken(&inner, words)?;
        let manner = Manner { last_is_prefix: true, ..Manner::read(&inner)? };
        inner.boosted(self.matched(&inner, path, &text, &manner)?)
    }

    pub(super) fn match_phrase(&self, clause: &Clause<'a>, prefix: bool) -> Result<Box<dyn Compiled>, Error> {
        let (path, inner, words) = clause.of_field("query", &["slop", "zero_terms_query", "max_expansions"])?;
        let text = spoken(&inner, words)?;
        let manner = Manner { last_is_prefix: prefix, ..Manner::read(&inner)? };
        inner.boosted(self.phrased(&inner, path, &text, &manner)?)
    }

    pub(super) fn multi_match(&self, clause: &Clause<'a>) -> Result<Box<dyn Compiled>, Error> {
        let mut allowed = MATCH.to_vec();
        allowed.extend_from_slice(&["query", "fields", "type", "tie_breaker", "slop"]);
        clause.open(&allowed)?;
        let text = spoken(clause, clause.field("query"))?;
        let mut manner = Manner::read(clause)?;
        let fields = self.weighted(clause)?;
        let kind = clause.text("type")?.unwrap_or("best_fields");
        manner.last_is_prefix = matches!(kind, "phrase_prefix" | "bool_prefix");
        if kind == "cross_fields" {
            return clause.boosted(self.across(&fields, &text, &manner));
        }
        let mut parts: Vec<Box<dyn Compiled>> = Vec::new();
        for (id, field, boost) in &fields {
            let part = match kind {
                "phrase" | "phrase_prefix" => self.phrased_in(clause, *id, field, &text, &manner)?,
                "best_fields" | "most_fields" | "bool_prefix" => self.matched_in(clause, *id, field, &text, &manner)?,
                other => {
                    return Err(wrong(&clause.at, &format!("does not know the type `{other}`")).hint(
                        "the types are best_fields, most_fields, cross_fields, phrase, phrase_prefix and bool_prefix",
                    ));
                }
            };
            parts.push(if *boost == 1.0 { part } else { Box::new(BoostQuery::new(part, *boost)) });
        }
        let tie = clause.number("tie_breaker")?;
        let tie = tie.unwrap_or(if matches!(kind, "most_fields" | "bool_prefix") { 1.0 } else { 0.0 });
        if parts.is_empty() {
            return Ok(Box::new(EmptyQuery));
        }
        clause.boosted(Box::new(DisjunctionMaxQuery::with_tie_breaker(parts, tie)))
    }

    /// `fields` with their boosts (`name^3`); all that hold words when it is not given.
    fn weighted(&self, clause: &Clause<'a>) -> Result<Vec<(FieldId, &'a Field, f32)>, Error> {
        let mut found: Vec<(FieldId, &Field, f32)> = Vec::new();
        let given = clause.list("fields")?;
        let everything = given.is_empty();
        let names = given.iter().map(|(at, value)| value.as_str().ok_or_else(|| wrong(at, "must be a field's name")));
        let mut names = names.collect::<Result<Vec<_>, _>>()?;
        if everything {
            names.push("*");
        }
        for name in names {
            let (pattern, boost) = match name.split_once('^') {
                Some((pattern, boost)) => (
                    pattern,
                    boost.parse().map_err(|_| {
                        wrong(&clause.at, &format!("has a field with a boost that is not a number: `{name}`"))
                    })?,
                ),
                None => (name, 1.0),
            };
            let broad = pattern.contains('*');
            for (id, field) in self.fields(pattern) {
                // A pattern means the fields that people see; numbers and dates only when they are named.
                if broad && (field.of.is_some() && pattern == "*" || !field.kind.is_words()) {
                    continue;
                }
                match found.iter_mut().find(|(other, ..)| *other == id) {
                    Some((.., weight)) => *weight *= boost,
                    None => found.push((id, field, boost)),
                }
            }
        }
        Ok(found)
    }

    /// Each word in any of the fields.
    fn across(&self, fields: &[(FieldId, &Field, f32)], text: &str, manner: &Manner<'_>) -> Box<dyn Compiled> {
        let mut parts: Vec<Box<dyn Compiled>> = Vec::new();
        for word in words(text) {
            let anywhere = fields.iter().map(|(id, field, boost)| {
                Box::new(BoostQuery::new(self.word(*id, field, &word.text), *boost)) as Box<dyn Compiled>
            });
            parts.push(Box::new(DisjunctionMaxQuery::new(anywhere.collect())));
        }
        combined(parts, manner)
    }

    fn matched(
        &self,
        at: &Clause<'a>,
        path: &str,
        text: &str,
        manner: &Manner<'_>,
    ) -> Result<Box<dyn Compiled>, Error> {
        match self.mapping().find(path) {
            Some((id, field)) => self.matched_in(at, id, field, text, manner),
            None if path == "_id" => self.exactly_id(text),
            None => Ok(Box::new(EmptyQuery)),
        }
    }

    fn matched_in(
        &self,
        at: &Clause<'a>,
        id: FieldId,
        field: &Field,
        text: &str,
        manner: &Manner<'_>,
    ) -> Result<Box<dyn Compiled>, Error> {
        if field.kind != Kind::Text {
            let fuzzy = manner.fuzziness.filter(|_| field.kind == Kind::Keyword);
            return match (fuzzy, self.equal(&at.at, id, field, &Value::String(text.to_owned()))) {
                (Some(fuzziness), _) => self.near(id, field, text, fuzziness, manner.prefix_length, manner.expansions),
                (None, Err(_)) if manner.lenient => Ok(Box::new(EmptyQuery)),
                (None, found) => found,
            };
        }
        let words = words(text);
        if words.is_empty() {
            return Ok(if manner.none_is_all { Box::new(AllQuery) } else { Box::new(EmptyQuery) });
        }
        let last = words.len() - 1;
        let mut parts = Vec::new();
        for (place, word) in words.iter().enumerate() {
            parts.push(match manner.fuzziness {
                _ if manner.last_is_prefix && place == last => self.beginning(id, &word.text, manner.expansions)?,
                Some(fuzziness) => {
                    self.near(id, field, &word.text, fuzziness, manner.prefix_length, manner.expansions)?
                }
                None => self.word(id, field, &word.text),
            });
        }
        Ok(combined(parts, manner))
    }

    /// Words that begin so, each scored alike.
    fn beginning(&self, id: FieldId, prefix: &str, most: usize) -> Result<Box<dyn Compiled>, Error> {
        let mut words = self.expand(id, prefix, &|_| true)?;
        words.truncate(most.max(EXPANSIONS));
        let parts = words.iter().map(|word| {
            self.mark(id, word);
            self.term_query(id, word)
        });
        Ok(Box::new(ConstScoreQuery::new(Box::new(BooleanQuery::union(parts.collect())), 1.0)))
    }

    /// Words within an edit distance; nearer ones score higher.
    pub(super) fn near(
        &self,
        id: FieldId,
        field: &Field,
        word: &str,
        fuzziness: pattern::Fuzziness,
        prefix_length: usize,
        most: usize,
    ) -> Result<Box<dyn Compiled>, Error> {
        let distance_max = fuzziness.distance(word);
        let prefix: String = word.chars().take(prefix_length).collect();
        if field.kind == Kind::Keyword {
            let (word, prefix) = (word.to_owned(), prefix);
            return Ok(super::super::columns::strings(Some(id), prefix, move |text| {
                pattern::distance(&word, text, distance_max).is_some()
            }));
        }
        let mut near: Vec<(usize, String)> = self
            .expand(id, &prefix, &|text| pattern::distance(word, text, distance_max).is_some())?
            .into_iter()
            .map(|text| (pattern::distance(word, &text, distance_max).unwrap_or_default(), text))
            .collect();
        near.sort();
        near.truncate(most);
        let length = word.chars().count().max(1) as f32;
        let parts = near.iter().map(|(distance, text)| {
            self.mark(id, text);
            let likeness = (1.0 - *distance as f32 / length).max(0.1);
            Box::new(BoostQuery::new(self.term_query(id, text), likeness)) as Box<dyn Compiled>
        });
        Ok(Box::new(DisjunctionMaxQuery::new(parts.collect())))
    }

    fn phrased(
        &self,
        at: &Clause<'a>,
        path: &str,
        text: &str,
        manner: &Manner<'_>,
    ) -> Result<Box<dyn Compiled>, Error> {
        match self.mapping().find(path) {
            Some((id, field)) => self.phrased_in(at, id, field, text, manner),
            None => Ok(Box::new(EmptyQuery)),
        }
    }

    fn phrased_in(
        &self,
        at: &Clause<'a>,
        id: FieldId,
        field: &Field,
        text: &str,
        manner: &Manner<'_>,
    ) -> Result<Box<dyn Compiled>, Error> {
        if field.kind != Kind::Text {
            if manner.last_is_prefix && field.kind == Kind::Keyword {
                return Ok(super::super::columns::strings(Some(id), text.to_owned(), |_| true));
            }
            return self.matched_in(at, id, field, text, manner);
        }
        let mut words: Vec<String> = words(text).into_iter().map(|word| word.text).collect();
        let Some(last) = words.pop() else {
            return Ok(if manner.none_is_all { Box::new(AllQuery) } else { Box::new(EmptyQuery) });
        };
        let mut lasts = if manner.last_is_prefix { self.expand(id, &last, &|_| true)? } else { vec![last] };
        lasts.truncate(manner.expansions);
        words.iter().for_each(|word| self.mark(id, word));
        let phrases = lasts.iter().map(|last| -> Box<dyn Compiled> {
            self.mark(id, last);
            if words.is_empty() {
                return self.term_query(id, last);
            }
            let all = words.iter().chain(std::iter::once(last)).map(|word| self.word_term(id, word));
            Box::new(PhraseQuery::new_with_offset_and_slop(all.enumerate().collect(), manner.slop))
        });
        let mut phrases: Vec<_> = phrases.collect();
        match phrases.pop() {
            None => Ok(Box::new(EmptyQuery)),
            Some(only) if phrases.is_empty() => Ok(only),
            Some(another) => {
                phrases.push(another);
                Ok(Box::new(DisjunctionMaxQuery::new(phrases)))
            }
        }
    }
}

fn combined(mut parts: Vec<Box<dyn Compiled>>, manner: &Manner<'_>) -> Box<dyn Compiled> {
    if parts.len() == 1 {
        return parts.pop().unwrap_or_else(|| Box::new(EmptyQuery));
    }
    if manner.all {
        return Box::new(BooleanQuery::intersection(parts));
    }
    let least = manner.least.and_then(|value| clause::minimum(value, parts.len())).unwrap_or(1).max(1);
    if least > parts.len() {
        return Box::new(EmptyQuery);
    }
    let parts = parts.into_iter().map(|part| (Occur::Should, part)).collect();
    Box::new(BooleanQuery::with_minimum_required_clauses(parts, least))
}

/// The words of a clause, whatever JSON scalar they were written as.
fn spoken(clause: &Clause<'_>, value: Option<&Value>) -> Result<String, Error> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(flag)) => Ok(flag.to_string()),
        Some(_) => Err(wrong(&clause.at, "takes text as `query`")),
        None => Err(wrong(&clause.at, "requires `query`")),
    }
}
