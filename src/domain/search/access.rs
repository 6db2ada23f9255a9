//! Which indices and schemas tools may see.

/// Allowed patterns (`*` stands for any characters). Empty means: all but system names.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// From settings.
    pub fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// The patterns, as set.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether a concrete name is inside.
    pub fn allow(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether some name fits both patterns.
pub fn overlap(one: &str, other: &str) -> bool {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    // Row by row: `reached[at]` is whether what was read of `one` and the first `at` of `other` can stand for the same text.
    let mut reached = vec![true];
    for letter in &other {
        let before = reached.last().is_some_and(|reached| *reached);
        reached.push(before && *letter == '*');
    }
    for letter in &one {
        let mut next = vec![reached.first().is_some_and(|reached| *reached) && *letter == '*'];
        for (at, against) in other.iter().enumerate() {
            let up = reached.get(at + 1).is_some_and(|reached| *reached);
            let left = next.get(at).is_some_and(|reached| *reached);
            let across = reached.get(at).is_some_and(|reached| *reached);
            let fits =
                if *letter == '*' || *against == '*' { up || left || across } else { across && letter == against };
            next.push(fits);
        }
        reached = next;
    }
    reached.last().is_some_and(|reached| *reached)
}

/// Whether `name` fits `pattern`, in which `*` stands for any characters, also none.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{matches, overlap};

    #[test]
    fn patterns_overlap_when_some_name_fits_both() {
        for (one, other) in [("*", "logs-*"), ("*-2026", "logs-*"), ("a*c", "*b*"), ("x", "x"), ("x*", "x"), ("", "*")]
        {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
        for (one, other) in [("logs-*", "metrics-*"), ("a*c", "*d"), ("x", "y"), ("", "x"), ("ab", "a")] {
            assert!(!overlap(one, other) && !overlap(other, one), "{one} {other}");
        }
    }

    #[test]
    fn stars_stand_for_any_characters() {
        assert!(matches("logs-*", "logs-2026") && matches("*", "x") && matches("a*b*c", "a1b2c") && matches("x", "x"));
        assert!(
            !matches("logs-*", "log") && !matches("a*b*c", "a1c") && !matches("x", "xy") && !matches("ab*ba", "aba")
        );
    }
}
