//! From sources to [`Config`].

use std::path::{Path, PathBuf};

use super::{
    Config,
    access::{Access, Toolsets},
    database,
    environment::Environment,
    limits::Limits,
    process::{Answers, LOG_DEFAULT},
    records::Migrate,
    search,
    setting::Section,
    sources::{self, Sources},
    table, value,
    values::Values,
    view,
    webhooks::Webhooks,
};
use crate::{domain::catalogue::TOOLSETS, error::Error};

/// What the command line says. Secrets are never here.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--read-only`.
    pub read_only: bool,
    /// `--toolsets`.
    pub toolsets: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
}

/// Settings with what an operator should see once.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// For stderr.
    pub warnings: Vec<String>,
    /// What is set in vain, without being wrong.
    pub notes: Vec<String>,
    /// Settings files that were read, the strongest first.
    pub files: Vec<PathBuf>,
}

impl Config {
    /// Reads every source.
    ///
    /// # Errors
    /// `invalid` for whatever is unknown or cannot be read: a typo must not leave a setting off.
    pub fn load(environment: &Environment, flags: &Flags) -> Result<Loaded, Error> {
        let mut sources = Sources::read(environment, &flags.listed())?;
        let config = Self::of(&mut sources, environment).map_err(|error| sources.placed(error))?;
        let notes = unused(&sources);
        let mut warnings = sources.warnings;
        warnings.extend(config.access.never_matching());
        Ok(Loaded { config, warnings, notes, files: sources.files })
    }

    fn of(sources: &mut Sources, environment: &Environment) -> Result<Self, Error> {
        for setting in table::settings() {
            if let Some(found) = sources.get(setting) {
                value::check(setting, &found.name, &found.text)?;
            }
        }
        let databases = database::read::databases(sources, environment)?;
        let query_database = database::read::query_database(sources, environment, &databases)?;
        let store = database::read::store(sources, environment, &databases)?;
        let search = search::read::search(sources, environment)?;
        let data_dir = data_dir(sources, environment)?;
        let toolsets = toolsets(sources)?;
        let text =
            |name: &str| table::find(name).and_then(|setting| sources.get(setting)).map(|found| found.text.as_str());
        let values = Values(&text);
        Ok(Self {
            query_database,
            search,
            store,
            access: Access::read(&values)?,
            webhooks: Webhooks::read(&values)?,
            limits: Limits::read(&values)?,
            answers: Answers::read(&values)?,
            toolsets,
            log: values.text("CALLBOARD_LOG").unwrap_or(LOG_DEFAULT).trim().to_owned(),
            migrate: Migrate::read(&values),
            shown: view::shown(sources, &databases, &data_dir),
            databases,
            data_dir,
        })
    }
}

impl Flags {
    /// These, and what of the others the environment sets.
    ///
    /// # Errors
    /// `invalid` when a variable cannot be read.
    pub fn or_of(&self, environment: &Environment) -> Result<Self, Error> {
        let set = |name: &str| environment.text(name).filter(|text| sources::is_filled_in(text));
        let read_only = match set("CALLBOARD_READ_ONLY") {
            Some(text) => value::switch("CALLBOARD_READ_ONLY", text)?,
            None => false,
        };
        if let Some(toolsets) = set("CALLBOARD_TOOLSETS") {
            value::words("CALLBOARD_TOOLSETS", toolsets, TOOLSETS)?;
        }
        let data_dir = set("CALLBOARD_DATA_DIR").map(|text| environment.path(text.trim()));
        if let Some(path) = &data_dir {
            is_directory("CALLBOARD_DATA_DIR", path)?;
        }
        Ok(Self {
            read_only: self.read_only || read_only,
            toolsets: self.toolsets.clone().or_else(|| set("CALLBOARD_TOOLSETS").map(str::to_owned)),
            data_dir: self.data_dir.clone().or(data_dir),
        })
    }

    fn listed(&self) -> Vec<(&'static str, String)> {
        let mut listed = Vec::new();
        if self.read_only {
            listed.push(("CALLBOARD_READ_ONLY", "true".to_owned()));
        }
        if let Some(toolsets) = &self.toolsets {
            listed.push(("CALLBOARD_TOOLSETS", toolsets.clone()));
        }
        if let Some(data_dir) = &self.data_dir {
            listed.push(("CALLBOARD_DATA_DIR", data_dir.display().to_string()));
        }
        listed
    }
}

/// Where data lives. Without a home it is a directory that need not survive, which is said.
fn data_dir(sources: &mut Sources, environment: &Environment) -> Result<PathBuf, Error> {
    if let Some(found) = sources.get_name("CALLBOARD_DATA_DIR") {
        let path = environment.path(found.text.trim());
        is_directory("CALLBOARD_DATA_DIR", &path)?;
        return Ok(path);
    }
    if let Some(home) = environment.data_home() {
        return Ok(home.join("callboard"));
    }
    let path = environment.temporary_dir.join(format!("callboard-{}", rustix::process::geteuid().as_raw()));
    sources.warnings.push(format!(
        "there is no home directory: data goes to `{}` and may be lost; set CALLBOARD_DATA_DIR",
        path.display()
    ));
    Ok(path)
}

/// Holds the data directory that `name` says to being one, or nothing yet.
///
/// # Errors
/// `invalid` when something else is there.
pub fn is_directory(name: &'static str, path: &Path) -> Result<(), Error> {
    if path.is_dir() || !path.exists() {
        return Ok(());
    }
    let message = format!("`{name}` is `{}`, which is not a directory", path.display());
    Err(Error::invalid(name, message).hint("it takes the path of a directory, which is made where there is none"))
}

/// Settings whose backends come with a later version.
fn unused(sources: &Sources) -> Vec<String> {
    let later = table::settings().filter(|setting| setting.section == Section::Later);
    let set = later.filter_map(|setting| sources.get(setting));
    set.map(|found| format!("`{}` is set, but this version does not use it yet", found.name)).collect()
}

/// The groups to serve. Where all that was asked for comes with later versions, ops is served, so that a client sees why.
fn toolsets(sources: &mut Sources) -> Result<Toolsets, Error> {
    let name = "CALLBOARD_TOOLSETS";
    let Some(found) = sources.get_name(name) else { return Ok(Toolsets::default()) };
    let mut groups = value::words(name, &found.text, TOOLSETS)?;
    if groups.is_empty() || groups.contains(&"all") {
        return Ok(Toolsets::default());
    }
    if Toolsets::new(Some(groups.iter().map(|group| (*group).to_owned()).collect())).served().is_empty() {
        let place = found.place();
        sources.warnings.push(format!("this version has none of the groups in {place}; it only serves `ops`"));
        groups.push("ops");
    }
    Ok(Toolsets::new(Some(groups.into_iter().map(str::to_owned).collect())))
}
