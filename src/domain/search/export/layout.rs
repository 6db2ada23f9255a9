//! The columns of a CSV export: each holds what stands at its path, also inside arrays.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde_json::value::RawValue;

use super::{keeps, on_one_line, shown};
use crate::domain::{
    json::{self, Members},
    search::Mapping,
};

/// Arrays and objects inside each other that are followed.
const DEPTH_MAX: usize = 64;

/// The columns in their order.
pub(super) struct Layout {
    pub(super) names: Vec<String>,
    /// Which columns take what stands at a path.
    places: HashMap<String, Vec<usize>>,
    /// Every path that has columns below it.
    parents: HashSet<String>,
    /// Whether a document can hold what has no column: only fields that are all named by themselves bring nothing else.
    with_rest: bool,
    /// One column for each leaf: what has columns below goes there and nowhere else.
    is_whole: bool,
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
    rest: Vec<(String, Values<'a>)>,
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

impl Layout {
    /// Names stand for themselves, patterns for the leaves of the mappings that fit. `_id` and `_index` have columns of their own.
    pub(super) fn new(mappings: &[Mapping], fields: &[String]) -> Self {
        let mut layout = Self {
            names: Vec::new(),
            places: HashMap::new(),
            parents: HashSet::new(),
            with_rest: fields.iter().any(|field| field.contains('*')),
            is_whole: false,
        };
        for field in fields {
            if field.contains('*') {
                let pattern = std::slice::from_ref(field);
                let leaves = mappings.iter().flat_map(leaves).filter(|path| keeps(pattern, path));
                leaves.for_each(|path| layout.add(path, path));
            } else if field != "_id" && field != "_index" {
                layout.add(field, source(mappings, field).unwrap_or(field));
            }
        }
        layout
    }

    /// One column for each leaf of the mappings. An alias field has no value of its own in a document, an object none beside its members.
    pub(super) fn whole(mappings: &[Mapping]) -> Self {
        let mut layout = Self {
            names: Vec::new(),
            places: HashMap::new(),
            parents: HashSet::new(),
            with_rest: true,
            is_whole: true,
        };
        for path in mappings.iter().flat_map(leaves) {
            if !layout.places.contains_key(path) {
                layout.add(path, path);
            }
        }
        layout
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
                if let Ok(members) = serde_json::from_str::<Members<&RawValue>>(value) {
                    return members.0.into_iter().for_each(|(name, value)| self.sort_out(&name, value, deeper, row));
                }
            }
            Some(b'[') if at.depth < DEPTH_MAX => {
                if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value) {
                    let deeper = Position { listed: true, ..deeper };
                    return items.into_iter().for_each(|item| self.go_down(item.get(), deeper, row));
                }
            }
            // Of a field that is a value in some documents and an object in others.
            _ if self.is_whole && self.take(value, at, row) => return,
            _ => {}
        }
        self.keep_rest(value, at, row);
    }

    fn sort_out<'a>(&self, name: &str, value: &'a RawValue, at: Position<'_>, row: &mut Gathered<'a>) {
        let path = if at.path.is_empty() { name.to_owned() } else { format!("{}.{name}", at.path) };
        let here = Position { path: &path, ..at };
        let has_below = self.parents.contains(&path);
        let taken = !(has_below && self.is_whole) && self.take(value.get(), here, row);
        let here = Position { covered: at.covered || taken, ..here };
        if has_below {
            self.go_down(value.get(), here, row);
        } else {
            self.keep_rest(value.get(), here, row);
        }
    }

    /// Puts a value into the columns of its path. False when there are none.
    fn take<'a>(&self, value: &'a str, at: Position<'_>, row: &mut Gathered<'a>) -> bool {
        let places = self.places.get(at.path).map_or(&[][..], Vec::as_slice);
        for place in places {
            if let Some(cell) = row.cells.get_mut(*place) {
                cell.add(value, at.listed);
            }
        }
        !places.is_empty()
    }

    /// What has no column is not lost.
    fn keep_rest<'a>(&self, value: &'a str, at: Position<'_>, row: &mut Gathered<'a>) {
        if !self.with_rest || at.covered || value == "null" {
            return;
        }
        // A document that is no object is kept as a whole.
        let path = if at.path.is_empty() { "document" } else { at.path };
        match row.rest.iter_mut().find(|(known, _)| known == path) {
            Some((_, values)) => values.add(value, at.listed),
            None => row.rest.push((path.to_owned(), Values { texts: vec![value], listed: at.listed })),
        }
    }
}

impl<'a> Gathered<'a> {
    /// The cells; `None`: an empty one.
    pub(super) fn texts(&self) -> impl Iterator<Item = Option<Cow<'a, str>>> {
        self.cells.iter().map(Values::text)
    }

    /// What no column takes, by its paths; `None`: nothing.
    pub(super) fn rest(&self) -> Option<String> {
        let members = self.rest.iter().map(|(path, values)| format!("{}:{}", json::of(path).get(), values.json()));
        (!self.rest.is_empty()).then(|| format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    }
}

impl<'a> Values<'a> {
    fn add(&mut self, text: &'a str, listed: bool) {
        self.texts.push(text);
        self.listed |= listed;
    }

    /// What stands in a cell.
    fn text(&self) -> Option<Cow<'a, str>> {
        match self.texts.as_slice() {
            [] => None,
            ["null"] if !self.listed => None,
            [one] if !self.listed => Some(shown(one)),
            _ => Some(self.json()),
        }
    }

    /// One value as it is; several, and what comes out of an array, as a list.
    fn json(&self) -> Cow<'a, str> {
        match self.texts.as_slice() {
            [one] if !self.listed => on_one_line(one),
            several => {
                let items: Vec<Cow<'_, str>> = several.iter().map(|text| on_one_line(text)).collect();
                Cow::Owned(format!("[{}]", items.join(",")))
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
