//! `callboard migrate`: brings the embedded record store to the newest schema; clients whose server has `CALLBOARD_MIGRATE=never` need it.

use super::{GOOD, UNAVAILABLE, output};
use crate::{app, config::Config, domain::ops::Migration, error::Error};

/// Migrates, or only says what would be done.
pub fn run(config: &Config, dry_run: bool) -> Result<u8, Error> {
    match app::migrate(config, dry_run) {
        Ok(migration) => {
            output::line(&told(&migration, dry_run));
            Ok(GOOD)
        }
        Err(error) => {
            output::complain(&error);
            Ok(UNAVAILABLE)
        }
    }
}

fn told(migration: &Migration, dry_run: bool) -> String {
    let Migration { path, version_found, version_newest } = migration;
    let path = path.display();
    match (version_found, dry_run) {
        (found, _) if found >= version_newest => format!("{path} has the newest schema, version {found}"),
        (0, true) => format!("{path} would be made with version {version_newest}"),
        (0, false) => format!("{path} was made with version {version_newest}"),
        (found, true) => format!("{path} would go from version {found} to {version_newest}"),
        (found, false) => format!("{path} went from version {found} to {version_newest}"),
    }
}
