//! Where values come from: flag, environment, secret files, settings files. The first source that sets a name wins.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    database::{DATABASE_DESCRIPTIONS, MORE_DATABASES},
    environment::Environment,
    near,
    setting::{Setting, key},
    table,
};
use crate::{
    domain::names::nearest,
    error::{Code, Error},
};

/// How names begin that this project's build and tests read; they are no settings, and no typos of one.
pub const OF_PROJECT: [&str; 2] = ["CALLBOARD_BUILD_", "CALLBOARD_TEST_"];

/// A value and where it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its text.
    pub text: String,
    /// The name it was set under.
    pub name: String,
    /// Where.
    pub source: Source,
}

impl Found {
    /// Where somebody set it, as a message names it.
    pub fn place(&self) -> String {
        let setting = table::find(&self.name);
        match &self.source {
            Source::Flag => format!("`{}`", setting.and_then(|setting| setting.flag).unwrap_or(&self.name)),
            Source::Environment => format!("`{}`", self.name),
            Source::SecretFile(path) => format!("`{}` in `{}`", self.name, path.display()),
            Source::File(path) => format!("`{}` in `{}`", key(&self.name), path.display()),
        }
    }
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// A file that holds the secret alone.
    SecretFile(PathBuf),
    /// A settings file.
    File(PathBuf),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::SecretFile(path) | Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// All sources, the strongest first.
#[derive(Debug, Default)]
pub struct Sources {
    layers: Vec<BTreeMap<String, Found>>,
    /// What an operator should see once.
    pub warnings: Vec<String>,
    /// Settings files that were read.
    pub files: Vec<PathBuf>,
}

impl Sources {
    /// Reads all of them.
    ///
    /// # Errors
    /// `invalid` for an unknown name, or a file that cannot be read.
    pub fn read(environment: &Environment, flags: &[(&'static str, String)]) -> Result<Self, Error> {
        let mut sources = Self::default();
        let flags = flags.iter().map(|(name, text)| ((*name).to_owned(), text.clone(), Source::Flag));
        sources.add(flags.collect());
        let variables = from_environment(environment)?;
        sources.add(variables);
        if let Some(found) = sources.get_name("CALLBOARD_CONFIG") {
            let path = environment.path(&found.text);
            sources.add_file(&path, true)?;
        }
        sources.add_file(&environment.project_file(), false)?;
        if let Some(path) = environment.user_file() {
            sources.add_file(&path, false)?;
        }
        let strange = environment.variables.iter().filter(|(name, value)| !known(name) && is_filled(value));
        let strange = strange.map(|(name, _)| name.as_str()).filter(|name| !name.starts_with("CALLBOARD_"));
        let near = near::warnings(strange, |setting| sources.get(setting).map(|found| found.name.as_str()));
        sources.warnings.extend(near);
        Ok(sources)
    }

    /// The value of a setting under any of its names.
    pub fn get(&self, setting: &Setting) -> Option<&Found> {
        self.layers.iter().find_map(|layer| setting.names().find_map(|name| layer.get(name)))
    }

    /// The value under one name.
    pub fn get_name(&self, name: &str) -> Option<&Found> {
        self.layers.iter().find_map(|layer| layer.get(name))
    }

    /// A failure that is about a setting, in words that name where it was set.
    pub fn placed(&self, error: Error) -> Error {
        let named = |name: &str| self.get_name(name).or_else(|| self.get(table::find(name)?));
        let Some(found) = error.argument.as_deref().and_then(named) else { return error };
        let message = error.message.replace(&format!("`{}`", found.name), &found.place());
        error.reworded(message)
    }

    /// Every name that begins with `prefix`, with what follows it, in order.
    pub fn with_prefix(&self, prefix: &str) -> BTreeMap<String, &Found> {
        let mut all = BTreeMap::new();
        for layer in &self.layers {
            for (name, found) in layer {
                if let Some(rest) = name.strip_prefix(prefix) {
                    all.entry(rest.to_owned()).or_insert(found);
                }
            }
        }
        all
    }

    fn add(&mut self, values: Vec<(String, String, Source)>) {
        let mut layer = BTreeMap::new();
        for (name, text, source) in values {
            let trimmed = text.trim();
            if trimmed.is_empty() {
                continue;
            }
            if !is_filled_in(text.as_str()) {
                self.warnings.push(format!(
                    "`{name}` is the literal text `{trimmed}`, which nothing filled in; it counts as not set"
                ));
                continue;
            }
            let found = Found { text, name: name.clone(), source };
            layer.insert(name, found);
        }
        self.layers.push(layer);
    }

    fn add_file(&mut self, path: &Path, required: bool) -> Result<(), Error> {
        let unreadable =
            |error: &std::io::Error| format!("the settings file `{}` cannot be read: {error}", path.display());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if required => return Err(names_unreadable("CALLBOARD_CONFIG", path, &error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // A file that nobody named must not stop the start when it is merely out of reach.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                self.warnings.push(unreadable(&error));
                return Ok(());
            }
            Err(error) => return Err(Error::new(Code::Invalid, unreadable(&error))),
        };
        let values = from_toml(path, &text)?;
        self.add(values);
        self.files.push(path.to_owned());
        Ok(())
    }
}

/// Whether a value is one, and not nothing or the name of a variable that a client did not fill in.
pub fn is_filled_in(text: &str) -> bool {
    let text = text.trim();
    !(text.is_empty() || text.starts_with("${") && text.ends_with('}'))
}

/// Names of variables that set something of ours.
pub fn set_in(environment: &Environment) -> Vec<&str> {
    let filled = |value: &Result<String, _>| value.as_ref().is_ok_and(|text| is_filled_in(text));
    let set = environment.variables.iter().filter(|(name, value)| known(name) && filled(value));
    set.map(|(name, _)| name.as_str()).collect()
}

fn is_filled(value: &Result<String, std::ffi::OsString>) -> bool {
    value.as_ref().is_ok_and(|text| !text.trim().is_empty())
}

/// Whether a name is one of ours, in any form; the setting it belongs to where the table has it.
fn known(name: &str) -> bool {
    table::find(name).is_some() || more_database(name) || name.strip_suffix("_FILE").is_some_and(secret)
}

fn more_database(name: &str) -> bool {
    [MORE_DATABASES, DATABASE_DESCRIPTIONS]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
}

fn secret(name: &str) -> bool {
    table::find(name).is_some_and(|setting| setting.secret)
        || name.strip_prefix(MORE_DATABASES).is_some_and(|rest| !rest.is_empty() && rest != "FILE")
}

fn from_environment(environment: &Environment) -> Result<Vec<(String, String, Source)>, Error> {
    let mut values = Vec::new();
    for (name, value) in &environment.variables {
        let meant = name.starts_with("CALLBOARD_") && !of_project(name) && !service_link(environment, name);
        if meant && !known(name) {
            return Err(unknown("variable", name, table::settings().flat_map(Setting::names)));
        }
        if !known(name) {
            continue;
        }
        let Ok(text) = value else {
            return Err(Error::new(Code::Invalid, format!("the value of `{name}` is not UTF-8")).argument(name.clone()));
        };
        match name.strip_suffix("_FILE").filter(|secret_name| secret(secret_name)) {
            Some(_) if text.trim().is_empty() || text.starts_with("${") => {}
            Some(secret_name) if environment.text(secret_name).is_none() => {
                values.push(secret_file(secret_name, environment.path(text), name)?);
            }
            Some(_) => {}
            None => values.push((name.clone(), text.clone(), Source::Environment)),
        }
    }
    for name in mounted_secrets(environment) {
        if environment.text(&name).is_none() && environment.text(&format!("{name}_FILE")).is_none() {
            let path = environment.secrets_dir.join(&name);
            values.push(secret_file(&name, path, &name)?);
        }
    }
    Ok(values)
}

/// Whether a variable is for this project's build or tests: `cargo run` hands on what `build.rs` sets.
fn of_project(name: &str) -> bool {
    OF_PROJECT.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether Kubernetes has set a variable for a service whose name begins with `callboard`: `X_SERVICE_HOST` comes with `X_SERVICE_PORT…` and `X_PORT…`.
fn service_link(environment: &Environment, name: &str) -> bool {
    let services = environment.variables.keys().filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    let mut kinds = services.filter_map(|service| name.strip_prefix(service));
    kinds.any(|kind| kind.starts_with("_SERVICE_") || kind.starts_with("_PORT"))
}

/// Names of files in the directory of mounted secrets that are secrets of ours.
fn mounted_secrets(environment: &Environment) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(&environment.secrets_dir) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| secret(name)).collect()
}

fn secret_file(name: &str, path: PathBuf, argument: &str) -> Result<(String, String, Source), Error> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((name.to_owned(), text.trim_end_matches(['\n', '\r']).to_owned(), Source::SecretFile(path))),
        Err(error) if argument == name => {
            let message = format!("the secret file `{}` cannot be read: {error}", path.display());
            Err(Error::invalid(argument.to_owned(), message))
        }
        Err(error) => Err(names_unreadable(argument, &path, &error)),
    }
}

