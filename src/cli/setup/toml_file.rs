//! Changing one section of a TOML file, all other text staying as it is.

use super::Entry;

const HEADING: &str = "[mcp_servers.callboard]";

/// The section.
pub fn section(entry: &Entry) -> String {
    format!("{HEADING}\n{}\n{}\n", command(entry), args(entry))
}

/// Whether the file has an entry.
pub fn has(text: &str) -> bool {
    text.parse::<toml::Table>()
        .is_ok_and(|table| table.get("mcp_servers").and_then(|servers| servers.get("callboard")).is_some())
}

/// The file with the entry.
///
/// # Errors
/// When the file is broken, in words.
pub fn with_entry(text: &str, entry: &Entry) -> Result<String, String> {
    text.parse::<toml::Table>()
        .map_err(|error| format!("it is not valid TOML: {}", error.message().replace('\n', " ")))?;
    if !has(text) {
        let gap = if text.ends_with("\n\n") {
            ""
        } else if text.ends_with('\n') {
            "\n"
        } else {
            "\n\n"
        };
        return Ok(format!("{text}{gap}{}", section(entry)));
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let start = lines
        .iter()
        .position(|line| line.trim() == HEADING)
        .ok_or("its entry is written in a form that setup cannot change")?
        + 1;
    let end = lines
        .iter()
        .skip(start)
        .position(|line| line.trim_start().starts_with('['))
        .map_or(lines.len(), |length| start + length);
    for (key, line) in [("args", args(entry)), ("command", command(entry))] {
        let is_key = |line: &String| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        match lines.iter().take(end).skip(start).position(is_key) {
            Some(at) => lines.iter_mut().skip(start + at).take(1).for_each(|old| old.clone_from(&line)),
            None => lines.insert(start, line),
        }
    }
    let new = format!("{}\n", lines.join("\n"));
    new.parse::<toml::Table>().map_err(|_| "its entry is written in a form that setup cannot change".to_owned())?;
    Ok(new)
}

/// JSON's strings and lists of them are TOML's too.
fn command(entry: &Entry) -> String {
    format!("command = {}", serde_json::Value::from(entry.command.as_str()))
}

fn args(entry: &Entry) -> String {
    format!("args = {}", serde_json::Value::from(entry.args.clone()))
}

#[cfg(test)]
mod tests {
    use super::{Entry, has, with_entry};

    #[test]
    fn everything_else_stays() {
        let entry = Entry { command: "/opt/call board".to_owned(), args: vec!["serve".to_owned()] };
        let old = "# mine\nmodel = \"x\"\n\n[mcp_servers.other]\ncommand = \"y\" # keep\n";
        let new = with_entry(old, &entry).unwrap();
        assert!(new.starts_with(old) && has(&new), "{new}");
        assert_eq!(with_entry(&new, &entry).unwrap(), new, "a second time changes nothing");
        let moved = Entry {
            command: "/usr/bin/callboard".to_owned(),
            args: vec!["serve".to_owned(), "--read-only".to_owned()],
        };
        let newer = with_entry(&format!("{new}startup_timeout_sec = 5\n"), &moved).unwrap();
        let table: toml::Table = newer.parse().unwrap();
        assert_eq!(table["mcp_servers"]["callboard"]["command"].as_str(), Some("/usr/bin/callboard"));
        assert_eq!(table["mcp_servers"]["callboard"]["startup_timeout_sec"].as_integer(), Some(5));
        assert!(with_entry("a = ", &entry).is_err());
    }
}
