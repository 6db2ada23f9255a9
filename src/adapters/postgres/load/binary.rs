//! Rows as PostgreSQL's binary COPY. What is not plain is left to the other way of writing, which asks PostgreSQL.

use serde_json::value::RawValue;

use super::{
    cell::{Kind, Scalar, Value, look},
    documents::{held, literal},
};
use crate::domain::{
    sql::rows::{Fault, unescaped},
    values::time::DAY,
};

/// What a COPY stream begins with.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: [u8; 2] = (-1i16).to_be_bytes();

const NULL: [u8; 4] = (-1i32).to_be_bytes();
/// Days and microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_DAYS: i64 = 10_957;
/// Groups of four digits that are written here; longer numbers go the other way.
const GROUPS_MAX: usize = 24;

/// Why a value was not written.
pub(super) enum Stop {
    /// PostgreSQL has to be asked.
    Unsure,
    /// The column cannot keep it.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Writes the value of a column with its length. After a [`Stop`] the buffer holds a part of it.
pub(super) fn write(kind: Kind, column: &str, type_name: &str, json: &str, out: &mut Vec<u8>) -> Result<(), Stop> {
    let Some(element) = kind.array else {
        return one(kind.scalar, column, type_name, json, out);
    };
    if json == "null" {
        out.extend_from_slice(&NULL);
        return Ok(());
    }
    if literal(kind.scalar, json) {
        return Err(Stop::Unsure);
    }
    let single;
    let many: Vec<&RawValue>;
    let elements: &mut dyn ExactSizeIterator<Item = &str> = if json.starts_with('[') {
        many = serde_json::from_str(json).map_err(|_| Stop::Unsure)?;
        &mut many.iter().map(|element| element.get())
    } else {
        single = [json];
        &mut single.into_iter()
    };
    let start = begin(out);
    let length = i32::try_from(elements.len()).map_err(|_| Stop::Unsure)?;
    let null_flag = out.len() + 4;
    out.extend_from_slice(&i32::from(length > 0).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&element.to_be_bytes());
    if length > 0 {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&1i32.to_be_bytes());
    }
    for element in elements {
        if element.starts_with('[') {
            return Err(Stop::Unsure);
        }
        if element == "null"
            && let Some(flag) = out.get_mut(null_flag + 3)
        {
            *flag = 1;
        }
        one(kind.scalar, column, type_name, element, out)?;
    }
    end(out, start)
}

fn one(scalar: Scalar, column: &str, type_name: &str, json: &str, out: &mut Vec<u8>) -> Result<(), Stop> {
    let document = held(scalar, column, json)?;
    let json = document.as_deref().unwrap_or(json);
    let value = look(scalar, column, type_name, json)?;
    if matches!(value, Value::Null) {
        out.extend_from_slice(&NULL);
        return Ok(());
    }
    let start = begin(out);
    match (value, scalar) {
        (Value::Null, _) => {}
        (Value::Raw(raw), Scalar::Text | Scalar::Char) => {
            let text = if raw.starts_with('"') { unescaped(raw).ok_or(Stop::Unsure)? } else { raw.into() };
            out.extend_from_slice(text.as_bytes());
        }
        (Value::Raw(raw), Scalar::Json) => out.extend_from_slice(raw.as_bytes()),
        (Value::Raw(raw), Scalar::Jsonb) => {
            out.push(1);
            out.extend_from_slice(raw.as_bytes());
        }
        (Value::Raw(_), _) => return Err(Stop::Unsure),
        (Value::Bool(value), _) => out.push(u8::from(value)),
        (Value::Integer(value), scalar) => integer(scalar, value, out)?,
        (Value::Float(value, _), Scalar::Float4) => {
            #[expect(clippy::cast_possible_truncation, reason = "it was read as an f32")]
            out.extend_from_slice(&(value as f32).to_be_bytes());
        }
        (Value::Float(value, _), _) => out.extend_from_slice(&value.to_be_bytes()),
        (Value::Number(number, _), _) => {
            numeric(number.negative, number.digits(), number.written_scale(), out).ok_or(Stop::Unsure)?;
        }
        (Value::Uuid(value, _), _) => out.extend_from_slice(&value.to_be_bytes()),
        (Value::Bytes(bytes), _) => out.extend_from_slice(&bytes),
        (Value::Date(days), _) => {
            let days = i32::try_from(days - EPOCH_DAYS).map_err(|_| Stop::Unsure)?;
            out.extend_from_slice(&days.to_be_bytes());
        }
        (Value::Time(micros, _), _) => out.extend_from_slice(&micros.to_be_bytes()),
        (Value::Moment(micros), _) => out.extend_from_slice(&(micros - EPOCH_DAYS * DAY).to_be_bytes()),
    }
    end(out, start)
}

fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

fn end(out: &mut [u8], start: usize) -> Result<(), Stop> {
    let length = i32::try_from(out.len() - start).map_err(|_| Stop::Unsure)?;
    if let Some(place) = out.get_mut(start - 4..start) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn integer(scalar: Scalar, value: i64, out: &mut Vec<u8>) -> Result<(), Stop> {
    match scalar {
        Scalar::Int2 => out.extend_from_slice(&i16::try_from(value).map_err(|_| Stop::Unsure)?.to_be_bytes()),
        Scalar::Int4 => out.extend_from_slice(&i32::try_from(value).map_err(|_| Stop::Unsure)?.to_be_bytes()),
        _ => out.extend_from_slice(&value.to_be_bytes()),
    }
    Ok(())
}

/// Groups of four digits around the point, leading and trailing zero groups left out; `None` when there are too many.
fn numeric(negative: bool, digits: impl DoubleEndedIterator<Item = u8>, scale: i64, out: &mut Vec<u8>) -> Option<()> {
    let mut groups = [0i16; GROUPS_MAX];
    // The power of ten of the last digit is -scale; the lowest group begins at a multiple of four below it.
    let lowest = (-scale).div_euclid(4);
    let lowest_power = usize::try_from((-scale).rem_euclid(4)).ok()?;
    let mut highest = 0;
    for (power, digit) in (lowest_power..).zip(digits.rev()) {
        if digit != b'0' {
            let group = groups.get_mut(power / 4)?;
            *group += i16::from(digit - b'0') * [1, 10, 100, 1000].get(power % 4)?;
            highest = power / 4;
        }
    }
    let first = groups.iter().take(highest + 1).position(|group| *group != 0);
    let used = first.and_then(|first| groups.get(first..=highest)).unwrap_or_default();
    let weight = if used.is_empty() { 0 } else { i16::try_from(lowest + i64::try_from(highest).ok()?).ok()? };
    out.extend_from_slice(&i16::try_from(used.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&(if negative && !used.is_empty() { 0x4000u16 } else { 0 }).to_be_bytes());
    out.extend_from_slice(&u16::try_from(scale.clamp(0, 16_383)).ok()?.to_be_bytes());
    for group in used.iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::numeric;
    use crate::domain::values::decimal::DecimalText;

    fn groups(text: &str) -> (i16, u16, u16, Vec<i16>) {
        let number = DecimalText::parse(text).unwrap();
        let mut out = Vec::new();
        numeric(number.negative, number.digits(), number.written_scale(), &mut out).unwrap();
        let at = |place: usize| i16::from_be_bytes([out[place * 2], out[place * 2 + 1]]);
        let count = usize::try_from(at(0)).unwrap();
        assert_eq!(out.len(), 8 + count * 2);
        (at(1), at(2) as u16, at(3) as u16, (4..4 + count).map(at).collect())
    }

    #[test]
    fn numbers_are_written_as_postgresql_keeps_them() {
        assert_eq!(groups("29.99"), (0, 0, 2, vec![29, 9900]));
        assert_eq!(groups("-12345.5"), (1, 0x4000, 1, vec![1, 2345, 5000]));
        assert_eq!(groups("0"), (0, 0, 0, vec![]));
        assert_eq!(groups("-0.00"), (0, 0, 2, vec![]));
        assert_eq!(groups("0.0001"), (-1, 0, 4, vec![1]));
        assert_eq!(groups("1e8"), (2, 0, 0, vec![1]));
        assert_eq!(groups("10000.0001"), (1, 0, 4, vec![1, 0, 1]));
        assert_eq!(groups("1.50"), (0, 0, 2, vec![1, 5000]));
        assert_eq!(groups("000123"), (0, 0, 0, vec![123]));
    }
}
