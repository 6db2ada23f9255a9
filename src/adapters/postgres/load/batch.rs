//! Rows sorted by what they name: all rows with the same columns are one unit, written by one statement.

use std::collections::HashMap;

use super::{
    binary::{self, Stop},
    cell::{Kind, Scalar, Value, look},
    documents,
    staging::Staging,
    unit::{Body, Unit},
};
use crate::{
    adapters::postgres::catalog::{Column, Table},
    domain::{
        json::Json,
        sql::{
            Duplicates, hints,
            rows::{self, Fault, unescaped},
        },
    },
};

/// More rows than this are worth a COPY.
pub(super) const SMALL: usize = 500;
/// Units that are written by COPY at the most; a temporary table for each costs more than it gains beyond that.
const COPIES_MAX: usize = 8;

/// Rows on their way into one table.
pub(super) struct Batch<'load> {
    pub(super) table: &'load Table,
    pub(super) kinds: Vec<Kind>,
    pub(super) rows: &'load [Json],
    pub(super) units: Vec<Unit>,
    /// Rows that can never be written, with their places.
    pub(super) faults: Vec<(usize, Fault)>,
    /// Rows replaced by a later one with the same key.
    pub(super) merged: u64,
    by_columns: HashMap<(Vec<usize>, bool), usize>,
    /// By what rows are told apart.
    apart: Apart,
    duplicates: Duplicates,
    seen: HashMap<Vec<u8>, usize>,
    /// Only the server knows which rows share a key: [`keys`](super::keys) asks it.
    pub(super) unsure: bool,
}

/// By what rows of one call are told apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Apart {
    /// Columns of the key; empty when they need not be told apart.
    pub(super) key: Vec<usize>,
    /// As of [`Key::folding`](crate::adapters::postgres::catalog::Key).
    pub(super) folding: Vec<Option<String>>,
    pub(super) nulls_equal: bool,
    /// What the server said: rows by their places, with a number that alike keys share.
    pub(super) groups: Option<HashMap<usize, u64>>,
    /// The place of a column that rows may name although the database numbers it.
    pub(super) numbered: Option<usize>,
    /// Places of rows that share another key with an earlier one, and the key's column where it has one alone.
    pub(super) repeated: HashMap<usize, Option<String>>,
}

/// A value whose equals only the server knows.
struct Unsure;

/// The values of one row by column.
type Slots<'row> = Vec<Option<&'row str>>;

impl<'load> Batch<'load> {
    /// No rows yet.
    pub(super) fn new(table: &'load Table, rows: &'load [Json], apart: Apart, duplicates: Duplicates) -> Self {
        let kinds: Vec<Kind> = table.columns.iter().map(Kind::of).collect();
        let own = |place: &usize| kinds.get(*place).is_some_and(|kind| kind.compared_here());
        let known = apart.key.iter().all(own) && !apart.nulls_equal && apart.folding.iter().all(Option::is_none);
        let unsure = rows.len() > 1 && apart.groups.is_none() && !known;
        Self {
            table,
            kinds,
            rows,
            units: Vec::new(),
            faults: Vec::new(),
            merged: 0,
            by_columns: HashMap::new(),
            apart,
            duplicates,
            seen: HashMap::new(),
            unsure,
        }
    }

