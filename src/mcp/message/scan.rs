//! What the parser lets pass in text that it keeps unread: deep nesting and half characters.

/// Levels of arrays and objects in a message.
const DEPTH_MAX: usize = 128;

/// Looks at every byte once; strings are passed over at memory speed.
///
/// # Errors
/// What is wrong, for a parse error.
pub fn check(text: &[u8]) -> Result<(), String> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(format!("nested deeper than {DEPTH_MAX} levels at column {at}"));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = string(text, at)?,
            _ => {}
        }
    }
    Ok(())
}

/// The place behind a string whose first character is at `at`. One that does not end is the parser's to refuse.
fn string(text: &[u8], mut at: usize) -> Result<usize, String> {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'"', b'\\', rest) else { return Ok(text.len()) };
        at += found;
        if text.get(at) == Some(&b'"') {
            return Ok(at + 1);
        }
        at += match unit(text, at) {
            Some(0xD800..=0xDBFF) if matches!(unit(text, at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => return Err(format!("lone surrogate at column {}", at + 1)),
            Some(_) => 6,
            None => 2,
        };
    }
}

/// The UTF-16 unit that a `\uXXXX` at `at` stands for.
fn unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
