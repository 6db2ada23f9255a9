//! Mathematics, which SQLite is not built with here.

use rusqlite::{
    Connection,
    functions::{Context, FunctionFlags},
    types::{Value, ValueRef},
};

use super::{Answer, wrong};
use crate::domain::values::decimal::Decimal;

type Of = fn(f64) -> f64;
type OfTwo = fn(f64, f64) -> f64;

const OF_ONE: [(&str, Of); 22] = [
    ("acos", f64::acos),
    ("acosh", f64::acosh),
    ("asin", f64::asin),
    ("asinh", f64::asinh),
    ("atan", f64::atan),
    ("atanh", f64::atanh),
    ("cbrt", f64::cbrt),
    ("cos", f64::cos),
    ("cosh", f64::cosh),
    ("degrees", f64::to_degrees),
    ("exp", f64::exp),
    ("ln", f64::ln),
    ("log", f64::log10),
    ("log10", f64::log10),
    ("log2", f64::log2),
    ("radians", f64::to_radians),
    ("sin", f64::sin),
    ("sinh", f64::sinh),
    ("sqrt", f64::sqrt),
    ("tan", f64::tan),
    ("tanh", f64::tanh),
    ("trunc", f64::trunc),
];
const OF_TWO: [(&str, OfTwo); 4] =
    [("atan2", f64::atan2), ("log", |base, number| number.ln() / base.ln()), ("pow", f64::powf), ("power", f64::powf)];

/// Makes them known to a connection.
pub(super) fn register(connection: &Connection, flags: FunctionFlags) -> rusqlite::Result<()> {
    connection.create_scalar_function("pi", 0, flags, |_| Ok(std::f64::consts::PI))?;
    connection.create_scalar_function("mod", 2, flags, remainder)?;
    for (name, work) in OF_ONE {
        connection.create_scalar_function(name, 1, flags, move |context| {
            Ok(match number(context, 0) {
                Some(a) => finite(name, work(a))?,
                None => Value::Null,
            })
        })?;
    }
    for (name, work) in OF_TWO {
        connection.create_scalar_function(name, 2, flags, move |context| {
            Ok(match number(context, 0).zip(number(context, 1)) {
                Some((a, b)) => finite(name, work(a, b))?,
                None => Value::Null,
            })
        })?;
    }
    Ok(())
}

/// An argument as a double; none for NULL and what is no number.
pub(super) fn number(context: &Context<'_>, at: usize) -> Option<f64> {
    match context.get_raw(at) {
        ValueRef::Real(real) => Some(real),
        other => Decimal::read(other)?.text(0).parse().ok(),
    }
}

fn finite(name: &str, value: f64) -> Answer {
    if value.is_finite() {
        Ok(Value::Real(value))
    } else {
        Err(wrong(format!("{name}: input or result is out of range")))
    }
}

/// The rest of a division, by digits: that of 0.3 by 0.1 is 0, and has the sign of the first.
fn remainder(context: &Context<'_>) -> Answer {
    let (Some(a), Some(b)) = (Decimal::meant(context.get_raw(0)), Decimal::meant(context.get_raw(1))) else {
        return Ok(Value::Null);
    };
    let scale = a.scale().max(b.scale());
    let whole = |number: &Decimal| number.text(scale).replace('.', "").parse::<i128>().ok();
    let rest = match (whole(&a), whole(&b)) {
        (_, Some(0)) => return Err(wrong("division by zero")),
        (Some(a), Some(b)) => a.checked_rem(b).and_then(|rest| Decimal::parse(&format!("{rest}e-{scale}"))),
        _ => None,
    };
    let rest = rest.ok_or_else(|| wrong("mod: the numbers have too many digits"))?;
    let integers = matches!((context.get_raw(0), context.get_raw(1)), (ValueRef::Integer(_), ValueRef::Integer(_)));
    Ok(if integers { rest.value() } else { rest.kept() })
}

#[cfg(test)]
mod tests {
    use crate::adapters::sqlite::functions::tests::assert_answers;

    #[test]
    fn results_are_postgresqls() {
        assert_answers(&[
            ("sqrt(16)", "4"),
            ("power(2, 10)", "1024"),
            ("log(100)", "2"),
            ("log(2, 8)", "3"),
            ("ln(exp(1))", "1"),
            ("trunc(-2.7)", "-2"),
            ("round(degrees(pi()), 6)", "180"),
            ("mod(7, 3)", "1"),
            ("mod(-7, 3)", "-1"),
            ("mod(19.99, 3)", "1.99"),
            ("mod(0.3, 0.1)", "0"),
            ("mod(1, 0)", "division by zero"),
            ("sqrt(-1)", "sqrt: input or result is out of range"),
            ("ln(0)", "ln: input or result is out of range"),
            ("sqrt(null)", "null"),
        ]);
    }
}
