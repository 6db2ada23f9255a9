//! What went wrong with an engine, told by meaning. The only place that turns its failures into errors.

use std::{error::Error as StdError, time::Duration};

use serde::Deserialize;

use super::lines::{self, Part};
use crate::{
    domain::search::after,
    error::{Code, Error, Place},
};

/// What engines say of an index that was closed.
const CLOSED: &str = "index_closed_exception";
/// Characters of an engine's words that are passed on: some repeat the whole query.
const WORDS_MAX: usize = 600;

/// The engine's own shape of a failure.
#[derive(Deserialize)]
struct Refusal {
    error: Words,
}

/// An exception, or only words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Exception(Box<Exception>),
    Text(String),
}

/// An exception of an engine.
#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub(super) struct Exception {
    r#type: Option<String>,
    reason: Option<String>,
    line: Option<u32>,
    col: Option<u32>,
    index: Option<String>,
    #[serde(rename = "resource.id")]
    resource: Option<String>,
    root_cause: Vec<Exception>,
    caused_by: Option<Box<Exception>>,
    failed_shards: Vec<ShardFailure>,
}

/// A shard that failed.
#[derive(Deserialize, Debug)]
pub(super) struct ShardFailure {
    reason: Exception,
}

impl Exception {
    /// The exception that tells most: the root cause, else itself.
    fn root(&self) -> &Self {
        let shard = self.failed_shards.first().map(|failure| &failure.reason);
        self.root_cause.first().or(shard).unwrap_or(self)
    }

    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("no reason given")
    }

    /// Of the index it is about, where it says so.
    fn index_name(&self) -> String {
        self.index.as_deref().or(self.resource.as_deref()).unwrap_or_default().to_owned()
    }

    /// Line and column in the body that was sent: members of their own, or `[2:24]` before the reason.
    fn position(&self) -> Option<(u32, Option<u32>)> {
        if let Some(line) = self.line {
            return Some((line, self.col));
        }
        let (line, column) = self.reason().strip_prefix('[')?.split_once("] ")?.0.split_once(':')?;
        Some((line.parse().ok()?, Some(column.parse().ok()?)))
    }

    fn type_name(&self) -> &str {
        self.r#type.as_deref().unwrap_or_default()
    }

    /// The reason and what lies behind it, in one line.
    pub(super) fn words(&self) -> String {
        let root = self.root();
        let mut words = root.reason().to_owned();
        let mut cause = root.caused_by.as_deref().or(self.caused_by.as_deref());
        let mut depth = 0;
        while let Some(next) = cause {
            let reason = next.reason();
            if depth < 8 && !words.contains(reason) {
                words.push_str(": ");
                words.push_str(reason);
            }
            depth += 1;
            cause = next.caused_by.as_deref();
        }
        if let Some((end, _)) = words.char_indices().nth(WORDS_MAX) {
            words.truncate(end);
            words.push('…');
        }
        words
    }

    /// The failure of the one document that was asked for.
    pub(super) fn of_document(&self) -> Error {
        let root = self.root();
        match root.type_name() {
            "index_not_found_exception" => return no_index(root),
            CLOSED => return closed(&[root.index_name()]),
            _ => {}
        }
        let place = Place { backend_code: root.r#type.clone(), ..Place::default() };
        Error::new(Code::Invalid, sentence(Code::Invalid, 400, &self.words())).place(place)
    }

    /// The code for one document of a bulk request.
    pub(super) fn item_code(&self, status: u16) -> Code {
        match status {
            _ if self.root().type_name() == CLOSED => Code::Conflict,
            409 => Code::Conflict,
            429 => Code::Busy,
            404 => Code::NotFound,
            401 | 403 => Code::Denied,
            503 => Code::Unavailable,
            _ => Code::Invalid,
        }
    }
}

/// Whether no connection was made, so that nothing can have reached the engine.
pub(super) fn is_connecting(error: &elasticsearch::Error) -> bool {
    chain(error).contains("(Connect)")
}

