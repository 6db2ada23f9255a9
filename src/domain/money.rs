//! Money: whole millionths of a US dollar, so that sums are exact.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Millionths of a US dollar; never negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// Digits after the point.
const DIGITS: usize = 6;
/// Whole dollars at the most: a billion.
const DOLLARS_MAX: i64 = 1_000_000_000;

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAmount;

impl FromStr for Micros {
    type Err = NoAmount;

    /// Reads a decimal number of dollars as JSON writes one, `2.5` or `1e-3`, exactly.
    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().map_err(|_| NoAmount)?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(NoAmount);
        }
        // The number is `all` × 10^(exponent − digits of the fraction); in millionths, 10^6 more.
        let all = format!("{whole}{fraction}");
        let shift = exponent
            .checked_add(i32::try_from(DIGITS).map_err(|_| NoAmount)?)
            .and_then(|shift| shift.checked_sub(i32::try_from(fraction.len()).ok()?))
            .ok_or(NoAmount)?;
        let all = all.trim_start_matches('0');
        if all.is_empty() {
            return Ok(Self(0));
        }
        let micros = if shift >= 0 {
            let zeros = usize::try_from(shift).ok().filter(|zeros| all.len() + zeros <= 18).ok_or(NoAmount)?;
            format!("{all}{}", "0".repeat(zeros))
        } else {
            // Finer than a millionth is rounded nowhere: it must be zero.
            let cut = usize::try_from(-i64::from(shift)).map_err(|_| NoAmount)?;
            let kept = all.len().checked_sub(cut).ok_or(NoAmount)?;
            let (kept, rest) = all.split_at(kept);
            if kept.is_empty() || rest.bytes().any(|byte| byte != b'0') {
                return Err(NoAmount);
            }
            kept.to_owned()
        };
        let micros = micros.parse::<i64>().map_err(|_| NoAmount)?;
        if micros > DOLLARS_MAX * 1_000_000 { Err(NoAmount) } else { Ok(Self(micros)) }
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
