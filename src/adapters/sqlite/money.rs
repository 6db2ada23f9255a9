//! `sum`, `avg`, `round` and their like without the errors of doubles: 0.10 and 0.20 make 0.30.

use std::cell::Cell;

use rusqlite::{
    Connection,
    functions::{Aggregate, Context, FunctionFlags, WindowAggregate},
    types::{Value, ValueRef},
};

use super::decimal::{DOUBLE_DIGITS, NEAREST_DIGITS};
use crate::domain::values::decimal::Decimal;

/// The function behind a minus before a column of long numbers.
pub(super) const NEGATED: &str = "callboard_negated";
/// The function around such a column where its text is wanted.
pub(super) const PLAIN: &str = "callboard_plain";
/// Digits that an average has at least.
const AVERAGE_DIGITS: i64 = 16;

thread_local! {
    /// The statement that this thread runs works on exact numbers.
    static EXACT: Cell<bool> = const { Cell::new(false) };
}

/// A statement on exact numbers runs on this thread until this is dropped: doubles of more digits than they give back are noise to it, and
/// a sum that no double holds is marked text.
pub(super) struct Exactly(());

impl Exactly {
    pub(super) fn begin(exact: bool) -> Self {
        EXACT.set(exact);
        Self(())
    }
}

impl Drop for Exactly {
    fn drop(&mut self) {
        EXACT.set(false);
    }
}

/// Makes them known to a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_window_function("sum", 1, flags, Folded(Sum::total))?;
    connection.create_window_function("avg", 1, flags, Folded(Sum::average))?;
    connection.create_window_function("total", 1, flags, Folded(Sum::or_nothing))?;
    connection.create_scalar_function("abs", 1, flags, |context| size(context.get_raw(0)))?;
    connection.create_scalar_function(NEGATED, 1, flags, |context| Ok(negated(context.get_raw(0))))?;
    connection.create_scalar_function(PLAIN, 1, flags, |context| Ok(plain(context.get_raw(0))))?;
    for (name, arguments, work) in [
        ("round", 1, Decimal::rounded as fn(&Decimal, i64) -> Decimal),
        ("round", 2, Decimal::rounded),
        ("trunc", 1, Decimal::cut),
        ("trunc", 2, Decimal::cut),
    ] {
        connection.create_scalar_function(name, arguments, flags, move |context| {
            let places = if arguments == 1 { Some(0) } else { context.get::<Option<i64>>(1)? };
            let Some(places) = places.map(|places| places.clamp(-1_000, 1_000)) else { return Ok(Value::Null) };
            Ok(shortened(context.get_raw(0), |number| work(number, places)))
        })?;
    }
    for (name, work) in [("floor", f64::floor as fn(f64) -> f64), ("ceil", f64::ceil), ("ceiling", f64::ceil)] {
        connection.create_scalar_function(name, 1, flags, move |context| Ok(whole(context.get_raw(0), work)))?;
    }
    Ok(())
}

/// A whole number above or below: 29 below 0.29 * 100, which is 28.999999999999996 to doubles.
fn whole(value: ValueRef<'_>, work: fn(f64) -> f64) -> Value {
    let meant = |number: Decimal| if EXACT.get() { number.without_noise() } else { number };
    match (value, Decimal::read(value)) {
        (ValueRef::Integer(integer), _) => Value::Integer(integer),
        (ValueRef::Text(_), Some(number)) if !number.is_short() => {
            // How a half of the same sign is rounded says which way this one goes.
            let cut = number.cut(0);
            let half = if number < cut { -0.5 } else { 0.5 };
            let step = ValueRef::Real(if number == cut { 0.0 } else { work(half) });
            Decimal::read(step).map_or(Value::Null, |step| cut.plus(&step).kept())
        }
        (_, Some(number)) => match meant(number).nearest() {
            Value::Real(real) => Value::Real(work(real)),
            other => other,
        },
        (ValueRef::Real(real), None) => Value::Real(real),
        _ => Value::Null,
    }
}

/// A long number as the text that it is to callers.
fn plain(value: ValueRef<'_>) -> Value {
    match (value, Decimal::read(value)) {
        (ValueRef::Text(_), Some(number)) => Value::Text(number.text(0)),
        (value, _) => value.try_into().unwrap_or(Value::Null),
    }
}

/// The number without its sign.
fn size(value: ValueRef<'_>) -> rusqlite::Result<Value> {
    let overflow = || rusqlite::Error::UserFunctionError("integer overflow".into());
    Ok(match value {
        ValueRef::Integer(integer) => Value::Integer(integer.checked_abs().ok_or_else(overflow)?),
        ValueRef::Real(real) => Value::Real(real.abs()),
        value => match Decimal::read(value) {
            Some(number) if number < Decimal::default() => number.negated().kept(),
            Some(number) => number.kept(),
            None => negated(value),
        },
    })
}

/// The number with the other sign.
fn negated(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => integer.checked_neg().map_or(Value::Real(-(integer as f64)), Value::Integer),
        ValueRef::Real(real) => Value::Real(-real),
        value if is_nan(value) => not_a_number(),
        value => Decimal::read(value).map_or(Value::Real(0.0), |number| number.negated().kept()),
    }
}

fn shortened(value: ValueRef<'_>, work: impl FnOnce(&Decimal) -> Decimal) -> Value {
    match (value, Decimal::meant(value)) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Real(_), Some(number)) => work(&number).nearest(),
        (_, Some(number)) => work(&number).kept(),
        (ValueRef::Real(real), None) => Value::Real(real),
        (value, None) if is_nan(value) => not_a_number(),
        _ => Value::Real(0.0),
    }
}