/// Nobody answered: the connection could not be made, or broke.
pub(super) fn unreached(error: elasticsearch::Error, writes: bool) -> Error {
    let chain = chain(&error);
    let connecting = is_connecting(&error);
    if writes && !connecting {
        return unknown(error);
    }
    let (why, hint) = if chain.contains("refused") {
        ("connection refused", NOBODY_LISTENS)
    } else if chain.contains("UnknownIssuer") || chain.contains("certificate") {
        return Error::new(Code::Unavailable, "the search engine's certificate is not accepted")
            .hint("ES_CA_CERT names a PEM file with the authority that signed it")
            .place(coded("backend_certificate_rejected"))
            .cause(error);
    } else if chain.contains("dns") || chain.contains("lookup") {
        ("its host name cannot be resolved", "the operator should correct the host in ELASTICSEARCH_URL")
    } else if connecting {
        ("no connection could be made", AS_SOON_AS)
    } else {
        ("the connection broke", AS_SOON_AS)
    };
    Error::new(Code::Unavailable, format!("the search engine cannot be reached: {why}"))
        .hint(hint)
        .retry_after(Duration::from_secs(1))
        .cause(error)
}

/// An engine that may be back any moment.
const AS_SOON_AS: &str =
    "calls work again as soon as it answers; the operator should check the host and port in ELASTICSEARCH_URL";
/// One that was not started, or is elsewhere.
const NOBODY_LISTENS: &str = "nothing is listening there: the operator should start the engine, or correct the host and port in ELASTICSEARCH_URL";

/// The answer was cut short.
pub(super) fn broken(error: elasticsearch::Error, writes: bool) -> Error {
    if writes {
        return unknown(error);
    }
    Error::new(Code::Unavailable, "the search engine's answer was cut short")
        .hint("try again")
        .retry_after(Duration::from_secs(1))
        .cause(error)
}

/// Connected, and not a word comes.
pub(super) fn silent(writes: bool) -> Error {
    if writes {
        return Error::new(
            Code::OutcomeUnknown,
            "the search engine stopped answering while documents were being written",
        )
        .hint("check which documents exist before writing again; with `id_field` a repeat replaces them");
    }
    Error::new(Code::Unavailable, "the search engine does not answer")
        .hint(AS_SOON_AS)
        .retry_after(Duration::from_secs(1))
}

/// Alive, but over the time allowed.
pub(super) fn late(deadline: Duration, writes: bool) -> Error {
    if writes {
        return Error::new(
            Code::OutcomeUnknown,
            format!("writing was not confirmed within {} ms", deadline.as_millis()),
        )
        .hint("check which documents exist before writing again; with `id_field` a repeat replaces them");
    }
    overdue(deadline)
}

/// A search that took too long.
pub(super) fn overdue(deadline: Duration) -> Error {
    Error::new(Code::Timeout, format!("the search engine did not finish within {} ms", deadline.as_millis()))
        .hint("narrow the query or the indices, or ask for fewer aggregations")
}

/// What answers is no engine that we know.
pub(super) fn unreadable(error: Box<dyn StdError + Send + Sync>) -> Error {
    Error::new(
        Code::Unavailable,
        "what answers there is not Elasticsearch or OpenSearch, or not a version that this server understands",
    )
    .hint("ELASTICSEARCH_URL names the engine's HTTP address")
    .cause(error)
}

/// Shards that failed under an answer that says success.
pub(super) fn partial(failed: u64, total: u64, failures: &[ShardFailure]) -> Error {
    let reason = failures.first().map_or("no reason given", |failure| failure.reason.root().reason());
    Error::new(Code::Unavailable, format!("{failed} of {total} shards failed: {reason}"))
        .hint("some documents would be missing, so there is no answer; try again")
        .retry_after(Duration::from_secs(1))
}

fn unknown(error: elasticsearch::Error) -> Error {
    Error::new(Code::OutcomeUnknown, "the connection broke while documents were being written")
        .hint("check which documents exist before writing again; with `id_field` a repeat replaces them")
        .cause(error)
}

