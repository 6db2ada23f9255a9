//! What an agent can ask of a search engine.

use std::{collections::BTreeSet, sync::Arc};

use super::idempotency::{Idempotency, Start, port};
use crate::{
    config::{Access, Limits},
    domain::{
        idempotency::Key,
        json::Json,
        page::Cursor,
        search::{
            After, Document, Engine, Found, Hit, IndexSummary, Indexed, Mapping, NewDocuments, Place, Query, Search,
            access, after, body, highlight,
        },
    },
    error::{Code, Error},
    ports::search::SearchEngine,
};

/// The search engine behind the tools.
#[derive(Clone)]
pub struct SearchService {
    engine: Arc<dyn SearchEngine>,
    access: Arc<Access>,
    limits: Limits,
    idempotency: Idempotency,
}

/// What to look for, as asked: `query` or `text`, or neither for everything.
pub struct QueryRequest {
    /// Query DSL.
    pub query: Option<Json>,
    /// Words.
    pub text: Option<String>,
}

/// A search as asked.
pub struct SearchRequest {
    /// Names or patterns, separated by commas.
    pub index: String,
    /// What to look for.
    pub query: QueryRequest,
    /// Fields to give back.
    pub fields: Vec<String>,
    /// Elasticsearch's `sort`.
    pub sort: Option<Json>,
    /// Hits to answer.
    pub size: Option<u64>,
    /// Hits to pass over.
    pub from: Option<u64>,
    /// Elasticsearch's `aggs`.
    pub aggregations: Option<Json>,
    /// Elasticsearch's `highlight`, or true.
    pub highlight: Option<Json>,
    /// Where the page begins, as an answer before gave it.
    pub search_after: Option<Json>,
    /// Bytes to answer.
    pub bytes_max: Option<u64>,
}

/// What a search answered, cut to its bounds.
pub struct Answered {
    /// The hits.
    pub found: Found,
    /// Fewer hits than asked for are here, because of their size.
    pub truncated: bool,
    /// Where the rest begins, behind the last hit.
    pub next_search_after: Option<String>,
    /// Where the rest begins, by count, when the order has no sort values.
    pub next_from: Option<usize>,
    /// What is not in it: closed indices, documents that the index does not keep.
    pub note: Option<String>,
}

/// A page of indices.
pub struct IndexList {
    /// Who answers.
    pub engine: Engine,
    /// The indices.
    pub indices: Vec<IndexSummary>,
    /// Cursor for the rest.
    pub next: Option<String>,
}

/// Hits of a search when the caller says nothing.
const SIZE_DEFAULT: usize = 10;
/// What Elasticsearch pages through without a cursor.
const WINDOW_MAX: usize = 10_000;

impl SearchService {
    /// Over an engine.
    pub fn new(engine: Arc<dyn SearchEngine>, access: Arc<Access>, limits: Limits, idempotency: Idempotency) -> Self {
        Self { engine, access, limits, idempotency }
    }

    /// What answers, as far as is known without asking it.
    pub fn product(&self) -> String {
        self.engine.product()
    }

    /// Searches.
    pub async fn search(&self, request: SearchRequest) -> Result<Answered, Error> {
        let size = window("size", request.size)?.unwrap_or(SIZE_DEFAULT);
        let from = window("from", request.from)?.unwrap_or(0);
        if from + size > WINDOW_MAX {
            return Err(Error::invalid(
                "from",
                format!("`from` + `size` is {}; together they take up to {WINDOW_MAX}", from + size),
            )
            .hint("page with `search_after`, or use bulk_export for everything"));
        }
        let bytes_max = self.limits.bytes(request.bytes_max)?;
        let indices = self.readable(&request.index)?;
        let sort = request.sort.map(body::read_sort).transpose()?;
        let question = after::question(&indices, sort.as_ref());
        let after =
            part("search_after", request.search_after)?.map(|given| after::read(&given, &question)).transpose()?;
        let search = Search {
            indices,
            query: request.query.read()?,
            fields: request.fields,
            sort,
            size,
            // A caller that goes on repeats the call, with the `from` of its first page.
            from: if matches!(after, Some(After::Hit(_))) { 0 } else { from },
            aggregations: part("aggs", request.aggregations)?,
            highlight: request.highlight.map(highlight::read).transpose()?.flatten(),
            after,
            timeout: self.limits.statement_time(None)?,
        };
        let found = self.engine.search(&search).await.map_err(|error| self.visible(error))?;
        let mut answered = cut(found, &search, &question, bytes_max);
        let notes = [self.closed_note(&search.indices).await, sourceless_note(&answered.found.hits)];
        answered.note = notes.into_iter().flatten().reduce(|all, note| format!("{all}; {note}"));
        Ok(answered)
    }

