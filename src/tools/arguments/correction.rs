//! What some hosts do to arguments, undone.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The arguments with the one changed that the error is about; None when its meaning is not plain.
pub(super) fn corrected(text: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Option<String> {
    let name = error.path().to_string();
    let message = error.inner().to_string();
    let Members(mut members) = serde_json::from_str(text).ok()?;
    let at = members.iter().position(|(given, _)| *given == name)?;
    let (_, value) = members.get(at)?;
    let expected = message.split("expected ").nth(1)?;
    if value.get() == "null" {
        members.remove(at);
        return Some(written(&members));
    }
    if message.starts_with("expected value") && !value.get().starts_with('"') {
        // One of several words: read as a string, it brings the words along.
        let given: String = value.get().chars().take(40).collect();
        let given = RawValue::from_string(serde_json::Value::from(given).to_string()).ok()?;
        members.get_mut(at)?.1 = Cow::Owned(given);
        return Some(written(&members));
    }
    let inner: String = serde_json::from_str(value.get()).ok()?;
    let inner = inner.trim();
    let fits = match inner.as_bytes().first()? {
        b'-' | b'0'..=b'9' => {
            ["u8", "u16", "u32", "u64", "usize", "i32", "i64", "f64"].iter().any(|number| expected.starts_with(number))
        }
        b't' | b'f' => expected.starts_with("a boolean"),
        b'[' => expected.starts_with("a sequence"),
        b'{' => expected.starts_with("a map") || expected.starts_with("struct"),
        _ => false,
    };
    let inner = RawValue::from_string(inner.to_owned()).ok().filter(|_| fits)?;
    members.get_mut(at)?.1 = Cow::Owned(inner);
    Some(written(&members))
}

fn written(members: &[(Cow<'_, str>, Cow<'_, RawValue>)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name.as_ref()), value.get()))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The members of an object in their order, also those that are given twice.
struct Members<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push((name, Cow::Borrowed(value)));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
