//! Numbers as `to_char` writes them, whole divisions, and what holds for all.

use rusqlite::{
    functions::{Aggregate, Context},
    types::{Value, ValueRef},
};

use super::{Answer, wrong};
use crate::domain::values::decimal::Decimal;

/// `div(a, b)`: the quotient without its fraction.
pub(super) fn div(context: &Context<'_>) -> Answer {
    let (a, b) = (context.get::<f64>(0), context.get::<f64>(1));
    if let (Ok(a), Ok(b)) = (context.get::<i64>(0), context.get::<i64>(1)) {
        if b == 0 {
            return Err(wrong("division by zero"));
        }
        return a.checked_div(b).map(Value::Integer).ok_or_else(|| wrong("bigint out of range"));
    }
    match (a, b) {
        (_, Ok(0.0)) => Err(wrong("division by zero")),
        (Ok(a), Ok(b)) => {
            Ok(Decimal::meant(ValueRef::Real(a / b)).map_or(Value::Null, |number| number.cut(0).nearest()))
        }
        _ => Err(wrong("div takes two numbers")),
    }
}

/// bool_and (true) and bool_or (false).
pub(super) struct Every(pub bool);

impl Aggregate<Option<bool>, Option<bool>> for Every {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Option<bool>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, held: &mut Option<bool>) -> rusqlite::Result<()> {
        if let Some(value) = context.get::<Option<bool>>(0)? {
            *held = Some(match *held {
                None => value,
                Some(before) if self.0 => before && value,
                Some(before) => before || value,
            });
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, held: Option<Option<bool>>) -> rusqlite::Result<Option<bool>> {
        Ok(held.flatten())
    }
}

/// `FM9,990.00`: digits (9, 0), the point, commas, and a sign in front; text in double quotes and other characters stand for themselves.
pub(super) fn written(number: &Decimal, pattern: &str) -> rusqlite::Result<String> {
    let upper = pattern.to_ascii_uppercase();
    let (fill, body) = match upper.strip_prefix("FM") {
        Some(body) => (false, body),
        None => (true, upper.as_str()),
    };
    let body = body.replace('D', ".").replace('G', ",");
    if let Some(unknown) = body.chars().find(|character| !"90., $%".contains(*character)) {
        return Err(wrong(format!(
            "to_char: `{unknown}` is not known here in the pattern of a number; 9 0 . , FM $ % are"
        )));
    }
    let (whole, fraction) = body.split_once('.').map_or((body.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let places = fraction.map_or(0, |rest| rest.matches(['9', '0']).count());
    let rounded = number.rounded(places as i64);
    let text = rounded.text(places as i64);
    let (negative, text) = text.strip_prefix('-').map_or((false, text.as_str()), |text| (true, text));
    let (digits, decimals) = text.split_once('.').unwrap_or((text, ""));
    let room = whole.matches(['9', '0']).count();
    let digits = if digits == "0" { "" } else { digits };
    let too_long = digits.len() > room;
    let mut left = digits.chars().rev();
    let zeros = whole.find('0').map_or(0, |first| whole.get(first..).unwrap_or_default().matches(['9', '0']).count());
    let zeros = if fraction.is_none() && room > 0 { zeros.max(1) } else { zeros };
    let (mut reversed, mut placed) = (Vec::new(), 0);
    for character in whole.chars().rev() {
        match character {
            '9' | '0' => {
                let digit = if too_long { Some('#') } else { left.next().or((placed < zeros).then_some('0')) };
                placed += 1;
                reversed.push(digit.unwrap_or(' '));
            }
            // A comma stands only between digits.
            ',' => reversed.push(if too_long || placed < digits.len().max(zeros) { ',' } else { ' ' }),
            other => reversed.push(other),
        }
    }
    let spaces = reversed.iter().rev().take_while(|character| **character == ' ').count();
    let kept = reversed.len() - spaces;
    let mut out: String = if fill { " ".repeat(spaces) } else { String::new() };
    match (negative, fill) {
        (true, _) => out.push('-'),
        (false, true) => out.push(' '),
        (false, false) => {}
    }
    out.extend(reversed.into_iter().take(kept).rev());
    if let Some(rest) = fraction {
        out.push('.');
        let mut decimals = decimals.chars();
        let mut tail = String::new();
        for character in rest.chars() {
            tail.push(match character {
                '9' | '0' if too_long => '#',
                '9' | '0' => decimals.next().unwrap_or('0'),
                other => other,
            });
        }
        // Without filling, 9 leaves zeros at the end out.
        if !fill {
            let least = rest.rfind('0').map_or(0, |last| last + 1);
            while tail.len() > least && tail.ends_with('0') {
                tail.pop();
            }
        }
        out.push_str(&tail);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::adapters::sqlite::functions::tests::assert_answers;

    #[test]
    fn numbers_are_written_by_the_pattern() {
        assert_answers(&[
            ("to_char(1234.5, 'FM9,990.00')", "1,234.50"),
            ("to_char(0.5, 'FM9,990.00')", "0.50"),
            ("to_char(-1234567.891, 'FM9,999,990.00')", "-1,234,567.89"),
            ("to_char(1234.5, '9,990.00')", " 1,234.50"),
            ("to_char(12, '9,990.00')", "    12.00"),
            ("to_char(-12, '9,990.00')", "   -12.00"),
            ("to_char(7, 'FM000')", "007"),
            ("to_char(7, '000')", " 007"),
            ("to_char(12345, 'FM999')", "###"),
            ("to_char(2.5, 'FM999.99')", "2.5"),
            ("to_char(0, 'FM999')", "0"),
            ("to_char(null, 'FM999')", "null"),
        ]);
    }
}
