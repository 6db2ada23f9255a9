//! Which indices there are, which of them a name or pattern means, and who answers.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, de::IgnoredAny};

use super::{
    failure,
    wire::{Answer, Request, Wire, segment},
};
use crate::{
    domain::search::{Engine, IndexSummary, access},
    error::{Code, Error},
};

/// How long what a name means is believed. Short: an alias may be moved at any time.
const BELIEVED: Duration = Duration::from_secs(3);
/// Names remembered at the most.
const REMEMBERED_MAX: usize = 512;

/// What names meant a moment ago.
#[derive(Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<HashMap<String, (Instant, Target)>>>);

/// What names mean.
#[derive(Clone, Default)]
pub(super) struct Target {
    /// The path segment.
    pub(super) path: String,
    /// Closed indices among them, which no search reaches.
    pub(super) closed: Vec<String>,
    /// One of the closed ones was named, not only fitted by a pattern.
    pub(super) names_closed: bool,
    /// It is a data stream, or an alias of one.
    pub(super) is_stream: bool,
    /// It is an alias, or may be one.
    pub(super) is_alias: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resolved {
    indices: Vec<ResolvedIndex>,
    aliases: Vec<ResolvedAlias>,
    data_streams: Vec<ResolvedStream>,
}

#[derive(Deserialize)]
struct ResolvedIndex {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    attributes: Vec<String>,
    data_stream: Option<String>,
}

impl ResolvedIndex {
    fn is_closed(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute == "closed")
    }
}

#[derive(Deserialize)]
struct ResolvedAlias {
    name: String,
    #[serde(default)]
    indices: OneOrMany,
}

#[derive(Deserialize)]
struct ResolvedStream {
    name: String,
    #[serde(default)]
    backing_indices: OneOrMany,
}

/// Lists of one are written as the one.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl ResolvedAlias {
    /// Whether it leads to a data stream: an alias of one leads to nothing else.
    fn leads_to_stream(&self) -> bool {
        self.indices.as_slice().iter().any(|index| access::stream_of(index).is_some())
    }

    /// Whether it leads to an index of the engine's own.
    fn leads_to_system(&self) -> bool {
        self.indices.as_slice().iter().any(|index| index.starts_with('.') && !index.starts_with(".ds-"))
    }
}

/// The path segment for names and patterns: what they mean is looked up, so that neither a pattern nor an alias leads to an index of
/// the engine's own, and a pattern that fits nothing is told from one whose indices hold nothing.
pub(super) async fn target(wire: &Wire, remembered: &Remembered, names: &[String]) -> Result<Target, Error> {
    match remembered.get(&path_of(names)) {
        Some(target) => Ok(target),
        None => target_now(wire, remembered, names).await,
    }
}

fn path_of(names: &[String]) -> String {
    names.iter().map(|name| segment(name)).collect::<Vec<_>>().join(",")
}

/// The same, asked in any case: before a write, which should not be the first to learn that an engine is down.
pub(super) async fn target_now(wire: &Wire, remembered: &Remembered, names: &[String]) -> Result<Target, Error> {
    let path = path_of(names);
    let asked = wire.ask(Request::get(format!("_resolve/index/{path}"), &[("expand_wildcards", "open,closed")])).await;
    let resolved: Resolved = match asked {
        Ok(answer) => answer.read()?,
        // No right to look names up, or an engine without it: the name alone was checked.
        Err(error) if is_unsupported(&error) => return Ok(Target { path, is_alias: true, ..Target::default() }),
        Err(error) => return Err(error),
    };
    let target = reached(&resolved, names, &path)?;
    remembered.put(path, target.clone());
    Ok(target)
}

fn reached(resolved: &Resolved, names: &[String], path: &str) -> Result<Target, Error> {
    let is_stream = resolved.data_streams.iter().any(|stream| names.contains(&stream.name))
        || resolved.aliases.iter().any(|alias| names.contains(&alias.name) && alias.leads_to_stream());
    let is_alias = resolved.aliases.iter().any(|alias| names.contains(&alias.name));
    let mut target = Target { is_stream, is_alias, ..Target::default() };
    let mut visible: Vec<&str> = resolved.data_streams.iter().map(|stream| stream.name.as_str()).collect();
    let mut hides = false;
    for alias in &resolved.aliases {
        if !alias.leads_to_system() {
            visible.push(&alias.name);
        } else if names.contains(&alias.name) {
            return Err(
                Error::new(Code::Denied, format!("`{}` resolves to a system index", alias.name)).argument("index")
            );
        } else {
            hides = true;
        }
    }
    for index in &resolved.indices {
        let named = names.contains(&index.name);
        let is_hidden = index.name.starts_with('.');
        if named && is_hidden {
            // The name alone was checked, as the stream's: it has to be the stream's indeed.
            if index.data_stream.is_none() || index.data_stream.as_deref() != access::stream_of(&index.name) {
                return Err(Error::new(Code::Denied, format!("`{}` is a system index", index.name)).argument("index"));
            }
        } else if index.data_stream.is_some() {
            continue;
        } else if is_hidden {
            hides = true;
            continue;
        }
        if index.is_closed() {
            target.closed.push(index.name.clone());
            target.names_closed |= named;
        }
        if named || !index.is_closed() {
            visible.push(&index.name);
        }
    }
    if visible.is_empty() && !target.closed.is_empty() {
        target.names_closed = true;
    } else if visible.is_empty() {
        return Err(failure::missing(&names.join(",")));
    }
    // What a pattern would reach beyond is left out by naming the rest: engines differ in how they take exclusions.
    target.path = if hides { visible.into_iter().map(segment).collect::<Vec<_>>().join(",") } else { path.to_owned() };
    Ok(target)
}

