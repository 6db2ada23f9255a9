//! Values of transitions as PostgreSQL's binary format writes them, and back.

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::{
    adapters::postgres::values,
    domain::values::decimal::DecimalText,
    store::{Cell, Value},
};

/// 2000-01-01 in microseconds since 1970: PostgreSQL counts from there.
const EPOCH: i64 = 946_684_800_000_000;

type Failure = Box<dyn std::error::Error + Sync + Send>;

/// A value on its way to a statement's parameter.
#[derive(Debug)]
pub(super) struct Bound<'a>(pub(super) Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(number) => integer(number, of, out)?,
            Value::Real(number) => out.put_f64(number),
            Value::Bool(yes) => out.put_u8(u8::from(yes)),
            Value::Text(text) => {
                if *of == Type::JSONB {
                    out.put_u8(1);
                }
                out.put_slice(text.as_bytes());
            }
            Value::Bytes(bytes) => out.put_slice(bytes),
            Value::Time(time) => out.put_i64(time.0.checked_sub(EPOCH).ok_or("the time is out of range")?),
            Value::Texts(texts) => return texts.to_sql(of, out),
            Value::Integers(numbers) => return numbers.to_sql(of, out),
            Value::Column(values) => {
                return values.iter().map(|value| Bound(*value)).collect::<Vec<_>>().to_sql(of, out);
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn integer(number: i64, of: &Type, out: &mut BytesMut) -> Result<(), Failure> {
    match *of {
        Type::INT4 => out.put_i32(number.try_into()?),
        Type::INT2 => out.put_i16(number.try_into()?),
        #[expect(clippy::cast_precision_loss, reason = "the column is a double")]
        Type::FLOAT8 => out.put_f64(number as f64),
        _ => out.put_i64(number),
    }
    Ok(())
}

/// The type a value has where the server is not asked: of a statement that stays unprepared. NULL is left open; a column of nothing else is
/// text.
pub(super) fn type_of(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::UNKNOWN,
        Value::Integer(_) => Type::INT8,
        Value::Real(_) => Type::FLOAT8,
        Value::Bool(_) => Type::BOOL,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
        Value::Time(_) => Type::TIMESTAMPTZ,
        Value::Texts(_) => Type::TEXT_ARRAY,
        Value::Integers(_) => Type::INT8_ARRAY,
        Value::Column(values) => match values.iter().map(type_of).find(|of| *of != Type::UNKNOWN) {
            Some(Type::INT8) => Type::INT8_ARRAY,
            Some(Type::FLOAT8) => Type::FLOAT8_ARRAY,
            Some(Type::BOOL) => Type::BOOL_ARRAY,
            Some(Type::BYTEA) => Type::BYTEA_ARRAY,
            Some(Type::TIMESTAMPTZ) => Type::TIMESTAMPTZ_ARRAY,
            _ => Type::TEXT_ARRAY,
        },
    }
}

/// A column's value on its way back.
pub(super) struct Found(pub(super) Cell);

impl<'a> FromSql<'a> for Found {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(match *of {
            Type::INT8 => Cell::Integer(i64::from_sql(of, raw)?),
            Type::INT4 => Cell::Integer(i32::from_sql(of, raw)?.into()),
            Type::INT2 => Cell::Integer(i16::from_sql(of, raw)?.into()),
            Type::FLOAT8 => Cell::Real(f64::from_sql(of, raw)?),
            Type::FLOAT4 => Cell::Real(f32::from_sql(of, raw)?.into()),
            Type::BOOL => Cell::Bool(bool::from_sql(of, raw)?),
            Type::BYTEA => Cell::Bytes(raw.to_vec()),
            // A time's eight bytes are a bigint's.
            Type::TIMESTAMPTZ => Cell::Integer(i64::from_sql(&Type::INT8, raw)?.saturating_add(EPOCH)),
            Type::NUMERIC => numeric(raw)?,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::UNKNOWN => {
                Cell::Text(std::str::from_utf8(raw)?.to_owned())
            }
            _ => return Err(format!("no transition reads a column of type {of}").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self(Cell::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// `sum` of a bigint is a numeric: a whole one that a bigint can hold is an integer again, any other a double.
fn numeric(raw: &[u8]) -> Result<Cell, Failure> {
    let text = values::decimal::text(raw).ok_or("a numeric is cut off")?;
    let number = DecimalText::parse(&text).ok_or("a numeric is not a number")?;
    Ok(match number.integer() {
        Some(whole) => Cell::Integer(whole),
        None => Cell::Real(text.parse()?),
    })
}

#[cfg(test)]
mod tests {
    use super::{Cell, numeric};

    fn read(words: &[i16]) -> Cell {
        numeric(&words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_whole_numeric_is_an_integer() {
        assert_eq!(read(&[0, 0, 0, 0]), Cell::Integer(0));
        assert_eq!(read(&[1, 1, 0, 0, 12]), Cell::Integer(120_000));
        assert_eq!(read(&[2, 1, 0x4000, 0, 1, 2345]), Cell::Integer(-12_345));
        assert_eq!(read(&[2, 0, 0, 2, 1, 5000]), Cell::Real(1.5));
        // 2^63, one more than a bigint holds.
        assert!(matches!(read(&[5, 4, 0, 0, 922, 3372, 368, 5477, 5808]), Cell::Real(_)));
        assert_eq!(read(&[5, 4, 0, 0, 922, 3372, 368, 5477, 5807]), Cell::Integer(i64::MAX));
    }
}
