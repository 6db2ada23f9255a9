//! One value on its way into a column: what the column can keep of it exactly, or why not. What is not decided here is passed on as it
//! stands, and PostgreSQL's own input function decides, in its own words.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::super::catalog::Column;
use crate::domain::{
    sql::rows::{Fault, unescaped},
    values::{
        decimal::DecimalText,
        time::{self, DAY},
    },
};

/// What a column takes, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::adapters::postgres) struct Kind {
    /// What one value is.
    pub scalar: Scalar,
    /// For an array, the element type's number; 0 where it is none of the known ones, or a domain.
    pub array: Option<u32>,
}

/// What one value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::adapters::postgres) enum Scalar {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Digits after the point, where the type bounds them.
    Numeric(Option<i64>),
    Text,
    Char,
    /// Another type that would take JSON as it stands for a text of its own: `[1]` is one second.
    Word,
    Uuid,
    Bytea,
    Date,
    /// Digits of a second.
    Time(usize),
    Timestamp(usize),
    TimestampTz(usize),
    Json,
    Jsonb,
    /// Left to PostgreSQL.
    Other,
}

/// A value that was looked at.
pub(in crate::adapters::postgres) enum Value<'row> {
    Null,
    /// JSON for the type's own input function.
    Raw(&'row str),
    Bool(bool),
    Integer(i64),
    Float(f64, &'row str),
    Number(DecimalText<'row>, &'row str),
    Uuid(u128, &'row str),
    Bytes(Vec<u8>),
    /// Days since 1970.
    Date(i64),
    /// Microseconds since midnight.
    Time(i64, &'row str),
    /// Microseconds since 1970 in UTC.
    Moment(i64),
}

const TYPES: [(&str, u32); 18] = [
    ("bool", 16),
    ("int2", 21),
    ("int4", 23),
    ("int8", 20),
    ("float4", 700),
    ("float8", 701),
    ("numeric", 1700),
    ("text", 25),
    ("varchar", 1043),
    ("bpchar", 1042),
    ("uuid", 2950),
    ("bytea", 17),
    ("date", 1082),
    ("time", 1083),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("json", 114),
    ("jsonb", 3802),
];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Kind {
    /// Of a column of a table.
    pub(in crate::adapters::postgres) fn of(column: &Column) -> Self {
        let element = column.base.strip_prefix('_');
        let name = element.unwrap_or(&column.base);
        let known = TYPES.iter().find(|(known, _)| *known == name && !column.of_domains);
        let oid = known.map_or(0, |(_, oid)| *oid);
        let seconds = || usize::try_from(column.modifier).unwrap_or(6).min(6);
        let scalar = match name {
            "bool" => Scalar::Bool,
            "int2" => Scalar::Int2,
            "int4" => Scalar::Int4,
            "int8" => Scalar::Int8,
            "float4" => Scalar::Float4,
            "float8" => Scalar::Float8,
            "numeric" => Scalar::Numeric(numeric_scale(column.modifier)),
            "text" | "varchar" => Scalar::Text,
            "bpchar" => Scalar::Char,
            "citext" | "name" | "char" | "xml" | "tsvector" | "tsquery" | "refcursor" | "path" | "interval" | "cid"
            | "xid" | "xid8" => Scalar::Word,
            name if name.ends_with("range") => Scalar::Word,
            "uuid" => Scalar::Uuid,
            "bytea" => Scalar::Bytea,
            "date" => Scalar::Date,
            "time" => Scalar::Time(seconds()),
            "timestamp" => Scalar::Timestamp(seconds()),
            "timestamptz" => Scalar::TimestampTz(seconds()),
            "json" => Scalar::Json,
            "jsonb" => Scalar::Jsonb,
            _ => Scalar::Other,
        };
        Self { scalar, array: element.map(|_| oid) }
    }

    /// Whether equal values are known without the server.
    pub(super) fn compared_here(self) -> bool {
        let left_to_it = matches!(self.scalar, Scalar::Other | Scalar::Word | Scalar::Json | Scalar::Jsonb);
        self.array.is_none() && !left_to_it
    }

    /// Whether [`super::binary`] can write it.
    pub(super) fn binary(self) -> bool {
        match self.scalar {
            Scalar::Other | Scalar::Word => false,
            _ if self.array == Some(0) => false,
            Scalar::Json | Scalar::Jsonb => self.array.is_none(),
            _ => true,
        }
    }
}

/// The scale of `numeric(p,s)`, an eleven-bit number with sign since PostgreSQL 15.
fn numeric_scale(modifier: i32) -> Option<i64> {
    let packed = i64::from(modifier.checked_sub(4).filter(|packed| *packed >= 0)?) & 0x7ff;
    Some((packed ^ 1024) - 1024)
}

/// Looks at one value, which is no array unless the column takes JSON or is unknown here.
pub(super) fn look<'row>(scalar: Scalar, column: &str, type_name: &str, json: &'row str) -> Result<Value<'row>, Fault> {
    if json == "null" {
        return Ok(Value::Null);
    }
    let structured = json.starts_with(['{', '[']);
    let keeps_structure = matches!(scalar, Scalar::Json | Scalar::Jsonb | Scalar::Other);
    if structured && !keeps_structure {
        return Err(mismatch(column, type_name));
    }
    let text = if json.starts_with('"') { string(json) } else { Some(json) };
    // A string with escapes is no number and no date; PostgreSQL says what it is.
    let Some(text) = text else { return Ok(Value::Raw(json)) };
    match scalar {
        Scalar::Json | Scalar::Jsonb | Scalar::Text | Scalar::Char | Scalar::Word | Scalar::Other => {
            Ok(Value::Raw(json))
        }
        Scalar::Bool => Ok(match json {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Raw(json),
        }),
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 => {
            let integer = DecimalText::parse(text).and_then(|number| number.integer());
            Ok(integer.filter(|value| fits(scalar, *value)).map_or(Value::Raw(json), Value::Integer))
        }
        Scalar::Numeric(scale) => numeric(scale, column, text, json),
        Scalar::Float4 | Scalar::Float8 => float(scalar, column, text, json),
        Scalar::Uuid => Ok(uuid(text).map_or(Value::Raw(json), |value| Value::Uuid(value, json))),
        Scalar::Bytea => bytes(column, text, json),
        Scalar::Date | Scalar::Time(_) | Scalar::Timestamp(_) | Scalar::TimestampTz(_) => {
            moment(scalar, column, text, json)
        }
    }
}

/// The sentence PostgreSQL has for a value of the wrong shape.
pub(super) fn mismatch(column: &str, type_name: &str) -> Fault {
    let reason = format!("column \"{column}\" is of type {type_name} but expression is of type json");
    Fault::of(column, "42804", reason)
}

/// The inside of a JSON string without escapes.
fn string(json: &str) -> Option<&str> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    (!inside.contains('\\')).then_some(inside)
}

