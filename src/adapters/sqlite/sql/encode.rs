//! JSON values into what SQLite keeps, held to the declared type of their column as PostgreSQL would hold them, in its words.

use base64::{Engine, engine::general_purpose::STANDARD};
use rusqlite::types::Value;
use serde_json::value::RawValue;

use super::values;
use crate::{
    adapters::sqlite::{
        decimal,
        instants::{self, Wrong},
    },
    domain::sql::{
        column_types::{BaseType, ColumnType},
        rows,
    },
};

/// Why a value cannot be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// SQLSTATE.
    pub code: &'static str,
    /// PostgreSQL's sentence.
    pub reason: String,
}

fn fault<T>(code: &'static str, reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { code, reason: reason.into() })
}

/// A value for a column; `None` for a column without a type of ours.
pub(super) fn encode(json: &RawValue, column: Option<&ColumnType>) -> Result<Value, Fault> {
    let raw = json.get();
    if raw == "null" {
        return Ok(Value::Null);
    }
    let Some(column) = column else { return untyped(raw) };
    if column.dimensions > 0 && raw.starts_with('{') {
        return mismatch(column);
    }
    if column.dimensions > 0 {
        let mut out = String::new();
        array(&mut out, raw, column)?;
        return Ok(Value::Text(out));
    }
    match column.base {
        BaseType::Json | BaseType::Jsonb => document(raw, column.base == BaseType::Jsonb).map(Value::Text),
        base if raw.starts_with(['{', '[']) => mismatch(&ColumnType { base, dimensions: 0, identity: None }),
        base => scalar(&words(raw)?, base),
    }
}

/// A value of a row. A single value for a column of arrays is its one element, as Elasticsearch writes an array of one.
pub(super) fn of_a_row(json: &RawValue, column: Option<&ColumnType>) -> Result<Value, Fault> {
    let raw = json.get();
    let Some(kind) = column.filter(|_| raw != "null") else { return encode(json, column) };
    let of_documents = matches!(kind.base, BaseType::Json | BaseType::Jsonb);
    let (is_list, is_object) = (raw.starts_with('['), raw.starts_with('{'));
    // `"{a,b}"` is PostgreSQL's own way to write an array, and no element.
    let literal = raw.starts_with("\"{")
        && raw.ends_with("}\"")
        && !(of_documents && matches!(rows::document_in(raw), Ok(Some(_))));
    if kind.dimensions > 0 && !is_list && !literal && (of_documents || !is_object) {
        let list = RawValue::from_string(format!("[{raw}]"));
        return list.map_or_else(|_| encode(json, column), |list| encode(&list, column));
    }
    encode(json, column)
}

/// A value to compare a column with: more digits than it keeps are no mistake here.
pub(super) fn comparable(raw: &str, base: BaseType) -> Result<Value, Fault> {
    match base {
        BaseType::Json | BaseType::Jsonb => document(raw, base == BaseType::Jsonb).map(Value::Text),
        _ if raw.starts_with(['{', '[']) => mismatch(&ColumnType { base, dimensions: 0, identity: None }),
        _ => comparable_text(&words(raw)?, base),
    }
}

/// The same of a text.
pub(super) fn comparable_text(text: &str, base: BaseType) -> Result<Value, Fault> {
    match base {
        BaseType::SmallInt | BaseType::Integer | BaseType::BigInt => {
            match decimal::parse(text).map(|number| (number.value(), number)) {
                // Beyond what integers reach, the nearest double is on the right side of all of them.
                Some((Value::Text(_), number)) => Ok(number.nearest()),
                Some((value, _)) => Ok(value),
                None => syntax(base, text),
            }
        }
        BaseType::Numeric(_) => scalar(text, BaseType::Numeric(None)),
        BaseType::Varchar(_) => scalar(text, BaseType::Text),
        _ => scalar(text, base),
    }
}

fn mismatch<T>(column: &ColumnType) -> Result<T, Fault> {
    fault("42804", format!("a value of type {} is wanted, and this one is of type json", column.full_name()))
}

