//! Changing one section of a TOML file, all other text staying as it is: the parser says where things stand.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    NAME,
    entry::{Change, Entry, Existing, other_keys},
    list::{edited, quoted, written},
};

/// Where Codex lists its servers.
const LIST: &str = "mcp_servers";

const UNKNOWN_FORM: &str = "its entry is written in a form that setup cannot change";

/// The section.
pub fn section(entry: &Entry) -> String {
    format!("[{LIST}.{NAME}]\ncommand = {}\nargs = {}\n", quoted(&entry.command), written(&entry.args))
}

/// The servers that the file lists.
///
/// # Errors
/// When the file is broken, in words.
pub fn entries(text: &str) -> Result<Vec<Existing>, String> {
    let document = parsed(text)?;
    let Some(servers) = document.get(LIST) else { return Ok(Vec::new()) };
    let Some(servers) = servers.get_ref().as_table() else { return Err(format!("its `{LIST}` is not a table")) };
    servers.iter().map(|(name, entry)| existing(name.get_ref(), entry.get_ref())).collect()
}

fn existing(name: &str, entry: &DeValue<'_>) -> Result<Existing, String> {
    let Some(entry) = entry.as_table() else {
        if name == NAME {
            return Err(format!("its `{LIST}.{name}` is not a table"));
        }
        return Ok(Existing { name: name.to_owned(), ..Existing::default() });
    };
    let (command, args) = (entry.get("command"), entry.get("args"));
    let text = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
    let command_text = command.and_then(text);
    let arg_texts: Option<Vec<String>> = args.and_then(|args| args.get_ref().as_array()?.iter().map(text).collect());
    if name == NAME && (command.is_some() != command_text.is_some() || args.is_some() != arg_texts.is_some()) {
        return Err(format!(
            "the `command` of its `{LIST}.{name}` is not a text, or its `args` are not a list of texts"
        ));
    }
    let names = |table: &DeTable<'_>| table.keys().map(|name| name.get_ref().to_string()).collect::<Vec<String>>();
    let variables = entry.get("env").and_then(|env| env.get_ref().as_table()).map(names).unwrap_or_default();
    let other_keys = other_keys(names(entry).iter(), &variables);
    Ok(Existing { name: name.to_owned(), command: command_text, args: arg_texts, other_keys, variables })
}

fn parsed(text: &str) -> Result<DeTable<'_>, String> {
    DeTable::parse(text).map(Spanned::into_inner).map_err(|error| {
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
        format!("it is not valid TOML: line {line}: {}", error.message().replace('\n', " "))
    })
}

/// The file with a further section.
///
/// # Errors
/// When servers are listed in a form that takes no section.
pub fn with_entry(text: &str, entry: &Entry) -> Result<String, String> {
    let gap = match text {
        "" => "",
        text if text.ends_with("\n\n") => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let new = format!("{text}{gap}{}", section(entry));
    parsed(&new).map_err(|_| format!("its `{LIST}` are written in a form that setup cannot add to"))?;
    Ok(new)
}

/// The file with the section `name` changed.
///
/// # Errors
/// When the entry is written in another way than as a section.
pub fn changed(text: &str, name: &str, change: &Change) -> Result<String, String> {
    let mut text = text.to_owned();
    if let Some(command) = &change.command {
        text = with_value(&text, name, "command", &quoted(command)).ok_or(UNKNOWN_FORM)?;
    }
    if let Some(args) = &change.all_args {
        text = with_value(&text, name, "args", &written(args)).ok_or(UNKNOWN_FORM)?;
    }
    if !change.edits.is_empty() {
        text = with_edits(&text, name, change).ok_or(UNKNOWN_FORM)?;
    }
    parsed(&text).map_err(|_| UNKNOWN_FORM.to_owned())?;
    Ok(text)
}

fn with_value(text: &str, name: &str, key: &str, new: &str) -> Option<String> {
    let document = parsed(text).ok()?;
    let entry = document.get(LIST)?.get_ref().get(name)?;
    let mut out = text.to_owned();
    match entry.get_ref().get(key) {
        Some(old) => out.replace_range(old.span(), new),
        None => {
            // Below its heading.
            let heading = entry.span();
            if !text.get(heading.clone())?.starts_with('[') {
                return None;
            }
            let line_end = heading.end + text.get(heading.end..)?.find('\n')?;
            out.insert_str(line_end + 1, &format!("{key} = {new}\n"));
        }
    }
    Some(out)
}

fn with_edits(text: &str, name: &str, change: &Change) -> Option<String> {
    let document = parsed(text).ok()?;
    let args = document.get(LIST)?.get_ref().get(name)?.get_ref().get("args")?;
    let elements: Vec<_> = args.get_ref().as_array()?.iter().map(Spanned::span).collect();
    edited(text, args.span().start, &elements, &change.edits)
}

#[cfg(test)]
mod tests {
    use super::{Change, Entry, entries, with_entry};
    use crate::cli::setup::entry::Edit;

    #[test]
    fn everything_else_stays() {
        let entry = Entry { command: "/opt/call board".to_owned(), args: vec!["serve".to_owned()] };
        let old = "# mine\nmodel = \"x\"\n\n[mcp_servers.other]\ncommand = \"y\" # keep\n";
        let new = with_entry(old, &entry).unwrap();
        assert_eq!(new, format!("{old}\n[mcp_servers.callboard]\ncommand = \"/opt/call board\"\nargs = [\"serve\"]\n"));
        assert_eq!(entries(&new).unwrap().len(), 2);
        assert!(entries("a = ").unwrap_err().starts_with("it is not valid TOML: line 1: "));
    }

    #[test]
    fn a_section_keeps_its_comments_and_other_keys() {
        let old = "[ mcp_servers . \"callboard\" ] # ours\ncommand = 'old' # where\nargs = [\n  \"serve\", # on\n]\nstartup_timeout_sec = 5\n[mcp_servers.callboard.env]\ncommand = \"x\"\n";
        let change = Change {
            command: Some("/new".to_owned()),
            edits: vec![Edit::Append("--read-only".to_owned())],
            ..Change::default()
        };
        let new = super::changed(old, "callboard", &change).unwrap();
        let wanted = old.replace("'old'", "\"/new\"").replace("\"serve\",", "\"serve\",\n  \"--read-only\",");
        assert_eq!(new, wanted);
        assert!(super::changed("mcp_servers.callboard = {command = \"x\"}", "callboard", &change).is_err());
    }
}
