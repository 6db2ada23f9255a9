//! JSON kept as its text, so that no number becomes a double and nothing is parsed twice.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A JSON value as the text it was given in.
pub type Json = Box<RawValue>;

/// The JSON text of a value of ours. For values that cannot fail to serialize (no maps with non-string keys); otherwise `null`.
pub fn of<T: Serialize + ?Sized>(value: &T) -> Json {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| null())
}

/// `null`.
pub fn null() -> Json {
    RawValue::NULL.to_owned()
}

/// The members of an object in their order; a name that is given twice is there twice.
#[derive(Debug)]
pub struct Members<T, N = String>(pub Vec<(N, T)>);

/// The name of a member, borrowed unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Name<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<T, N> Default for Members<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, N: Deserialize<'de>> Deserialize<'de> for Members<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

impl<T: Serialize> Serialize for Members<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

struct InOrder<T, N>(PhantomData<(T, N)>);

impl<'de, T: Deserialize<'de>, N: Deserialize<'de>> Visitor<'de> for InOrder<T, N> {
    type Value = Members<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(map.size_hint().unwrap_or(16));
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
