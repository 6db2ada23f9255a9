//! How an index is made up: the engine's mapping, flattened.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    failure,
    wire::{Request, Wire},
};
use crate::{
    domain::{
        json::{self, Members},
        search::{Field, Mapping},
    },
    error::Error,
};

/// Objects inside objects that are followed. Engines stop at 20 unless told otherwise.
const DEPTH_MAX: usize = 64;

#[derive(Deserialize)]
struct Index {
    mappings: Box<RawValue>,
}

/// What a mapping says of the documents that its index keeps.
#[derive(Deserialize)]
struct Kept {
    mappings: KeptBy,
}

#[derive(Deserialize)]
struct KeptBy {
    #[serde(rename = "_source")]
    source: Parts,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parts {
    includes: Vec<String>,
    excludes: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Level {
    properties: Members<Box<RawValue>>,
    r#type: Option<String>,
    analyzer: Option<String>,
    format: Option<String>,
    fields: Members<Box<RawValue>>,
    /// Of an alias.
    path: Option<String>,
}

/// The mapping of an index, or of all indices behind an alias.
pub(super) async fn mapping(wire: &Wire, target: &str, given: &str) -> Result<Mapping, Error> {
    let answer = wire.ask(Request::get(format!("{target}/_mapping"), &[("expand_wildcards", "open,hidden")])).await?;
    let indices: Members<Index> = answer.read()?;
    let mut fields: Vec<Field> = Vec::new();
    for (_, index) in &indices.0 {
        let level = read(&index.mappings)?;
        let mut found = Vec::new();
        flatten(&level, "", 0, &mut found)?;
        for field in found {
            if !fields.iter().any(|known| known.path == field.path) {
                fields.push(field);
            }
        }
    }
    let raw = match indices.0.as_slice() {
        [] => return Err(failure::missing(given)),
        [(_, only)] => only.mappings.clone(),
        several => json::of(
            &several.iter().map(|(name, index)| (name, &index.mappings)).collect::<std::collections::BTreeMap<_, _>>(),
        ),
    };
    // The indices behind a data stream have names of the engine's own making.
    let name = match indices.0.as_slice() {
        [(name, _)] if !name.starts_with('.') => name.clone(),
        _ => given.to_owned(),
    };
    Ok(Mapping { index: name, fields, raw })
}

/// Indices whose `_source` leaves parts of a document out.
pub(super) async fn partial(wire: &Wire, target: &str) -> Result<Vec<String>, Error> {
    let query = [("filter_path", "*.mappings._source"), ("expand_wildcards", "open,hidden")];
    let answer = wire.ask(Request::get(format!("{target}/_mapping"), &query)).await?;
    let indices: Members<Kept> = answer.read()?;
    let kept = indices.0.into_iter();
    let parts = kept.filter(|(_, Kept { mappings: KeptBy { source } })| {
        !(source.includes.is_empty() && source.excludes.is_empty())
    });
    Ok(parts.map(|(name, _)| name).collect())
}

fn read(level: &RawValue) -> Result<Level, Error> {
    serde_json::from_str(level.get()).map_err(|error| failure::unreadable(error.into()))
}

fn flatten(level: &Level, prefix: &str, depth: usize, into: &mut Vec<Field>) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Ok(());
    }
    for (name, property) in &level.properties.0 {
        let field = read(property)?;
        let path = format!("{prefix}{name}");
        // An object is its members; one that has none yet, or is stored as a unit, is a field.
        let is_group = !field.properties.0.is_empty() && field.r#type.as_deref().is_none_or(|kind| kind == "object");
        if !is_group {
            into.push(Field {
                type_name: field.r#type.clone().unwrap_or_else(|| "object".to_owned()),
                analyzer: field.analyzer.clone(),
                format: field.format.clone(),
                target: field.path.clone().filter(|_| field.r#type.as_deref() == Some("alias")),
                multi_fields: field.fields.0.iter().map(|(name, _)| format!("{path}.{name}")).collect(),
                path: path.clone(),
            });
        }
        flatten(&field, &format!("{path}."), depth + 1, into)?;
    }
    Ok(())
}
