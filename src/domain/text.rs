//! Names and short texts that callers give: bounded, printable, and never empty.

use std::borrow::Cow;

use crate::error::Error;

/// Characters of a name at the most: ids, keys, queues, roles, resources, capabilities.
pub const NAME_MAX: usize = 200;
/// Characters of a message, reason or title at the most.
pub const SENTENCE_MAX: usize = 4_000;
/// Characters of a description or question at the most.
pub const PARAGRAPH_MAX: usize = 64_000;

/// A name: 1 to [`NAME_MAX`] characters, none of them a control character, no space at its ends.
///
/// # Errors
/// `invalid` naming the argument and what is accepted.
pub fn name(argument: &str, text: &str) -> Result<String, Error> {
    let refuse = |why: &str| {
        Error::invalid(argument.to_owned(), format!("`{argument}` {why}"))
            .hint(format!("it takes 1 to {NAME_MAX} characters without line breaks and control characters"))
    };
    if text.trim().is_empty() {
        return Err(refuse("is empty"));
    }
    if text.len() > NAME_MAX * 4 || text.chars().count() > NAME_MAX {
        return Err(refuse("is too long"));
    }
    if text.chars().any(is_unprintable) {
        return Err(refuse("contains a control character"));
    }
    if text.trim() != text {
        return Err(refuse("starts or ends with a space"));
    }
    Ok(text.to_owned())
}

/// A list of names, sorted, each once.
///
/// # Errors
/// As [`name`]; `invalid` when there are more than `most`.
pub fn names(argument: &str, texts: &[String], most: usize) -> Result<Vec<String>, Error> {
    if texts.len() > most {
        return Err(Error::invalid(
            argument.to_owned(),
            format!("`{argument}` holds {} entries; it takes up to {most}", texts.len()),
        ));
    }
    let mut names = texts
        .iter()
        .enumerate()
        .map(|(place, text)| name(&format!("{argument}[{place}]"), text))
        .collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

/// A text of up to `most` characters without NUL.
///
/// # Errors
/// `invalid` naming the argument and what is accepted.
pub fn bounded(argument: &str, text: &str, most: usize) -> Result<String, Error> {
    let refuse = |why: String| Error::invalid(argument.to_owned(), format!("`{argument}` {why}"));
    if text.len() > most && text.chars().count() > most {
        return Err(refuse(format!("is too long: it takes up to {most} characters")));
    }
    if text.contains('\0') {
        return Err(refuse("contains a NUL character".to_owned()));
    }
    Ok(text.to_owned())
}

/// An id that a caller gives, perhaps of nothing that there is: up to [`NAME_MAX`] characters without NUL.
///
/// # Errors
/// `invalid` naming the argument and what is accepted.
pub fn id(argument: &str, text: &str) -> Result<(), Error> {
    bounded(argument, text, NAME_MAX).map(drop)
}

/// A text of a caller as an answer shows it: its beginning, when it is longer than any name.
pub fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(NAME_MAX) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

fn is_unprintable(character: char) -> bool {
    // Also what turns text around or hides it.
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::{bounded, name, names, shown};

    #[test]
    fn no_answer_repeats_more_than_a_name() {
        assert_eq!(shown("ä"), "ä");
        assert_eq!(shown(&"ä".repeat(200)), "ä".repeat(200));
        assert_eq!(shown(&"ä".repeat(1_000)), format!("{}…", "ä".repeat(200)));
    }

    #[test]
    fn names_are_printable_and_bounded() {
        for good in ["a", "agent/1:x.*", "ü漢", &"x".repeat(200)] {
            assert_eq!(name("n", good).unwrap(), good);
        }
        for wrong in ["", " ", "a\nb", "a\0", " a", "a\u{202e}b", &"x".repeat(201), &"漢".repeat(1_000_000)] {
            assert_eq!(name("n", wrong).unwrap_err().argument.as_deref(), Some("n"));
        }
        assert_eq!(names("c", &["b".into(), "a".into(), "b".into()], 5).unwrap(), ["a", "b"]);
        assert_eq!(names("c", &["b".into(), "".into()], 5).unwrap_err().argument.as_deref(), Some("c[1]"));
        assert!(bounded("m", "a\0", 9).is_err() && bounded("m", "abc", 2).is_err() && bounded("m", "漢漢", 2).is_ok());
    }
}
