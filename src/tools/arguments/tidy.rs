//! Arguments as models and hosts write them become arguments as tools read them, before anything else looks at them. What a value means is
//! never guessed: what is not plain stays as it is, and the tool refuses it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    super::raw::joined,
    number,
    shape::{Keeps, Kind, Shape, Shapes},
};
use crate::{domain::json::Members, error::Error};

/// Longer texts hold no number, no word of a list, and are not empty.
const WORD_BYTES_MAX: usize = 256;
/// So much of a wrong value is shown.
const SHOWN_CHARACTERS: usize = 40;

impl Shapes {
    /// The arguments of a call, tidied: an optional argument that is empty is left out, numbers of whole value are whole numbers, what stands
    /// inside a text is taken out of it where the schema wants no text, words of a list are written as in the list.
    ///
    /// # Errors
    /// `invalid` naming the argument, when a number is outside of its range or a word is none. What cannot be read at all is left to the
    /// tool, which says more about it.
    pub fn tidy<'a>(&self, tool: &str, arguments: &'a str) -> Result<Cow<'a, str>, Error> {
        let text = whole_text(arguments);
        let Some(shape) = self.get(tool).filter(|_| text.starts_with('{')) else { return Ok(text) };
        let Kind::Object(Some(members)) = &shape.kind else { return Ok(text) };
        let changed = object(&text, members, "")?;
        Ok(changed.map_or(text, Cow::Owned))
    }
}

/// The text of all arguments: `null` and nothing stand for no arguments, and a JSON string that holds an object for that object.
pub(super) fn whole_text(arguments: &str) -> Cow<'_, str> {
    let text = arguments.trim();
    let inner = if text.starts_with('"') { serde_json::from_str::<String>(text).ok() } else { None };
    match inner.as_deref().unwrap_or(text).trim() {
        "" | "null" => Cow::Borrowed("{}"),
        other if inner.is_some() => Cow::Owned(other.to_owned()),
        _ => Cow::Borrowed(text),
    }
}

/// What becomes of a value.
enum Tidied {
    AsItIs,
    Written(String),
    LeftOut,
}

type MemberShapes = std::collections::HashMap<String, std::sync::Arc<Shape>>;

/// The object with its members tidied; None when all stay as they are.
fn object(text: &str, shapes: &MemberShapes, path: &str) -> Result<Option<String>, Error> {
    let Ok(Members(pairs)) = serde_json::from_str::<Members<&RawValue>>(text) else { return Ok(None) };
    let mut written = Vec::with_capacity(pairs.len());
    let mut changed = false;
    for (name, value) in &pairs {
        let tidied = match shapes.get(name) {
            Some(shape) => shape.tidy(value.get(), &joined(path, name))?,
            None => Tidied::AsItIs,
        };
        changed |= !matches!(tidied, Tidied::AsItIs);
        match tidied {
            Tidied::AsItIs => written.push((name.as_str(), Cow::Borrowed(value.get()))),
            Tidied::Written(value) => written.push((name.as_str(), Cow::Owned(value))),
            Tidied::LeftOut => {}
        }
    }
    if !changed {
        return Ok(None);
    }
    Ok(Some(object_text(written.iter().map(|(name, value)| (*name, value.as_ref())))))
}

/// An object of members that are JSON text.
pub(super) fn object_text<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let member = |(name, value): (&str, &str)| format!("{}:{value}", serde_json::Value::from(name));
    format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
}

impl Shape {
    fn tidy(&self, value: &str, path: &str) -> Result<Tidied, Error> {
        // What an argument that must be there lacks is better said than that it is null.
        if value == "null" || (self.optional && self.is_empty(value)) {
            return Ok(Tidied::LeftOut);
        }
        if matches!(self.kind, Kind::Text | Kind::Anything) {
            return Ok(Tidied::AsItIs);
        }
        let inner = word(value).map(|text| text.trim().to_owned());
        let says_nothing = |text: &str| text == "null" || (self.optional && self.is_empty(text));
        if !self.takes_text && inner.as_deref().is_some_and(says_nothing) {
            return Ok(Tidied::LeftOut);
        }
        let bare = inner.as_deref().unwrap_or(value);
        Ok(match &self.kind {
            Kind::Text | Kind::Anything => Tidied::AsItIs,
            Kind::Whole => {
                self.check(value, bare, path)?;
                number::whole(bare).map_or(Tidied::AsItIs, |whole| replaced(value, whole))
            }
            Kind::Number => {
                self.check(value, bare, path)?;
                if number::is_number(bare) { replaced(value, bare.to_owned()) } else { Tidied::AsItIs }
            }
            Kind::Truth => match bare.to_ascii_lowercase().as_str() {
                truth @ ("true" | "false") => replaced(value, truth.to_owned()),
                _ => Tidied::AsItIs,
            },
            Kind::Choice(words) => self.choose(value, inner.as_deref(), words, path)?,
            Kind::List(item) => self.container(value, '[', path, |text| match item {
                Some(item) => list(text, item, path),
                None => Ok(None),
            })?,
            Kind::Object(members) => self.container(value, '{', path, |text| match members {
                Some(members) => object(text, members, path),
                None => Ok(None),
            })?,
        })
    }

