//! Money: whole millionths of a US dollar, so that sums are exact.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::values::decimal::DecimalText;

/// Millionths of a US dollar; never negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// Digits after the point.
const DIGITS: i32 = 6;
/// Whole dollars at the most: a billion.
const DOLLARS_MAX: i64 = 1_000_000_000;

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAmount;

impl FromStr for Micros {
    type Err = NoAmount;

    /// Reads a decimal number of dollars as JSON writes one, `2.5` or `1e-3`, exactly.
    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let number = DecimalText::parse(text).filter(|_| text.starts_with(|first: char| first.is_ascii_digit()));
        let micros = number.and_then(|number| {
            let exponent = number.exponent + DIGITS;
            DecimalText { exponent, ..number }.integer()
        });
        micros.filter(|micros| *micros <= DOLLARS_MAX * 1_000_000).map(Self).ok_or(NoAmount)
    }
}

impl fmt::Display for Micros {
    /// A decimal number of dollars with at most six digits after the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:06}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::{Micros, NoAmount};

    #[test]
    fn amounts_are_read_and_written_exactly() {
        for (text, micros, shown) in [
            ("2.5", 2_500_000, "2.5"),
            ("0", 0, "0"),
            ("0.000001", 1, "0.000001"),
            ("1e-6", 1, "0.000001"),
            ("1.50e1", 15_000_000, "15"),
            ("0.1000000", 100_000, "0.1"),
            ("1000000000", 1_000_000_000_000_000, "1000000000"),
        ] {
            let read: Micros = text.parse().unwrap();
            assert_eq!((read.0, read.to_string().as_str()), (micros, shown), "{text}");
        }
        for wrong in ["-1", "", ".5", "1e99", "0.0000001", "1e-9", "abc", "NaN", "1000000001", "1e", "+1"] {
            assert_eq!(wrong.parse::<Micros>(), Err(NoAmount), "{wrong}");
        }
    }
}