    /// Takes all rows, and sends those of the first unit on as they come, where they can be sent already. Lets others work meanwhile:
    /// 100,000 rows take a while. Ends early when it gets [unsure](Self::unsure).
    pub(super) async fn fill(&mut self, mut staging: Option<&mut Staging<'_>>) {
        const SLICE: usize = 256;
        if self.duplicates == Duplicates::Last && !self.apart.key.is_empty() {
            for position in 0..self.rows.len() {
                if self.unsure {
                    return;
                }
                self.note(position);
                if position % SLICE == SLICE - 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
        for position in 0..self.rows.len() {
            if self.unsure {
                return;
            }
            if let Err(fault) = self.take(position) {
                self.faults.push((position, fault));
            }
            if position % SLICE == SLICE - 1 {
                if let (Some(first), Some(staging)) = (self.units.first_mut(), staging.as_deref_mut()) {
                    staging.take(self.table, first).await;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// The row as JSON for its unit's statement, for the slow way.
    pub(super) fn document(&self, position: usize) -> Result<String, Fault> {
        let slots = self.slots(position)?;
        let mut out = String::new();
        self.write_json(&slots, &mut out)?;
        Ok(out)
    }

    /// The columns that a row names.
    pub(super) fn columns(&self, position: usize) -> Result<Vec<usize>, Fault> {
        Ok(named(&self.slots(position)?))
    }

    /// Remembers the last row of each key.
    fn note(&mut self, position: usize) {
        let Ok(slots) = self.slots(position) else { return };
        match self.key_of(position, &slots) {
            Ok(Some(key)) => {
                self.seen.insert(key, position);
            }
            Ok(None) => {}
            Err(Unsure) => self.unsure = true,
        }
    }

    fn take(&mut self, position: usize) -> Result<(), Fault> {
        let slots = self.slots(position)?;
        if let Some(column) = self.apart.repeated.get(&position) {
            return Err(Fault { column: column.clone(), detail: None, ..self.duplicate() });
        }
        let key = match self.key_of(position, &slots) {
            Ok(key) => key,
            Err(Unsure) => {
                self.unsure = self.rows.len() > 1;
                None
            }
        };
        if let Some(key) = key {
            match self.duplicates {
                Duplicates::Last if self.seen.get(&key).is_some_and(|last| *last != position) => {
                    self.merged += 1;
                    return Ok(());
                }
                Duplicates::Last => {}
                Duplicates::Refuse if self.seen.insert(key, position).is_some() => return Err(self.duplicate()),
                Duplicates::Refuse => {}
            }
        }
        let columns = named(&slots);
        let copy = self.rows.len() > SMALL && columns.iter().all(|place| self.kind(*place).binary());
        if copy && self.write_binary(&columns, &slots, position)? {
            return Ok(());
        }
        let mut written = String::new();
        self.write_json(&slots, &mut written)?;
        let unit = self.unit(columns, false);
        if let Body::Json(body) = &mut unit.body {
            body.push(if unit.positions.is_empty() { '[' } else { ',' });
            body.push_str(&written);
        }
        unit.positions.push(position);
        Ok(())
    }

    /// False when the row has to go the other way.
    fn write_binary(&mut self, columns: &[usize], slots: &Slots<'_>, position: usize) -> Result<bool, Fault> {
        let known = self.by_columns.contains_key(&(columns.to_vec(), true));
        if columns.is_empty() || (!known && self.by_columns.keys().filter(|(_, copy)| *copy).count() >= COPIES_MAX) {
            return Ok(false);
        }
        let (kinds, table) = (std::mem::take(&mut self.kinds), self.table);
        let unit = self.unit(columns.to_vec(), true);
        let written = match &mut unit.body {
            Body::Binary(body) => encode(table, &kinds, columns, slots, body),
            Body::Json(_) => Err(Stop::Unsure),
        };
        if written.is_ok() {
            unit.positions.push(position);
        }
        self.kinds = kinds;
        match written {
            Ok(()) => Ok(true),
            Err(Stop::Unsure) => Ok(false),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    fn write_json(&self, slots: &Slots<'_>, out: &mut String) -> Result<(), Fault> {
        out.push('{');
        for (place, json) in slots.iter().enumerate() {
            let (Some(json), Some(column)) = (json, self.table.columns.get(place)) else { continue };
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(crate::domain::json::of(&column.name).get());
            out.push(':');
            documents::write(self.kind(place), &column.name, &column.type_name, json, out)?;
        }
        out.push('}');
        Ok(())
    }

    /// The values of a row by column.
    fn slots(&self, position: usize) -> Result<Slots<'load>, Fault> {
        let row = self.rows.get(position).map(|row| row.get()).unwrap_or_default();
        let mut slots: Slots<'load> = vec![None; self.table.columns.len()];
        let escapes = row.contains("\\u");
        let mut guess = 0;
        rows::read(row, |key, json| {
            let place = self.place(&key, guess)?;
            guess = place + 1;
            if escapes && let Some(fault) = rows::characters(&key, json) {
                return Err(fault);
            }
            match slots.get_mut(place) {
                Some(slot @ None) => *slot = Some(json),
                _ => {
                    let reason = format!("column \"{key}\" specified more than once");
                    return Err(Fault::of(&key, "42701", reason));
                }
            }
            Ok(())
        })?;
        Ok(slots)
    }

    /// The column that a key names; rows mostly name them in the same order, so the one after the last is tried first.
    fn place(&self, key: &str, guess: usize) -> Result<usize, Fault> {
        let columns = &self.table.columns;
        let place = if columns.get(guess).is_some_and(|column| column.name == key) {
            Some(guess)
        } else {
            let exact = columns.iter().position(|column| column.name == key);
            exact.or_else(|| columns.iter().position(|column| column.name == key.to_ascii_lowercase()))
        };
        let found = place.and_then(|place| Some((place, columns.get(place)?)));
        let Some((place, column)) = found else {
            let reason = format!("column \"{key}\" of relation \"{}\" does not exist", self.table.name);
            return Err(Fault::of(key, "42703", reason));
        };
        match computed(column) {
            Some(fault) if self.apart.numbered != Some(place) => Err(fault),
            _ => Ok(place),
        }
    }

    fn kind(&self, place: usize) -> Kind {
        self.kinds.get(place).copied().unwrap_or(Kind { scalar: Scalar::Other, array: None })
    }

    fn unit(&mut self, columns: Vec<usize>, copy: bool) -> &mut Unit {
        let next = self.units.len();
        let place = *self.by_columns.entry((columns.clone(), copy)).or_insert(next);
        if place == next {
            let body = if copy { Body::Binary(binary::HEADER.to_vec()) } else { Body::Json(String::new()) };
            self.units.push(Unit { columns, positions: Vec::new(), body });
        }
        #[expect(clippy::indexing_slicing, reason = "every place in the map was pushed above")]
        &mut self.units[place]
    }

    /// The key of a row for the server to compare, as members of a JSON object; `None` when it equals no other.
    pub(super) fn given_key(&self, position: usize) -> Option<String> {
        let slots = self.slots(position).ok()?;
        let mut out = String::new();
        for (number, place) in self.apart.key.iter().enumerate() {
            let (json, column) = ((*slots.get(*place)?)?, self.table.columns.get(*place)?);
            if json == "null" && !self.apart.nulls_equal {
                return None;
            }
            out.push_str(&format!(",\"k{number}\":"));
            documents::write(self.kind(*place), &column.name, &column.type_name, json, &mut out).ok()?;
        }
        Some(out)
    }

    /// Rows that share a key are errors.
    pub(super) fn refuses_duplicates(&self) -> bool {
        self.duplicates == Duplicates::Refuse
    }

    /// What tells its rows apart.
    pub(super) fn apart(&self) -> &Apart {
        &self.apart
    }

    /// What the key's columns hold, alike for alike values; `None` when one is missing or null, or is refused later.
    fn key_of(&self, position: usize, slots: &Slots<'_>) -> Result<Option<Vec<u8>>, Unsure> {
        if self.apart.key.is_empty() {
            return Ok(None);
        }
        if let Some(groups) = &self.apart.groups {
            return Ok(groups.get(&position).map(|group| group.to_be_bytes().to_vec()));
        }
        let mut key = Vec::new();
        for place in &self.apart.key {
            let Some(Some(json)) = slots.get(*place) else { return Ok(None) };
            let modifier = self.table.columns.get(*place).map_or(-1, |column| column.modifier);
            let start = key.len();
            if !part(self.kind(*place).scalar, modifier, json, &mut key)? {
                return Ok(None);
            }
            let length = key.len() - start;
            key.extend_from_slice(&length.to_be_bytes());
        }
        Ok(Some(key))
    }

    /// An earlier row has the same key.
    pub(super) fn duplicate(&self) -> Fault {
        let single = match self.apart.key.as_slice() {
            [place] => self.table.columns.get(*place).map(|column| column.name.clone()),
            _ => None,
        };
        Fault {
            column: single,
            code: "21000".to_owned(),
            reason: hints::REPEATED.to_owned(),
            detail: Some(hints::DUPLICATES.to_owned()),
        }
    }
}

/// Appends one value of a key, alike for alike values. False when it equals no other.
fn part(scalar: Scalar, modifier: i32, json: &str, key: &mut Vec<u8>) -> Result<bool, Unsure> {
    // What cannot be written has no key, and is refused with its reason.
    let Ok(value) = look(scalar, "", "", json) else { return Ok(false) };
    match value {
        Value::Null => return Ok(false),
        Value::Bool(value) => key.push(u8::from(value)),
        Value::Integer(value) | Value::Date(value) | Value::Time(value, _) | Value::Moment(value) => {
            key.extend_from_slice(&value.to_be_bytes());
        }
        Value::Float(value, _) => key.extend_from_slice(&(value + 0.0).to_be_bytes()),
        Value::Number(number, _) => {
            let digits: Vec<u8> = number.digits().skip_while(|digit| *digit == b'0').collect();
            let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
            let significant = digits.get(..digits.len() - zeros).unwrap_or_default();
            if !significant.is_empty() {
                let power = i64::try_from(zeros).unwrap_or(0) - number.written_scale();
                key.push(u8::from(number.negative));
                key.extend_from_slice(&power.to_be_bytes());
                key.extend_from_slice(significant);
            }
        }
        Value::Uuid(value, _) => key.extend_from_slice(&value.to_be_bytes()),
        Value::Bytes(bytes) => key.extend_from_slice(&bytes),
        Value::Raw(raw) if matches!(scalar, Scalar::Text | Scalar::Char) => {
            let text = unescaped(raw).unwrap_or(raw.into());
            let text = if scalar == Scalar::Char { text.trim_end_matches(' ') } else { &text };
            // The server cuts spaces that are too many for the column.
            if scalar == Scalar::Text && modifier >= 0 && text.ends_with(' ') {
                return Err(Unsure);
            }
            key.extend_from_slice(text.as_bytes());
        }
        Value::Raw(_) => return Err(Unsure),
    }
    Ok(true)
}

fn named(slots: &Slots<'_>) -> Vec<usize> {
    (0..slots.len()).filter(|place| slots.get(*place).is_some_and(Option::is_some)).collect()
}

/// Why a column can be given no value.
fn computed(column: &Column) -> Option<Fault> {
    let detail = match (column.generated, column.identity) {
        (true, _) => format!("Column \"{}\" is a generated column.", column.name),
        (_, Some('a')) => format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name),
        _ => return None,
    };
    let reason = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
    Some(Fault { detail: Some(detail), ..Fault::of(&column.name, "428C9", reason) })
}

fn encode(table: &Table, kinds: &[Kind], columns: &[usize], slots: &Slots<'_>, body: &mut Vec<u8>) -> Result<(), Stop> {
    let start = body.len();
    let fields = u16::try_from(columns.len()).map_err(|_| Stop::Unsure)?;
    body.extend_from_slice(&fields.to_be_bytes());
    let mut all = || {
        for place in columns {
            let (Some(column), Some(kind), Some(Some(json))) =
                (table.columns.get(*place), kinds.get(*place), slots.get(*place))
            else {
                return Err(Stop::Unsure);
            };
            binary::write(*kind, &column.name, &column.type_name, json, body)?;
        }
        Ok(())
    };
    let written = all();
    if written.is_err() {
        body.truncate(start);
    }
    written
}