/// A setting that is the path of a file which cannot be read.
pub fn names_unreadable(name: &str, path: &Path, error: &std::io::Error) -> Error {
    let message = format!("`{name}` names `{}`, which cannot be read: {error}", path.display());
    Error::invalid(name.to_owned(), message)
}

fn from_toml(path: &Path, text: &str) -> Result<Vec<(String, String, Source)>, Error> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
        Error::new(Code::Invalid, format!("`{}` line {line}: {}", path.display(), error.message().replace('\n', " ")))
    })?;
    let mut values = Vec::new();
    for (key, value) in &table {
        let upper = key.to_ascii_uppercase();
        let name =
            [format!("CALLBOARD_{upper}"), upper].into_iter().find(|name| known(name) && !name.ends_with("_FILE"));
        let Some(name) = name else {
            let keys: Vec<String> = table::settings().map(Setting::key).collect();
            return Err(unknown(&format!("key in `{}`", path.display()), key, keys.iter().map(String::as_str)));
        };
        values.push((name, toml_text(path, key, value)?, Source::File(path.to_owned())));
    }
    Ok(values)
}

fn toml_text(path: &Path, key: &str, value: &toml::Value) -> Result<String, Error> {
    Ok(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(switch) => switch.to_string(),
        toml::Value::Array(items) => {
            let items: Result<Vec<String>, Error> = items.iter().map(|item| toml_text(path, key, item)).collect();
            items?.join(",")
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            return Err(Error::new(
                Code::Invalid,
                format!(
                    "`{key}` in `{}` is a {}; it takes text, a whole number, true or false, or a list",
                    path.display(),
                    value.type_str()
                ),
            )
            .argument(key.to_owned()));
        }
    })
}

/// A name that means nothing: a typo must not silently leave a setting off.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::invalid(name.to_owned(), format!("unknown {what}: `{name}`"))
        .did_you_mean(nearest(name, known))
        .hint("`callboard config schema` lists all")
}
