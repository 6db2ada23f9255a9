//! Values of answers, from PostgreSQL's binary form straight to JSON text: no number ever becomes a double on the way.
//!
//! numeric is always a string; bigint a number within ±(2^53 − 1), else a string; NaN and the infinities are strings; timestamptz is
//! RFC 3339 in UTC with milliseconds (microseconds where there are some); bytea is base64; json and jsonb stand as JSON; arrays are JSON
//! arrays. Every other type is its text, which the server makes: see [`Rendering::expression`].

pub mod decimal;
pub mod moment;

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio_postgres::{
    Row,
    types::{FromSql, Kind, Type},
};

use crate::{
    domain::json::Json,
    error::{Code, Error},
};

/// Characters of one value that are fetched: one more than any answer may hold, so that a longer one is seen to be too long.
const CHARACTERS_MAX: usize = (1 << 20) + 1;
/// Bytes of an array, inside the server, that is fetched.
const ARRAY_BYTES_MAX: usize = 4 << 20;
/// The largest whole number that every JSON reader keeps exact.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// How values of one column come and are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendering {
    form: Form,
    fetch: Fetch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Bytes,
    Uuid,
    Json,
    Jsonb,
    Date,
    Timestamp,
    TimestampTz,
    Array(Box<Form>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    AsItIs,
    Text,
    TextArray,
    Bytes,
    Array,
    Nothing,
}

impl Rendering {
    /// For a column of type `of`, as a statement's description gives it.
    pub fn of(of: &Type) -> Self {
        let (form, fetch) = match of {
            of if *of == Type::JSON || *of == Type::JSONB => (Form::Json, Fetch::Text),
            of if *of == Type::BYTEA => (Form::Bytes, Fetch::Bytes),
            // Its cast to text would cut its blanks off.
            of if *of == Type::BPCHAR => (Form::Text, Fetch::AsItIs),
            of if *of == Type::VOID => (Form::Text, Fetch::Nothing),
            of => match (scalar(of), of.kind()) {
                (Some(form), _) => (form, Fetch::AsItIs),
                (None, Kind::Array(element)) => match array_element(behind_domains(element)) {
                    Some(form) => (Form::Array(Box::new(form)), Fetch::Array),
                    None => (Form::Array(Box::new(Form::Text)), Fetch::TextArray),
                },
                (None, _) => (Form::Text, Fetch::Text),
            },
        };
        Self { form, fetch }
    }

    /// The expression that fetches the column `source`: a form that this file can read, not longer than an answer can be.
    pub fn expression(&self, source: &str) -> String {
        match self.fetch {
            Fetch::AsItIs => source.to_owned(),
            Fetch::Text => format!("pg_catalog.left({source}::pg_catalog.text, {CHARACTERS_MAX})"),
            Fetch::Bytes => format!("pg_catalog.substr({source}, 1, {CHARACTERS_MAX})"),
            Fetch::TextArray => format!(
                "CASE WHEN pg_catalog.pg_column_size({source}) <= {ARRAY_BYTES_MAX} THEN {source}::pg_catalog.text[] END"
            ),
            Fetch::Array => {
                format!("CASE WHEN pg_catalog.pg_column_size({source}) <= {ARRAY_BYTES_MAX} THEN {source} END")
            }
            Fetch::Nothing => "NULL::pg_catalog.text".to_owned(),
        }
    }

    /// The condition under which [`Rendering::expression`] had to leave the value of `source` out, where there is one.
    pub fn left_out(&self, source: &str) -> Option<String> {
        matches!(self.fetch, Fetch::Array | Fetch::TextArray)
            .then(|| format!("COALESCE(pg_catalog.pg_column_size({source}) > {ARRAY_BYTES_MAX}, false)"))
    }

    /// Appends the value of column `place` of `row` as JSON.
    ///
    /// # Errors
    /// `internal` when the server sent what is not a value of its type.
    pub fn write(&self, row: &Row, place: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let raw: Option<Raw<'_>> = row.try_get(place).map_err(super::failure::meaning)?;
        match raw {
            Some(Raw(bytes)) => self.form.write(bytes, out).ok_or_else(unreadable),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }
}

/// The short name of a type, as answers show it: `varchar`, `int4`, `text[]`. The server names a domain as the type behind it, so an array of
/// one is named in the same way.
pub fn short_name(of: &Type) -> String {
    let of = behind_domains(of);
    match of.kind() {
        Kind::Array(element) => format!("{}[]", short_name(element)),
        _ => of.name().to_owned(),
    }
}

/// A whole row as a JSON array of its first `renderings.len()` columns.
///
/// # Errors
/// `internal` when the server sent what cannot be read.
pub fn row_text(renderings: &[Rendering], row: &Row) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(row.raw_size_bytes() + 2 * renderings.len() + 2);
    out.push(b'[');
    for (place, rendering) in renderings.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        rendering.write(row, place, &mut out)?;
    }
    out.push(b']');
    Ok(out)
}

/// Text that was written here, as JSON.
///
/// # Errors
/// `internal` when it is none.
pub fn json(text: Vec<u8>) -> Result<Json, Error> {
    let text = String::from_utf8(text).map_err(|error| unreadable().cause(error))?;
    serde_json::value::RawValue::from_string(text).map_err(|error| unreadable().cause(error))
}

