//! Deviations, variances and percentiles, which SQLite has not or is not built with here.

use rusqlite::{
    Connection,
    functions::{Aggregate, Context, FunctionFlags, WindowAggregate},
    types::Value,
};

use super::{math, wrong};

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
    connection.create_aggregate_function("median", 1, flags, Percentile { whole: 1.0, between: true })?;
    connection.create_aggregate_function("percentile", 2, flags, Percentile { whole: 100.0, between: true })?;
    connection.create_aggregate_function("percentile_cont", 2, flags, Percentile { whole: 1.0, between: true })?;
    connection.create_aggregate_function("percentile_disc", 2, flags, Percentile { whole: 1.0, between: false })
}

/// `percentile_cont(x, 0.5)` and its like.
struct Percentile {
    /// The fraction that stands for the largest value.
    whole: f64,
    /// Whether the answer may lie between two values.
    between: bool,
}

/// Values, and the fraction of them asked for.
struct Asked(Vec<f64>, f64);

impl Aggregate<Asked, Option<f64>> for Percentile {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Asked> {
        Ok(Asked(Vec::new(), 0.5))
    }

    fn step(&self, context: &mut Context<'_>, asked: &mut Asked) -> rusqlite::Result<()> {
        if context.len() == 2 {
            let fraction = math::number(context, 1).map(|fraction| fraction / self.whole);
            let fraction = fraction.filter(|fraction| (0.0..=1.0).contains(fraction));
            asked.1 =
                fraction.ok_or_else(|| wrong(format!("percentile value must be between 0 and {}", self.whole)))?;
        }
        asked.0.extend(math::number(context, 0));
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, asked: Option<Asked>) -> rusqlite::Result<Option<f64>> {
        let Some(Asked(mut values, fraction)) = asked else { return Ok(None) };
        values.sort_by(f64::total_cmp);
        if !self.between {
            let place = (fraction * values.len() as f64).ceil().max(1.0) as usize - 1;
            return Ok(values.get(place).copied());
        }
        let place = fraction * values.len().saturating_sub(1) as f64;
        let (Some(below), Some(above)) = (values.get(place.floor() as usize), values.get(place.ceil() as usize)) else {
            return Ok(None);
        };
        Ok(Some(below + (above - below) * place.fract()))
    }
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

impl Aggregate<Seen, Value> for Spread {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Seen> {
        Ok(Seen::default())
    }

    fn step(&self, context: &mut Context<'_>, seen: &mut Seen) -> rusqlite::Result<()> {
        math::number(context, 0).into_iter().for_each(|value| seen.add(value));
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
        math::number(context, 0).into_iter().for_each(|value| seen.remove(value));
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
            ("median(x) from (select 1 x union all select 9 union all select 4)", "4"),
            ("median(x) from (select 1 x where false)", "null"),
            ("percentile_cont(x, 0.25) from (select 1 x union all select 9 union all select 4)", "2.5"),
            ("percentile_disc(x, 0.5) from (select 1 x union all select 9 union all select 4 union all select 5)", "4"),
            ("percentile(x, 100) from (select 1 x union all select 9)", "9"),
            ("percentile_cont(x, 1.5) from (select 1 x)", "percentile value must be between 0 and 1"),
            (
                "group_concat(v, ' ') from (select var_pop(x) over (order by x rows 1 preceding) v \
                 from (select 1 x union all select 3 union all select 7))",
                "0.0 1.0 4.0",
            ),
        ]);
    }
}
