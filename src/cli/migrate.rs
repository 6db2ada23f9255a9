//! `callboard migrate`: brings the record store to the newest schema; clients whose server has `CALLBOARD_MIGRATE=never` need it.

use super::{GOOD, UNAVAILABLE, output};
use crate::{app, config::Config, domain::ops::Migration, error::Error};

/// Migrates, or only says what would be done.
pub fn run(config: &Config, dry_run: bool) -> Result<u8, Error> {
    match super::runtime()?.block_on(app::migrate(config, dry_run)) {
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
    let Migration { place, version_found, version_newest } = migration;
    match (version_found, dry_run) {
        (found, _) if found >= version_newest => format!("{place} has the newest schema, version {found}"),
        (0, true) => format!("{place} would be created with version {version_newest}"),
        (0, false) => format!("{place} was created with version {version_newest}"),
        (found, true) => format!("{place} would go from version {found} to {version_newest}"),
        (found, false) => format!("{place} went from version {found} to {version_newest}"),
    }
}
