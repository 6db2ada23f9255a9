//! Search bodies put together from the caller's own texts, each beginning on a line of its own, so that the line and column an engine
//! complains about can be told in the text that the caller wrote.

use serde_json::value::RawValue;

/// A body being put together.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) text: String,
    pub(super) parts: Vec<Part>,
    line: u32,
}

/// Where an argument's text stands in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    argument: &'static str,
    first: u32,
    last: u32,
}

impl Lines {
    /// Adds a member of ours, on the current line.
    pub(super) fn own(&mut self, name: &str, json: &str) {
        self.member(name);
        // Whitespace outside strings is all that can be a newline in JSON.
        self.text.push_str(&json.replace(['\n', '\r'], " "));
    }

    /// Adds a member whose value is the text of an argument.
    pub(super) fn part(&mut self, argument: &'static str, name: &str, json: &RawValue) {
        self.member(name);
        self.text.push('\n');
        let json = json.get().replace("\r\n", "\n").replace('\r', "\n");
        let first = self.line + 2;
        let newlines = u32::try_from(json.matches('\n').count()).unwrap_or(u32::MAX);
        self.line = self.line.saturating_add(newlines).saturating_add(2);
        self.text.push_str(&json);
        self.text.push('\n');
        self.parts.push(Part { argument, first, last: first.saturating_add(newlines) });
    }

    /// The body is complete.
    pub(super) fn close(mut self) -> Self {
        self.text.push(if self.text.is_empty() { '{' } else { ' ' });
        self.text.push('}');
        self
    }

    fn member(&mut self, name: &str) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }
}

/// The argument and its line for a line of the body.
pub(super) fn find(parts: &[Part], line: u32) -> Option<(&'static str, u32)> {
    let part = parts.iter().find(|part| (part.first..=part.last).contains(&line))?;
    Some((part.argument, line - part.first + 1))
}

#[cfg(test)]
mod tests {
    use super::{Lines, find};

    #[test]
    fn a_line_of_the_body_is_told_in_the_callers_text() {
        let mut lines = Lines::default();
        lines.own("size", "10");
        let query = serde_json::value::RawValue::from_string("{\n \"match\": 1\n}".to_owned()).unwrap();
        lines.part("query", "query", &query);
        let aggs = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
        lines.part("aggs", "aggs", &aggs);
        let lines = lines.close();
        let at = |text: &str| lines.text.lines().position(|line| line.contains(text)).unwrap() as u32 + 1;
        assert_eq!(find(&lines.parts, at("match")), Some(("query", 2)));
        assert_eq!(find(&lines.parts, at("{}")), Some(("aggs", 1)));
        assert_eq!(find(&lines.parts, at("size")), None);
        serde_json::from_str::<serde_json::Value>(&lines.text).unwrap();
    }
}