fn unreadable() -> Error {
    Error::new(Code::Internal, "the database sent a value that cannot be read")
}

/// The type whose values those of `of` are.
pub(super) fn behind_domains(of: &Type) -> &Type {
    let mut of = of;
    while let Kind::Domain(base) = of.kind() {
        of = base;
    }
    of
}

fn scalar(of: &Type) -> Option<Form> {
    Some(match *of {
        Type::BOOL => Form::Bool,
        Type::INT2 => Form::Int2,
        Type::INT4 => Form::Int4,
        Type::INT8 => Form::Int8,
        Type::OID => Form::Oid,
        Type::FLOAT4 => Form::Float4,
        Type::FLOAT8 => Form::Float8,
        Type::NUMERIC => Form::Numeric,
        Type::UUID => Form::Uuid,
        Type::DATE => Form::Date,
        Type::TIMESTAMP => Form::Timestamp,
        Type::TIMESTAMPTZ => Form::TimestampTz,
        _ => return None,
    })
}

fn array_element(of: &Type) -> Option<Form> {
    scalar(of).or(match *of {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => Some(Form::Text),
        Type::BYTEA => Some(Form::Bytes),
        Type::JSON => Some(Form::Json),
        Type::JSONB => Some(Form::Jsonb),
        // Only a domain makes an array the element of another.
        _ => match of.kind() {
            Kind::Array(element) => array_element(behind_domains(element)).map(|form| Form::Array(Box::new(form))),
            _ => None,
        },
    })
}

impl Form {
    fn write(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Bool => out.extend_from_slice(if bytes.first()? == &0 { b"false" } else { b"true" }),
            Self::Int2 => plain(out, i16::from_be_bytes(bytes.try_into().ok()?)),
            Self::Int4 => plain(out, i32::from_be_bytes(bytes.try_into().ok()?)),
            Self::Oid => plain(out, u32::from_be_bytes(bytes.try_into().ok()?)),
            Self::Int8 => {
                let value = i64::from_be_bytes(bytes.try_into().ok()?);
                if value.unsigned_abs() <= EXACT_MAX {
                    plain(out, value);
                } else {
                    text(out, &value.to_string());
                }
            }
            Self::Float4 => {
                let value = f32::from_be_bytes(bytes.try_into().ok()?);
                if value.is_finite() { to_json(out, &value)? } else { text(out, not_finite(value.into())) }
            }
            Self::Float8 => {
                let value = f64::from_be_bytes(bytes.try_into().ok()?);
                if value.is_finite() { to_json(out, &value)? } else { text(out, not_finite(value)) }
            }
            Self::Numeric => text(out, &decimal::text(bytes)?),
            Self::Text => text(out, std::str::from_utf8(bytes).ok()?),
            Self::Bytes => text(out, &STANDARD.encode(bytes)),
            Self::Uuid => text(out, &uuid::Uuid::from_slice(bytes).ok()?.hyphenated().to_string()),
            Self::Json => compact(bytes, out),
            Self::Jsonb => compact(bytes.strip_prefix(&[1])?, out),
            Self::Date => text(out, &moment::date(i32::from_be_bytes(bytes.try_into().ok()?))),
            Self::Timestamp => text(out, &moment::timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "")),
            Self::TimestampTz => text(out, &moment::timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "Z")),
            Self::Array(element) => array(element, bytes, out)?,
        }
        Some(())
    }
}

fn plain(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn text(out: &mut Vec<u8>, value: &str) {
    // Writing into memory cannot fail.
    serde_json::to_writer(out, value).ok();
}

fn to_json(out: &mut Vec<u8>, value: &impl serde::Serialize) -> Option<()> {
    serde_json::to_writer(out, value).ok()
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// JSON without the white space between its tokens: an answer is one line.
fn compact(bytes: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for byte in bytes {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = *byte == b'"';
        }
        out.push(*byte);
    }
}

/// An array of any dimensions: `[[1,2],[3,4]]`.
fn array(element: &Form, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes;
    let dimensions = usize::try_from(int(&mut rest)?).ok()?;
    let _has_null = int(&mut rest)?;
    let _element_type = int(&mut rest)?;
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(int(&mut rest)?).ok()?);
        let _lower_bound = int(&mut rest)?;
    }
    if lengths.is_empty() || lengths.contains(&0) {
        out.extend_from_slice(b"[]");
        return Some(());
    }
    let total: usize = lengths.iter().product();
    for place in 0..total {
        let opens = boundary(&lengths, place);
        if place > 0 {
            out.push(b',');
        }
        out.extend(std::iter::repeat_n(b'[', opens));
        match usize::try_from(int(&mut rest)?) {
            Ok(length) => {
                let (value, after) = rest.split_at_checked(length)?;
                element.write(value, out)?;
                rest = after;
            }
            Err(_null) => out.extend_from_slice(b"null"),
        }
        out.extend(std::iter::repeat_n(b']', boundary(&lengths, place + 1)));
    }
    Some(())
}

/// How many brackets open before element `place`: as many as inner blocks begin there.
fn boundary(lengths: &[usize], place: usize) -> usize {
    let mut block = 1;
    lengths
        .iter()
        .rev()
        .filter(|length| {
            block *= **length;
            place.is_multiple_of(block)
        })
        .count()
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (first, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*first))
}

/// A value's bytes, whatever its type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(bytes))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
