//! `callboard setup`: puts the server into a client's settings, keeping what is there.

mod clients;
mod entry;
mod file;
mod jsonc;
mod list;
mod toml_file;
mod yaml;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{GOOD, output};
use crate::{
    config::{Environment, Flags},
    error::{Code, Error},
    redaction::redact,
};
pub use clients::Client;
use clients::Shape;
use entry::{Change, Existing, Wanted};

/// What the server is called in a client's settings.
const NAME: &str = "callboard";

/// Whether a client knows this server.
#[derive(Debug, Serialize)]
pub struct ClientEntry {
    /// The client, as `setup` names it.
    pub client: &'static str,
    /// Its settings file.
    pub path: PathBuf,
    /// The file is there.
    pub exists: bool,
    /// It has an entry for this server.
    pub entry: bool,
    /// Why the file cannot be read, or its entry cannot work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl ClientEntry {
    /// For people.
    pub fn state_text(&self) -> String {
        match (&self.problem, self.entry, self.exists) {
            (Some(problem), ..) => format!("PROBLEM: {problem} ({})", self.path.display()),
            (None, true, _) => format!("has an entry ({})", self.path.display()),
            (None, false, true) => {
                format!("no entry ({}); `callboard setup {}` adds it", self.path.display(), self.client)
            }
            (None, false, false) => "no settings file".to_owned(),
        }
    }
}

/// A client's file as it would be.
struct Plan {
    text: String,
    /// What the entry that is there keeps; none where there is no entry yet.
    kept: Option<Existing>,
    change: Change,
    /// The arguments that the entry will have.
    args: Vec<String>,
}

/// Writes the entry, or only prints it.
pub fn run(client: Client, print: bool, environment: &Environment, flags: &Flags) -> Result<u8, Error> {
    let wanted = Wanted::of_this_program(flags, environment)?;
    let path = client.path(environment);
    if print {
        show(client, path.as_deref(), &wanted);
        return Ok(GOOD);
    }
    let path = path.ok_or_else(|| {
        Error::new(Code::Invalid, "there is no home directory to find the client's settings in")
            .hint(format!("`callboard setup {} --print` shows the entry", client.name()))
    })?;
    let old = file::read(&path)?;
    let plan = plan(client, &wanted, old.as_deref()).map_err(|error| broken(client, &path, &error))?;
    if old.as_deref() == Some(plan.text.as_str()) {
        output::line(&format!("Nothing changed: {} already starts callboard ({}).", client.name(), path.display()));
        output::write(&redact(&told(&plan, &wanted)));
        return Ok(GOOD);
    }
    let backup = file::write(&path, old.as_deref(), &plan.text)?;
    output::line(&format!("{} now starts callboard: {}", client.name(), path.display()));
    output::write(&redact(&told(&plan, &wanted)));
    if let Some(backup) = backup {
        output::line(&format!("The file as it was: {}", backup.display()));
    }
    if let Some(project) =
        client.project_path(environment).filter(|project| *project != path && has_entry(client, project))
    {
        output::line(&format!(
            "In this directory {} has an entry of its own, which was not changed: {}",
            client.name(),
            project.display()
        ));
    }
    output::line("Restart the client. Settings such as DATABASE_URL go into the entry's environment.");
    Ok(GOOD)
}

/// Prints the entry on stdout; what it would do to the file goes to stderr.
fn show(client: Client, path: Option<&Path>, wanted: &Wanted) {
    let planned = path.map(|path| (path, file::read(path).map_err(|error| error.message.clone())));
    let planned = planned.map(|(path, old)| (path, old.and_then(|old| plan(client, wanted, old.as_deref()))));
    let mut shown = wanted.entry.clone();
    match &planned {
        Some((path, Ok(plan))) => {
            if let (None, Some(command)) =
                (&plan.change.command, plan.kept.as_ref().and_then(|kept| kept.command.as_ref()))
            {
                shown.command.clone_from(command);
            }
            shown.args.clone_from(&plan.args);
            let verb = match &plan.kept {
                None => "add this entry to",
                Some(_) if plan.change.is_empty() => "not change the entry in",
                Some(_) => "change the entry in",
            };
            output::note(&format!("setup would {verb} {}\n{}", path.display(), told(plan, wanted)));
        }
        Some((path, Err(why))) => output::note(&format!("setup would leave {} as it is: {why}\n", path.display())),
        None => {}
    }
    output::line(client.document(&shown).trim_end());
}

