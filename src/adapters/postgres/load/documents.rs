//! Rows as JSON for json_to_recordset: each value in the form that its column's own input function reads.

use std::fmt::Write;

use serde_json::value::RawValue;

use super::cell::{Kind, Scalar, Value, hexadecimal, look, mismatch};
use crate::{
    adapters::postgres::values::moment::day,
    domain::{
        sql::rows::{Fault, characters, document_in, unescaped},
        values::time::DAY,
    },
};

/// Writes the value of a column.
pub(super) fn write(kind: Kind, column: &str, type_name: &str, json: &str, out: &mut String) -> Result<(), Fault> {
    match kind.array {
        None => one(kind.scalar, column, type_name, json, out),
        Some(_) if json == "null" || literal(kind.scalar, json) => {
            out.push_str(json);
            Ok(())
        }
        Some(_) if json.starts_with('[') => elements(kind.scalar, column, type_name, json, out),
        // Elasticsearch writes an array of one as the value alone.
        Some(_) => {
            out.push('[');
            one(kind.scalar, column, type_name, json, out)?;
            out.push(']');
            Ok(())
        }
    }
}

/// `"{a,b}"`: PostgreSQL's own way to write an array. For documents, an object as text is one of them.
pub(super) fn literal(scalar: Scalar, json: &str) -> bool {
    let of_documents = matches!(scalar, Scalar::Json | Scalar::Jsonb);
    json.starts_with("\"{") && json.ends_with("}\"") && !(of_documents && matches!(document_in(json), Ok(Some(_))))
}

/// A string for a column of documents, as the document that it holds, if it holds one.
pub(super) fn held(scalar: Scalar, column: &str, json: &str) -> Result<Option<String>, Fault> {
    if !matches!(scalar, Scalar::Json | Scalar::Jsonb) || !json.starts_with('"') {
        return Ok(None);
    }
    let broken = |why| Fault::of(column, "22P02", format!("the text begins as JSON and is none: {why}"));
    let Some(document) = document_in(json).map_err(broken)? else { return Ok(None) };
    match characters(column, &document) {
        Some(fault) => Err(fault),
        None => Ok(Some(document)),
    }
}

fn elements(scalar: Scalar, column: &str, type_name: &str, json: &str, out: &mut String) -> Result<(), Fault> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| mismatch(column, type_name))?;
    let nested = !matches!(scalar, Scalar::Json | Scalar::Jsonb | Scalar::Other);
    out.push('[');
    for (place, element) in elements.iter().map(|element| element.get()).enumerate() {
        if place > 0 {
            out.push(',');
        }
        if nested && element.starts_with('[') {
            elements_nested(scalar, column, type_name, element, out)?;
        } else {
            one(scalar, column, type_name, element, out)?;
        }
    }
    out.push(']');
    Ok(())
}

/// Depth is bounded by the JSON parser's own limit.
fn elements_nested(scalar: Scalar, column: &str, type_name: &str, json: &str, out: &mut String) -> Result<(), Fault> {
    elements(scalar, column, type_name, json, out)
}

fn one(scalar: Scalar, column: &str, type_name: &str, json: &str, out: &mut String) -> Result<(), Fault> {
    if scalar == Scalar::Bytea && hexadecimal(json) {
        out.push_str(json);
        return Ok(());
    }
    if let Some(document) = held(scalar, column, json)? {
        out.push_str(&document);
        return Ok(());
    }
    match look(scalar, column, type_name, json)? {
        Value::Null => out.push_str("null"),
        Value::Raw(raw) if scalar == Scalar::Bytea => return Err(not_bytes(column, raw)),
        Value::Raw(raw) | Value::Float(_, raw) | Value::Number(_, raw) | Value::Uuid(_, raw) | Value::Time(_, raw) => {
            out.push_str(raw)
        }
        Value::Bool(value) => append(out, format_args!("{value}")),
        Value::Integer(value) => append(out, format_args!("{value}")),
        Value::Bytes(bytes) => {
            out.push_str("\"\\\\x");
            for byte in bytes {
                append(out, format_args!("{byte:02x}"));
            }
            out.push('"');
        }
        Value::Date(days) => {
            let (day, before_christ) = day(days);
            append(out, format_args!("\"{day}{before_christ}\""));
        }
        Value::Moment(micros) => {
            let zone = if matches!(scalar, Scalar::TimestampTz(_)) { "Z" } else { "" };
            moment(micros, zone, out);
        }
    }
    Ok(())
}

fn moment(micros: i64, zone: &str, out: &mut String) {
    let (day, before_christ) = day(micros.div_euclid(DAY));
    let time = micros.rem_euclid(DAY);
    let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    append(out, format_args!("\"{day}T{hours:02}:{minutes:02}:{seconds:02}.{fraction:06}{zone}{before_christ}\""));
}

fn not_bytes(column: &str, json: &str) -> Fault {
    let text = unescaped(json).unwrap_or_default();
    Fault::of(column, "22P02", format!("invalid input syntax for type bytea: \"{text}\" is neither base64 nor \\x…"))
}

/// Writing to a String does not fail.
fn append(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::{Kind, Scalar, write};

    fn written(scalar: Scalar, array: bool, json: &str) -> String {
        let mut out = String::new();
        match write(Kind { scalar, array: array.then_some(1) }, "c", "t", json, &mut out) {
            Ok(()) => out,
            Err(fault) => fault.code,
        }
    }

    #[test]
    fn values_take_the_form_that_postgresql_reads() {
        for (scalar, array, json, wanted) in [
            (Scalar::Int4, false, "12.0", "12"),
            (Scalar::Numeric(Some(2)), false, "29.99", "29.99"),
            (Scalar::Numeric(Some(2)), false, "[29.99]", "42804"),
            (Scalar::Numeric(Some(2)), true, "29.99", "[29.99]"),
            (Scalar::Bytea, false, "\"AP8=\"", r#""\\x00ff""#),
            (Scalar::Bytea, false, r#""\\x00FF""#, r#""\\x00FF""#),
            (Scalar::Bytea, false, r#""\\y""#, "22P02"),
            (Scalar::Timestamp(6), false, "\"2024-01-01T01:00:00.5+02:00\"", "\"2023-12-31T23:00:00.500000\""),
            (Scalar::TimestampTz(6), false, "\"2024-01-01\"", "\"2024-01-01T00:00:00.000000Z\""),
            (Scalar::Text, true, "\"usb\"", "[\"usb\"]"),
            (Scalar::Text, true, "\"{a,b}\"", "\"{a,b}\""),
            (Scalar::Int4, true, "[[1,2.0],[3,null]]", "[[1,2],[3,null]]"),
            (Scalar::Numeric(Some(1)), true, "[1.25]", "22003"),
            (Scalar::Jsonb, false, "[1, {\"a\":1}]", "[1, {\"a\":1}]"),
            (Scalar::Jsonb, false, r#""{\"a\":1.50}""#, r#"{"a":1.50}"#),
            (Scalar::Json, true, r#"["{\"a\":1}","x"]"#, r#"[{"a":1},"x"]"#),
            (Scalar::Jsonb, true, r#""{\"a\":1}""#, r#"[{"a":1}]"#),
            (Scalar::Text, false, r#""{\"a\":1}""#, r#""{\"a\":1}""#),
        ] {
            assert_eq!(written(scalar, array, json), wanted, "{scalar:?} {json}");
        }
    }
}
