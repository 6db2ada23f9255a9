//! The escapes inside `U&"…"`.

/// Whether PostgreSQL takes `escape` in a UESCAPE clause.
pub fn may_escape(escape: char) -> bool {
    !(escape.is_ascii_hexdigit()
        || matches!(escape, '+' | '\'' | '"')
        || escape.is_ascii_whitespace()
        || escape == '\x0b')
}

/// Decodes `\XXXX`, `\+XXXXXX` and a doubled escape; `None` for anything else behind an escape, for NUL, and for half a pair.
pub fn decode(name: &str, escape: char) -> Option<String> {
    let mut decoded = String::with_capacity(name.len());
    let mut characters = name.chars().peekable();
    let mut high: Option<u32> = None;
    while let Some(character) = characters.next() {
        if character != escape || characters.next_if_eq(&escape).is_some() {
            if high.is_some() {
                return None;
            }
            decoded.push(character);
            continue;
        }
        let digits = if characters.next_if_eq(&'+').is_some() { 6 } else { 4 };
        let mut value = 0;
        for _ in 0..digits {
            value = value * 16 + characters.next()?.to_digit(16)?;
        }
        match (high.take(), value) {
            (None, 0xD800..=0xDBFF) => high = Some(value),
            (Some(first), 0xDC00..=0xDFFF) => {
                decoded.push(char::from_u32(0x10000 + ((first - 0xD800) << 10) + (value - 0xDC00))?);
            }
            (Some(_), _) | (None, 0) => return None,
            (None, _) => decoded.push(char::from_u32(value)?),
        }
    }
    high.is_none().then_some(decoded)
}
