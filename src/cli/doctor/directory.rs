//! The data directory: is it there, can it be written to, how much room is left.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// What a look at the data directory showed.
#[derive(Debug, Serialize)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// It is there; else it is made when first used.
    pub exists: bool,
    /// Files can be written.
    pub writable: bool,
    /// Room left, in bytes.
    pub free_bytes: Option<u64>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Looks, and leaves nothing behind.
pub fn look(path: &Path) -> Directory {
    let exists = path.is_dir();
    let nearest = path.ancestors().find(|above| above.exists()).unwrap_or(path);
    let tried = if nearest.is_dir() {
        try_writing(nearest)
    } else {
        Err(format!("`{}` is not a directory", nearest.display()))
    };
    let free_bytes = rustix::fs::statvfs(nearest).ok().map(|room| room.f_bavail.saturating_mul(room.f_frsize));
    Directory { path: path.to_owned(), exists, writable: tried.is_ok(), free_bytes, problem: tried.err() }
}

fn try_writing(dir: &Path) -> Result<(), String> {
    let probe = dir.join(format!(".callboard-doctor-{}", std::process::id()));
    let wrote = std::fs::write(&probe, b"probe");
    // Left behind only where it could not be written in the first place.
    let _ = std::fs::remove_file(&probe);
    wrote.map_err(|error| format!("`{}` cannot be written to: {error}", dir.display()))
}
