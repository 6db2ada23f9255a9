//! Numbers as they stand in JSON, looked at without losing a digit.

/// Longer ones are no numbers that any argument takes.
const LENGTH_MAX: usize = 64;
/// Digits of the longest whole number that is written out.
const DIGITS_MAX: usize = 40;

/// The parts of a JSON number; None when the text is not one.
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(start, end)| (start, Some(end)));
        let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(start, end)| (start, Some(end)));
        let exponent = match exponent {
            None => 0,
            Some(text) if digits(text.strip_prefix(['+', '-']).unwrap_or(text)) => text.parse().ok()?,
            Some(_) => return None,
        };
        let leads = whole.len() > 1 && whole.starts_with('0');
        (text.len() <= LENGTH_MAX && digits(whole) && !leads && fraction.is_none_or(digits)).then_some(Self {
            negative,
            whole,
            fraction: fraction.unwrap_or_default(),
            exponent,
        })
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the text is a JSON number.
pub(super) fn is_number(text: &str) -> bool {
    Number::parse(text).is_some()
}

/// A number of whole value, written as an integer: `10.0`, `1e1` and `100e-1` are 10. None for others, also for minus nothing.
pub(super) fn whole(text: &str) -> Option<String> {
    let number = Number::parse(text)?;
    let written = format!("{}{}", number.whole, number.fraction);
    let significant = written.trim_end_matches('0');
    let zeros = i64::try_from(written.len() - significant.len()).ok()?;
    let places = i64::try_from(number.fraction.len()).ok()? - number.exponent - zeros;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return (!number.negative).then(|| "0".to_owned());
    }
    // What is left of the point is nothing, or zeros.
    let zeros = usize::try_from(-places).ok().filter(|zeros| significant.len() + zeros <= DIGITS_MAX)?;
    let sign = if number.negative { "-" } else { "" };
    Some(format!("{sign}{significant}{}", "0".repeat(zeros)))
}

#[cfg(test)]
mod tests {
    use super::{is_number, whole};

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (text, written) in [
            ("10", "10"),
            ("10.0", "10"),
            ("1e1", "10"),
            ("1E+1", "10"),
            ("100e-1", "10"),
            ("1.50e1", "15"),
            ("0.001e4", "10"),
            ("0", "0"),
            ("0.0", "0"),
            ("0e99", "0"),
            ("-3.0", "-3"),
            ("9007199254740993.000", "9007199254740993"),
            ("18446744073709551616", "18446744073709551616"),
        ] {
            assert_eq!(whole(text).as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_none() {
        for text in [
            "2.5",
            "1e-1",
            "0.1e0",
            "1e400",
            "-0",
            "-0.0",
            "NaN",
            "Infinity",
            "１０",
            "010",
            "+1",
            "1.",
            ".5",
            "1e",
            "",
            " 1",
            "1_000",
            "1,000",
            "0x10",
            "--1",
            "1e1e1",
            "1.0.0",
            "99999999999999999999999999999999999999999",
            "1e99999999999999999999",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
        assert!(is_number("2.5") && is_number("-0.0") && is_number("1e400"));
        assert!(!is_number("NaN") && !is_number("1.") && !is_number("") && !is_number("0x1"));
    }
}
