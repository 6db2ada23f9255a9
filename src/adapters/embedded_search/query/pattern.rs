//! Patterns over words: wildcards, regular expressions, edit distance.

use serde_json::Value;

/// How far a word may be from the one given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fuzziness {
    /// Edits by length: none below the first, one below the second, else two.
    Auto(usize, usize),
    /// Edits.
    Edits(usize),
}

impl Fuzziness {
    /// `AUTO`, `AUTO:3,6`, 0, 1, 2.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.to_uppercase(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        if let Some(rest) = text.strip_prefix("AUTO") {
            let Some(lengths) = rest.strip_prefix(':') else { return rest.is_empty().then_some(Self::Auto(3, 6)) };
            let (low, high) = lengths.split_once(',')?;
            return Some(Self::Auto(low.trim().parse().ok()?, high.trim().parse().ok()?));
        }
        text.parse().ok().filter(|edits| *edits <= 2).map(Self::Edits)
    }

    /// Edits allowed for this word.
    pub(super) fn distance(self, word: &str) -> usize {
        let length = word.chars().count();
        match self {
            Self::Edits(edits) => edits,
            Self::Auto(low, _) if length < low => 0,
            Self::Auto(_, high) if length < high => 1,
            Self::Auto(..) => 2,
        }
    }
}

/// The edits between two words, when there are at most `most`: letters changed, added, removed, or two neighbours swapped.
pub(super) fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let difference = a.chars().count().abs_diff(b.chars().count());
    (difference <= most).then(|| strsim::osa_distance(a, b)).filter(|distance| *distance <= most)
}

/// A regular expression of Lucene, held to the whole word. Its operators that no other engine has are an error, never taken for letters.
pub(super) fn regular(text: &str, ignore_case: bool) -> Result<regex::Regex, regex::Error> {
    let mut expression = String::from("^(?:");
    let mut characters = text.chars();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                // `\d` is a class in both; `\<` is a sign here and a word's edge there.
                match characters.next() {
                    Some(letter) if letter.is_ascii_alphanumeric() => expression.extend(['\\', letter]),
                    other => expression.push_str(&regex::escape(&other.unwrap_or('\\').to_string())),
                }
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '~' | '&' | '<' | '#' | '"' if !in_class => {
                return Err(regex::Error::Syntax(format!("the operator `{character}` is not known here")));
            }
            '@' if !in_class => {
                expression.push_str(".*");
                continue;
            }
            '^' | '$' if !in_class => expression.push('\\'),
            _ => {}
        }
        expression.push(character);
    }
    expression.push_str(")$");
    regex::RegexBuilder::new(&expression)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(true)
        .size_limit(1 << 20)
        .build()
}

/// A wildcard pattern (`*` any characters, `?` one, `\` takes the next as it is) as an expression over the whole word.
pub(super) fn wildcard(pattern: &str, ignore_case: bool) -> Result<regex::Regex, regex::Error> {
    let mut expression = String::from("^");
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '\\' => expression.push_str(&regex::escape(&characters.next().unwrap_or('\\').to_string())),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    regex::RegexBuilder::new(&expression)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(true)
        .size_limit(1 << 20)
        .build()
}

/// What every word that fits a wildcard pattern begins with.
pub(super) fn literal_prefix(pattern: &str) -> String {
    pattern.chars().take_while(|character| !matches!(character, '*' | '?' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hold_the_whole_word() {
        assert!(wildcard("m*se", false).unwrap().is_match("mouse"));
        assert!(!wildcard("m?se", false).unwrap().is_match("mouse"));
        assert!(wildcard("a\\*b.c", false).unwrap().is_match("a*b.c"));
        assert!(
            !regular("mou", false).unwrap().is_match("mouse") && regular("mou.*", false).unwrap().is_match("mouse")
        );
        assert!(regular("<1-5>", false).is_err() && regular("a\\<b[<~]", false).unwrap().is_match("a<b~"));
        assert_eq!(
            (distance("moues", "mouse", 1), distance("mouse", "house", 2), distance("a", "abc", 1)),
            (Some(1), Some(1), None)
        );
        assert_eq!(Fuzziness::read(&Value::from("AUTO")).map(|auto| auto.distance("mouse")), Some(1));
    }
}
