//! Exact decimals. SQLite has none: a number is kept as a double when that has room for its digits, so that comparing and adding work in
//! any query, and as marked text when it has not.

use std::{borrow::Cow, cmp::Ordering};

use rusqlite::types::{Value, ValueRef};

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
pub(super) const NEAREST_DIGITS: usize = 20;

/// A decimal number: ± 0.DIGITS × 10^point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// No zeros at either end; empty for zero.
    digits: Vec<u8>,
    /// Where the point stands, counted from the first digit.
    point: i64,
}

impl Decimal {
    /// Reads `-12.50e3` and its like; spaces around it and the mark are passed over.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(MARK).trim_matches([' ', '\t', '\n', '\r']);
        let (negative, rest) = match text.strip_prefix(['-', '+']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok().filter(|_| exponent.len() <= 8)?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let point = i64::try_from(whole.len()).ok()? + exponent - i64::try_from(leading).ok()?;
        let mut digits: Vec<u8> = all.into_iter().skip(leading).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self::default());
        }
        Some(Self { negative, digits, point })
    }

    /// Digits after the point that are needed to write it.
    pub(super) fn scale(&self) -> i64 {
        (i64::try_from(self.digits.len()).unwrap_or(i64::MAX) - self.point).max(0)
    }

    /// Digits before the point that are needed to write it.
    pub(super) fn whole_digits(&self) -> i64 {
        self.point.max(0)
    }

    /// Whether PostgreSQL's numeric could hold it.
    pub(super) fn is_storable(&self) -> bool {
        self.whole_digits() <= INTEGER_DIGITS_MAX && self.scale() <= FRACTION_DIGITS_MAX
    }

    /// Written out without an exponent, with at least `scale` digits after the point.
    pub(super) fn text(&self, scale: i64) -> String {
        let mut text = String::new();
        if self.negative {
            text.push('-');
        }
        let digit =
            |at: i64| usize::try_from(at).ok().and_then(|at| self.digits.get(at)).map_or('0', |byte| char::from(*byte));
        if self.point <= 0 {
            text.push('0');
        }
        (0..self.point).for_each(|at| text.push(digit(at)));
        let scale = scale.max(self.scale());
        if scale > 0 {
            text.push('.');
            (self.point..self.point + scale).for_each(|at| text.push(digit(at)));
        }
        text
    }

    /// With the other sign.
    pub(super) fn negated(&self) -> Self {
        Self { negative: !self.negative && !self.digits.is_empty(), ..self.clone() }
    }

    /// Digits, most significant first, as of 0.DIGITS × 10^point, with zeros at the ends taken away.
    fn of(negative: bool, mut digits: Vec<u8>, point: i64) -> Self {
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() { Self::default() } else { Self { negative, digits, point: point - leading as i64 } }
    }

    /// The sum, every digit of it.
    pub(super) fn plus(&self, other: &Self) -> Self {
        if self.digits.is_empty() {
            return other.clone();
        }
        if other.digits.is_empty() {
            return self.clone();
        }
        let scale = self.scale().max(other.scale());
        let point = self.point.max(other.point).max(-scale) + 1;
        let size = |number: &Self| Self { negative: false, ..number.clone() };
        let (large, small) = if size(self) >= size(other) { (self, other) } else { (other, self) };
        let digit = |number: &Self, at: i64| {
            let place = usize::try_from(at + number.point - point).ok();
            place.and_then(|place| number.digits.get(place)).map_or(0, |digit| i16::from(digit - b'0'))
        };
        let sign = if self.negative == other.negative { 1 } else { -1 };
        let mut digits = Vec::new();
        let mut carried = 0;
        for at in (0..point + scale).rev() {
            let sum = digit(large, at) + sign * digit(small, at) + carried;
            carried = sum.div_euclid(10);
            digits.push(b'0' + u8::try_from(sum.rem_euclid(10)).unwrap_or(0));
        }
        digits.reverse();
        Self::of(large.negative, digits, point)
    }

    /// Rounded to so many digits after the point (before it, when negative); a half goes away from zero.
    pub(super) fn rounded(&self, places: i64) -> Self {
        let up = usize::try_from(self.point + places).ok().and_then(|next| self.digits.get(next));
        let step = Self { negative: self.negative, digits: vec![b'1'], point: 1 - places };
        if up.is_some_and(|digit| *digit >= b'5') { self.cut(places).plus(&step) } else { self.cut(places) }
    }

    /// Without the digits beyond so many after the point.
    pub(super) fn cut(&self, places: i64) -> Self {
        let kept = usize::try_from(self.point + places).unwrap_or(0);
        Self::of(self.negative, self.digits.iter().take(kept).copied().collect(), self.point)
    }

    /// Divided, with at most so many digits.
    pub(super) fn divided(&self, by: u64, most: usize) -> Self {
        let mut digits = Vec::new();
        let mut rest: u128 = 0;
        let mut started = 0;
        let mut at = 0;
        while by > 0 && started < most && (at < self.digits.len() || rest > 0) {
            let digit = self.digits.get(at).map_or(0, |digit| u128::from(digit - b'0'));
            rest = rest * 10 + digit;
            let quotient = u8::try_from(rest / u128::from(by)).unwrap_or(0);
            rest %= u128::from(by);
            digits.push(b'0' + quotient);
            started += usize::from(started > 0 || quotient > 0);
            at += 1;
        }
        Self::of(self.negative, digits, self.point)
    }

    /// The number that arithmetic on doubles meant: 0.3 for 0.30000000000000004, and 0.2 for 0.19999999999998863, what 100.1 - 99.9 leaves.
    /// Whole numbers keep all their digits.
    pub(super) fn without_noise(self) -> Self {
        if self.is_short() {
            return self;
        }
        let first = usize::try_from(self.point).unwrap_or(0).max(1);
        let is_run =
            |digits: &[u8]| digits.iter().all(|digit| *digit == b'0') || digits.iter().all(|digit| *digit == b'9');
        let run = self.digits.get(first..).and_then(|rest| rest.windows(NOISE_RUN).position(is_run));
        let digits = run.map_or(DOUBLE_DIGITS, |run| first + run);
        self.rounded((digits as i64 - self.point).max(0))
    }

    /// Whether it has nothing before and in the first so many places after the point.
    pub(super) fn is_below(&self, places: i64) -> bool {
        self.point <= -places
    }

    /// Whether it has no more digits than every double gives back.
    pub(super) fn is_short(&self) -> bool {
        self.digits.len() <= DOUBLE_DIGITS
    }

    /// What a value of SQLite says, where it is a number or a text of one.
    pub(super) fn read(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(integer) => Self::parse(&integer.to_string()),
            ValueRef::Real(real) => Self::parse(&real.to_string()),
            ValueRef::Text(text) => Self::parse(std::str::from_utf8(text).ok()?).filter(Self::is_storable),
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
        self.text(0).parse().ok().filter(|double: &f64| double.is_finite()).map_or_else(|| self.marked(), Value::Real)
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

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| if number.digits.is_empty() { 0 } else { 1 - 2 * i8::from(number.negative) };
        let size = |a: &Self, b: &Self| a.point.cmp(&b.point).then_with(|| a.digits.cmp(&b.digits));
        match (sign(self), sign(other)) {
            (1, 1) => size(self, other),
            (-1, -1) => size(other, self),
            (a, b) => a.cmp(&b),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::Decimal;

    #[test]
    fn digits_survive_and_order_is_numeric() {
        for (given, scale, written) in [
            ("29.9", 2, "29.90"),
            ("-0.00", 0, "0"),
            ("1e3", 0, "1000"),
            ("1.5E-3", 0, "0.0015"),
            ("12345678901234567890.120", 0, "12345678901234567890.12"),
            (".5", 1, "0.5"),
        ] {
            assert_eq!(Decimal::parse(given).unwrap().text(scale), written, "{given}");
        }
        let mut numbers =
            ["10", "9", "-3", "0.25", "-12", "0", "12345678901234567890"].map(|text| Decimal::parse(text).unwrap());
        numbers.sort();
        assert_eq!(numbers.map(|number| number.text(0)).join(" "), "-12 -3 0 0.25 9 10 12345678901234567890");
        for bad in ["", "free", "1,5", "0x10", "--1", "1e", "e5", ".", "1e999999999"] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

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
            let number = Decimal::parse(text).unwrap();
            assert_eq!((number.kept(), number.value()), (kept, given), "{text}");
        }
        for beyond in [format!("1{}", "0".repeat(400)), format!("0.{}1", "0".repeat(400))] {
            assert_eq!(Decimal::parse(&beyond).unwrap().kept(), marked(&beyond));
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
            assert_eq!(Decimal::parse(given).unwrap().without_noise().text(0), meant, "{given}");
        }
    }
}
