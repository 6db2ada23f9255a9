//! From sources to [`Config`].

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Access, Answers, Config, Limits, Migrate, OWN_SCHEMA, Toolsets, Webhooks, database,
    environment::Environment,
    search,
    sources::{self, Sources},
    table, value, view,
};
use crate::{
    domain::{catalogue::TOOLSETS, search::Patterns, webhooks::Hosts},
    error::{Code, Error},
    redaction::redact,
};

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
        warnings.extend(never_matching(&config.access));
        Ok(Loaded { config, warnings, notes, files: sources.files })
    }

    fn of(sources: &mut Sources, environment: &Environment) -> Result<Self, Error> {
        for setting in table::SETTINGS {
            if let Some(found) = sources.get(setting) {
                value::check(setting, &found.name, &found.text)?;
            }
        }
        let databases = database::databases(sources, environment)?;
        let query_database = database::query_database(sources, environment, &databases)?;
        let store = database::store(sources, environment, &databases)?;
        let search = search::search(sources, environment)?;
        let data_dir = data_dir(sources, environment)?;
        let toolsets = toolsets(sources)?;
        let read = Read(sources);
        Ok(Self {
            query_database,
            search,
            store,
            access: read.access()?,
            webhooks: read.webhooks()?,
            limits: read.limits()?,
            answers: read.answers()?,
            toolsets,
            log: read.text("CALLBOARD_LOG").unwrap_or(table::LOG_DEFAULT).trim().to_owned(),
            migrate: if read.text("CALLBOARD_MIGRATE").is_some_and(|word| word.eq_ignore_ascii_case("never")) {
                Migrate::Never
            } else {
                Migrate::Auto
            },
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
    let later = table::SETTINGS.iter().filter(|setting| setting.section == table::Section::Later);
    let set = later.filter_map(|setting| sources.get(setting));
    set.map(|found| format!("`{}` is set, but this version does not use it yet", found.name)).collect()
}

/// Patterns that fit no name that can exist.
fn never_matching(access: &Access) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_odd = |one: char| one.is_uppercase() || one.is_whitespace() || "/\\?\"<>|#:".contains(one);
    for pattern in access.indices.as_slice() {
        if pattern.contains(is_odd) || pattern.starts_with(['-', '_', '+']) {
            warnings.push(format!("`{pattern}` in `CALLBOARD_INDICES` matches no index: names are lower case, and only `*` has a meaning of its own"));
        }
    }
    for pattern in access.schemas.patterns().iter().filter(|pattern| *pattern == OWN_SCHEMA) {
        warnings.push(format!(
            "`{pattern}` in `CALLBOARD_SCHEMAS` has no effect: this server's own records are never shown"
        ));
    }
    warnings
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

/// Values by name; each was held to its kind before.
struct Read<'a>(&'a Sources);

impl Read<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        table::find(name).and_then(|setting| self.0.get(setting)).map(|found| found.text.as_str())
    }

    fn switch(&self, name: &str) -> Result<bool, Error> {
        self.text(name).map_or(Ok(false), |text| value::switch(name, text))
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(value::list).unwrap_or_default()
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Error> {
        let read = match self.text(name) {
            Some(text) => value::number(name, text, 0, u64::MAX)?,
            None => return Ok(default),
        };
        Ok(usize::try_from(read).unwrap_or(usize::MAX))
    }

    fn bytes(&self, name: &str, default: usize) -> Result<usize, Error> {
        let read = match self.text(name) {
            Some(text) => value::bytes(name, text, 0, u64::MAX)?,
            None => return Ok(default),
        };
        Ok(usize::try_from(read).unwrap_or(usize::MAX))
    }

    fn duration(&self, name: &str, default: Duration) -> Result<Duration, Error> {
        self.text(name).map_or(Ok(default), |text| value::duration(name, text, 0, u64::MAX))
    }

    fn access(&self) -> Result<Access, Error> {
        Ok(Access {
            read_only: self.switch("CALLBOARD_READ_ONLY")?,
            indices: Patterns::new(self.list("CALLBOARD_INDICES")),
            schemas: Patterns::new(self.list("CALLBOARD_SCHEMAS")).into(),
            functions: self.functions()?,
        })
    }

    /// Names as queries hold them: what is written without quotes is lower case there.
    fn functions(&self) -> Result<Vec<String>, Error> {
        let name = "CALLBOARD_ALLOW_FUNCTIONS";
        let mut functions = self.list(name);
        if let Some(odd) = functions.iter().find(|function| function.contains(['*', '.', '(', ')', ' '])) {
            let bare = odd.trim_end_matches(['(', ')']).rsplit('.').next().unwrap_or_default();
            let bare = (!bare.is_empty() && !bare.contains('*')).then(|| bare.to_owned());
            return Err(value::refused(
                name,
                odd,
                "names of functions separated by commas, without schema and parentheses",
            )
            .did_you_mean(bare.into_iter().collect()));
        }
        let lower: Vec<String> = functions.iter().map(|function| function.to_lowercase()).collect();
        functions.extend(lower);
        functions.sort_unstable();
        functions.dedup();
        Ok(functions)
    }

    fn webhooks(&self) -> Result<Webhooks, Error> {
        let name = "CALLBOARD_WEBHOOK_HOSTS";
        let secret = self.text("CALLBOARD_WEBHOOK_SECRET").map(|text| text.trim().to_owned().into());
        let hosts = Hosts::parse(&self.list(name)).map_err(|wrong| {
            let shown = redact(&wrong.entry).into_owned();
            Error::new(Code::Invalid, format!("`{shown}` in `{name}` {}", wrong.why))
                .argument(name)
                .did_you_mean(wrong.meant.into_iter().collect::<Vec<_>>())
                .hint("it takes host names and addresses separated by commas, with or without a port, `*` for any characters: `localhost:*`, `*.example.com`, `10.0.*`, `[::1]:8080`")
        })?;
        Ok(Webhooks { hosts, secret })
    }

    fn limits(&self) -> Result<Limits, Error> {
        let default = Limits::default();
        Ok(Limits {
            rows_default: self.number("CALLBOARD_DEFAULT_ROWS", default.rows_default)?,
            rows_max: self.number("CALLBOARD_MAX_ROWS", default.rows_max)?,
            bytes_default: self.bytes("CALLBOARD_DEFAULT_BYTES", default.bytes_default)?,
            bytes_max: self.bytes("CALLBOARD_MAX_BYTES", default.bytes_max)?,
            call_time: self.duration("CALLBOARD_CALL_TIMEOUT_MS", default.call_time)?,
            statement_time: self.duration("CALLBOARD_STATEMENT_TIMEOUT_MS", default.statement_time)?,
            lease_time: self.duration("CALLBOARD_LEASE_MS", default.lease_time)?,
            load_rows_max: self.number("CALLBOARD_MAX_LOAD_ROWS", default.load_rows_max)?,
            load_bytes_max: self.bytes("CALLBOARD_MAX_LOAD_BYTES", default.load_bytes_max)?,
            documents_max: self.number("CALLBOARD_MAX_DOCUMENTS", default.documents_max)?,
            active_workflows_max: self.number("CALLBOARD_MAX_ACTIVE_WORKFLOWS", default.active_workflows_max)?,
            workflow_tasks_max: self.number("CALLBOARD_MAX_WORKFLOW_TASKS", default.workflow_tasks_max)?,
            dependency_depth_max: self.number("CALLBOARD_MAX_DEPENDENCY_DEPTH", default.dependency_depth_max)?,
            payload_bytes_max: self.bytes("CALLBOARD_MAX_PAYLOAD_BYTES", default.payload_bytes_max)?,
            calls_in_flight_max: self.number("CALLBOARD_MAX_CALLS", default.calls_in_flight_max)?,
            calls_waiting_max: self.number("CALLBOARD_MAX_WAITING_CALLS", default.calls_waiting_max)?,
        })
    }

    fn answers(&self) -> Result<Answers, Error> {
        let name = "CALLBOARD_ANSWERS";
        let Some(text) = self.text(name) else { return Ok(Answers::default()) };
        Ok(match value::choice(name, text, &["both", "text", "structured"])? {
            "text" => Answers::Text,
            "structured" => Answers::Structured,
            _ => Answers::Both,
        })
    }
}
