//! SQLite's values as JSON text, by the type that their column was declared with.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use rusqlite::types::ValueRef;
use serde_json::value::RawValue;

use crate::{
    adapters::sqlite::{
        decimal::{self, MARK},
        instants,
    },
    domain::{
        sql::column_types::{BaseType, ColumnType},
        values::decimal::Decimal,
    },
};

/// Integers beyond this are strings: readers of JSON make doubles of numbers.
const SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Places behind those of the columns from which on a computed number is nothing.
const REST_PLACES: i64 = 8;

/// Appends one value.
pub(super) fn render(out: &mut String, value: ValueRef<'_>, declared: Option<&ColumnType>) {
    match (value, declared) {
        (ValueRef::Null, _) => out.push_str("null"),
        (ValueRef::Text(text), declared) => render_text(out, &String::from_utf8_lossy(text), declared),
        (ValueRef::Blob(bytes), _) => string(out, &STANDARD.encode(bytes)),
        (ValueRef::Integer(integer), Some(ColumnType { base, dimensions: 0, .. })) => match base {
            BaseType::Boolean if integer == 0 || integer == 1 => {
                out.push_str(if integer == 1 { "true" } else { "false" })
            }
            BaseType::Numeric(size) => numeric(out, &integer.to_string(), *size),
            _ => whole(out, integer),
        },
        (ValueRef::Integer(integer), _) => whole(out, integer),
        (ValueRef::Real(real), Some(ColumnType { base: BaseType::Numeric(size), dimensions: 0, .. })) => {
            numeric(out, &real.to_string(), *size);
        }
        (ValueRef::Real(real), _) => double(out, real),
    }
}

fn render_text(out: &mut String, text: &str, declared: Option<&ColumnType>) {
    match declared {
        Some(ColumnType { dimensions: 1.., .. }) => json(out, text),
        Some(ColumnType { base, .. }) => match base {
            BaseType::Json | BaseType::Jsonb => json(out, text),
            BaseType::Numeric(size) => numeric(out, text, *size),
            BaseType::TimestampTz(_) => {
                string(out, &instants::shown(&instants::zoned(text).unwrap_or_else(|_| text.to_owned())))
            }
            BaseType::Timestamp(_) => {
                string(out, &instants::shown(&instants::local(text).unwrap_or_else(|_| text.to_owned())))
            }
            _ => string(out, text),
        },
        // A number that is kept as text may come out of an expression too.
        None => string(out, &decimal::unmarked(text)),
    }
}

/// A number that came out of an expression over exact numbers and is no integer, with at least so many digits after the point.
pub(super) fn exact(value: ValueRef<'_>, scale: u16) -> Option<String> {
    let computed = match value {
        ValueRef::Real(_) => true,
        ValueRef::Text(text) => text.ends_with(MARK.to_string().as_bytes()),
        _ => false,
    };
    let number = Decimal::meant(value).filter(|_| computed)?;
    // What is left of numbers that take each other away.
    let is_rest = matches!(value, ValueRef::Real(_)) && number.is_below(i64::from(scale.max(2)) + REST_PLACES);
    Some(if is_rest { Decimal::default() } else { number }.text(scale.into()))
}

/// The short type name of a value in a column without a declared type.
pub(super) fn kind(value: ValueRef<'_>) -> Option<&'static str> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(_) => Some("int8"),
        ValueRef::Real(_) => Some("float8"),
        ValueRef::Text(_) => Some("text"),
        ValueRef::Blob(_) => Some("bytea"),
    }
}

fn numeric(out: &mut String, text: &str, size: Option<(u16, u16)>) {
    string(out, &padded(text, size.map_or(0, |(_, scale)| scale)));
}

/// A number's text with at least so many digits after the point; any other text as it is.
pub(super) fn padded(text: &str, scale: u16) -> String {
    decimal::parse(text).map_or_else(|| text.to_owned(), |number| number.text(scale.into()))
}

fn whole(out: &mut String, integer: i64) {
    // Writing to a String cannot fail.
    let _ =
        if integer.unsigned_abs() <= SAFE_INTEGER { write!(out, "{integer}") } else { write!(out, "\"{integer}\"") };
}

fn double(out: &mut String, real: f64) {
    if real.is_finite() {
        out.push_str(&serde_json::to_string(&real).unwrap_or_else(|_| "null".to_owned()));
    } else {
        out.push_str(if real > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}

fn json(out: &mut String, text: &str) {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => out.push_str(text),
        Err(_) => string(out, text),
    }
}

/// Appends a JSON string.
pub(super) fn string(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned()));
}