fn fits(scalar: Scalar, value: i64) -> bool {
    match scalar {
        Scalar::Int2 => i16::try_from(value).is_ok(),
        Scalar::Int4 => i32::try_from(value).is_ok(),
        _ => true,
    }
}

/// PostgreSQL would round silently.
fn numeric<'row>(scale: Option<i64>, column: &str, text: &'row str, json: &'row str) -> Result<Value<'row>, Fault> {
    let Some(number) = DecimalText::parse(text) else { return Ok(Value::Raw(json)) };
    match scale {
        Some(kept) if number.rounds_at(kept) => {
            let reason = format!(
                "numeric field overflow: \"{text}\" has {} digits after the point, the column keeps {kept}",
                number.scale()
            );
            Err(Fault::of(column, "22003", reason))
        }
        _ => Ok(Value::Number(number, json)),
    }
}

/// A whole number that the type cannot hold would come back as another one.
fn float<'row>(scalar: Scalar, column: &str, text: &'row str, json: &'row str) -> Result<Value<'row>, Fault> {
    let Some(number) = DecimalText::parse(text) else { return Ok(Value::Raw(json)) };
    let (value, name) = match scalar {
        Scalar::Float4 => (text.parse::<f32>().map(f64::from), "real"),
        _ => (text.parse::<f64>(), "double precision"),
    };
    let vanished = |value: f64| value == 0.0 && number.digits().any(|digit| digit != b'0');
    let Some(value) = value.ok().filter(|value| value.is_finite() && !vanished(*value)) else {
        return Ok(Value::Raw(json));
    };
    #[expect(clippy::cast_precision_loss, reason = "the loss is what is looked for")]
    let changed = number.integer().is_some_and(|whole| whole as f64 != value || (value as i128) != i128::from(whole));
    if changed {
        return Err(Fault::of(column, "22003", format!("value \"{text}\" cannot be kept exactly by type {name}")));
    }
    Ok(Value::Float(value, json))
}

fn uuid(text: &str) -> Option<u128> {
    let mut value = 0u128;
    let groups = text.split('-').map(str::len);
    if !groups.eq([8, 4, 4, 4, 12]) {
        return None;
    }
    for digit in text.bytes().filter(|byte| *byte != b'-') {
        value = value << 4 | u128::from(char::from(digit).to_digit(16)?);
    }
    Some(value)
}

