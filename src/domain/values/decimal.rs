//! Decimal numbers: as they are written, so that no digit is lost on the way to a column, and for arithmetic on all their digits.

use std::cmp::Ordering;

use bigdecimal::{
    BigDecimal, RoundingMode,
    num_bigint::{BigInt, Sign},
};

/// A number in the parts of its text. Nothing is computed, so nothing is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecimalText<'a> {
    /// It has a minus sign.
    pub negative: bool,
    /// ASCII digits before the point.
    pub whole: &'a [u8],
    /// ASCII digits after the point.
    pub fraction: &'a [u8],
    /// The power of ten after `e`; 0 without one.
    pub exponent: i32,
}

/// Beyond this no column type holds the number.
const EXPONENT_MAX: i32 = 99_999_999;

impl<'a> DecimalText<'a> {
    /// Reads `-12.50`, `+3`, `.5`, `1e6`; `None` for anything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (whole, rest) = digits(rest);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest),
            _ => (&[][..], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', power @ ..] => std::str::from_utf8(power).ok()?.parse::<i32>().ok()?,
            _ => return None,
        };
        let empty = whole.is_empty() && fraction.is_empty();
        (!empty && exponent.abs() <= EXPONENT_MAX).then_some(Self { negative, whole, fraction, exponent })
    }

    /// Digits after the point that the value needs: trailing zeros do not count.
    pub fn scale(&self) -> i64 {
        self.needed().unwrap_or(0).max(0)
    }

    /// Whether a column that keeps so many digits after the point (or, below zero, leaves out so many before it) would round the value.
    pub fn rounds_at(&self, kept: i64) -> bool {
        self.needed().is_some_and(|needed| needed > kept)
    }

    /// None for zero.
    fn needed(&self) -> Option<i64> {
        let significant = self.digits().rev().skip_while(|digit| *digit == b'0').count();
        let trailing = self.whole.len() + self.fraction.len() - significant;
        (significant > 0).then(|| self.written_scale() - trailing as i64)
    }

    /// Digits after the point as written: `1.50` has two. Negative for `1e3`.
    pub fn written_scale(&self) -> i64 {
        self.fraction.len() as i64 - i64::from(self.exponent)
    }

    /// The digits, most significant first, as ASCII.
    pub fn digits(&self) -> impl DoubleEndedIterator<Item = u8> + use<'a> {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// The value as an integer: `12.0` and `1.2e1` are 12. `None` when it is none, or none of 64 bits.
    pub fn integer(&self) -> Option<i64> {
        if self.scale() > 0 {
            return None;
        }
        let point = self.whole.len() as i64 + i64::from(self.exponent);
        let mut value: i128 = 0;
        for digit in self.digits().take(usize::try_from(point).unwrap_or(0)) {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        let missing = point - (self.whole.len() + self.fraction.len()) as i64;
        if value != 0 && missing > 0 {
            value = value.checked_mul(10i128.checked_pow(u32::try_from(missing).ok()?)?)?;
        }
        i64::try_from(if self.negative { -value } else { value }).ok()
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// A number for arithmetic, with all its digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decimal(BigDecimal);

impl From<DecimalText<'_>> for Decimal {
    fn from(text: DecimalText<'_>) -> Self {
        let digits: Vec<u8> = text.digits().collect();
        let size = BigInt::parse_bytes(&digits, 10).unwrap_or_default();
        Self::normalized(BigDecimal::new(if text.negative { -size } else { size }, text.written_scale()))
    }
}

impl Decimal {
    /// Reads `-12.50e3` and its like; blanks around it are passed over.
    pub fn parse(text: &str) -> Option<Self> {
        DecimalText::parse(text.trim_matches([' ', '\t', '\n', '\r'])).map(Self::from)
    }

    /// Zeros at the end say nothing: all that counts digits relies on there being none.
    fn normalized(number: BigDecimal) -> Self {
        Self(number.normalized())
    }

    /// Digits after the point that are needed to write it.
    pub fn scale(&self) -> i64 {
        self.0.fractional_digit_count().max(0)
    }

    /// Digits before the point that are needed to write it.
    pub fn whole_digits(&self) -> i64 {
        self.point().max(0)
    }

    /// The significant digits, 0 to 9, most significant first; none for zero.
    pub fn digits(&self) -> Vec<u8> {
        if self.is_zero() { Vec::new() } else { self.0.as_bigint_and_scale().0.magnitude().to_radix_be(10) }
    }

    /// How many significant digits it has.
    pub fn digit_count(&self) -> u64 {
        if self.is_zero() { 0 } else { self.0.digits() }
    }

    /// Where the point stands, counted from the first significant digit: 2 for 12.5, -1 for 0.05.
    pub fn point(&self) -> i64 {
        self.digit_count().cast_signed() - self.0.fractional_digit_count()
    }

    fn is_zero(&self) -> bool {
        self.0.sign() == Sign::NoSign
    }

    /// Written out without an exponent, with at least `scale` digits after the point.
    pub fn text(&self, scale: i64) -> String {
        self.0.with_scale(scale.max(self.scale())).to_plain_string()
    }

    /// The nearest double; infinite beyond all of them.
    pub fn to_f64(&self) -> f64 {
        let (digits, scale) = self.0.as_bigint_and_scale();
        format!("{digits}e{}", -scale).parse().unwrap_or(f64::INFINITY)
    }

    /// With the other sign.
    pub fn negated(&self) -> Self {
        Self(-&self.0)
    }

    /// The sum, every digit of it.
    pub fn plus(&self, other: &Self) -> Self {
        Self::normalized(&self.0 + &other.0)
    }

    /// Rounded to so many digits after the point (before it, when negative); a half goes away from zero.
    pub fn rounded(&self, places: i64) -> Self {
        self.shortened(places, RoundingMode::HalfUp)
    }

    /// Without the digits beyond so many after the point.
    pub fn cut(&self, places: i64) -> Self {
        self.shortened(places, RoundingMode::Down)
    }

    fn shortened(&self, places: i64, mode: RoundingMode) -> Self {
        if places >= self.scale() { self.clone() } else { Self::normalized(self.0.with_scale_round(places, mode)) }
    }

    /// Divided, with the first `most` significant digits of the quotient; 0 by 0.
    pub fn divided(&self, by: u64, most: u32) -> Self {
        if by == 0 {
            return Self::default();
        }
        // So many digits more than the divisor can take away.
        let scale = self.0.fractional_digit_count() + i64::from(most + u64::MAX.ilog10() + 1);
        let (digits, scale) = self.0.with_scale(scale).into_bigint_and_scale();
        let quotient = Self::normalized(BigDecimal::new(digits / by, scale));
        quotient.cut(i64::from(most) - quotient.point())
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        // Of numbers of one size alone the digits are looked at, so that none is written out to the length of a huge other one.
        let size = self.point().cmp(&other.point());
        let size = if self.0.sign() == Sign::Minus { size.reverse() } else { size };
        self.0.sign().cmp(&other.0.sign()).then(size).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::{Decimal, DecimalText};

    #[test]
    fn scale_counts_the_digits_that_matter() {
        let scale = |text| DecimalText::parse(text).unwrap().scale();
        for (text, wanted) in [
            ("29.99", 2),
            ("29.9900", 2),
            ("30", 0),
            ("1e3", 0),
            ("1.5e-3", 4),
            ("1500e-2", 0),
            ("0.000", 0),
            (".5", 1),
            ("12.34e1", 1),
            ("0e-5", 0),
        ] {
            assert_eq!(scale(text), wanted, "{text}");
        }
    }

    #[test]
    fn integers_are_exact_or_none() {
        let integer = |text| DecimalText::parse(text).unwrap().integer();
        assert_eq!(integer("9007199254740993"), Some(9_007_199_254_740_993));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer("9223372036854775808"), None);
        assert_eq!(integer("12.0"), Some(12));
        assert_eq!(integer("1.2e1"), Some(12));
        assert_eq!(integer("1e3"), Some(1000));
        assert_eq!(integer("1200e-2"), Some(12));
        assert_eq!(integer("12.7"), None);
        assert_eq!(integer("0e100000"), Some(0));
        assert_eq!(integer("0.00e-5"), Some(0));
        assert_eq!(integer("1e100000"), None);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "free", "1e", "1.2.3", "0x10", " 1", "1_000", "NaN", "1e999999999"] {
            assert_eq!(DecimalText::parse(text), None, "{text}");
        }
    }

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
}
