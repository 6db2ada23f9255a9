//! Columns of an answer that are doubles whatever the statement reads: shares, ranks and parts of times.

use crate::domain::sql::lexer::{self, Kind, Token};

/// Functions that answer with doubles, also about exact numbers.
const DOUBLES: [&str; 7] =
    ["cume_dist", "date_part", "julianday", "median", "percent_rank", "percentile", "percentile_cont"];
/// As many as a statement may have.
const TOKENS_MAX: usize = 8_192;

/// Of each of so many columns whether its expression begins with a function of doubles.
pub(super) fn doubles(text: &str, columns: usize) -> Vec<bool> {
    let mut found = vec![false; columns];
    let tokens = lexer::tokens(text, TOKENS_MAX).unwrap_or_default();
    let items = items(&tokens);
    let is_star =
        |item: &&[Token]| item.last().is_some_and(|last| last.kind == Kind::Operator && written(text, last) == "*");
    let star = items.iter().position(|item| is_star(item));
    for (at, item) in items.iter().enumerate() {
        // Behind a star columns are counted from the end.
        let place = match star {
            Some(star) if at > star => (columns + at).checked_sub(items.len()),
            _ => Some(at),
        };
        if let (Some(place), [Token { kind: Kind::Word(name), .. }, Token { kind: Kind::Symbol('('), .. }, ..]) =
            (place, item)
            && let Some(is_double) = found.get_mut(place)
        {
            *is_double = DOUBLES.contains(&name.as_str());
        }
    }
    found
}

fn written<'a>(text: &'a str, token: &Token) -> &'a str {
    text.get(token.start..token.end).unwrap_or_default()
}

/// What stands between the outermost SELECT and its FROM, cut at commas.
fn items(tokens: &[Token]) -> Vec<&[Token]> {
    let mut items = Vec::new();
    let mut depth = 0_usize;
    let mut start = None;
    for (at, token) in tokens.iter().enumerate() {
        let ends = match &token.kind {
            Kind::Symbol('(') => {
                depth += 1;
                false
            }
            Kind::Symbol(')') => {
                depth = depth.saturating_sub(1);
                false
            }
            Kind::Word(word) if depth == 0 && start.is_none() && word == "select" => {
                start = Some(at + 1);
                false
            }
            Kind::Word(word) if start == Some(at) && word == "distinct" => {
                start = Some(at + 1);
                false
            }
            Kind::Word(word) if depth == 0 => word == "from",
            Kind::Symbol(',') => depth == 0,
            _ => false,
        };
        if let Some(from) = start.filter(|_| ends) {
            items.extend(tokens.get(from..at));
            start = Some(at + 1);
            if token.kind != Kind::Symbol(',') {
                break;
            }
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::doubles;

    #[test]
    fn doubles_are_found_by_the_function_that_makes_them() {
        for (text, wanted) in [
            ("select sum(a), percent_rank() over (order by a, b) from t", vec![false, true]),
            ("with x as (select 1, 2) select date_part('day', a) d, max(b) from t", vec![true, false]),
            (
                "select cume_dist() over w, t.*, percent_rank() over w as r from t window w as ()",
                vec![true, false, false, true],
            ),
            ("select distinct median(a) from t", vec![true]),
            ("select a, (select percent_rank() over () from t) from t", vec![false, false]),
        ] {
            assert_eq!(doubles(text, wanted.len()), wanted, "{text}");
        }
    }
}