fn bytes<'row>(column: &str, text: &str, json: &'row str) -> Result<Value<'row>, Fault> {
    if !json.starts_with('"') {
        return Err(mismatch(column, "bytea"));
    }
    BASE64.decode(text).map(Value::Bytes).map_err(|_| {
        Fault::of(
            column,
            "22P02",
            format!("invalid input syntax for type bytea: \"{text}\" is neither base64 nor \\x…"),
        )
    })
}

fn moment<'row>(scalar: Scalar, column: &str, text: &str, json: &'row str) -> Result<Value<'row>, Fault> {
    let too_fine = |needed: usize, kept: usize| {
        let reason = format!(
            "date/time field value out of range: \"{text}\" has {needed} digits of a second, the column keeps {kept}"
        );
        Fault::of(column, "22008", reason)
    };
    if !json.starts_with('"') {
        return Ok(Value::Raw(json));
    }
    if let Scalar::Time(kept) = scalar {
        return match time::time_of_day(text) {
            Some((_, needed)) if needed > kept => Err(too_fine(needed, kept)),
            Some((micros, _)) => Ok(Value::Time(micros, json)),
            None => Ok(Value::Raw(json)),
        };
    }
    let Some((micros, digits)) = time::moment(text) else { return Ok(Value::Raw(json)) };
    match scalar {
        Scalar::Date if micros.rem_euclid(DAY) == 0 && digits <= 6 => Ok(Value::Date(micros.div_euclid(DAY))),
        Scalar::Date => {
            let reason = format!(
                "invalid input syntax for type date: \"{text}\" has a time of day that the column does not keep"
            );
            Err(Fault::of(column, "22007", reason))
        }
        Scalar::Timestamp(kept) | Scalar::TimestampTz(kept) if digits > kept => Err(too_fine(digits, kept)),
        _ => Ok(Value::Moment(micros)),
    }
}

/// A string for a bytea column that has escapes: `"\\x0aff"`.
pub(super) fn hexadecimal(json: &str) -> bool {
    unescaped(json).is_some_and(|text| {
        text.strip_prefix("\\x").is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Scalar, Value, look, numeric_scale};

    fn code(scalar: Scalar, json: &str) -> Option<String> {
        look(scalar, "c", "t", json).err().map(|fault| fault.code)
    }

    #[test]
    fn what_a_column_cannot_keep_exactly_is_refused() {
        for (scalar, json, wanted) in [
            (Scalar::Numeric(Some(2)), "29.999", Some("22003")),
            (Scalar::Numeric(Some(2)), "29.990", None),
            (Scalar::Numeric(Some(2)), "\"29.999\"", Some("22003")),
            (Scalar::Numeric(Some(-2)), "1250", Some("22003")),
            (Scalar::Numeric(Some(-2)), "1200", None),
            (Scalar::Numeric(Some(-2)), "0", None),
            (Scalar::Numeric(None), "0.1234567890123456789", None),
            (Scalar::Float8, "9007199254740993", Some("22003")),
            (Scalar::Float8, "9007199254740992", None),
            (Scalar::Float8, "0.1", None),
            (Scalar::Float4, "16777217", Some("22003")),
            (Scalar::Date, "\"2024-01-01T10:00:00Z\"", Some("22007")),
            (Scalar::Date, "\"2024-01-01T00:00:00Z\"", None),
            (Scalar::TimestampTz(6), "\"2024-01-01T00:00:00.1234567Z\"", Some("22008")),
            (Scalar::TimestampTz(6), "\"2024-01-01T00:00:00.123456000Z\"", None),
            (Scalar::TimestampTz(0), "\"2024-01-01T00:00:00.5Z\"", Some("22008")),
            (Scalar::Text, "{\"a\":1}", Some("42804")),
            (Scalar::Word, "[1,2]", Some("42804")),
            (Scalar::Bytea, "\"%%%\"", Some("22P02")),
            (Scalar::Jsonb, "{\"a\":1}", None),
        ] {
            assert_eq!(code(scalar, json).as_deref(), wanted, "{scalar:?} {json}");
        }
    }

    #[test]
    fn integers_are_taken_from_any_exact_spelling() {
        for (json, wanted) in
            [("12", Some(12)), ("12.0", Some(12)), ("\"12\"", Some(12)), ("1.2e1", Some(12)), ("12.7", None)]
        {
            let read = match look(Scalar::Int4, "c", "integer", json) {
                Ok(Value::Integer(value)) => Some(value),
                _ => None,
            };
            assert_eq!(read, wanted, "{json}");
        }
    }

    #[test]
    fn the_scale_is_read_from_the_modifier() {
        assert_eq!(numeric_scale(-1), None);
        assert_eq!(numeric_scale((10 << 16 | 2) + 4), Some(2));
        assert_eq!(numeric_scale((5 << 16 | (0x7ff & -2)) + 4), Some(-2));
    }
}
