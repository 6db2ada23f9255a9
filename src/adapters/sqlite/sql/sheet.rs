//! The rows of an answer as JSON, and the types of its columns.

use std::ops::Range;

use rusqlite::{Row, Statement, types::ValueRef};
use serde_json::value::RawValue;

use super::{
    declared,
    select_list::{self, Expression},
    sources::Sources,
    values,
};
use crate::{
    domain::sql::{Column, Rows, column_types::ColumnType},
    error::{Code, Error},
};

/// An answer on its way.
pub(super) struct Sheet {
    columns: Vec<Seen>,
    rows: Vec<String>,
    integers: Vec<Integer>,
}

/// A column, and what was seen in it.
struct Seen {
    name: String,
    declared: Option<ColumnType>,
    /// Of the last value, where no type is declared.
    kind: Option<&'static str>,
    /// Digits after the point that a computed number has at least; none where it is a double.
    scale: Option<u16>,
}

/// An integer in a column without a declared type: a numeric once the column turns out to hold such.
struct Integer {
    row: usize,
    column: usize,
    written: Range<usize>,
}

const NUMERIC: &str = "numeric";

impl Sheet {
    /// Of a statement with this text that reads these columns.
    pub(super) fn new(statement: &Statement<'_>, text: &str, sources: &Sources) -> Self {
        let expressions = select_list::expressions(text, statement.column_count(), sources);
        let scale = sources.scale();
        let seen = |(column, expression): (rusqlite::Column<'_>, Expression)| Seen {
            name: column.name().to_owned(),
            declared: column.decl_type().and_then(declared::read),
            kind: Some(NUMERIC).filter(|_| scale.is_some() && expression == Expression::Exact),
            scale: scale.filter(|_| column.decl_type().is_none() && expression != Expression::Double),
        };
        let columns = statement.columns().zip(expressions).map(seen).collect();
        Self { columns, rows: Vec::new(), integers: Vec::new() }
    }

    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a row, and says how many bytes it takes.
    pub(super) fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<usize> {
        let mut text = String::from("[");
        let mut growth = 0;
        for (place, column) in self.columns.iter_mut().enumerate() {
            if place > 0 {
                text.push(',');
            }
            let value = row.get_ref(place)?;
            let start = text.len();
            match column.scale.and_then(|scale| values::exact(value, scale)) {
                Some(number) => {
                    values::string(&mut text, &number);
                    column.kind = Some(NUMERIC);
                }
                None => {
                    values::render(&mut text, value, column.declared.as_ref());
                    column.kind = column.kind.filter(|kind| *kind == NUMERIC).or(values::kind(value)).or(column.kind);
                }
            }
            if let (Some(scale), ValueRef::Integer(_)) = (column.scale, value) {
                growth += usize::from(scale) + 3;
                self.integers.push(Integer { row: self.rows.len(), column: place, written: start..text.len() });
            }
        }
        text.push(']');
        let bytes = text.len() + growth + 1;
        self.rows.push(text);
        Ok(bytes)
    }

    /// Takes the last row back.
    pub(super) fn pop(&mut self) {
        self.rows.pop();
        self.integers.retain(|integer| integer.row < self.rows.len());
    }

    /// The answer.
    pub(super) fn finish(mut self, truncated: bool) -> Result<Rows, Error> {
        // From the end, so that what stands before stays where it is.
        for Integer { row, column, written } in self.integers.iter().rev() {
            let column = self.columns.get(*column).filter(|column| column.kind == Some(NUMERIC));
            if let (Some(scale), Some(text)) = (column.and_then(|column| column.scale), self.rows.get_mut(*row)) {
                let digits = text.get(written.clone()).unwrap_or_default().trim_matches('"');
                let number = values::padded(digits, scale);
                text.replace_range(written.clone(), &format!("\"{number}\""));
            }
        }
        let rows = self.rows.into_iter().map(RawValue::from_string).collect::<Result<_, _>>();
        let rows =
            rows.map_err(|error| Error::new(Code::Internal, "a row could not be written as JSON").cause(error))?;
        let columns = self.columns.into_iter().map(|Seen { name, declared, kind, .. }| Column {
            name,
            type_name: declared
                .map_or_else(|| kind.unwrap_or("text").to_owned(), |declared| declared::short_name(&declared)),
        });
        Ok(Rows { columns: columns.collect(), rows, truncated })
    }
}
