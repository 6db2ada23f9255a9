//! Elasticsearch's query DSL as tantivy queries over one index.

mod clause;
mod pattern;
mod syntax;
mod terms;
mod text;

use std::cell::{Cell, Ref, RefCell};

use serde_json::Value;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery, Occur, Query as Compiled,
};

use self::clause::Clause;
use super::{
    derived::{Layout, Ordinals, Shard, text_ordinals},
    mapping::{Field, FieldId, Mapping},
};
use crate::{
    domain::{names, search::Query},
    error::Error,
};

/// Clauses inside clauses.
const DEPTH_MAX: u32 = 64;

/// Clauses that are known here.
const KNOWN: [&str; 23] = [
    "bool",
    "boosting",
    "constant_score",
    "dis_max",
    "exists",
    "fuzzy",
    "ids",
    "match",
    "match_all",
    "match_bool_prefix",
    "match_none",
    "match_phrase",
    "match_phrase_prefix",
    "multi_match",
    "nested",
    "prefix",
    "query_string",
    "range",
    "regexp",
    "simple_query_string",
    "term",
    "terms",
    "wildcard",
];
/// Clauses that Elasticsearch knows and this engine does not.
const ELSEWHERE: [&str; 33] = [
    "combined_fields",
    "distance_feature",
    "function_score",
    "geo_bounding_box",
    "geo_distance",
    "geo_polygon",
    "geo_shape",
    "has_child",
    "has_parent",
    "hybrid",
    "intervals",
    "knn",
    "more_like_this",
    "neural",
    "parent_id",
    "percolate",
    "pinned",
    "rank_feature",
    "rule",
    "script",
    "script_score",
    "semantic",
    "shape",
    "span_containing",
    "span_first",
    "span_multi",
    "span_near",
    "span_not",
    "span_or",
    "span_term",
    "sparse_vector",
    "terms_set",
    "wrapper",
];