/// A parameter or a value whose column says nothing: numbers stay exact, the rest is text.
pub(super) fn untyped(raw: &str) -> Result<Value, Fault> {
    Ok(match raw {
        "null" => Value::Null,
        "true" => Value::Integer(1),
        "false" => Value::Integer(0),
        _ if raw.starts_with(['[', '{']) => Value::Text(raw.to_owned()),
        _ if raw.starts_with('"') => Value::Text(words(raw)?),
        number => match decimal::parse(number) {
            Some(number) => number.value(),
            None => return fault("22P02", format!("invalid input syntax for type numeric: \"{number}\"")),
        },
    })
}

/// The text of a JSON value: a string's own characters, everything else as it is written.
fn words(raw: &str) -> Result<String, Fault> {
    if !raw.starts_with('"') {
        return Ok(raw.to_owned());
    }
    let Ok(text) = serde_json::from_str::<String>(raw) else {
        return fault("22P05", "unsupported Unicode escape sequence: half of a surrogate pair");
    };
    if text.contains('\0') {
        return fault("22021", "invalid byte sequence for encoding \"UTF8\": 0x00");
    }
    Ok(text)
}

fn syntax<T>(base: BaseType, text: &str) -> Result<T, Fault> {
    let full = ColumnType { base, dimensions: 0, identity: None }.full_name();
    let name = full.split('(').next().unwrap_or_default();
    fault("22P02", format!("invalid input syntax for type {name}: \"{text}\""))
}

fn scalar(text: &str, base: BaseType) -> Result<Value, Fault> {
    let trimmed = text.trim();
    match base {
        BaseType::Boolean => match truth(trimmed) {
            Some(truth) => Ok(Value::Integer(i64::from(truth))),
            None => syntax(base, text),
        },
        BaseType::SmallInt => integer(text, base, i64::from(i16::MIN), i64::from(i16::MAX)),
        BaseType::Integer => integer(text, base, i64::from(i32::MIN), i64::from(i32::MAX)),
        BaseType::BigInt => integer(text, base, i64::MIN, i64::MAX),
        BaseType::Real | BaseType::DoublePrecision => double(text, base),
        BaseType::Numeric(size) => numeric(text, size),
        BaseType::Varchar(length) => limited(text, length, base).map(Value::Text),
        BaseType::Char(length) => {
            let text = limited(text, Some(length), base)?;
            let missing = usize::try_from(length).unwrap_or_default().saturating_sub(text.chars().count());
            Ok(Value::Text(text + &" ".repeat(missing)))
        }
        BaseType::Bytea => bytes(text),
        BaseType::Date => time(instants::date(text), base, text),
        BaseType::Time(digits) => time(fine(instants::time(text, false), text, digits), base, text),
        BaseType::TimeTz(digits) => time(fine(instants::time(text, true), text, digits), base, text),
        BaseType::Timestamp(digits) => time(fine(instants::local(text), text, digits), base, text),
        BaseType::TimestampTz(digits) => time(fine(instants::zoned(text), text, digits), base, text),
        BaseType::Uuid => uuid(text),
        BaseType::Inet if trimmed.split('/').next().is_none_or(|ip| ip.parse::<std::net::IpAddr>().is_err()) => {
            syntax(base, text)
        }
        BaseType::Interval if !trimmed.bytes().any(|byte| byte.is_ascii_digit()) || trimmed.parse::<f64>().is_ok() => {
            fault("22007", format!("invalid input syntax for type interval: \"{text}\""))
        }
        BaseType::Bit(_) | BaseType::VarBit(_) if !trimmed.bytes().all(|byte| matches!(byte, b'0' | b'1')) => {
            fault("22P02", format!("\"{text}\" is not a valid binary digit"))
        }
        BaseType::Money => numeric(trimmed, Some((17, 2))),
        BaseType::Text
        | BaseType::Json
        | BaseType::Jsonb
        | BaseType::Xml
        | BaseType::Inet
        | BaseType::Cidr
        | BaseType::MacAddr
        | BaseType::Interval
        | BaseType::Bit(_)
        | BaseType::VarBit(_)
        | BaseType::Int4Range
        | BaseType::Int8Range
        | BaseType::NumRange
        | BaseType::TsRange
        | BaseType::TsTzRange
        | BaseType::DateRange
        | BaseType::TsVector => Ok(Value::Text(text.to_owned())),
    }
}

