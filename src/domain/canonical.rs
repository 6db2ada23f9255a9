//! One text for all JSON texts that say the same: what they say counts, not the order of members nor the space between.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

/// The text that stands for `text`; what is no JSON stands for itself.
pub fn canonical(text: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Written>(text) {
        Ok(Written(canonical)) => Cow::Owned(canonical),
        Err(_) => Cow::Borrowed(text),
    }
}

struct Written(String);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Writer).map(Self)
    }
}

struct Writer;

impl<'de> Visitor<'de> for Writer {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<String, E> {
        // Its shortest form, always with a point or an exponent: 1.0 is not 1.
        Ok(format!("{value:?}"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        Ok(quoted(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<String, A::Error> {
        let mut text = String::from("[");
        while let Some(Written(item)) = items.next_element()? {
            text.push_str(&item);
            text.push(',');
        }
        text.push(']');
        Ok(text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, Written(value))) = map.next_entry::<Cow<'de, str>, Written>()? {
            if members.insert(name, value).is_some() {
                // Two of one name say nothing that is certain: the text stands for itself.
                return Err(de::Error::custom("a name is given twice"));
            }
        }
        let mut text = String::from("{");
        for (name, value) in members {
            text.push_str(&quoted(&name));
            text.push(':');
            text.push_str(&value);
            text.push(',');
        }
        text.push('}');
        Ok(text)
    }
}

/// With a length before it, so that no text looks like what stands around it.
fn quoted(text: &str) -> String {
    format!("{}\"{text}\"", text.len())
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn the_same_said_otherwise_is_the_same() {
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, "{ \"b\" : [ true , null ],\n\"a\":1}"),
            (r#"{"a":{"x":1,"y":"\u00e4"}}"#, r#"{"a":{"y":"ä","x":1}}"#),
            (r#""x""#, " \"x\" "),
        ] {
            assert_eq!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn what_differs_stays_different() {
        let texts = [
            "{}",
            "[]",
            "null",
            "1",
            "1.0",
            "-1",
            r#""1""#,
            r#"{"a":null}"#,
            r#"{"a":1}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":"1,\"b\":2"}"#,
            r#"{"a":"1","b":2}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":2,"a":1}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":9007199254740992}"#,
            "no JSON",
        ];
        for (place, one) in texts.iter().enumerate() {
            for other in texts.iter().skip(place + 1) {
                assert_ne!(canonical(one), canonical(other), "{one} {other}");
            }
        }
    }
}