    /// One of some words, in any case.
    fn choose(&self, value: &str, inner: Option<&str>, words: &[String], path: &str) -> Result<Tidied, Error> {
        let Some(given) = inner else {
            if value.starts_with('"') {
                return Ok(Tidied::AsItIs);
            }
            let shown: String = value.chars().take(SHOWN_CHARACTERS).collect();
            let message = format!("`{path}` is `{shown}`; it takes {}", words.join(", "));
            return Err(Error::invalid(top(path), message));
        };
        let meant = words.iter().find(|word| word.eq_ignore_ascii_case(given));
        Ok(meant.map_or(Tidied::AsItIs, |word| replaced(value, serde_json::Value::from(word.as_str()).to_string())))
    }

    /// A list or an object, also one that stands in a text. The parser would take a list for the members in their order.
    fn container(
        &self,
        value: &str,
        begin: char,
        path: &str,
        tidy: impl FnOnce(&str) -> Result<Option<String>, Error>,
    ) -> Result<Tidied, Error> {
        let unwrapped = if value.starts_with('"') && !self.takes_text {
            let inner = serde_json::from_str::<String>(value).unwrap_or_default();
            let inner = inner.trim();
            let holds = inner.starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(inner).is_ok();
            holds.then(|| inner.to_owned())
        } else {
            None
        };
        let text = unwrapped.as_deref().unwrap_or(value);
        if matches!(self.kind, Kind::Object(Some(_))) && !self.takes_text && text.starts_with('[') {
            return Err(Error::invalid(top(path), format!("`{path}` takes an object, not a list")));
        }
        if !text.starts_with(begin) {
            return Ok(Tidied::AsItIs);
        }
        let tidied = tidy(text)?.or(unwrapped);
        Ok(match tidied {
            Some(text) if self.optional && self.is_empty(&text) => Tidied::LeftOut,
            Some(text) => Tidied::Written(text),
            None => Tidied::AsItIs,
        })
    }

    fn check(&self, value: &str, bare: &str, path: &str) -> Result<(), Error> {
        let Some(range) = self.range.as_ref().filter(|_| number::is_number(bare)) else { return Ok(()) };
        match bare.parse::<f64>() {
            Ok(number) if !(range.least..=range.most).contains(&number) => {
                Err(Error::invalid(top(path), format!("`{path}` is {value}; it takes {}", range.shown)))
            }
            _ => Ok(()),
        }
    }

    /// Nothing is said with it.
    fn is_empty(&self, value: &str) -> bool {
        let hollow = |begin, end| {
            let inner = value.strip_prefix(begin).and_then(|rest: &str| rest.strip_suffix(end));
            inner.is_some_and(|inner| inner.trim().is_empty())
        };
        let blank = || word(value).is_some_and(|text| text.trim().is_empty());
        match self.keeps {
            Keeps::Everything => false,
            Keeps::Containers => blank(),
            Keeps::Nothing => blank() || hollow('{', '}') || hollow('[', ']'),
        }
    }
}

fn list(text: &str, item: &Shape, path: &str) -> Result<Option<String>, Error> {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Ok(None) };
    let mut changed = false;
    let mut written = Vec::with_capacity(items.len());
    for (at, value) in items.iter().enumerate() {
        match item.tidy(value.get(), &format!("{path}[{at}]"))? {
            // An item has its place.
            Tidied::AsItIs | Tidied::LeftOut => written.push(Cow::Borrowed(value.get())),
            Tidied::Written(value) => {
                changed = true;
                written.push(Cow::Owned(value));
            }
        }
    }
    Ok(changed.then(|| format!("[{}]", written.join(","))))
}

/// A short text.
fn word(value: &str) -> Option<String> {
    (value.starts_with('"') && value.len() <= WORD_BYTES_MAX).then(|| serde_json::from_str(value).ok())?
}

fn replaced(value: &str, by: String) -> Tidied {
    if value == by { Tidied::AsItIs } else { Tidied::Written(by) }
}

/// The argument that a place inside of it belongs to.
fn top(path: &str) -> String {
    path.split(['.', '[']).next().unwrap_or(path).to_owned()
}