    /// A document by its id.
    pub async fn document(&self, index: &str, id: &str, fields: &[String]) -> Result<Document, Error> {
        let index = self.one(index)?;
        if id.is_empty() {
            return Err(Error::invalid("id", "`id` is empty").hint("search_documents shows ids"));
        }
        let document = self.engine.document(&index, id, fields).await.map_err(|error| self.visible(error))?;
        document.ok_or_else(|| Error::new(Code::NotFound, format!("no document `{id}` in `{index}`")).argument("id"))
    }

    /// Lists indices.
    pub async fn indices(
        &self,
        pattern: Option<String>,
        limit: Option<u64>,
        cursor: Option<String>,
    ) -> Result<IndexList, Error> {
        let question = format!("indices\0{}", pattern.as_deref().unwrap_or("*"));
        let offset = match &cursor {
            Some(token) => usize::try_from(Cursor::decode(token, &question)?.offset).unwrap_or(usize::MAX),
            None => 0,
        };
        let limit = self.limits.rows(limit, "limit")?;
        let (engine, mut indices) = self.engine.indices(pattern.as_deref()).await?;
        indices.retain(|index| self.access.indices.allow(&index.name));
        for index in &mut indices {
            index.aliases.retain(|alias| self.access.indices.allow(alias));
        }
        let more = indices.len() > offset.saturating_add(limit);
        let indices: Vec<_> = indices.into_iter().skip(offset).take(limit).collect();
        let next = more.then(|| Cursor { offset: (offset + indices.len()) as u64 }.encode(&question));
        Ok(IndexList { engine, indices, next })
    }

    /// Describes an index, and says when it is closed.
    pub async fn mapping(&self, index: &str) -> Result<(Mapping, Option<String>), Error> {
        let index = self.one(index)?;
        let mapping = self.engine.mapping(&index).await.map_err(|error| self.visible(error))?;
        let closed = self.engine.closed(std::slice::from_ref(&index)).await.unwrap_or_default();
        let note =
            (!closed.is_empty()).then(|| format!("`{index}` is closed: it has to be opened before it is searched"));
        Ok((mapping, note))
    }

    /// Counts documents, and says what was passed over.
    pub async fn count(&self, index: &str, query: QueryRequest) -> Result<(u64, Option<String>), Error> {
        let indices = self.readable(index)?;
        let query = query.read_without_parts("count_documents")?;
        let count = self.engine.count(&indices, &query).await.map_err(|error| self.visible(error))?;
        Ok((count, self.closed_note(&indices).await))
    }

    /// Writes documents. Under a key their ids derive from it, so that a repeat of a call that was cut off writes the same ones.
    pub async fn index(&self, mut documents: NewDocuments, key: Option<Key>) -> Result<Indexed, Error> {
        self.access.writing("index_documents")?;
        documents.index = self.one(&documents.index)?;
        if let Some(stream) = access::stream_of(&documents.index) {
            let index = &documents.index;
            return Err(Error::invalid(
                "index",
                format!("`{index}` lies behind a data stream and is not written to itself"),
            )
            .hint(format!("write to the data stream: `{stream}`")));
        }
        if documents.documents.len() > self.limits.documents_max {
            let (given, most) = (documents.documents.len(), self.limits.documents_max);
            return Err(Error::new(
                Code::Limit,
                format!("`documents` holds {given} documents; one call takes up to {most}"),
            )
            .argument("documents")
            .hint("split them over several calls"));
        }
        if documents.documents.is_empty() {
            return Ok(Indexed::default());
        }
        let attempt = match self.idempotency.begin(key, None).await? {
            Start::Answered(answer) => return Ok(answer),
            Start::Run(attempt) => attempt,
        };
        documents.made_from = port(&attempt).map(|attempt| attempt.id().to_owned());
        let done = self.engine.index(&documents).await.map_err(|error| self.visible(error));
        self.idempotency.end(attempt, done).await
    }

