//! `sum`, `avg` and `round` without the errors of doubles: 0.10 and 0.20 make 0.30.

use std::cell::Cell;

use rusqlite::{
    Connection,
    functions::{Aggregate, Context, FunctionFlags, WindowAggregate},
    types::{Value, ValueRef},
};

use super::decimal::{Decimal, MARK};

thread_local! {
    /// The statement that this thread runs reads columns of exact numbers: a result that no double gives back is then kept as marked text.
    static EXACT: Cell<bool> = const { Cell::new(false) };
}

/// Digits of an average, as many as every double gives back.
const AVERAGE_DIGITS: usize = 15;

/// Says whether results of more digits than a double holds are wanted from the statement that runs next on this thread.
pub(super) fn be_exact(exact: bool) {
    EXACT.set(exact);
}

/// Makes them known to a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_window_function("sum", 1, flags, Folded(Sum::total))?;
    connection.create_window_function("avg", 1, flags, Folded(Sum::average))?;
    for arguments in [1, 2] {
        connection.create_scalar_function("round", arguments, flags, move |context| {
            let places = if arguments == 1 { Some(0) } else { context.get::<Option<i64>>(1)? };
            Ok(places.map_or(Value::Null, |places| rounded(context.get_raw(0), places)))
        })?;
    }
    Ok(())
}

fn rounded(value: ValueRef<'_>, places: i64) -> Value {
    match (value, number(value)) {
        (ValueRef::Null, _) => Value::Null,
        (_, Some(number)) => kept(&number.rounded(places.clamp(-1_000, 1_000)), true),
        (ValueRef::Real(real), None) => Value::Real(real),
        (ValueRef::Text(text), None) if text.eq_ignore_ascii_case(b"nan") => Value::Text("NaN".to_owned()),
        _ => Value::Real(0.0),
    }
}

/// What has been added up.
struct Sum {
    exact: Decimal,
    rows: i64,
    /// Rows that were no integers: the answer is then none either, so that `sum(x) / 2` keeps its fraction.
    fractions: i64,
    /// Rows of infinity and of NaN, which no digits add up to.
    infinite: [i64; 3],
}

impl Sum {
    fn add(&mut self, value: ValueRef<'_>, times: i64) {
        if matches!(value, ValueRef::Null) {
            return;
        }
        self.rows += times;
        if !matches!(value, ValueRef::Integer(_)) {
            self.fractions += times;
        }
        match (number(value), value) {
            (Some(number), _) => {
                self.exact = self.exact.plus(&if times < 0 { number.negated() } else { number });
            }
            (None, ValueRef::Real(real)) => {
                let [up, down, _] = &mut self.infinite;
                *(if real > 0.0 { up } else { down }) += times;
            }
            (None, ValueRef::Text(text)) if text.eq_ignore_ascii_case(b"nan") => {
                let [.., nan] = &mut self.infinite;
                *nan += times;
            }
            _ => {}
        }
    }

    fn beyond(&self) -> Option<Value> {
        match self.infinite {
            [0, 0, 0] => None,
            [_, 0, 0] => Some(Value::Real(f64::INFINITY)),
            [0, _, 0] => Some(Value::Real(f64::NEG_INFINITY)),
            _ => Some(Value::Text("NaN".to_owned())),
        }
    }

    fn total(&self) -> Value {
        match self.beyond() {
            _ if self.rows == 0 => Value::Null,
            Some(value) => value,
            // Beyond 64 bits integers go on as numbers, as PostgreSQL's do.
            None if self.fractions == 0 => self.exact.value(),
            None => kept(&self.exact, EXACT.get()),
        }
    }

    fn average(&self) -> Value {
        match self.beyond() {
            _ if self.rows == 0 => Value::Null,
            Some(value) => value,
            None => kept(&self.exact.divided(self.rows.unsigned_abs(), AVERAGE_DIGITS), false),
        }
    }
}

struct Folded(fn(&Sum) -> Value);

