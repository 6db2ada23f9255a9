//! `callboard setup`: puts the server into a client's settings, keeping what is there.

mod clients;
mod jsonc;
mod toml_file;
mod yaml;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{GOOD, output};
use crate::{
    config::{Environment, Flags},
    error::{Code, Error},
};
pub use clients::Client;
use clients::Shape;

/// What is started, whoever starts it.
#[derive(Debug, Clone)]
pub struct Entry {
    command: String,
    args: Vec<String>,
}

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
    /// Why the file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl ClientEntry {
    /// For people.
    pub fn state_text(&self) -> String {
        match (&self.problem, self.entry, self.exists) {
            (Some(problem), ..) => format!("{problem} ({})", self.path.display()),
            (None, true, _) => format!("has an entry ({})", self.path.display()),
            (None, false, true) => {
                format!("no entry ({}); `callboard setup {}` adds it", self.path.display(), self.client)
            }
            (None, false, false) => "not found".to_owned(),
        }
    }
}

/// Writes the entry, or only prints it.
pub fn run(client: Client, print: bool, environment: &Environment, flags: &Flags) -> Result<u8, Error> {
    let entry = Entry::of_this_program(flags);
    if print {
        output::line(client.document(&entry).trim_end());
        return Ok(GOOD);
    }
    let path = client.path(environment).ok_or_else(|| {
        Error::new(Code::Invalid, "there is no home directory to find the client's settings in")
            .hint(format!("`callboard setup {} --print` shows the entry", client.name()))
    })?;
    let old = read(&path)?;
    let new = changed(client, &entry, old.as_deref()).map_err(|error| broken(client, &path, &error))?;
    if old.as_deref() == Some(new.as_str()) {
        output::line(&format!("{} has the entry already: {}", client.name(), path.display()));
        return Ok(GOOD);
    }
    let backup = write(&path, old.as_deref(), &new)?;
    output::line(&format!("{} now starts callboard: {}", client.name(), path.display()));
    if let Some(backup) = backup {
        output::line(&format!("the file as it was: {}", backup.display()));
    }
    output::line("Restart the client. Settings such as DATABASE_URL go into the entry's environment.");
    Ok(GOOD)
}

/// Which clients know this server.
pub fn found(environment: &Environment) -> Vec<ClientEntry> {
    let look = |client: &Client| {
        let path = client.path(environment)?;
        let (text, problem) = match read(&path) {
            Ok(text) => (text, None),
            Err(error) => (None, Some(error.message.clone())),
        };
        let entry = match (&text, client.shape()) {
            (Some(text), Shape::Json { list }) => jsonc::has(text, list, "callboard"),
            (Some(text), Shape::Toml) => Ok(toml_file::has(text)),
            (Some(text), Shape::Yaml) => Ok(yaml::has(text)),
            (None, _) => Ok(false),
        };
        let problem = problem.or_else(|| entry.as_ref().err().cloned());
        Some(ClientEntry {
            client: client.name(),
            exists: text.is_some(),
            path,
            entry: entry.unwrap_or(false),
            problem,
        })
    };
    Client::ALL.iter().filter_map(look).collect()
}

impl Entry {
    fn of_this_program(flags: &Flags) -> Self {
        let command =
            std::env::current_exe().map_or_else(|_| "callboard".to_owned(), |path| path.display().to_string());
        let mut args = vec!["serve".to_owned()];
        if flags.read_only {
            args.push("--read-only".to_owned());
        }
        if let Some(toolsets) = &flags.toolsets {
            args.extend(["--toolsets".to_owned(), toolsets.clone()]);
        }
        if let Some(data_dir) = &flags.data_dir {
            let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone());
            args.extend(["--data-dir".to_owned(), absolute.display().to_string()]);
        }
        Self { command, args }
    }
}

/// The file with the entry in it.
fn changed(client: Client, entry: &Entry, old: Option<&str>) -> Result<String, String> {
    let old = old.filter(|text| !text.trim().is_empty());
    match (client.shape(), old) {
        (_, None) => Ok(client.document(entry)),
        (Shape::Json { list }, Some(old)) => jsonc::with_entry(old, list, "callboard", &client.json(entry)),
        (Shape::Toml, Some(old)) => toml_file::with_entry(old, entry),
        (Shape::Yaml, Some(old)) => yaml::with_entry(old, entry),
    }
}

fn broken(client: Client, path: &Path, why: &str) -> Error {
    Error::new(Code::Invalid, format!("`{}` was left as it is: {why}", path.display()))
        .hint(format!("mend the file, or put in by hand what `callboard setup {} --print` shows", client.name()))
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(Code::Invalid, format!("`{}` cannot be read: {error}", path.display()))),
    }
}

/// Replaces the file in one step; gives the path of the copy that was kept.
fn write(path: &Path, old: Option<&str>, new: &str) -> Result<Option<PathBuf>, Error> {
    let failed =
        |error: std::io::Error| Error::new(Code::Invalid, format!("`{}` cannot be written: {error}", path.display()));
    // A link to a file kept elsewhere stays a link.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let beside = |ending: &str| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        path.with_file_name(name)
    };
    let mut backup = None;
    if old.is_some() {
        let copy = (1..).map(|count| beside(&format!(".backup-{count}"))).find(|copy| !copy.exists());
        if let Some(copy) = copy {
            std::fs::copy(path, &copy).map_err(failed)?;
            backup = Some(copy);
        }
    }
    let fresh = beside(&format!(".callboard-{}", std::process::id()));
    std::fs::write(&fresh, new).map_err(failed)?;
    if let Ok(metadata) = std::fs::metadata(path) {
        std::fs::set_permissions(&fresh, metadata.permissions()).map_err(failed)?;
    }
    std::fs::rename(&fresh, path).map_err(failed)?;
    Ok(backup)
}