fn is_nan(value: ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Text(text) if text.eq_ignore_ascii_case(b"nan"))
}

fn not_a_number() -> Value {
    Value::Text("NaN".to_owned())
}

/// What has been added up.
#[derive(Default)]
struct Sum {
    exact: Decimal,
    rows: i64,
    /// Rows that were no integers: the answer is then none either, so that `sum(x) / 2` keeps its fraction.
    fractions: i64,
    /// Rows that come from arithmetic on doubles: the answer is then no more exact than they are.
    computed: i64,
    infinite: i64,
    negative_infinite: i64,
    not_numbers: i64,
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
        match (Decimal::read(value), value) {
            (Some(number), _) => {
                let number = self.meant(number, value, times);
                self.exact = self.exact.plus(&if times < 0 { number.negated() } else { number });
            }
            (None, ValueRef::Real(real)) if real > 0.0 => self.infinite += times,
            (None, ValueRef::Real(_)) => self.negative_infinite += times,
            (None, value) if is_nan(value) => self.not_numbers += times,
            _ => {}
        }
    }

    fn meant(&mut self, number: Decimal, value: ValueRef<'_>, times: i64) -> Decimal {
        if !EXACT.get() || !matches!(value, ValueRef::Real(_)) || number.is_short() {
            return number;
        }
        self.computed += times;
        number.without_noise()
    }

    /// The answer that does not depend on digits.
    fn beyond(&self) -> Option<Value> {
        match (self.rows, self.infinite, self.negative_infinite, self.not_numbers) {
            (0, ..) => Some(Value::Null),
            (_, 0, 0, 0) => None,
            (_, _, 0, 0) => Some(Value::Real(f64::INFINITY)),
            (_, 0, _, 0) => Some(Value::Real(f64::NEG_INFINITY)),
            _ => Some(not_a_number()),
        }
    }

    fn total(&self) -> Value {
        self.beyond().unwrap_or_else(|| match EXACT.get() {
            // Beyond 64 bits integers go on as numbers, as PostgreSQL's do.
            _ if self.fractions == 0 => self.exact.value(),
            true if self.computed == 0 => self.exact.kept(),
            true => self.exact.clone().without_noise().nearest(),
            false => self.exact.nearest(),
        })
    }

    /// As many digits as decide which double is nearest; where the numbers are too long for doubles, theirs after the point, and 16 at least.
    fn average(&self) -> Value {
        self.beyond().unwrap_or_else(|| {
            let rows = self.rows.unsigned_abs();
            let nearest = self.exact.divided(rows, NEAREST_DIGITS);
            let scale = self.exact.scale();
            let digits = nearest.whole_digits() + scale;
            if !EXACT.get() || self.computed > 0 || digits <= DOUBLE_DIGITS as i64 {
                return nearest.nearest();
            }
            let wanted = u32::try_from(digits).unwrap_or(0).max(NEAREST_DIGITS) + 1;
            self.exact.divided(rows, wanted).rounded(scale.max(AVERAGE_DIGITS - nearest.whole_digits())).kept()
        })
    }

    /// The sum, of no rows too.
    fn or_nothing(&self) -> Value {
        match self.total() {
            Value::Null => Value::Real(0.0),
            Value::Integer(_) => self.exact.nearest(),
            _ if !EXACT.get() => self.beyond().unwrap_or_else(|| self.exact.nearest()),
            other => other,
        }
    }
}

struct Folded(fn(&Sum) -> Value);

impl Aggregate<Sum, Value> for Folded {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Sum> {
        Ok(Sum::default())
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut Sum) -> rusqlite::Result<()> {
        sum.add(context.get_raw(0), 1);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Sum>) -> rusqlite::Result<Value> {
        Ok((self.0)(&sum.unwrap_or_default()))
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

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, types::Value};

    use super::{Exactly, register};

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
            ("select avg(x) from (select 10 x union all select 0 union all select 0)", Value::Real(10.0 / 3.0)),
            ("select avg(x) from (select 0.10 x union all select 0.20)", Value::Real(0.15)),
            ("select avg(x) from (select 20 x union all select 0 union all select 0)", Value::Real(20.0 / 3.0)),
            ("select round(2.675, 2)", Value::Real(2.68)),
            ("select round(-2.5)", Value::Real(-3.0)),
            ("select round(1250, -2)", Value::Real(1300.0)),
            ("select round(0.5, -3)", Value::Real(0.0)),
            ("select round(null, 2)", Value::Null),
            ("select trunc(2.679, 2)", Value::Real(2.67)),
            ("select trunc(-1259, -2)", Value::Real(-1200.0)),
            ("select trunc(0.05, -3)", Value::Real(0.0)),
            ("select floor(0.29 * 100)", Value::Real(28.0)),
            ("select ceil(7)", Value::Integer(7)),
            ("select floor('x')", Value::Null),
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
        let _exactly = Exactly::begin(true);
        assert_eq!(of(long), Value::Text("12345678901234567.01\u{a0}".to_owned()));
        // No more exact than what is added, and so a number that compares.
        let thirds = "select sum(x / 3) < 36.7 from (select 10.0 x union all select 100.0)";
        assert_eq!(of(thirds), Value::Integer(1));
        assert_eq!(of("select floor(0.29 * 100)"), Value::Real(29.0));
        assert_eq!(of("select ceil(1.1 * 100)"), Value::Real(110.0));
        assert_eq!(of("select sum(x + 0.2) = 0.3 from (select 0.1 x)"), Value::Integer(1));
    }
}
