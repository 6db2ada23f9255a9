//! Numbers as they are written, so that no digit is lost on the way to a column.

/// A number in the parts of its text. Nothing is computed, so nothing is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    /// It has a minus sign.
    pub negative: bool,
    /// Digits before the point.
    pub whole: &'a [u8],
    /// Digits after the point.
    pub fraction: &'a [u8],
    /// The power of ten after `e`.
    pub exponent: i32,
}

/// Beyond this no column type holds the number; the database says so in its own words.
const EXPONENT_MAX: i32 = 200_000;

impl<'a> Decimal<'a> {
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

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn scale_counts_the_digits_that_matter() {
        let scale = |text| Decimal::parse(text).unwrap().scale();
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
        let integer = |text| Decimal::parse(text).unwrap().integer();
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
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
