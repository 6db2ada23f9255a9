//! What the process was started in. The only place that reads environment variables.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Variables and directories, read once. Tests make their own.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Every variable, its value as text where it is text.
    pub variables: BTreeMap<String, Result<String, OsString>>,
    /// The working directory.
    pub working_dir: PathBuf,
    /// The user's home, where there is one.
    pub home: Option<PathBuf>,
    /// Where an orchestrator mounts secrets as files.
    pub secrets_dir: PathBuf,
    /// Where files may lie that need not survive.
    pub temporary_dir: PathBuf,
}

impl Environment {
    /// Of this process.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string())))
            .collect();
        Self {
            variables,
            working_dir: std::env::current_dir().unwrap_or_default(),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            secrets_dir: PathBuf::from("/secrets"),
            temporary_dir: std::env::temp_dir(),
        }
    }

    /// A variable that is set to some text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_deref().ok().filter(|value| !value.is_empty())
    }

    /// The platform's directory for data of programs.
    pub fn data_home(&self) -> Option<PathBuf> {
        self.base("XDG_DATA_HOME", ".local/share")
    }

    /// The platform's directory for settings of programs.
    pub fn config_home(&self) -> Option<PathBuf> {
        self.base("XDG_CONFIG_HOME", ".config")
    }

    fn base(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let given = self.text(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        given.or_else(|| {
            if cfg!(windows) {
                return self.text("APPDATA").map(PathBuf::from);
            }
            let home = self.home.as_deref()?;
            Some(if cfg!(target_os = "macos") {
                home.join("Library/Application Support")
            } else {
                home.join(below_home)
            })
        })
    }

    /// A path as written in a setting: `~/` is the home, and a relative path begins in the working directory.
    pub fn path(&self, written: &str) -> PathBuf {
        let path = match (written.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(written),
        };
        if path.is_absolute() { path } else { self.working_dir.join(path) }
    }

    /// The user's own callboard.toml.
    pub fn user_file(&self) -> Option<PathBuf> {
        self.config_home().map(|home| home.join("callboard").join("callboard.toml"))
    }

    /// A callboard.toml in the working directory.
    pub fn project_file(&self) -> PathBuf {
        Path::new(&self.working_dir).join("callboard.toml")
    }
}
