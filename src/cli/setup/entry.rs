//! What an entry starts, and what of an entry that is already there has to change.

use std::path::Path;

use crate::{
    config::{Environment, Flags, load, sources, table, value},
    domain::catalogue::TOOLSETS,
    error::Error,
};

/// What is started, whoever starts it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
}

/// What an entry is to start.
#[derive(Debug)]
pub struct Wanted {
    /// Where there is none yet.
    pub entry: Entry,
    /// Given on the command line: an entry that is there takes these alone.
    pub flags: Flags,
    /// For people: options that only the environment asks for, and that a new entry has.
    pub inherited: Vec<String>,
    /// Variables of ours that are set here.
    set_here: Vec<String>,
}

/// A server that a client's file lists.
#[derive(Debug, Default)]
pub struct Existing {
    /// Its name in the file.
    pub name: String,
    /// None where the entry names no program, or names it in a form that setup does not know.
    pub command: Option<String>,
    /// None where it has no arguments.
    pub args: Option<Vec<String>>,
    /// Its other keys that hold something, which stay as they are.
    pub other_keys: Vec<String>,
    /// Names in its environment.
    pub variables: Vec<String>,
}

/// What changes in an entry; all else stays as it is written.
#[derive(Debug, Default)]
pub struct Change {
    /// The program, where it is another one.
    pub command: Option<String>,
    /// All arguments, where the entry has none.
    pub all_args: Option<Vec<String>>,
    /// Single arguments.
    pub edits: Vec<Edit>,
    /// For people, a line for each thing that changes.
    pub told: Vec<String>,
    /// Options that stay although they were not given this time.
    pub kept_options: Vec<String>,
}

/// One argument that changes.
#[derive(Debug, Clone)]
pub enum Edit {
    /// At this place stands another text.
    Replace(usize, String),
    /// After the last.
    Append(String),
}

impl Wanted {
    /// This program, as the command line and the environment say.
    ///
    /// # Errors
    /// `invalid` when a flag or a variable cannot be used.
    pub fn of_this_program(flags: &Flags, environment: &Environment) -> Result<Self, Error> {
        if let Some(toolsets) = &flags.toolsets {
            value::words("--toolsets", toolsets, TOOLSETS)?;
        }
        if let Some(data_dir) = &flags.data_dir {
            load::is_directory("--data-dir", data_dir)?;
        }
        let command =
            std::env::current_exe().map_or_else(|_| "callboard".to_owned(), |path| path.display().to_string());
        let all = options(&flags.or_of(environment)?);
        let given = options(flags);
        let inherited = all.iter().filter(|(name, _)| !given.iter().any(|(known, _)| known == name));
        let inherited = inherited.map(|(name, value)| {
            let words: Vec<&str> = [*name].into_iter().chain(value.as_deref()).collect();
            let setting = table::settings().find(|setting| setting.flag == Some(name));
            format!("`{}`, from {}", words.join(" "), setting.map_or("the environment", |setting| setting.name))
        });
        let inherited = inherited.collect();
        let args = all.iter().flat_map(|(name, value)| [(*name).to_owned()].into_iter().chain(value.clone()));
        let args = ["serve".to_owned()].into_iter().chain(args).collect();
        let set_here = sources::set_in(environment).into_iter().map(str::to_owned).collect();
        Ok(Self { entry: Entry { command, args }, flags: flags.clone(), inherited, set_here })
    }

    /// Variables that are set here and that the entry with these arguments and variables would not have.
    pub fn missing(&self, args: &[String], variables: &[String]) -> Vec<&str> {
        let option = |name: &str| table::find(name).and_then(|setting| setting.flag);
        let has = |option: &str| args.iter().any(|arg| is_option(arg, option));
        let missing = |name: &&String| !variables.contains(name) && !option(name).is_some_and(has);
        self.set_here.iter().filter(missing).map(String::as_str).collect()
    }
}

impl Existing {
    /// Whether it starts this server, directly or through another program.
    pub fn runs_callboard(&self) -> bool {
        let names = |text: &String| {
            let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
            let last = last.split([':', '@']).next().unwrap_or_default();
            last == "callboard" || last.eq_ignore_ascii_case("callboard.exe")
        };
        self.command.iter().chain(self.args.iter().flatten()).any(names)
    }

    /// Whether `command` is this program itself, and not one that starts it (docker, npx, a script).
    fn is_direct(&self, command: &str) -> bool {
        let file = command.rsplit(['/', '\\']).next().unwrap_or_default();
        if file == "callboard" || file.eq_ignore_ascii_case("callboard.exe") {
            return true;
        }
        let first = self.args.iter().flatten().next();
        let is_ours = |first: &String| OPTIONS.iter().any(|option| first.starts_with(option)) || first == "serve";
        !Path::new(command).exists() && first.is_none_or(is_ours)
    }

