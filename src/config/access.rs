//! What tools may see and do.

use super::{
    setting::{Kind, Section, Setting, setting},
    value,
    values::Values,
};
use crate::{
    domain::{
        catalogue::{self, CORE, TOOLSETS},
        search::Patterns,
    },
    error::{Code, Error},
};

/// Its settings.
pub const SETTINGS: &[Setting] = &[
    setting("CALLBOARD_READ_ONLY", Kind::Switch, Section::Access, "false", "Tools that write refuse every call.").flag("--read-only"),
    setting("CALLBOARD_TOOLSETS", Kind::Words(TOOLSETS), Section::Access, "all", "Groups of tools to serve; `core` is what an agent needs to take part in work. This version has workflows, tasks, agents, search, sql and ops.").flag("--toolsets"),
    setting("CALLBOARD_INDICES", Kind::List, Section::Access, "all but system ones", "Indices that tools may read, write and list."),
    setting("CALLBOARD_SCHEMAS", Kind::List, Section::Access, "all but system ones", "Schemas that tools may read, write and list; never `callboard`, which holds this server's own records. The embedded database has one, which is always open."),
    setting("CALLBOARD_ALLOW_FUNCTIONS", Kind::Names, Section::Access, "", "Functions that queries may call although they may do more than read: names without schema and parentheses. Those that only compute, such as random and gen_random_uuid, are always allowed; docs/security.md names them."),
];

/// What tools may see and do.
#[derive(Debug, Default, Clone)]
pub struct Access {
    /// Writing tools are off.
    pub read_only: bool,
    /// Indices that tools may use.
    pub indices: Patterns,
    /// Schemas that tools may use.
    pub schemas: Schemas,
    /// Words of the deny set that queries may use all the same (`CALLBOARD_ALLOW_FUNCTIONS`).
    pub functions: Vec<String>,
}

/// The schema in which this server keeps its own records.
pub const OWN_SCHEMA: &str = "callboard";

/// Schemas that the SQL tools may use. Never the one that holds this server's own records: there are tokens in it, and what is written
/// there by hand breaks what agents rely on.
#[derive(Debug, Default, Clone)]
pub struct Schemas(Patterns);

impl Schemas {
    /// Whether tools may use this one.
    pub fn allow(&self, name: &str) -> bool {
        name != OWN_SCHEMA && self.0.allow(name)
    }

    /// Those that the operator names.
    pub fn patterns(&self) -> &[String] {
        self.0.as_slice()
    }

    /// Whether the operator names those that are allowed.
    pub fn are_named(&self) -> bool {
        !self.0.as_slice().is_empty()
    }
}

impl From<Patterns> for Schemas {
    fn from(patterns: Patterns) -> Self {
        Self(patterns)
    }
}

impl Access {
    pub(super) fn read(values: &Values<'_>) -> Result<Self, Error> {
        Ok(Self {
            read_only: values.switch("CALLBOARD_READ_ONLY")?,
            indices: Patterns::new(values.list("CALLBOARD_INDICES")),
            schemas: Patterns::new(values.list("CALLBOARD_SCHEMAS")).into(),
            functions: functions(values)?,
        })
    }

    /// Warnings of patterns that fit no name that can exist.
    pub(super) fn never_matching(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let is_odd = |one: char| one.is_uppercase() || one.is_whitespace() || "/\\?\"<>|#:".contains(one);
        for pattern in self.indices.as_slice() {
            if pattern.contains(is_odd) || pattern.starts_with(['-', '_', '+']) {
                warnings.push(format!("`{pattern}` in `CALLBOARD_INDICES` matches no index: names are lower case, and only `*` has a meaning of its own"));
            }
        }
        for pattern in self.schemas.patterns().iter().filter(|pattern| *pattern == OWN_SCHEMA) {
            warnings.push(format!(
                "`{pattern}` in `CALLBOARD_SCHEMAS` has no effect: this server's own records are never shown"
            ));
        }
        warnings
    }

    /// The same over the embedded database: it has one schema, which no setting names.
    #[must_use]
    pub fn of_one_schema(&self) -> Self {
        Self { schemas: Schemas::default(), ..self.clone() }
    }

    /// Whether writing is on.
    ///
    /// # Errors
    /// `denied`, naming the setting that would allow it.
    pub fn writing(&self, tool: &str) -> Result<(), Error> {
        if !self.read_only {
            return Ok(());
        }
        Err(Error::new(Code::Denied, format!("`{tool}` writes, and this server only reads"))
            .hint("CALLBOARD_READ_ONLY or `--read-only` switches writing off; only the operator can change that"))
    }
}

/// Names as queries hold them: what is written without quotes is lower case there.
fn functions(values: &Values<'_>) -> Result<Vec<String>, Error> {
    let name = "CALLBOARD_ALLOW_FUNCTIONS";
    let mut functions = values.list(name);
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

/// Groups of tools to serve (`CALLBOARD_TOOLSETS`).
#[derive(Debug, Clone, Default)]
pub struct Toolsets(Option<Vec<String>>);

impl Toolsets {
    /// Only these groups (`core`, or group names); none for all.
    pub fn new(groups: Option<Vec<String>>) -> Self {
        Self(groups)
    }

    /// The groups, when not all are served.
    pub fn groups(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// The groups of this version that are served.
    pub fn served(&self) -> Vec<&'static str> {
        let asked = |group: &&str| self.0.as_ref().is_none_or(|groups| groups.iter().any(|asked| asked == *group));
        let core = self.0.as_ref().filter(|groups| groups.iter().any(|asked| asked == CORE)).map(|_| CORE);
        core.into_iter().chain(catalogue::groups().filter(asked)).collect()
    }
}
