//! Writing documents: each is accepted or refused on its own.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    failure::Exception,
    wire::{Body, Request, Wire, segment},
};
use crate::{
    domain::{
        json::{self, Members},
        search::{FailedDocument, Indexed, NewDocuments, ids},
    },
    error::{Code, Error},
};

/// Bytes of one request: engines are quickest with a few megabytes, and refuse beyond a hundred.
const BYTES_MAX: usize = 8 << 20;

/// A document with its place in the call.
struct Entry<'a> {
    position: usize,
    id: Option<String>,
    /// Made from the attempt of the call: one that is there was written by the same call.
    made: bool,
    document: &'a RawValue,
}

#[derive(Deserialize)]
struct Answered {
    items: Vec<Members<Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    error: Option<Exception>,
}

/// Writes them all within `time`, or says of each that it was not. A data stream takes new documents only.
pub(super) async fn index(wire: &Wire, new: &NewDocuments, is_stream: bool, time: Duration) -> Result<Indexed, Error> {
    let until = Instant::now() + time;
    let mut indexed = Indexed::default();
    let mut entries = Vec::with_capacity(new.documents.len());
    for (position, document) in new.documents.iter().enumerate() {
        match id_of(document, new.id_field.as_deref()) {
            Ok(id) => {
                let made = id.is_none() && new.made_from.is_some();
                let id = id.or_else(|| new.made_from.as_deref().map(|from| ids::made(from, position)));
                entries.push(Entry { position, id, made, document });
            }
            Err(reason) => {
                indexed.failed.push(FailedDocument { position, id: None, code: Code::Invalid, reason });
            }
        }
    }
    let mut is_first = true;
    while !entries.is_empty() {
        let (body, taken) = body(&entries, is_stream);
        let rest = entries.split_off(taken);
        match write(wire, new, body, until.saturating_duration_since(Instant::now())).await {
            Ok(items) => note(&mut indexed, &entries, items),
            // Nothing was written yet: the call as a whole failed.
            Err(error) if is_first => return Err(error),
            Err(error) => {
                let failed = entries.iter().chain(&rest).map(|entry| FailedDocument {
                    position: entry.position,
                    id: entry.id.clone(),
                    code: error.code,
                    reason: error.message.clone(),
                });
                indexed.failed.extend(failed);
                break;
            }
        }
        is_first = false;
        entries = rest;
    }
    indexed.failed.sort_by_key(|failed| failed.position);
    Ok(indexed)
}

async fn write(wire: &Wire, new: &NewDocuments, body: String, left: Duration) -> Result<Vec<Members<Item>>, Error> {
    if left.is_zero() {
        return Err(Error::new(Code::Timeout, "there was no time left for it; it was not sent"));
    }
    // Refreshed at once, not at the next turn: an agent that writes wants to search, and waiting takes up to a second or for ever.
    let query = [("refresh", if new.refresh { "true" } else { "false" })];
    let request = Request {
        writes: true,
        ..Request::post(format!("{}/_bulk", segment(&new.index)), &query, Body::Text(body)).deadline(left)
    };
    Ok(wire.ask(request).await?.read::<Answered>()?.items)
}

/// As many entries as fit into one request, and how many they are.
fn body(entries: &[Entry<'_>], is_stream: bool) -> (String, usize) {
    let mut body = String::new();
    let mut taken = 0;
    for entry in entries {
        if taken > 0 && body.len() + entry.document.get().len() > BYTES_MAX {
            break;
        }
        match &entry.id {
            Some(id) => {
                let action = if is_stream || entry.made { "create" } else { "index" };
                body.push_str(&format!("{{\"{action}\":{{\"_id\":{}}}}}\n", json::of(id)));
            }
            // What has no id is new; data streams take nothing else.
            None => body.push_str("{\"create\":{}}\n"),
        }
        // One document is one line. Outside strings a newline is whitespace, and inside them it cannot stand.
        body.extend(
            entry.document.get().chars().map(|letter| if matches!(letter, '\n' | '\r') { ' ' } else { letter }),
        );
        body.push('\n');
        taken += 1;
    }
    (body, taken)
}

fn note(indexed: &mut Indexed, entries: &[Entry<'_>], items: Vec<Members<Item>>) {
    let mut items = items.into_iter().filter_map(|Members(actions)| actions.into_iter().next().map(|(_, item)| item));
    for entry in entries {
        let failed = |code, reason| FailedDocument { position: entry.position, id: entry.id.clone(), code, reason };
        match items.next() {
            Some(Item { error: Some(_), status: 409 }) if entry.made => indexed.indexed += 1,
            Some(Item { error: Some(error), status }) => {
                indexed.failed.push(failed(error.item_code(status), error.words()));
            }
            Some(_) => indexed.indexed += 1,
            None => {
                indexed.failed.push(failed(Code::OutcomeUnknown, "the engine's answer does not mention it".to_owned()))
            }
        }
    }
}

/// The value of the id field, which becomes `_id`.
fn id_of(document: &RawValue, field: Option<&str>) -> Result<Option<String>, String> {
    match field {
        Some(field) => ids::of(document.get(), field).map(Some),
        None if document.get().starts_with('{') => Ok(None),
        None => Err("a document is a JSON object".to_owned()),
    }
}
