//! What a setting is. Each capability declares its own; [`super::table`] lists them all.

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// Its environment variable; the key in callboard.toml is the same in lower case, without `callboard_`.
    pub name: &'static str,
    /// Names that other tools use for the same; the first that is set wins.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is not set, in words.
    pub default: &'static str,
    /// Never shown, never a flag; also read from `NAME_FILE` and `/secrets/NAME`.
    pub secret: bool,
    /// Its flag on the command line.
    pub flag: Option<&'static str>,
    /// Where it stands in lists.
    pub section: Section,
    /// One or two sentences for operators.
    pub description: &'static str,
}

/// What a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A URL.
    Url,
    /// A file or directory.
    Path,
    /// true or false.
    Switch,
    /// A whole number.
    Number {
        /// Smallest.
        least: u64,
        /// Largest.
        most: u64,
    },
    /// Milliseconds.
    Duration {
        /// Shortest.
        least: u64,
        /// Longest.
        most: u64,
    },
    /// Bytes.
    Bytes {
        /// Smallest.
        least: u64,
        /// Largest.
        most: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words, separated by commas.
    Words(&'static [&'static str]),
    /// Patterns separated by commas.
    List,
    /// Names separated by commas.
    Names,
    /// A filter for the log.
    LogFilter,
}

impl Kind {
    /// What it takes, in words.
    pub fn accepts(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Url => "a URL".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Number { least, most } => format!("{least} to {most}"),
            Self::Duration { least, most } => format!("milliseconds, {least} to {most}, or like `20s`"),
            Self::Bytes { least, most } => format!("bytes, {least} to {most}, or like `16MiB`"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("some of {}, separated by commas", words.join(", ")),
            Self::List => "names separated by commas; `*` stands for any characters".to_owned(),
            Self::Names => "names separated by commas".to_owned(),
            Self::LogFilter => "a level, or `target=level` separated by commas".to_owned(),
        }
    }
}

/// Where a setting stands in lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// How PostgreSQL is reached.
    Database,
    /// How Elasticsearch or OpenSearch is reached.
    Search,
    /// Where records are kept.
    Records,
    /// What tools may see and do.
    Access,
    /// Bounds.
    Limits,
    /// This process.
    Process,
    /// Names whose backends come with a later version.
    Later,
}

impl Section {
    /// In the order of lists.
    pub const ALL: [Self; 7] =
        [Self::Database, Self::Search, Self::Records, Self::Access, Self::Limits, Self::Process, Self::Later];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Database => "PostgreSQL behind the SQL tools",
            Self::Search => "Elasticsearch or OpenSearch behind the search tools",
            Self::Records => "Records: workflows, tasks, agents, locks",
            Self::Access => "What tools may see and do",
            Self::Limits => "Limits",
            Self::Process => "This process",
            Self::Later => "Accepted, but not used by this version yet",
        }
    }
}

/// A setting with what most have.
pub(super) const fn setting(
    name: &'static str,
    kind: Kind,
    section: Section,
    default: &'static str,
    description: &'static str,
) -> Setting {
    Setting { name, aliases: &[], kind, default, secret: false, flag: None, section, description }
}

impl Setting {
    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    /// The key in callboard.toml.
    pub fn key(&self) -> String {
        key(self.name)
    }

    /// Its names, the one that wins first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// What a name is in callboard.toml.
pub fn key(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.strip_prefix("callboard_").map(str::to_owned).unwrap_or(lower)
}