/// Whether an alias may show only a part of its indices' documents. What cannot be learnt counts as one that does.
pub(super) async fn is_filtered(wire: &Wire, alias: &str) -> Result<bool, Error> {
    let query = [("filter_path", "*.aliases.*.filter")];
    match wire.ask(Request::get(format!("_alias/{}", segment(alias)), &query)).await {
        Ok(answer) => Ok(!answer.read::<HashMap<String, IgnoredAny>>()?.is_empty()),
        // No alias of that name.
        Err(error) if error.code == Code::NotFound => Ok(false),
        Err(error) if is_unsupported(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_unsupported(error: &Error) -> bool {
    let no_index = error.place.backend_code.as_deref() == Some("index_not_found_exception");
    matches!(error.code, Code::Denied | Code::Invalid) || error.code == Code::NotFound && !no_index
}

impl Remembered {
    fn get(&self, path: &str) -> Option<Target> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(path).filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, target)| target.clone())
    }

    fn put(&self, path: String, target: Target) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(path, (Instant::now(), target));
    }

    /// Something was written, which may have made an index.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// One line of `_cat/indices`: everything is text there.
#[derive(Deserialize)]
struct Line {
    index: String,
    health: Option<String>,
    #[serde(rename = "docs.count")]
    documents: Option<String>,
    #[serde(rename = "store.size")]
    size: Option<String>,
    /// open or close.
    status: Option<String>,
}

/// The visible indices and data streams, ordered by name.
pub(super) async fn list(wire: &Wire, pattern: Option<&str>) -> Result<Vec<IndexSummary>, Error> {
    let query = [
        ("format", "json"),
        ("bytes", "b"),
        ("h", "index,health,docs.count,store.size,status"),
        ("expand_wildcards", "open,closed,hidden"),
    ];
    let (lines, resolved) = tokio::join!(
        wire.ask(Request::get("_cat/indices", &query)),
        wire.ask(Request::get("_resolve/index/*", &[("expand_wildcards", "open,closed")])),
    );
    let lines: Vec<Line> = lines?.read()?;
    let mut summaries = match resolved {
        Ok(resolved) => visible(lines, &resolved.read()?),
        Err(error) if is_unsupported(&error) => {
            let named = lines.into_iter().filter(|line| !line.index.starts_with('.'));
            named.map(|line| line.summary(Vec::new())).collect()
        }
        Err(error) => return Err(error),
    };
    if let Some(pattern) = pattern {
        let fits = |name: &str| access::matches(pattern, name);
        summaries.retain(|summary| fits(&summary.name) || summary.aliases.iter().any(|alias| fits(alias)));
    }
    summaries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(summaries)
}

/// Numbers from the lines, names and aliases as resolved; a data stream is the sum of the indices behind it.
fn visible(lines: Vec<Line>, resolved: &Resolved) -> Vec<IndexSummary> {
    let aliases: HashMap<&str, &[String]> =
        resolved.indices.iter().map(|index| (index.name.as_str(), index.aliases.as_slice())).collect();
    let streams: HashMap<&str, &str> = resolved
        .data_streams
        .iter()
        .flat_map(|stream| stream.backing_indices.as_slice().iter().map(|index| (index.as_str(), stream.name.as_str())))
        .collect();
    let mut sums: HashMap<&str, IndexSummary> = HashMap::new();
    let mut summaries = Vec::new();
    for line in lines {
        if let Some(stream) = streams.get(line.index.as_str()) {
            let part = line.summary(Vec::new());
            let sum = sums.entry(stream).or_insert_with(|| IndexSummary {
                name: (*stream).to_owned(),
                documents: 0,
                size_bytes: 0,
                health: part.health.clone(),
                aliases: Vec::new(),
            });
            sum.documents += part.documents;
            sum.size_bytes += part.size_bytes;
            if severity(&part.health) > severity(&sum.health) {
                sum.health = part.health;
            }
        } else if !line.index.starts_with('.')
            && let Some(aliases) = aliases.get(line.index.as_str())
        {
            let aliases = aliases.to_vec();
            summaries.push(line.summary(aliases));
        }
    }
    summaries.extend(sums.into_values());
    summaries
}