    /// What has to change so that it starts `wanted` with the flags given.
    ///
    /// # Errors
    /// When that cannot be done, in words.
    pub fn change(&self, wanted: &Wanted) -> Result<Change, String> {
        let Wanted { entry: wanted, flags, .. } = wanted;
        let mut change = Change::default();
        let direct = match &self.command {
            None if self.other_keys.iter().any(|key| key == "url" || key == "serverUrl" || key == "uri") => {
                return Err(format!("its entry `{}` connects to a URL and starts no program", self.name));
            }
            None => true,
            Some(command) => self.is_direct(command),
        };
        if direct && self.command.as_ref() != Some(&wanted.command) {
            let old = self.command.as_ref().map_or("nothing".to_owned(), |old| format!("`{old}`"));
            change.told.push(format!("command: {old} → `{}`", wanted.command));
            change.command = Some(wanted.command.clone());
        }
        match &self.args {
            None if direct => {
                change.told.push(format!("args: adds `{}`", wanted.args.join(" ")));
                change.all_args = Some(wanted.args.clone());
            }
            None if options(flags).is_empty() => {}
            None => return Err(self.cannot_take_flags()),
            Some(args) => self.merge(args, flags, direct, &mut change)?,
        }
        Ok(change)
    }

    fn merge(&self, args: &[String], flags: &Flags, direct: bool, change: &mut Change) -> Result<(), String> {
        for (name, value) in options(flags) {
            if !direct && args.iter().any(|arg| arg == "-c" || arg.eq_ignore_ascii_case("/c")) {
                return Err(self.cannot_take_flags());
            }
            let joined = format!("{name}=");
            let at = args.iter().position(|arg| is_option(arg, name));
            match (at, value) {
                (Some(_), None) => {}
                (None, value) => {
                    let shown = value.iter().fold(name.to_owned(), |shown, value| format!("{shown} {value}"));
                    change.told.push(format!("args: adds `{shown}`"));
                    change.edits.extend([name.to_owned()].into_iter().chain(value).map(Edit::Append));
                }
                (Some(at), Some(value)) => {
                    let arg = args.get(at).map(String::as_str).unwrap_or_default();
                    let (old, edit) = match arg.strip_prefix(&joined) {
                        Some(old) => (Some(old), Edit::Replace(at, format!("{joined}{value}"))),
                        None => match args.get(at + 1) {
                            Some(old) => (Some(old.as_str()), Edit::Replace(at + 1, value.clone())),
                            None => (None, Edit::Append(value.clone())),
                        },
                    };
                    if old != Some(value.as_str()) {
                        let old = old.map_or("nothing".to_owned(), |old| format!("`{old}`"));
                        change.told.push(format!("args: {name} {old} → `{value}`"));
                        change.edits.push(edit);
                    }
                }
            }
        }
        let given = options(flags);
        let is_kept = |arg: &&String| {
            OPTIONS.iter().any(|option| is_option(arg, option) && !given.iter().any(|(name, _)| name == option))
        };
        change.kept_options = args.iter().filter(is_kept).cloned().collect();
        Ok(())
    }

    fn cannot_take_flags(&self) -> String {
        let command = self.command.as_deref().unwrap_or_default();
        format!("its entry `{}` starts callboard through `{command}`, where setup cannot add options", self.name)
    }
}

impl Change {
    /// The arguments as they will be.
    pub fn args(&self, existing: &Existing) -> Vec<String> {
        let mut args = self.all_args.clone().or_else(|| existing.args.clone()).unwrap_or_default();
        for edit in &self.edits {
            match edit {
                Edit::Replace(at, value) => args.iter_mut().skip(*at).take(1).for_each(|arg| arg.clone_from(value)),
                Edit::Append(value) => args.push(value.clone()),
            }
        }
        args
    }

    /// Whether everything is as wanted already.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

/// The keys of an entry that setup does not own; that of its environment only where there is something in it.
pub fn other_keys<'a>(keys: impl Iterator<Item = &'a String>, variables: &[String]) -> Vec<String> {
    let is_kept = |key: &&String| match key.as_str() {
        "command" | "args" => false,
        "env" => !variables.is_empty(),
        _ => true,
    };
    keys.filter(is_kept).cloned().collect()
}

/// The options of the command line that can stand in an entry.
const OPTIONS: [&str; 3] = ["--read-only", "--toolsets", "--data-dir"];

fn is_option(arg: &str, option: &str) -> bool {
    arg.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// Those that are given, with their values.
fn options(flags: &Flags) -> Vec<(&'static str, Option<String>)> {
    let mut given = Vec::new();
    if flags.read_only {
        given.push(("--read-only", None));
    }
    if let Some(toolsets) = &flags.toolsets {
        given.push(("--toolsets", Some(toolsets.clone())));
    }
    if let Some(data_dir) = &flags.data_dir {
        let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone());
        given.push(("--data-dir", Some(absolute.display().to_string())));
    }
    given
}
