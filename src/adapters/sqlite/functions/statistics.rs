//! Deviations and variances, which SQLite has not.

use rusqlite::{
    Connection,
    functions::{Aggregate, Context, FunctionFlags, WindowAggregate},
    types::{Value, ValueRef},
};

use crate::adapters::sqlite::decimal::Decimal;

/// Their names, whether they are of a sample, and whether they are deviations.
const KINDS: [(&str, bool, bool); 6] = [
    ("stddev", true, true),
    ("stddev_samp", true, true),
    ("stddev_pop", false, true),
    ("variance", true, false),
    ("var_samp", true, false),
    ("var_pop", false, false),
];

/// Makes them known to a connection.
pub(super) fn register(connection: &Connection, flags: FunctionFlags) -> rusqlite::Result<()> {
    for (name, of_sample, deviation) in KINDS {
        connection.create_window_function(name, 1, flags, Spread { of_sample, deviation })?;
    }
    Ok(())
}

struct Spread {
    of_sample: bool,
    deviation: bool,
}

/// Values so far, by Welford's way, which loses no digits to large means.
#[derive(Default)]
struct Seen {
    count: f64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

impl Seen {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    fn remove(&mut self, value: f64) {
        if self.count <= 1.0 {
            *self = Self::default();
            return;
        }
        self.count -= 1.0;
        let distance = value - self.mean;
        self.mean -= distance / self.count;
        self.squares = (self.squares - distance * (value - self.mean)).max(0.0);
    }
}

impl Spread {
    fn answer(&self, seen: Option<&Seen>) -> Value {
        let Some(seen) = seen else { return Value::Null };
        let divisor = if self.of_sample { seen.count - 1.0 } else { seen.count };
        if divisor <= 0.0 {
            return Value::Null;
        }
        let variance = seen.squares / divisor;
        Value::Real(if self.deviation { variance.sqrt() } else { variance })
    }
}

fn number(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Integer(integer) => Some(integer as f64),
        ValueRef::Real(real) => Some(real),
        ValueRef::Text(_) => Decimal::read(value)?.text(0).parse().ok(),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

impl Aggregate<Seen, Value> for Spread {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Seen> {
        Ok(Seen::default())
    }

    fn step(&self, context: &mut Context<'_>, seen: &mut Seen) -> rusqlite::Result<()> {
        number(context.get_raw(0)).into_iter().for_each(|value| seen.add(value));
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, seen: Option<Seen>) -> rusqlite::Result<Value> {
        Ok(self.answer(seen.as_ref()))
    }
}

impl WindowAggregate<Seen, Value> for Spread {
    fn value(&self, seen: Option<&mut Seen>) -> rusqlite::Result<Value> {
        Ok(self.answer(seen.as_deref()))
    }

    fn inverse(&self, context: &mut Context<'_>, seen: &mut Seen) -> rusqlite::Result<()> {
        number(context.get_raw(0)).into_iter().for_each(|value| seen.remove(value));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::adapters::sqlite::functions::tests::assert_answers;

    #[test]
    fn deviations_are_postgresqls() {
        assert_answers(&[
            ("stddev(x) from (select 2 x union all select 4 union all select null)", "1.4142135623730951"),
            ("stddev_samp(x) from (select 2 x union all select 4)", "1.4142135623730951"),
            ("stddev_pop(x) from (select 2 x union all select 4)", "1"),
            ("variance(x) from (select 2 x union all select 4)", "2"),
            ("var_samp(x) from (select 1000000000.5 x union all select 1000000001.5)", "0.5"),
            ("var_pop(x) from (select 2 x union all select 4)", "1"),
            ("stddev(x) from (select 7 x)", "null"),
            ("stddev_pop(x) from (select 7 x)", "0"),
            ("var_pop(x) from (select 7 x where false)", "null"),
            (
                "group_concat(v, ' ') from (select var_pop(x) over (order by x rows 1 preceding) v \
                 from (select 1 x union all select 3 union all select 7))",
                "0.0 1.0 4.0",
            ),
        ]);
    }
}