fn severity(health: &str) -> u8 {
    match health {
        "green" => 0,
        "yellow" => 1,
        _ => 2,
    }
}

impl Line {
    fn summary(self, aliases: Vec<String>) -> IndexSummary {
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let is_closed = self.status.as_deref() == Some("close");
        IndexSummary {
            name: self.index,
            documents: number(self.documents),
            size_bytes: number(self.size),
            health: if is_closed { "closed".to_owned() } else { self.health.unwrap_or_else(|| "unknown".to_owned()) },
            aliases,
        }
    }
}

/// The names and aliases that a misspelt one may have meant.
pub(super) async fn known(wire: &Wire) -> Vec<String> {
    let asked = wire.ask(Request::get("_resolve/index/*", &[("expand_wildcards", "open")])).await;
    let Ok(resolved) = asked.and_then(|answer| answer.read::<Resolved>()) else { return Vec::new() };
    let indices = resolved.indices.into_iter().map(|index| index.name);
    let aliases = resolved.aliases.into_iter().filter(|alias| !alias.leads_to_system()).map(|alias| alias.name);
    let streams = resolved.data_streams.into_iter().map(|stream| stream.name);
    let names: HashSet<String> = indices.chain(aliases).chain(streams).filter(|name| !name.starts_with('.')).collect();
    names.into_iter().collect()
}

#[derive(Deserialize)]
struct Root {
    version: Option<RootVersion>,
}

#[derive(Deserialize)]
struct RootVersion {
    number: String,
    distribution: Option<String>,
}

#[derive(Deserialize)]
struct Nodes {
    #[serde(default)]
    nodes: HashMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    version: String,
}

/// Who answers. Asking for `/` may be forbidden or, in some distributions, not be there.
pub(super) async fn engine(wire: &Wire) -> Result<Engine, Error> {
    let root = wire.ask_anyway(Request::get("", &[])).await;
    match root {
        Ok(answer) => {
            let root: Root = answer.read()?;
            let Some(version) = root.version else { return Err(failure::unreadable("no version".into())) };
            let is_opensearch = version.distribution.as_deref() == Some("opensearch") && !answer.is_elasticsearch;
            let name = if is_opensearch { "opensearch" } else { "elasticsearch" };
            Ok(Engine { name, version: version.number })
        }
        Err(error) if matches!(error.code, Code::Denied | Code::Invalid | Code::NotFound) => by_node(wire).await,
        Err(error) => Err(error),
    }
}

async fn by_node(wire: &Wire) -> Result<Engine, Error> {
    let asked = wire.ask_anyway(Request::get("_nodes/_local", &[("filter_path", "nodes.*.version")])).await;
    let (answer, version) = match asked {
        Ok(answer) => {
            let version = version(&answer);
            (Some(answer), version)
        }
        Err(error) if matches!(error.code, Code::Denied | Code::Invalid | Code::NotFound) => (None, None),
        Err(error) => return Err(error),
    };
    let is_elasticsearch = match answer {
        Some(answer) => answer.is_elasticsearch,
        None => says_its_name(wire).await?,
    };
    let name = if is_elasticsearch { "elasticsearch" } else { "opensearch" };
    Ok(Engine { name, version: version.unwrap_or_else(|| "unknown".to_owned()) })
}

fn version(answer: &Answer) -> Option<String> {
    answer.read::<Nodes>().ok()?.nodes.into_values().next().map(|node| node.version)
}

/// Neither question is allowed: Elasticsearch says its name in every answer that succeeds, also an empty search.
async fn says_its_name(wire: &Wire) -> Result<bool, Error> {
    let request = Request::get("_search", &[("size", "0"), ("filter_path", "took"), ("terminate_after", "1")]);
    match wire.ask_anyway(request).await {
        Ok(answer) => Ok(answer.is_elasticsearch),
        Err(error) if matches!(error.code, Code::Denied | Code::Invalid | Code::NotFound) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Resolved, reached};

    #[test]
    fn an_alias_of_a_data_stream_takes_what_the_stream_takes() {
        for (name, indices, is_stream) in [
            ("of-stream", r#"[".ds-logs-2026.01.01-000001",".ds-logs-2026.01.02-000002"]"#, true),
            ("of-stream", r#"".ds-logs-000001""#, true),
            ("of-index", r#"["logs"]"#, false),
        ] {
            let answer = format!(r#"{{"aliases":[{{"name":"{name}","indices":{indices}}}]}}"#);
            let resolved: Resolved = serde_json::from_str(&answer).unwrap();
            assert_eq!(reached(&resolved, &[name.to_owned()], name).unwrap().is_stream, is_stream, "{answer}");
        }
    }
}