/// A status other than success.
pub(super) fn refused(status: u16, body: &[u8], parts: &[Part], is_elasticsearch: bool) -> Error {
    let exception = match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error: Words::Exception(exception) }) => *exception,
        Ok(Refusal { error: Words::Text(text) }) => Exception { reason: Some(text), ..Exception::default() },
        Err(error) if status == 404 && !is_elasticsearch => return unreadable(error.into()),
        Err(_) => Exception::default(),
    };
    if status == 401 {
        return Error::new(Code::Unavailable, "the search engine does not accept this server's credentials")
            .hint("the operator should set ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD, or ELASTICSEARCH_API_KEY")
            .place(coded("backend_credentials_rejected"));
    }
    let root = exception.root();
    let words = exception.words();
    let mut place = Place { backend_code: root.r#type.clone(), ..Place::default() };
    let cause = exception.caused_by.as_deref().or(root.caused_by.as_deref());
    place.detail = cause.map(|cause| cause.reason().to_owned()).filter(|detail| !root.reason().contains(detail));
    let position = root.position();
    let found = position.and_then(|(line, column)| Some((lines::find(parts, line)?, column)));
    if let Some(((_, line), column)) = found {
        (place.line, place.column) = (Some(line), column);
    }
    let error = match meaning(status, root.type_name(), &words) {
        Meaning::NoIndex => return no_index(root).place(place),
        Meaning::Closed => return closed(&[root.index_name()]).place(place),
        Meaning::Other(code) => Error::new(code, sentence(code, status, &words)),
    };
    let error = match error.code {
        Code::Busy | Code::Unavailable => error.retry_after(Duration::from_secs(1)),
        Code::Denied => error.hint("the operator can give this server's user the right, or lift the block"),
        Code::Limit => error.hint("ask for less at once"),
        _ => error,
    };
    match found {
        Some(((argument, _), _)) => error.argument(argument).place(place),
        // Only where a query meets its index do engines tell no line.
        None if words.contains("failed to create query") => error.argument("query").place(place),
        None if words.contains("search_after") => error.argument("search_after").hint(after::HINT).place(place),
        None => error.place(place),
    }
}

enum Meaning {
    NoIndex,
    Closed,
    Other(Code),
}

fn meaning(status: u16, kind: &str, words: &str) -> Meaning {
    let code = match (status, kind) {
        (_, "index_not_found_exception") => return Meaning::NoIndex,
        (_, CLOSED) => return Meaning::Closed,
        (_, "too_many_buckets_exception") => Code::Limit,
        (_, "es_rejected_execution_exception" | "rejected_execution_exception" | "circuit_breaking_exception") => {
            Code::Busy
        }
        (_, "resource_already_exists_exception" | "version_conflict_engine_exception") => Code::Conflict,
        (_, "task_cancelled_exception") => Code::Timeout,
        (403, _) => Code::Denied,
        (404, _) => Code::NotFound,
        (408 | 504, _) => Code::Timeout,
        (409, _) => Code::Conflict,
        (413, _) => Code::Limit,
        (429, _) => Code::Busy,
        (400..=499, _) => Code::Invalid,
        // Some mistakes of callers come as 500: too deep, too many clauses, a number that is none.
        (
            500,
            "illegal_argument_exception" | "number_format_exception" | "too_many_clauses" | "query_shard_exception",
        ) => Code::Invalid,
        _ if words.contains("Result window is too large") => Code::Invalid,
        _ => Code::Unavailable,
    };
    Meaning::Other(code)
}

fn sentence(code: Code, status: u16, words: &str) -> String {
    match code {
        Code::Busy => format!("the search engine is overloaded: {words}"),
        Code::Unavailable => format!("the search engine cannot serve now (status {status}): {words}"),
        Code::Denied => format!("the search engine does not allow it: {words}"),
        _ => format!("the search engine refuses this: {words}"),
    }
}

/// An index that is not there. Near names are added by whoever knows what is visible.
fn no_index(root: &Exception) -> Error {
    missing(&root.index_name())
}

/// The same, by its name.
pub(super) fn missing(name: &str) -> Error {
    let sentence = if name.contains('*') { format!("no index matches `{name}`") } else { format!("no index `{name}`") };
    Error::new(Code::NotFound, sentence).argument("index").hint("list_indices shows the indices that exist")
}

/// Indices that were closed: they keep their documents and answer nothing.
pub(super) fn closed(names: &[String]) -> Error {
    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    let (kind, verb) = if names.len() == 1 { ("index", "is") } else { ("indices", "are") };
    Error::new(Code::Conflict, format!("{kind} {} {verb} closed", names.join(", ")))
        .argument("index")
        .hint("the operator opens it (POST /INDEX/_open in the search engine); until then name indices that are open")
        .place(coded(CLOSED))
}

/// An index that keeps no `_source`: its documents can be found and never given.
pub(super) fn sourceless(index: &str) -> Error {
    Error::invalid("index", format!("`{index}` keeps no `_source`: its documents can be found but not given back"))
        .hint(
            "count_documents and `aggs` of search_documents work; the documents come from where they were indexed from",
        )
}

fn coded(code: &str) -> Place {
    Place { backend_code: Some(code.to_owned()), ..Place::default() }
}

/// The texts of all causes: the client gives no better way to tell them apart.
fn chain(error: &elasticsearch::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