/// What PostgreSQL takes for true and false: also beginnings of the words.
fn truth(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    match text.as_str() {
        "" => None,
        "1" => Some(true),
        "0" => Some(false),
        _ if begins("true", 1) || begins("yes", 1) || text == "on" => Some(true),
        _ if begins("false", 1) || begins("no", 1) || begins("off", 2) => Some(false),
        _ => None,
    }
}

/// Any exact spelling of a whole number: 12, "12", 12.0, 1e3.
fn integer(text: &str, base: BaseType, least: i64, most: i64) -> Result<Value, Fault> {
    let digits = text.trim();
    let Some(number) = decimal::parse(digits).filter(|number| number.scale() == 0) else { return syntax(base, text) };
    let whole = if number.whole_digits() > 20 { None } else { number.text(0).parse::<i64>().ok() };
    match whole {
        Some(integer) if (least..=most).contains(&integer) => Ok(Value::Integer(integer)),
        _ => fault("22003", format!("value \"{digits}\" is out of range for type {base}")),
    }
}

fn double(text: &str, base: BaseType) -> Result<Value, Fault> {
    let trimmed = text.trim();
    match trimmed.to_ascii_lowercase().as_str() {
        "infinity" | "inf" | "+infinity" => return Ok(Value::Real(f64::INFINITY)),
        "-infinity" | "-inf" => return Ok(Value::Real(f64::NEG_INFINITY)),
        "nan" => return fault("22003", "this database cannot store NaN"),
        _ => {}
    }
    let Some(number) = decimal::parse(trimmed) else { return syntax(base, text) };
    let too_big = |value: f64| value.is_infinite() || base == BaseType::Real && value.abs() > f64::from(f32::MAX);
    let kept = |value: f64| if base == BaseType::Real { value as f32 as f64 } else { value };
    match trimmed.parse::<f64>() {
        // A whole number that the type cannot hold would come back as another one.
        Ok(value)
            if number.scale() == 0
                && decimal::parse(&kept(value).to_string()).as_ref() != Some(&number)
                && !too_big(value) =>
        {
            let name = ColumnType { base, dimensions: 0, identity: None }.full_name();
            fault("22003", format!("value \"{trimmed}\" cannot be kept exactly by type {name}"))
        }
        Ok(value) if !too_big(value) => Ok(Value::Real(value)),
        _ => {
            let name = ColumnType { base, dimensions: 0, identity: None }.full_name();
            fault("22003", format!("\"{trimmed}\" is out of range for type {name}"))
        }
    }
}

fn numeric(text: &str, size: Option<(u16, u16)>) -> Result<Value, Fault> {
    let Some(number) = decimal::parse(text) else {
        return match text.trim().to_ascii_lowercase().as_str() {
            "nan" => Ok(Value::Text("NaN".to_owned())),
            _ => syntax(BaseType::Numeric(None), text),
        };
    };
    if !number.is_storable() {
        return fault("22003", "value overflows numeric format");
    }
    if let Some((precision, scale)) = size {
        let (precision, scale) = (i64::from(precision), i64::from(scale));
        if number.whole_digits() > precision - scale {
            return fault(
                "22003",
                format!(
                    "numeric field overflow: a field with precision {precision}, scale {scale} must round to an absolute value less than 10^{}",
                    precision - scale
                ),
            );
        }
        if number.scale() > scale {
            return fault(
                "22003",
                format!(
                    "numeric field overflow: {} has more than {scale} digits after the point and would be rounded",
                    text.trim()
                ),
            );
        }
    }
    Ok(number.kept())
}