/// Compiles queries for one index, and remembers which words they look for.
pub(super) struct Compiler<'a> {
    shard: &'a Shard,
    layout: &'a Layout,
    ordinals: Ordinals,
    now: i64,
    /// Field and word, for highlighting.
    marks: RefCell<Vec<(FieldId, String)>>,
    /// Inside a clause that excludes: its words are not marked.
    excluding: Cell<bool>,
    /// Clauses with a `_name`.
    named: RefCell<Vec<(String, Box<dyn Compiled>)>>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(shard: &'a Shard, now: i64) -> Self {
        let ordinals = text_ordinals(&shard.collection.mapping);
        Self {
            shard,
            layout: &shard.layout,
            ordinals,
            now,
            marks: RefCell::default(),
            excluding: Cell::new(false),
            named: RefCell::default(),
        }
    }

    /// The clauses that have a name, compiled so far.
    pub(super) fn named(&self) -> Ref<'_, [(String, Box<dyn Compiled>)]> {
        Ref::map(self.named.borrow(), Vec::as_slice)
    }

    /// The words looked for so far.
    pub(super) fn marks(&self) -> Vec<(FieldId, String)> {
        self.marks.borrow().clone()
    }

    pub(super) fn mapping(&self) -> &'a Mapping {
        &self.shard.collection.mapping
    }

    /// A query of the port.
    pub(super) fn query(&self, query: &Query) -> Result<Box<dyn Compiled>, Error> {
        match query {
            Query::All => Ok(Box::new(AllQuery)),
            Query::Text(text) => Ok(self.words_anywhere(text)),
            Query::Dsl(json) => {
                let value: Value = serde_json::from_str(json.get())
                    .map_err(|error| Error::invalid("query", "`query` is not JSON").cause(error))?;
                self.compile("query", &value, 0)
            }
        }
    }

    /// One clause: an object with one key, its name.
    pub(super) fn compile(&self, at: &str, value: &Value, depth: u32) -> Result<Box<dyn Compiled>, Error> {
        if depth > DEPTH_MAX {
            return Err(wrong(at, "is nested too deeply"));
        }
        let Some(object) = value.as_object() else {
            return Err(wrong(at, "must be an object such as {\"match\":{\"name\":\"mouse\"}}"));
        };
        let mut entries = object.iter();
        let (Some((name, body)), None) = (entries.next(), entries.next()) else {
            let found: Vec<&str> = object.keys().map(String::as_str).collect();
            let message = if found.is_empty() {
                "is empty: it takes one clause such as `match`".to_owned()
            } else {
                format!("takes one clause and has {}: `{}`; put them into a `bool`", found.len(), found.join("`, `"))
            };
            return Err(wrong(at, &message));
        };
        let clause = Clause::new(format!("{at}.{name}"), name, body, depth);
        let compiled = self.clause(at, name, &clause)?;
        if let Some(name) = clause.own_name()? {
            self.named.borrow_mut().push((name.to_owned(), compiled.box_clone()));
        }
        Ok(compiled)
    }

    fn clause(&self, at: &str, name: &str, clause: &Clause<'_>) -> Result<Box<dyn Compiled>, Error> {
        match name {
            "match_all" => clause.open(&[]).map(|_| clause.boosted(Box::new(AllQuery)))?,
            "match_none" => Ok(Box::new(EmptyQuery)),
            "bool" => self.boolean(clause),
            "dis_max" => self.best_of(clause),
            "constant_score" => self.constant(clause),
            "boosting" => self.boosting(clause),
            "nested" => self.nested(clause),
            "match" => self.match_words(clause),
            "match_bool_prefix" => self.match_bool_prefix(clause),
            "match_phrase" => self.match_phrase(clause, false),
            "match_phrase_prefix" => self.match_phrase(clause, true),
            "multi_match" => self.multi_match(clause),
            "query_string" => self.query_string(clause),
            "simple_query_string" => self.simple_query_string(clause),
            "term" => self.term(clause),
            "terms" => self.terms(clause),
            "range" => self.range(clause),
            "exists" => self.exists(clause),
            "ids" => self.ids(clause),
            "prefix" => self.prefix(clause),
            "wildcard" => self.wildcard(clause),
            "regexp" => self.regexp(clause),
            "fuzzy" => self.fuzzy(clause),
            other => Err(unknown(at, other)),
        }
    }

    fn boolean(&self, clause: &Clause<'_>) -> Result<Box<dyn Compiled>, Error> {
        clause.open(&["must", "filter", "should", "must_not", "minimum_should_match", "adjust_pure_negative"])?;
        let mut parts: Vec<(Occur, Box<dyn Compiled>)> = Vec::new();
        for (name, occur) in [("must", Occur::Must), ("filter", Occur::Must), ("must_not", Occur::MustNot)] {
            for (at, value) in clause.list(name)? {
                let compiled =
                    self.excluding(occur == Occur::MustNot, || self.compile(&at, value, clause.depth + 1))?;
                parts.push((
                    occur,
                    if name == "filter" { Box::new(ConstScoreQuery::new(compiled, 0.0)) } else { compiled },
                ));
            }
        }
        let required = parts.iter().any(|(occur, _)| *occur == Occur::Must);
        let wishes = clause.list("should")?;
        let given = clause.field("minimum_should_match");
        let least = match given {
            Some(value) => clause::minimum(value, wishes.len())
                .ok_or_else(|| wrong(&clause.at, "has a `minimum_should_match` that cannot be read"))?,
            None => usize::from(!wishes.is_empty() && !required),
        };
        if least > wishes.len() {
            return Ok(Box::new(EmptyQuery));
        }
        if wishes.is_empty() && !required {
            let score = if parts.is_empty() { 1.0 } else { 0.0 };
            parts.push((Occur::Must, Box::new(ConstScoreQuery::new(Box::new(AllQuery), score))));
        }
        for (at, value) in wishes {
            parts.push((Occur::Should, self.compile(&at, value, clause.depth + 1)?));
        }
        let optional_only = least == 0 && !parts.iter().any(|(occur, _)| *occur == Occur::Must);
        if optional_only {
            parts.push((Occur::Must, Box::new(ConstScoreQuery::new(Box::new(AllQuery), 0.0))));
        }
        clause.boosted(Box::new(BooleanQuery::with_minimum_required_clauses(parts, least)))
    }

    fn best_of(&self, clause: &Clause<'_>) -> Result<Box<dyn Compiled>, Error> {
        clause.open(&["queries", "tie_breaker"])?;
        let mut parts = Vec::new();
        for (at, value) in clause.list("queries")? {
            parts.push(self.compile(&at, value, clause.depth + 1)?);
        }
        if parts.is_empty() {
            return Err(wrong(&clause.at, "requires `queries`"));
        }
        let tie = clause.number("tie_breaker")?.unwrap_or(0.0);
        clause.boosted(Box::new(DisjunctionMaxQuery::with_tie_breaker(parts, tie)))
    }

    fn constant(&self, clause: &Clause<'_>) -> Result<Box<dyn Compiled>, Error> {
        clause.open(&["filter"])?;
        let inner = self.required(clause, "filter")?;
        clause.boosted(Box::new(ConstScoreQuery::new(inner, 1.0)))
    }

    fn boosting(&self, clause: &Clause<'_>) -> Result<Box<dyn Compiled>, Error> {
        clause.open(&["positive", "negative", "negative_boost"])?;
        let positive = self.required(clause, "positive")?;
        let negative = self.excluding(true, || self.required(clause, "negative"))?;
        let factor = clause.number("negative_boost")?.ok_or_else(|| wrong(&clause.at, "requires `negative_boost`"))?;
        let without: Box<dyn Compiled> = Box::new(BooleanQuery::new(vec![
            (Occur::Must, positive.box_clone()),
            (Occur::MustNot, negative.box_clone()),
        ]));
        let with: Box<dyn Compiled> = Box::new(BooleanQuery::new(vec![
            (Occur::Must, Box::new(BoostQuery::new(positive, factor))),
            (Occur::Must, Box::new(ConstScoreQuery::new(negative, 0.0))),
        ]));
        clause.boosted(Box::new(DisjunctionMaxQuery::new(vec![without, with])))
    }

    /// Objects in arrays are kept flat here: no field is nested, and a query that says so is answered as engines answer it then.
    fn nested(&self, clause: &Clause<'_>) -> Result<Box<dyn Compiled>, Error> {
        if clause.field("inner_hits").is_some() {
            return Err(elsewhere(&clause.at, "inner_hits"));
        }
        clause.open(&["path", "query", "score_mode", "ignore_unmapped", "inner_hits"])?;
        let path = clause.text("path")?.ok_or_else(|| wrong(&clause.at, "requires `path`"))?;
        self.required(clause, "query")?;
        if clause.flag("ignore_unmapped")? {
            return Ok(Box::new(EmptyQuery));
        }
        Err(wrong(
            &clause.at,
            &format!("cannot be answered: [nested] failed to find nested object under path [{path}]"),
        )
        .hint("get_mapping shows types; the fields of an object are queried without `nested`"))
    }

    fn required(&self, clause: &Clause<'_>, name: &str) -> Result<Box<dyn Compiled>, Error> {
        let value = clause.field(name).ok_or_else(|| wrong(&clause.at, &format!("requires `{name}`")))?;
        self.compile(&format!("{}.{name}", clause.at), value, clause.depth + 1)
    }

    fn excluding<T>(&self, excluding: bool, work: impl FnOnce() -> T) -> T {
        let before = self.excluding.replace(excluding != self.excluding.get());
        let done = work();
        self.excluding.set(before);
        done
    }

    fn mark(&self, field: FieldId, word: &str) {
        if !self.excluding.get() {
            self.marks.borrow_mut().push((field, word.to_owned()));
        }
    }

    /// Fields that a name or a pattern with `*` stands for.
    fn fields(&self, pattern: &str) -> Vec<(FieldId, &'a Field)> {
        if !pattern.contains('*') {
            return self.mapping().find(pattern).into_iter().collect();
        }
        let fits = |field: &Field| crate::domain::search::access::matches(pattern, &field.path);
        self.mapping().fields().filter(|(_, field)| fits(field)).collect()
    }

    /// Words that a person would type: each may be in any field; the more of them and the rarer, the better.
    fn words_anywhere(&self, text: &str) -> Box<dyn Compiled> {
        let own = |field: &Field| field.of.is_none() && field.kind.is_words();
        let fields: Vec<_> = self.mapping().fields().filter(|(_, field)| own(field)).collect();
        let mut parts: Vec<(Occur, Box<dyn Compiled>)> = Vec::new();
        for word in super::words::words(text) {
            let anywhere = fields.iter().map(|(id, field)| self.word(*id, field, &word.text)).collect::<Vec<_>>();
            parts.push((Occur::Should, Box::new(DisjunctionMaxQuery::with_tie_breaker(anywhere, 0.3))));
        }
        let keywords = fields.iter().filter(|(_, field)| field.kind == super::mapping::Kind::Keyword);
        for (id, _) in keywords.filter(|_| !text.trim().is_empty()) {
            parts.push((Occur::Should, self.key(*id, text.trim())));
        }
        if parts.is_empty() { Box::new(EmptyQuery) } else { Box::new(BooleanQuery::new(parts)) }
    }
}

/// A part of the query that cannot be read.
pub(super) fn wrong(at: &str, message: &str) -> Error {
    Error::invalid("query", format!("`{at}` {message}"))
}

/// A part of the query that only real engines answer.
fn elsewhere(at: &str, name: &str) -> Error {
    Error::invalid("query", format!("`{at}` uses `{name}`, which the embedded search engine does not know"))
        .hint("a real Elasticsearch or OpenSearch does: set ELASTICSEARCH_URL")
}

fn unknown(at: &str, name: &str) -> Error {
    if ELSEWHERE.contains(&name) {
        return elsewhere(at, name);
    }
    Error::invalid("query", format!("`{at}` has no clause `{name}`"))
        .hint("the clauses are match, multi_match, term, terms, range, bool, exists and others of Elasticsearch's query DSL")
        .did_you_mean(names::nearest(name, KNOWN))
}
