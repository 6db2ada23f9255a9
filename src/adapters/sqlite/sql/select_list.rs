//! What the columns of an answer are by their expressions, where their values do not say it: a share is a double whatever the statement
//! reads, and a sum of exact numbers is one also when it is NULL.

use super::sources::Sources;
use crate::domain::sql::{
    column_types::BaseType,
    guard::TOKENS_MAX,
    lexer::{self, Kind, Token},
};

/// Functions that answer with doubles, also about exact numbers.
const DOUBLES: [&str; 7] =
    ["cume_dist", "date_part", "julianday", "median", "percent_rank", "percentile", "percentile_cont"];
/// Functions whose answer is of the type of their first argument.
const ALIKE: [&str; 12] =
    ["abs", "avg", "ceil", "coalesce", "floor", "greatest", "ifnull", "least", "max", "min", "round", "sum"];

/// What an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// Begins with a function of doubles.
    Double,
    /// A function of a column of exact numbers.
    Exact,
    Other,
}

/// Of each of so many columns.
pub(super) fn expressions(text: &str, columns: usize, sources: &Sources) -> Vec<Expression> {
    let mut found = vec![Expression::Other; columns];
    let tokens = lexer::tokens(text, TOKENS_MAX).unwrap_or_default();
    let items = items(&tokens);
    let is_star = |item: &&[Token]| {
        item.last().and_then(|last| text.get(last.start..last.end)).is_some_and(|written| written == "*")
    };
    let star = items.iter().position(is_star);
    for (at, item) in items.iter().enumerate() {
        // Behind a star columns are counted from the end.
        let place = match star {
            Some(star) if at > star => (columns + at).checked_sub(items.len()),
            _ => Some(at),
        };
        if let Some(place) = place.and_then(|place| found.get_mut(place)) {
            *place = expression(item, sources);
        }
    }
    found
}

fn expression(item: &[Token], sources: &Sources) -> Expression {
    match item {
        [Token { kind: Kind::Word(name), .. }, Token { kind: Kind::Symbol('('), .. }, ..] => match name.as_str() {
            name if DOUBLES.contains(&name) => Expression::Double,
            _ if ends_with_its_call(item) && is_exact(item, sources) => Expression::Exact,
            _ => Expression::Other,
        },
        _ => Expression::Other,
    }
}

/// Whether nothing but a name or a window stands behind the call that an expression begins with.
fn ends_with_its_call(item: &[Token]) -> bool {
    let mut open = 0_usize;
    let end = item.iter().position(|token| {
        open += usize::from(token.kind == Kind::Symbol('('));
        let closes = token.kind == Kind::Symbol(')');
        open = open.saturating_sub(usize::from(closes));
        closes && open == 0
    });
    match end.and_then(|end| item.get(end + 1)).map(|token| &token.kind) {
        None => true,
        Some(Kind::Word(word)) => ["as", "over", "filter"].contains(&word.as_str()),
        Some(_) => false,
    }
}

/// `price`, `t.price`, or a function of such that answers alike.
fn is_exact(tokens: &[Token], sources: &Sources) -> bool {
    let kind = |place: usize| tokens.get(place).map(|token| &token.kind);
    let Some(Kind::Word(name) | Kind::Quoted(name)) = kind(0) else { return false };
    match kind(1) {
        Some(Kind::Symbol('(')) => {
            ALIKE.contains(&name.as_str()) && tokens.get(2..).is_some_and(|rest| is_exact(rest, sources))
        }
        Some(Kind::Symbol('.')) => tokens.get(2..).is_some_and(|rest| is_exact(rest, sources)),
        _ => sources
            .type_of(name)
            .is_some_and(|found| matches!(found.base, BaseType::Numeric(_)) && found.dimensions == 0),
    }
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
    use super::{
        Expression::{self, Double, Exact, Other},
        Sources, expressions,
    };
    use crate::domain::sql::column_types::ColumnType;

    fn of(text: &str, columns: usize) -> Vec<Expression> {
        let numeric = ColumnType::parse("numeric(10,2)", "type").unwrap();
        expressions(text, columns, &Sources::of(vec![("price".to_owned(), Some(numeric)), ("a".to_owned(), None)]))
    }

    #[test]
    fn doubles_are_found_by_the_function_that_makes_them() {
        for (text, wanted) in [
            ("select sum(a), percent_rank() over (order by a, b) from t", vec![Other, Double]),
            ("with x as (select 1, 2) select date_part('day', a) d, max(b) from t", vec![Double, Other]),
            (
                "select cume_dist() over w, t.*, percent_rank() over w as r from t window w as ()",
                vec![Double, Other, Other, Double],
            ),
            ("select distinct median(a) from t", vec![Double]),
            ("select a, (select percent_rank() over () from t) from t", vec![Other, Other]),
        ] {
            assert_eq!(of(text, wanted.len()), wanted, "{text}");
        }
    }

    #[test]
    fn exact_numbers_are_found_by_their_column() {
        for (expression, wanted) in [
            ("sum(price)", Exact),
            ("sum(t.\"price\") as s", Exact),
            ("coalesce(sum(price), 0)", Exact),
            ("coalesce(round(avg(t.price), 2), 0) over (order by a)", Exact),
            ("sum(a)", Other),
            ("count(price)", Other),
            ("coalesce(count(price), 0)", Other),
            ("sum(price) > 5", Other),
            ("sum(price) is null", Other),
        ] {
            assert_eq!(of(&format!("select {expression} from t"), 1), [wanted], "{expression}");
        }
    }
}
