//! Exact decimals. SQLite has none: a number is kept as a double when that has room for its digits, so that comparing and adding work in
//! any query, and as marked text when it has not.

use std::borrow::Cow;

use rusqlite::types::{Value, ValueRef};

use crate::domain::values::decimal::Decimal;

/// Ends a number kept as text. Without it SQLite would turn the text into a double, because of the column's affinity; with it, arithmetic
/// still reads the digits before it.
pub(super) const MARK: char = '\u{a0}';

/// A text without the marks behind long numbers in it.
pub(super) fn unmarked(text: &str) -> Cow<'_, str> {
    let mut parts = text.split(MARK);
    let mut out = parts.next().unwrap_or_default().to_owned();
    if out.len() == text.len() {
        return Cow::Borrowed(text);
    }
    for part in parts {
        let digits = out.bytes().rev().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        if digits <= DOUBLE_DIGITS {
            out.push(MARK);
        }
        out.push_str(part);
    }
    Cow::Owned(out)
}

/// Digits before and after the point beyond which a number is no number: what PostgreSQL's numeric holds.
const INTEGER_DIGITS_MAX: i64 = 131_072;
const FRACTION_DIGITS_MAX: i64 = 16_383;

/// Digits that every double gives back. What has more comes from arithmetic on doubles, or is no double.
pub(super) const DOUBLE_DIGITS: usize = 15;
/// So many zeros or nines in the fraction of what has more digits than that are where its own digits end.
const NOISE_RUN: usize = 6;
/// Digits that settle which double is nearest.
pub(super) const NEAREST_DIGITS: u32 = 20;

/// Reads what is kept, with or without the mark.
pub(super) fn parse(text: &str) -> Option<Decimal> {
    Decimal::parse(text.trim_end_matches(MARK))
}

/// What SQLite keeps of a decimal, and what it was before it was kept.
impl Decimal {
    /// Whether PostgreSQL's numeric could hold it.
    pub(super) fn is_storable(&self) -> bool {
        self.whole_digits() <= INTEGER_DIGITS_MAX && self.scale() <= FRACTION_DIGITS_MAX
    }

    /// The number that arithmetic on doubles meant: 0.3 for 0.30000000000000004, and 0.2 for 0.19999999999998863, what 100.1 - 99.9 leaves.
    /// Whole numbers keep all their digits.
    pub(super) fn without_noise(self) -> Self {
        if self.is_short() {
            return self;
        }
        let first = usize::try_from(self.point()).unwrap_or(0).max(1);
        let is_run = |digits: &[u8]| digits.iter().all(|digit| *digit == 0) || digits.iter().all(|digit| *digit == 9);
        let run = self.digits().get(first..).and_then(|rest| rest.windows(NOISE_RUN).position(is_run));
        let digits = run.map_or(DOUBLE_DIGITS, |run| first + run);
        self.rounded((digits as i64 - self.point()).max(0))
    }

    /// Whether it has nothing before and in the first so many places after the point.
    pub(super) fn is_below(&self, places: i64) -> bool {
        self.point() <= -places
    }

    /// Whether it has no more digits than every double gives back.
    pub(super) fn is_short(&self) -> bool {
        self.digit_count() <= DOUBLE_DIGITS as u64
    }

    /// What a value of SQLite says, where it is a number or a text of one.
    pub(super) fn read(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(integer) => Self::parse(&integer.to_string()),
            ValueRef::Real(real) => Self::parse(&real.to_string()),
            ValueRef::Text(text) => parse(std::str::from_utf8(text).ok()?).filter(Self::is_storable),
            ValueRef::Null | ValueRef::Blob(_) => None,
        }
    }

    /// The same, and of a double what it was meant to be.
    pub(super) fn meant(value: ValueRef<'_>) -> Option<Self> {
        let number = Self::read(value)?;
        Some(if matches!(value, ValueRef::Real(_)) { number.without_noise() } else { number })
    }

    /// How a column of exact numbers keeps it.
    pub(super) fn kept(&self) -> Value {
        if self.is_short() { self.in_double() } else { self.marked() }
    }

    /// How it is given to a statement, which may compare it with anything.
    pub(super) fn value(&self) -> Value {
        self.text(0).parse().map_or_else(|_| self.in_double(), Value::Integer)
    }

    /// The double that is nearest.
    pub(super) fn nearest(&self) -> Value {
        let double = self.to_f64();
        if double.is_finite() { Value::Real(double) } else { self.marked() }
    }

    /// A double when it gives the digits back.
    fn in_double(&self) -> Value {
        match self.nearest() {
            Value::Real(double) if Self::parse(&double.to_string()).as_ref() == Some(self) => Value::Real(double),
            _ => self.marked(),
        }
    }

    fn marked(&self) -> Value {
        Value::Text(format!("{}{MARK}", self.text(0)))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::parse;

    #[test]
    fn a_double_is_made_only_when_it_gives_the_digits_back() {
        let marked = |text: &str| Value::Text(format!("{text}\u{a0}"));
        for (text, kept, given) in [
            ("10.00", Value::Real(10.0), Value::Integer(10)),
            ("29.99", Value::Real(29.99), Value::Real(29.99)),
            ("123456789012345", Value::Real(123_456_789_012_345.0), Value::Integer(123_456_789_012_345)),
            ("9007199254740993", marked("9007199254740993"), Value::Integer(9_007_199_254_740_993)),
            ("0.1234567890123456", marked("0.1234567890123456"), Value::Real(0.123_456_789_012_345_6)),
            ("0.1234567890123456789", marked("0.1234567890123456789"), marked("0.1234567890123456789")),
        ] {
            let number = parse(text).unwrap();
            assert_eq!((number.kept(), number.value()), (kept, given), "{text}");
        }
        for beyond in [format!("1{}", "0".repeat(400)), format!("0.{}1", "0".repeat(400))] {
            assert_eq!(parse(&beyond).unwrap().kept(), marked(&beyond));
        }
    }

    #[test]
    fn noise_of_doubles_is_rounded_away_and_whole_numbers_stay() {
        for (given, meant) in [
            ("0.30000000000000004", "0.3"),
            ("2.6749999999999998", "2.675"),
            ("-3.3333333333333335", "-3.33333333333333"),
            ("99999999999999.98", "100000000000000"),
            ("0.19999999999998863", "0.2"),
            ("0.08000000000174623", "0.08"),
            ("12.500000000000002", "12.5"),
            ("1000000.0000000001", "1000000"),
            ("9.9999999999999996", "10"),
            ("1000000123456789.5", "1000000123456790"),
            ("1524157925011431", "1524157925011431"),
            ("123456789.12", "123456789.12"),
        ] {
            assert_eq!(parse(given).unwrap().without_noise().text(0), meant, "{given}");
        }
    }
}