impl Aggregate<Sum, Value> for Folded {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Sum> {
        Ok(Sum { exact: Decimal::zero(), rows: 0, fractions: 0, infinite: [0; 3] })
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut Sum) -> rusqlite::Result<()> {
        sum.add(context.get_raw(0), 1);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Sum>) -> rusqlite::Result<Value> {
        Ok(sum.as_ref().map_or(Value::Null, self.0))
    }
}

impl WindowAggregate<Sum, Value> for Folded {
    fn value(&self, sum: Option<&mut Sum>) -> rusqlite::Result<Value> {
        Ok(sum.as_deref().map_or(Value::Null, self.0))
    }

    fn inverse(&self, context: &mut Context<'_>, sum: &mut Sum) -> rusqlite::Result<()> {
        sum.add(context.get_raw(0), -1);
        Ok(())
    }
}

/// A double when it gives the digits back, or when nobody asked for more.
fn kept(number: &Decimal, exact: bool) -> Value {
    let text = number.text(0);
    match text.parse::<f64>() {
        Ok(double) if !exact || Decimal::parse(&double.to_string()).as_ref() == Some(number) => Value::Real(double),
        _ => Value::Text(format!("{text}{MARK}")),
    }
}

fn number(value: ValueRef<'_>) -> Option<Decimal> {
    match value {
        ValueRef::Integer(integer) => Decimal::parse(&integer.to_string()),
        ValueRef::Real(real) => Decimal::parse(&real.to_string()),
        ValueRef::Text(text) => Decimal::parse(std::str::from_utf8(text).ok()?).filter(Decimal::is_storable),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, types::Value};

    use super::{be_exact, register};

    fn of(sql: &str) -> Value {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn sums_averages_and_roundings_are_exact() {
        for (sql, wanted) in [
            ("select sum(x) from (select 0.10 x union all select 0.20)", Value::Real(0.3)),
            ("select sum(x) = 0.30 from (select 0.10 x union all select 0.20)", Value::Integer(1)),
            ("select sum(x) from (select 1 x where false)", Value::Null),
            ("select sum(x) from (select 1 x union all select 2 union all select null)", Value::Integer(3)),
            ("select sum(x) / 2 from (select 1.5 x union all select 1.5)", Value::Real(1.5)),
            ("select sum(distinct x) from (select 0.1 x union all select 0.1 union all select 0.2)", Value::Real(0.3)),
            (
                "select avg(x) from (select 10 x union all select 0 union all select 0)",
                Value::Real(3.333_333_333_333_33),
            ),
            ("select avg(x) from (select 0.10 x union all select 0.20)", Value::Real(0.15)),
            (
                "select avg(x) from (select 20 x union all select 0 union all select 0)",
                Value::Real(6.666_666_666_666_67),
            ),
            ("select round(2.675, 2)", Value::Real(2.68)),
            ("select round(-2.5)", Value::Real(-3.0)),
            ("select round(1250, -2)", Value::Real(1300.0)),
            ("select round(0.5, -3)", Value::Real(0.0)),
            ("select round(null, 2)", Value::Null),
            (
                "select group_concat(s, ' ') from (select sum(x) over (order by x rows 1 preceding) s from (select 0.1 x union all select 0.2 union all select 0.7))",
                Value::Text("0.1 0.3 0.9".to_owned()),
            ),
            (
                "select sum(x) from (select 9223372036854775807 x union all select 1)",
                Value::Text("9223372036854775808\u{a0}".to_owned()),
            ),
        ] {
            assert_eq!(of(sql), wanted, "{sql}");
        }
        let long = "select sum(x) from (select 12345678901234567 x union all select 0.01)";
        assert_eq!(of(long), Value::Real(12_345_678_901_234_567.01));
        be_exact(true);
        assert_eq!(of(long), Value::Text("12345678901234567.01\u{a0}".to_owned()));
        be_exact(false);
    }
}
