//! The settings as documents: `docs/config.md` and the README's table.

use super::{
    setting::{Section, Setting},
    table::settings,
};

/// docs/config.md.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for section in Section::ALL {
        page.push_str(&format!(
            "\n## {}\n\n| name | also | takes | default | |\n|---|---|---|---|---|\n",
            section.title()
        ));
        for setting in settings().filter(|setting| setting.section == section) {
            page.push_str(&row(setting));
        }
    }
    page.push_str(TAIL);
    page
}

fn row(setting: &Setting) -> String {
    let aliases = setting.aliases.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
    let flag = setting.flag.map(|flag| format!(" Flag `{flag}`.")).unwrap_or_default();
    let secret = if setting.secret { " Secret." } else { "" };
    format!(
        "| `{}` | {aliases} | {} | {} | {}{flag}{secret} |\n",
        setting.name,
        setting.kind.accepts(),
        setting.default,
        setting.description
    )
}

/// The README's table: what most people set.
pub fn summary() -> String {
    let mut table = String::from("| setting | default | |\n|---|---|---|\n");
    for setting in settings().filter(|setting| in_summary(setting)) {
        table.push_str(&format!("| `{}` | {} | {} |\n", setting.name, setting.default, setting.description));
    }
    table
}

fn in_summary(setting: &Setting) -> bool {
    match setting.section {
        Section::Database => ["DATABASE_URL", "CALLBOARD_QUERY_URL"].contains(&setting.name),
        Section::Search => !setting.name.starts_with("OPENSEARCH"),
        Section::Access | Section::Process => true,
        Section::Records => setting.name == "CALLBOARD_STORE_URL",
        Section::Limits => setting.name.contains("MAX_ROWS") || setting.name.contains("CALL_TIMEOUT"),
        Section::Later => false,
    }
}

const HEAD: &str = "<!-- Generated from the settings table by `just generate`. Do not edit. -->\n\n# Settings\n\n\
The first source that sets a name wins: flag, environment, the file named by `CALLBOARD_CONFIG`, `callboard.toml` in the working directory,\n\
`callboard.toml` in the user's configuration directory (`callboard config path` shows where), default. `callboard config show` and `callboard doctor` say\n\
which one won.\n\n\
In `callboard.toml` a key is the name in lower case, without `callboard_` (`max_rows = 500`, `database_url = \"…\"`, `indices = [\"logs-*\"]`);\n\
`callboard config schema` prints its JSON Schema. Of several names for one setting the first that is set wins, ours first. Secrets can also stand in a file\n\
named by `NAME_FILE`, or in `/secrets/NAME`; they are never flags, and never shown.\n\n\
An unknown key, flag or `CALLBOARD_…` variable, and a value that cannot be read, stop the start with exit code 2, the nearest name and what is accepted.\n\
(`CALLBOARD_BUILD_…` and `CALLBOARD_TEST_…` belong to this project's build and tests and mean nothing here.)\n\
An empty value, or a literal `${NAME}` that a client did not fill in, means not set.\n";

const TAIL: &str = "\n## Several databases\n\n\
`DATABASE_URL_<NAME>` adds a database, `DATABASE_DESC_<NAME>` says what it holds; every SQL tool then takes `database` (the name in lower case). Without it\n\
the first is meant: `DATABASE_URL`, called `main`, else the first name in the order of the alphabet.\n\n\
## Exit codes\n\n\
| command | 0 | 1 | 2 | 3 |\n|---|---|---|---|---|\n\
| serve | stdin ended | | a setting or the command line is wrong | |\n\
| call | the tool answered | the tool refused; the error is on stdout | a setting or the command line is wrong, no such tool | a backend is unavailable or too slow |\n\
| doctor | good | degraded | something does not work | |\n\
| others | done | refused | a setting or the command line is wrong | |\n";