/// What changes, what stays and what is not there, a line each. Values of the environment are never shown.
fn told(plan: &Plan, wanted: &Wanted) -> String {
    let mut lines = Vec::new();
    let mut variables: &[String] = &[];
    match &plan.kept {
        None => lines.extend(wanted.inherited.iter().map(|option| format!("args: {option}"))),
        Some(kept) => {
            if kept.name != NAME {
                lines.push(format!("entry: `{}`", kept.name));
            }
            lines.extend(plan.change.told.iter().cloned());
            let stays: Vec<&str> =
                plan.change.kept_options.iter().chain(&kept.other_keys).map(String::as_str).collect();
            if !stays.is_empty() {
                lines.push(format!("kept: {}", stays.join(", ")));
            }
            variables = &kept.variables;
        }
    }
    let missing = wanted.missing(&plan.args, variables);
    if !missing.is_empty() {
        lines.push(format!("set here, but not in the entry: {}", missing.join(", ")));
    }
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// Which clients know this server.
pub fn found(environment: &Environment) -> Vec<ClientEntry> {
    let look = |client: &Client| {
        let path = client.path(environment)?;
        let read = file::read(&path).map_err(|error| error.message.clone());
        let exists = !matches!(read, Ok(None));
        let listed = read.and_then(|text| entries(*client, text.as_deref().unwrap_or_default()));
        let (entry, problem) = match &listed {
            Ok(listed) => {
                let ours = listed.iter().filter(|entry| entry.name == NAME || entry.runs_callboard());
                let missing = ours.clone().filter_map(|entry| entry.command.as_deref());
                let missing =
                    missing.filter(|command| Path::new(command).is_absolute() && !Path::new(command).exists());
                let gone = missing.map(|command| format!("its entry starts `{command}`, which does not exist")).next();
                (ours.count() > 0, gone)
            }
            Err(problem) => (false, Some(problem.clone())),
        };
        Some(ClientEntry { client: client.name(), exists, path, entry, problem })
    };
    Client::ALL.iter().filter_map(look).collect()
}

fn has_entry(client: Client, path: &Path) -> bool {
    let text = file::read(path).ok().flatten().unwrap_or_default();
    entries(client, &text).is_ok_and(|listed| listed.iter().any(|entry| entry.name == NAME || entry.runs_callboard()))
}

/// The servers that a client's file lists.
fn entries(client: Client, text: &str) -> Result<Vec<Existing>, String> {
    let (_, text, _) = file::normal(text);
    match client.shape() {
        _ if text.trim().is_empty() => Ok(Vec::new()),
        Shape::Json { list } => jsonc::entries(&text, list),
        Shape::Toml => toml_file::entries(&text),
        Shape::Yaml => yaml::entries(&text),
    }
}

/// The file with the entry in it.
fn plan(client: Client, wanted: &Wanted, old: Option<&str>) -> Result<Plan, String> {
    let (mark, text, line_end) = file::normal(old.unwrap_or_default());
    let kept = ours(entries(client, &text)?)?;
    let (change, args) = match &kept {
        Some(kept) => {
            let change = kept.change(wanted)?;
            let args = change.args(kept);
            (change, args)
        }
        None => (Change::default(), wanted.entry.args.clone()),
    };
    let entry = &wanted.entry;
    let new = match (client.shape(), &kept) {
        (_, Some(_)) if change.is_empty() => text,
        (Shape::Json { list }, Some(kept)) => jsonc::changed(&text, list, &kept.name, &change)?,
        (Shape::Toml, Some(kept)) => toml_file::changed(&text, &kept.name, &change)?,
        (Shape::Yaml, Some(kept)) => yaml::changed(&text, &kept.name, &change)?,
        (_, None) if text.trim().is_empty() => client.document(entry),
        (Shape::Json { list }, None) => jsonc::with_entry(&text, list, NAME, &client.json(entry))?,
        (Shape::Toml, None) => toml_file::with_entry(&text, entry)?,
        (Shape::Yaml, None) => yaml::with_entry(&text, entry)?,
    };
    Ok(Plan { text: format!("{mark}{}", new.replace('\n', line_end)), kept, change, args })
}

/// The entry that setup changes: ours by name, else the one that starts callboard under another name.
fn ours(mut entries: Vec<Existing>) -> Result<Option<Existing>, String> {
    if let Some(at) = entries.iter().position(|entry| entry.name == NAME) {
        return Ok(Some(entries.swap_remove(at)));
    }
    entries.retain(Existing::runs_callboard);
    match entries.len() {
        0 | 1 => Ok(entries.pop()),
        _ => {
            let names: Vec<String> = entries.iter().map(|entry| format!("`{}`", entry.name)).collect();
            Err(format!("several entries start callboard ({}), and none is called `{NAME}`", names.join(", ")))
        }
    }
}

fn broken(client: Client, path: &Path, why: &str) -> Error {
    Error::new(Code::Invalid, format!("`{}` was left as it is: {why}", path.display()))
        .hint(format!("correct the file, or add by hand what `callboard setup {} --print` shows", client.name()))
}
