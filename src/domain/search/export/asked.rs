//! The columns of a CSV export that the caller named: each holds what stands at its path, also inside arrays.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde_json::value::RawValue;

use super::{Members, keeps, on_one_line, shown};
use crate::domain::search::Mapping;

/// Arrays and objects inside each other that are followed.
const DEPTH_MAX: usize = 64;

/// The columns asked for, in their order.
pub(super) struct Asked {
    pub(super) names: Vec<String>,
    /// Which columns take what stands at a path.
    places: HashMap<String, Vec<usize>>,
    /// Every path that has columns below it.
    parents: HashSet<String>,
    /// A pattern can keep what the mappings don't know.
    with_patterns: bool,
}

/// What a document holds at the path of a column.
#[derive(Clone, Default)]
struct Values<'a> {
    texts: Vec<&'a str>,
    /// Reached through an array.
    listed: bool,
}

/// A row being gathered.
pub(super) struct Gathered<'a> {
    cells: Vec<Values<'a>>,
    /// What no column takes.
    pub(super) rest: Vec<(String, &'a str)>,
}

/// Where in a document the walk is.
#[derive(Clone, Copy)]
struct Position<'p> {
    path: &'p str,
    listed: bool,
    /// Inside a value that is a cell already.
    covered: bool,
    depth: usize,
}

impl Asked {
    /// Names stand for themselves, patterns for the leaves of the mappings that fit. `_id` and `_index` have columns of their own.
    pub(super) fn new(mappings: &[Mapping], fields: &[String]) -> Self {
        let mut asked = Self {
            names: Vec::new(),
            places: HashMap::new(),
            parents: HashSet::new(),
            with_patterns: fields.iter().any(|field| field.contains('*')),
        };
        for field in fields {
            if field.contains('*') {
                let pattern = std::slice::from_ref(field);
                let leaves = mappings.iter().flat_map(leaves).filter(|path| keeps(pattern, path));
                leaves.for_each(|path| asked.add(path, path));
            } else if field != "_id" && field != "_index" {
                asked.add(field, source(mappings, field).unwrap_or(field));
            }
        }
        asked
    }

    fn add(&mut self, name: &str, path: &str) {
        if self.names.iter().any(|known| known == name) {
            return;
        }
        self.places.entry(path.to_owned()).or_default().push(self.names.len());
        self.names.push(name.to_owned());
        self.parents.extend(path.match_indices('.').filter_map(|(at, _)| path.get(..at)).map(str::to_owned));
    }

    /// Sorts a document into the columns.
    pub(super) fn row<'a>(&self, document: &'a str) -> Gathered<'a> {
        let mut row = Gathered { cells: vec![Values::default(); self.names.len()], rest: Vec::new() };
        self.go_down(document, Position { path: "", listed: false, covered: false, depth: 0 }, &mut row);
        row
    }

    /// Goes into a value that has columns below.
    fn go_down<'a>(&self, value: &'a str, at: Position<'_>, row: &mut Gathered<'a>) {
        let deeper = Position { depth: at.depth + 1, ..at };
        match value.as_bytes().first() {
            Some(b'{') if at.depth < DEPTH_MAX => {
                if let Some(members) = Members::read(value) {
                    return members.0.into_iter().for_each(|(name, value)| self.sort_out(&name, value, deeper, row));
                }
            }
            Some(b'[') if at.depth < DEPTH_MAX => {
                if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value) {
                    let deeper = Position { listed: true, ..deeper };
                    return items.into_iter().for_each(|item| self.go_down(item.get(), deeper, row));
                }
            }
            _ => {}
        }
        self.keep_rest(value, at, row);
    }

    fn sort_out<'a>(&self, name: &str, value: &'a RawValue, at: Position<'_>, row: &mut Gathered<'a>) {
        let path = if at.path.is_empty() { name.to_owned() } else { format!("{}.{name}", at.path) };
        let places = self.places.get(&path).map_or(&[][..], Vec::as_slice);
        let covered = at.covered || !places.is_empty();
        for place in places {
            if let Some(cell) = row.cells.get_mut(*place) {
                cell.texts.push(value.get());
                cell.listed |= at.listed;
            }
        }
        let here = Position { path: &path, covered, ..at };
        if self.parents.contains(&path) {
            self.go_down(value.get(), here, row);
        } else {
            self.keep_rest(value.get(), here, row);
        }
    }

    /// What a pattern kept and no mapping knows is not lost. Without patterns there is nothing but what was named.
    fn keep_rest<'a>(&self, value: &'a str, at: Position<'_>, row: &mut Gathered<'a>) {
        if self.with_patterns && !at.covered && value != "null" {
            row.rest.push((at.path.to_owned(), value));
        }
    }
}

impl<'a> Gathered<'a> {
    /// The cells; `None`: an empty one.
    pub(super) fn texts(&self) -> impl Iterator<Item = Option<Cow<'a, str>>> {
        self.cells.iter().map(Values::text)
    }
}

impl<'a> Values<'a> {
    /// One value as it is; several, and what comes out of an array, as a list.
    fn text(&self) -> Option<Cow<'a, str>> {
        match self.texts.as_slice() {
            [] => None,
            ["null"] if !self.listed => None,
            [one] if !self.listed => Some(shown(one)),
            several => {
                let items: Vec<Cow<'_, str>> = several.iter().map(|text| on_one_line(text)).collect();
                Some(Cow::Owned(format!("[{}]", items.join(","))))
            }
        }
    }
}

/// What the documents have to hold beside the fields asked for, which stand for it.
pub fn sources(mappings: &[Mapping], fields: &[String]) -> Vec<String> {
    fields.iter().filter_map(|field| source(mappings, field)).map(str::to_owned).collect()
}

/// The field whose value another one shows: that behind an alias, or that which has it as a multi-field. `None` where it has its own.
fn source<'m>(mappings: &'m [Mapping], path: &str) -> Option<&'m str> {
    let all = || mappings.iter().flat_map(|mapping| &mapping.fields);
    if all().any(|field| field.path == path && field.target.is_none()) {
        return None;
    }
    if let Some(target) = all().find(|field| field.path == path).and_then(|field| field.target.as_deref()) {
        return Some(parent(mappings, target).unwrap_or(target));
    }
    parent(mappings, path)
}

/// The field that has this one as a multi-field.
fn parent<'m>(mappings: &'m [Mapping], path: &str) -> Option<&'m str> {
    let mut all = mappings.iter().flat_map(|mapping| &mapping.fields);
    all.find(|field| field.multi_fields.iter().any(|of_it| of_it == path)).map(|field| field.path.as_str())
}

/// The paths of a mapping that hold values and have no fields below. An alias field has no value of its own in a document.
fn leaves(mapping: &Mapping) -> impl Iterator<Item = &str> {
    let parents: HashSet<&str> = mapping
        .fields
        .iter()
        .flat_map(|field| field.path.match_indices('.').filter_map(|(at, _)| field.path.get(..at)))
        .collect();
    let fields = mapping.fields.iter().filter(|field| field.type_name != "alias");
    fields.map(|field| field.path.as_str()).filter(move |path| !parents.contains(path))
}
