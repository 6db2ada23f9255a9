//! Reading a clause of the DSL: what it may hold, and errors that say where.

use serde_json::Value;
use tantivy::query::{BoostQuery, Query as Compiled};

use super::wrong;
use crate::{domain::names, error::Error};

/// A clause: its name, its body, and its place in what the caller wrote.
pub(super) struct Clause<'a> {
    pub(super) at: String,
    name: &'a str,
    body: &'a Value,
    pub(super) depth: u32,
}

/// Holds in every clause.
const EVERYWHERE: [&str; 2] = ["boost", "_name"];

impl<'a> Clause<'a> {
    pub(super) fn new(at: String, name: &'a str, body: &'a Value, depth: u32) -> Self {
        Self { at, name, body, depth }
    }

    /// Its body.
    pub(super) fn body(&self) -> &'a Value {
        self.body
    }

    /// Its `_name`: beside its parameters, or beside those of its field.
    pub(super) fn own_name(&self) -> Result<Option<&'a str>, Error> {
        let Some(object) = self.body.as_object() else { return Ok(None) };
        let inside = || object.values().find_map(|value| value.as_object()?.get("_name"));
        let Some(name) = object.get("_name").or_else(inside) else { return Ok(None) };
        name.as_str().map(Some).ok_or_else(|| wrong(&self.at, "takes text as `_name`"))
    }

    /// Holds it to the parameters it may have.
    pub(super) fn open(&self, allowed: &[&str]) -> Result<(), Error> {
        let Some(object) = self.body.as_object() else { return Err(wrong(&self.at, "must be an object")) };
        for name in object.keys() {
            if !allowed.contains(&name.as_str()) && !EVERYWHERE.contains(&name.as_str()) {
                let near = names::nearest(name, allowed.iter().copied());
                return Err(wrong(&self.at, &format!("does not take `{name}`")).did_you_mean(near));
            }
        }
        Ok(())
    }

    /// For clauses of the form `{field: value}` or `{field: {parameter: value, …}}`: the field, and a clause over its parameters when it has some.
    pub(super) fn of_field(
        &self,
        main: &str,
        allowed: &[&str],
    ) -> Result<(&'a str, Clause<'a>, Option<&'a Value>), Error> {
        let object = self.body.as_object().ok_or_else(|| wrong(&self.at, "must be an object with a field's name"))?;
        let mut fields = object.iter().filter(|(name, _)| !EVERYWHERE.contains(&name.as_str()));
        let Some((field, value)) = fields.next() else { return Err(wrong(&self.at, "names no field")) };
        if let Some((other, _)) = fields.next() {
            return Err(wrong(&self.at, &format!("takes one field and has two: `{field}` and `{other}`"))
                .hint("put one clause per field into a `bool`"));
        }
        let inner = Clause { at: format!("{}.{field}", self.at), name: self.name, body: value, depth: self.depth };
        if !value.is_object() {
            if value.is_array() || value.is_null() {
                return Err(wrong(&inner.at, "takes one value"));
            }
            return Ok((field, inner, Some(value)));
        }
        let mut all = vec![main];
        all.extend_from_slice(allowed);
        inner.open(&all)?;
        let given = inner.field(main);
        if given.is_none() && !main.is_empty() {
            return Err(wrong(&inner.at, &format!("requires `{main}`")));
        }
        Ok((field, inner, given))
    }

    /// A parameter.
    pub(super) fn field(&self, name: &str) -> Option<&'a Value> {
        self.body.as_object()?.get(name).filter(|value| !value.is_null())
    }

    /// A parameter that is text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        let Some(value) = self.field(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| wrong(&self.at, &format!("takes text as `{name}`")))
    }

    /// A parameter that is a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<f32>, Error> {
        let Some(value) = self.field(name) else { return Ok(None) };
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite());
        number.map(|number| Some(number as f32)).ok_or_else(|| wrong(&self.at, &format!("takes a number as `{name}`")))
    }

    /// A parameter that is a whole number.
    pub(super) fn whole(&self, name: &str) -> Result<Option<u32>, Error> {
        let Some(value) = self.field(name) else { return Ok(None) };
        let number =
            value.as_u64().or_else(|| value.as_str()?.parse().ok()).and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or_else(|| wrong(&self.at, &format!("takes a whole number as `{name}`")))
    }

    /// A parameter that is true or false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.field(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(wrong(&self.at, &format!("takes true or false as `{name}`"))),
        }
    }

    /// A parameter that is a list, or one thing; each with its place.
    pub(super) fn list(&self, name: &str) -> Result<Vec<(String, &'a Value)>, Error> {
        Ok(match self.field(name) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                items.iter().enumerate().map(|(place, item)| (format!("{}.{name}[{place}]", self.at), item)).collect()
            }
            Some(one) => vec![(format!("{}.{name}", self.at), one)],
        })
    }

    /// Applies its `boost`.
    pub(super) fn boosted(&self, query: Box<dyn Compiled>) -> Result<Box<dyn Compiled>, Error> {
        match self.number("boost")? {
            Some(boost) if boost < 0.0 => Err(wrong(&self.at, "takes no negative `boost`")),
            Some(boost) if boost != 1.0 => Ok(Box::new(BoostQuery::new(query, boost))),
            _ => Ok(query),
        }
    }
}

/// How many of `count` optional clauses must match: `2`, `-1`, `75%`, `-25%`, `3<90%`, or several of the last kind.
pub(super) fn minimum(value: &Value, count: usize) -> Option<usize> {
    let total = i64::try_from(count).ok()?;
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    let mut chosen = None;
    if text.contains('<') {
        for part in text.split_whitespace() {
            let (bound, then) = part.split_once('<')?;
            if total > bound.parse::<i64>().ok()? {
                chosen = Some(then.to_owned());
            }
        }
        let Some(then) = chosen else { return Some(count) };
        return minimum(&Value::String(then), count);
    }
    let least = match text.strip_suffix('%') {
        Some(percent) => {
            let percent: i64 = percent.parse().ok()?;
            if percent < 0 { total - total * -percent / 100 } else { total * percent / 100 }
        }
        None => {
            let number: i64 = text.parse().ok()?;
            if number < 0 { total + number } else { number }
        }
    };
    usize::try_from(least.max(0)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn minimum_should_match_is_read_in_all_its_forms() {
        let minimum = |value: serde_json::Value, count| super::minimum(&value, count);
        assert_eq!(minimum(json!(2), 3), Some(2));
        assert_eq!(minimum(json!("-1"), 3), Some(2));
        assert_eq!(minimum(json!("75%"), 4), Some(3));
        assert_eq!(minimum(json!("-25%"), 4), Some(3));
        assert_eq!(minimum(json!("3<90%"), 3), Some(3));
        assert_eq!(minimum(json!("3<50%"), 4), Some(2));
        assert_eq!(minimum(json!("some"), 4), None);
    }
}
