//! Every setting. Parsing, `--help`, `docs/config.md`, `doctor`, `config` and get_server_info read this list.

use super::{access, database, later, limits, process, records, search, setting::Setting, webhooks};

/// In the order of lists.
static CAPABILITIES: [&[Setting]; 8] = [
    database::SETTINGS,
    search::SETTINGS,
    records::SETTINGS,
    access::SETTINGS,
    webhooks::SETTINGS,
    limits::SETTINGS,
    process::SETTINGS,
    later::SETTINGS,
];

/// All of them.
pub fn settings() -> impl Iterator<Item = &'static Setting> + Clone {
    CAPABILITIES.into_iter().flatten()
}

/// The setting of a name, also of an alias.
pub fn find(name: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.names().any(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_settings() {
        let mut names: Vec<&str> = settings().flat_map(Setting::names).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_secret_is_never_a_flag() {
        assert!(settings().all(|setting| !(setting.secret && setting.flag.is_some())));
    }
}