    /// Says which closed indices were passed over. What was found stands, also when that cannot be learnt.
    pub async fn closed_note(&self, indices: &[String]) -> Option<String> {
        if !indices.iter().any(|name| name.contains('*')) {
            return None;
        }
        let closed = self.engine.closed(indices).await.unwrap_or_default();
        let closed: Vec<String> =
            closed.into_iter().filter(|name| self.access.indices.allow(name)).map(|name| format!("`{name}`")).collect();
        (!closed.is_empty()).then(|| format!("closed indices are passed over: {}", closed.join(", ")))
    }

    /// Says what an export has not: closed indices, and parts of documents that their index does not keep.
    pub async fn export_note(&self, indices: &[String]) -> Option<String> {
        let partial = self.engine.partial(indices).await.unwrap_or_default();
        let partial: Vec<String> =
            partial.into_iter().filter(|name| self.allows(name)).map(|name| format!("`{name}`")).collect();
        let partial = (!partial.is_empty())
            .then(|| format!("documents lack what the `_source` of their index leaves out: {}", partial.join(", ")));
        let notes: Vec<String> = self.closed_note(indices).await.into_iter().chain(partial).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// Index names, lists and patterns, inside what is allowed: a pattern that reaches further is narrowed to the allowed ones it covers.
    pub fn readable(&self, given: &str) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for name in given.split(',') {
            let name = checked(name)?;
            // A pattern is inside when it is itself matched by an allowed one: what it can match is then allowed too.
            if self.allows(name) {
                names.push(name.to_owned());
            } else if name.contains('*') {
                names.extend(self.narrowed(name)?);
            } else {
                return Err(hidden(name));
            }
        }
        Ok(names)
    }

    fn narrowed(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for allowed in self.access.indices.as_slice() {
            if access::matches(pattern, allowed) {
                names.push(allowed.clone());
            } else if access::overlap(pattern, allowed) {
                // What both match is no pattern; leaving it out would answer less than was asked for.
                return Err(hidden(pattern).hint(format!(
                    "CALLBOARD_INDICES allows {}; use names or patterns within that",
                    self.access.indices.as_slice().join(", ")
                )));
            }
        }
        if names.is_empty() { Err(hidden(pattern)) } else { Ok(names) }
    }

    /// The error without names that this server may not show.
    pub fn visible(&self, error: Error) -> Error {
        let near = error.did_you_mean.iter().filter(|name| self.access.indices.allow(name)).cloned().collect();
        error.did_you_mean(near)
    }

    fn one(&self, given: &str) -> Result<String, Error> {
        let given = checked(given)?;
        if given.contains(['*', ',', '?']) {
            return Err(Error::invalid("index", format!("`index` takes one name here, not `{given}`"))
                .hint("list_indices shows the names that fit a pattern"));
        }
        if !self.allows(given) {
            return Err(hidden(given));
        }
        Ok(given.to_owned())
    }

    /// An index behind a data stream is allowed as the stream is.
    fn allows(&self, name: &str) -> bool {
        self.access.indices.allow(access::stream_of(name).unwrap_or(name))
    }
}

impl QueryRequest {
    /// Reads and checks the query.
    pub fn read(self) -> Result<Query, Error> {
        match (self.query, self.text) {
            (Some(_), Some(_)) => Err(Error::invalid("text", "`text` and `query` are both given; use one of them")),
            (None, None) => Ok(Query::All),
            (None, Some(text)) => Ok(Query::Text(text)),
            (Some(query), None) => body::read_query(query),
        }
    }

    /// The same for a tool that answers no `inner_hits`.
    pub fn read_without_parts(self, tool: &str) -> Result<Query, Error> {
        let query = self.read()?;
        body::without_inner_hits(&query, tool)?;
        Ok(query)
    }
}