fn limited(text: &str, length: Option<u32>, base: BaseType) -> Result<String, Fault> {
    let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else { return Ok(text.to_owned()) };
    match text.char_indices().nth(length) {
        None => Ok(text.to_owned()),
        // SQL cuts spaces that are too many, and nothing else.
        Some((end, _)) if text.get(end..).is_some_and(|rest| rest.bytes().all(|byte| byte == b' ')) => {
            Ok(text.get(..end).unwrap_or_default().to_owned())
        }
        Some(_) => {
            let name = ColumnType { base, dimensions: 0, identity: None }.full_name();
            fault("22001", format!("value too long for type {name}"))
        }
    }
}

fn bytes(text: &str) -> Result<Value, Fault> {
    let decoded = match text.strip_prefix("\\x") {
        Some(hex) if hex.len().is_multiple_of(2) => {
            let pairs = (0..hex.len())
                .step_by(2)
                .map(|at| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
            pairs.collect::<Option<Vec<u8>>>()
        }
        Some(_) => None,
        None => STANDARD.decode(text).ok(),
    };
    match decoded {
        Some(bytes) => Ok(Value::Blob(bytes)),
        None => fault("22P02", "invalid input syntax for type bytea: it is neither base64 nor hexadecimal after \\x"),
    }
}

/// Digits of a second beyond what the column keeps would be rounded away.
fn fine(read: Result<String, Wrong>, text: &str, digits: Option<u8>) -> Result<String, Wrong> {
    let kept = usize::from(digits.unwrap_or(6));
    if read.is_ok() && instants::second_digits(text) > kept { Err(Wrong::Range) } else { read }
}

fn time(read: Result<String, Wrong>, base: BaseType, text: &str) -> Result<Value, Fault> {
    let name = || ColumnType { base, dimensions: 0, identity: None }.full_name();
    match read {
        Ok(text) => Ok(Value::Text(text)),
        Err(Wrong::Range) => fault("22008", format!("date/time field value out of range: \"{text}\"")),
        Err(Wrong::Syntax) => fault("22007", format!("invalid input syntax for type {}: \"{text}\"", name())),
    }
}

fn uuid(text: &str) -> Result<Value, Fault> {
    let bare = text.trim().trim_start_matches('{').trim_end_matches('}');
    match uuid::Uuid::parse_str(bare) {
        Ok(uuid) => Ok(Value::Text(uuid.hyphenated().to_string())),
        Err(_) => syntax(BaseType::Uuid, text),
    }
}

/// JSON without the spaces between its parts, so that the same document is the same text.
fn document(raw: &str, binary: bool) -> Result<String, Fault> {
    let broken = |why| Fault { code: "22P02", reason: format!("the text begins as JSON and is none: {why}") };
    let held = rows::document_in(raw).map_err(broken)?;
    let raw = held.as_deref().unwrap_or(raw);
    if binary && rows::characters("", raw).is_some() {
        return fault("22P05", "unsupported Unicode escape sequence");
    }
    let (mut out, mut quoted, mut escaped) = (String::with_capacity(raw.len()), false, false);
    for character in raw.chars() {
        if quoted {
            quoted = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            quoted = character == '"';
        }
        out.push(character);
    }
    Ok(out)
}

fn array(out: &mut String, raw: &str, column: &ColumnType) -> Result<(), Fault> {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        return fault("22P02", "expected JSON array");
    };
    out.push('[');
    for (place, element) in elements.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        let raw = element.get();
        let of_documents = matches!(column.base, BaseType::Json | BaseType::Jsonb);
        if raw.starts_with('[') && !of_documents {
            array(out, raw, column)?;
            continue;
        }
        let single = ColumnType { base: column.base, dimensions: 0, identity: None };
        let value = encode(element, Some(&single))?;
        values::render(out, (&value).into(), Some(&single));
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;
    use serde_json::value::RawValue;

    use super::encode;
    use crate::domain::sql::column_types::ColumnType;

    fn of(json: &str, column: &str) -> Result<Value, (&'static str, String)> {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        let column = ColumnType::parse(column, "type").unwrap();
        encode(&raw, Some(&column)).map_err(|fault| (fault.code, fault.reason))
    }

    #[test]
    fn values_are_refused_in_postgresqls_words() {
        for (json, column, code, reason) in [
            ("\"free\"", "numeric(10,2)", "22P02", "invalid input syntax for type numeric: \"free\""),
            ("12.7", "integer", "22P02", "invalid input syntax for type integer: \"12.7\""),
            ("2147483648", "integer", "22003", "value \"2147483648\" is out of range for type integer"),
            ("\"abcdef\"", "varchar(5)", "22001", "value too long for type character varying(5)"),
            ("\"a\\u0000b\"", "text", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00"),
            ("\"half \\ud800\"", "text", "22P05", "unsupported Unicode escape sequence: half of a surrogate pair"),
            ("\"2026-02-30\"", "date", "22008", "date/time field value out of range: \"2026-02-30\""),
            ("\"x\"", "timestamptz", "22007", "invalid input syntax for type timestamp with time zone: \"x\""),
            ("\"maybe\"", "boolean", "22P02", "invalid input syntax for type boolean: \"maybe\""),
            ("\"x\"", "uuid", "22P02", "invalid input syntax for type uuid: \"x\""),
            ("5", "text[]", "22P02", "expected JSON array"),
            ("{\"a\":1}", "text[]", "42804", "a value of type text[] is wanted, and this one is of type json"),
            ("{\"a\":\"\\ud800\"}", "jsonb", "22P05", "unsupported Unicode escape sequence"),
            ("{\"a\":\"\\\\\\u0000\"}", "jsonb", "22P05", "unsupported Unicode escape sequence"),
            ("{\"a\":1}", "text", "42804", "a value of type text is wanted, and this one is of type json"),
            (
                "\"2026-01-01T10:00:00Z\"",
                "date",
                "22007",
                "invalid input syntax for type date: \"2026-01-01T10:00:00Z\"",
            ),
        ] {
            assert_eq!(of(json, column), Err((code, reason.to_owned())), "{json} into {column}");
        }
        for (json, column) in [
            ("12345678.901", "numeric(10,2)"),
            ("123456789", "numeric(10,2)"),
            ("1e39", "real"),
            ("9007199254740993", "double precision"),
        ] {
            assert_eq!(of(json, column).unwrap_err().0, "22003", "{json} into {column}");
        }
    }

    #[test]
    fn values_are_kept_exactly() {
        assert_eq!(of("[1, \"2\", null]", "integer[]").unwrap(), Value::Text("[1,2,null]".to_owned()));
        assert_eq!(of("[1.10]", "numeric(5,2)[]").unwrap(), Value::Text("[\"1.10\"]".to_owned()));
        assert_eq!(
            of("{\"a\": [1, \"x y\\\" {\"]}", "jsonb").unwrap(),
            Value::Text("{\"a\":[1,\"x y\\\" {\"]}".to_owned())
        );
        assert_eq!(
            of(r#"{"a":"\\u0000 \ud83e\udd80"}"#, "jsonb").unwrap(),
            Value::Text(r#"{"a":"\\u0000 \ud83e\udd80"}"#.to_owned())
        );
        assert_eq!(of("5", "text").unwrap(), Value::Text("5".to_owned()));
        assert_eq!(of("\"ab   \"", "varchar(2)").unwrap(), Value::Text("ab".to_owned()));
        assert_eq!(of("\"\\\\x00ff\"", "bytea").unwrap(), Value::Blob(vec![0, 255]));
        assert_eq!(of("\"yes\"", "boolean").unwrap(), Value::Integer(1));
        assert_eq!(of("12.0", "integer").unwrap(), Value::Integer(12));
    }
}
