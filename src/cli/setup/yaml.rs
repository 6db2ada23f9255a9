//! Changing one extension of Goose's YAML file, all other text staying as it is. Only the plain layout that Goose itself writes is understood.

use super::Entry;

const NAME: &str = "  callboard:";

/// The extension, below `extensions:`.
pub fn block(entry: &Entry) -> String {
    let args = entry.args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(", ");
    format!(
        "{NAME}\n    enabled: true\n    type: stdio\n    name: callboard\n    cmd: {}\n    args: [{args}]\n    envs: {{}}\n    timeout: 300\n",
        quoted(&entry.command)
    )
}

/// A YAML string in double quotes is a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether the file has the extension.
pub fn has(text: &str) -> bool {
    extensions(text).is_some_and(|(start, end)| text.lines().take(end).skip(start).any(|line| line.trim_end() == NAME))
}

/// The file with the extension.
///
/// # Errors
/// When the file has another layout, in words.
pub fn with_entry(text: &str, entry: &Entry) -> Result<String, String> {
    if text.lines().any(|line| line.starts_with('\t') || line.trim_start_matches(' ').starts_with('\t')) {
        return Err("it is not valid YAML: a line is indented by a tab".to_owned());
    }
    let top_level_is_a_map =
        text.lines().all(|line| line.is_empty() || line.starts_with([' ', '#', '-', '.', '%']) || line.contains(':'));
    if !top_level_is_a_map {
        return Err("it is not a YAML file of settings".to_owned());
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(line) = lines.iter_mut().find(|line| line.trim_end() == "extensions: {}") {
        "extensions:".clone_into(line);
    }
    let Some((start, end)) = extensions(&lines.join("\n")) else {
        if lines.iter().any(|line| line.starts_with("extensions:")) {
            return Err("its `extensions` are written in a form that setup cannot change".to_owned());
        }
        return Ok(format!("{}\n\nextensions:\n{}", text.trim_end(), block(entry)));
    };
    if lines
        .iter()
        .take(end)
        .skip(start)
        .any(|line| !line.trim().is_empty() && !line.starts_with("  ") && !line.trim_start().starts_with('#'))
    {
        return Err("its `extensions` are written in a form that setup cannot change".to_owned());
    }
    let block: Vec<String> = block(entry).lines().map(str::to_owned).collect();
    match lines.iter().take(end).skip(start).position(|line| line.trim_end() == NAME) {
        None => drop(lines.splice(start..start, block)),
        Some(at) => {
            let from = start + at + 1;
            let length = lines.iter().take(end).skip(from).take_while(|line| line.starts_with("   ")).count();
            let command = format!("    cmd: {}", quoted(&entry.command));
            let args = block.iter().find(|line| line.starts_with("    args:")).cloned().unwrap_or_default();
            for line in lines.iter_mut().skip(from).take(length) {
                if line.starts_with("    cmd:") {
                    line.clone_from(&command);
                } else if line.starts_with("    args: [") {
                    line.clone_from(&args);
                }
            }
        }
    }
    Ok(format!("{}\n", lines.join("\n")))
}

/// Lines between `extensions:` and the next key of the document.
fn extensions(text: &str) -> Option<(usize, usize)> {
    let start = text.lines().position(|line| line.trim_end() == "extensions:")? + 1;
    let length = text.lines().skip(start).position(|line| !line.is_empty() && !line.starts_with([' ', '#']));
    Some((start, length.map_or(text.lines().count(), |length| start + length)))
}

#[cfg(test)]
mod tests {
    use super::{Entry, has, with_entry};

    #[test]
    fn everything_else_stays() {
        let entry = Entry { command: "/opt/callboard".to_owned(), args: vec!["serve".to_owned()] };
        for old in [
            "GOOSE_MODEL: x\n",
            "extensions:\n  developer:\n    enabled: true # keep\nGOOSE_MODEL: x\n",
            "# mine\nextensions: {}\nGOOSE_MODEL: x\n",
        ] {
            let new = with_entry(old, &entry).unwrap();
            assert!(has(&new), "{new}");
            assert!(new.contains("GOOSE_MODEL: x") && old.contains("# keep") == new.contains("# keep"), "{new}");
            assert_eq!(with_entry(&new, &entry).unwrap(), new, "a second time changes nothing");
        }
        assert!(with_entry("\tx: 1\n", &entry).is_err());
        assert!(with_entry("extensions: [a]\n", &entry).is_err());
    }
}
