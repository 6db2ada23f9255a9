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

/// The data stream that an index lies behind, told from the index's name: `.ds-STREAM-YYYY.MM.DD-NNNNNN`, in OpenSearch without the day.
pub fn stream_of(index: &str) -> Option<&str> {
    let (rest, generation) = index.strip_prefix(".ds-")?.rsplit_once('-')?;
    if generation.len() < 6 || !generation.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let is_day = |text: &str| {
        text.len() == 10
            && text
                .bytes()
                .enumerate()
                .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'.' } else { byte.is_ascii_digit() })
    };
    let stream = match rest.rsplit_once('-') {
        Some((stream, day)) if is_day(day) => stream,
        _ => rest,
    };
    let is_name = !stream.is_empty() && !stream.starts_with('.') && !stream.contains(['*', ',', '?']);
    is_name.then_some(stream)
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
    use super::{matches, overlap, stream_of};

    #[test]
    fn a_backing_index_tells_its_stream() {
        assert_eq!(stream_of(".ds-logs-web-2026.11.29-000001"), Some("logs-web"));
        assert_eq!(stream_of(".ds-logs-web-000012"), Some("logs-web"));
        for other in [
            ".ds-logs",
            ".ds-000001",
            ".ds--000001",
            ".ds-.secret-000001",
            ".ds-*-000001",
            ".ds-logs-1",
            ".x-000001",
            "logs-000001",
        ] {
            assert_eq!(stream_of(other), None, "{other}");
        }
    }

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