fn part(argument: &'static str, part: Option<Json>) -> Result<Option<Json>, Error> {
    part.map(|part| body::read_part(argument, part)).transpose()
}

/// A name or pattern without the blanks around it.
fn checked(name: &str) -> Result<&str, Error> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Error::invalid("index", "`index` is empty, or names an empty one between commas")
            .hint("list_indices shows the names"));
    }
    if name.starts_with('.') && access::stream_of(name).is_none() && !name.contains(['/', '\\']) {
        return Err(Error::new(Code::Denied, format!("`{name}` is a system index"))
            .argument("index")
            .hint("CALLBOARD_INDICES names what may be used"));
    }
    let wrong = name.len() > 255
        || name.starts_with(['-', '_', '+', '<'])
        || name.contains(['/', '\\', '"', '>', '|', ' ', '#', ':', '\0', '\n']);
    if wrong {
        return Err(Error::invalid("index", format!("`index` is not an index name: `{name}`"))
            .hint("names are lower case without spaces and special characters; list_indices shows them"));
    }
    Ok(name)
}

fn hidden(name: &str) -> Error {
    Error::new(Code::Denied, format!("this server may not use the index `{name}`"))
        .argument("index")
        .hint("CALLBOARD_INDICES names the allowed indices")
}

/// Indices whose hits come without their documents, because the index does not keep them.
fn sourceless_note(hits: &[Hit]) -> Option<String> {
    let without = hits.iter().filter(|hit| hit.document.get() == "null").map(|hit| format!("`{}`", hit.index));
    let names: Vec<String> = without.collect::<BTreeSet<_>>().into_iter().collect();
    let names = names.join(", ");
    (!names.is_empty()).then(|| format!("`document` is null because the index keeps no `_source`: {names}"))
}

fn window(argument: &'static str, asked: Option<u64>) -> Result<Option<usize>, Error> {
    let Some(asked) = asked else { return Ok(None) };
    match usize::try_from(asked) {
        Ok(asked) if asked <= WINDOW_MAX => Ok(Some(asked)),
        _ => Err(Error::invalid(argument, format!("`{argument}` is {asked}; it takes 0 to {WINDOW_MAX}"))),
    }
}

fn cut(mut found: Found, search: &Search, question: &str, bytes_max: usize) -> Answered {
    let mut bytes = 0;
    let fit = found.hits.iter().take_while(|hit| {
        let beside = [&hit.highlight, &hit.inner_hits, &hit.matched_queries];
        bytes += hit.document.get().len() + 64;
        bytes += beside.into_iter().flatten().map(|part| part.get().len()).sum::<usize>();
        bytes <= bytes_max
    });
    // One hit is always given, however large: an answer without progress helps nobody.
    let keep = fit.count().max(1).min(found.hits.len());
    let truncated = keep < found.hits.len();
    let full = found.hits.len() == search.size && search.size > 0;
    found.hits.truncate(keep);
    let more = truncated || found.more.unwrap_or(full && (search.from + keep) as u64 != found.total);
    let next_search_after = if more { end_of(&found.hits, search.after.as_ref()) } else { None };
    let next_from = (more && next_search_after.is_none()).then_some(search.from + keep);
    Answered {
        found,
        truncated,
        next_search_after: next_search_after.map(|place| place.encode(question)),
        next_from,
        note: None,
    }
}

/// The place of the last hit. The hits that share its sort values may have begun on the page before.
fn end_of(hits: &[Hit], after: Option<&After>) -> Option<Place> {
    let sort = hits.last()?.sort.clone()?;
    let tied = |other: &Json| other.get() == sort.get();
    let ids = hits.iter().rev().take_while(|hit| hit.sort.as_ref().is_some_and(tied)).map(|hit| hit.id.clone());
    let mut given: Vec<String> = ids.collect();
    if given.len() == hits.len()
        && let Some(After::Hit(before)) = after
        && tied(&before.sort)
    {
        given.extend(before.given.iter().cloned());
    }
    Some(Place { sort, given })
}
