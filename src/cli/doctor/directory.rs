//! The data directory: is it there, can it be written to, how much room is left.

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

/// What a look at the data directory showed.
#[derive(Debug, Serialize)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// It is there; else it is made when first used.
    pub exists: bool,
    /// A file was written, synced and removed.
    pub writable: bool,
    /// Room left, in bytes.
    pub free_bytes: Option<u64>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Below this the stores may soon fail.
const ROOM_LEAST: u64 = 64 << 20;

impl Directory {
    /// Whether there is so little room that writes may soon fail.
    pub fn is_nearly_full(&self) -> bool {
        self.free_bytes.is_some_and(|free| free < ROOM_LEAST)
    }
}

/// Looks, and leaves nothing behind.
pub fn look(path: &Path) -> Directory {
    let exists = path.is_dir();
    // A link that leads nowhere is there: no directory can be made in its place.
    let nearest = path.ancestors().find(|above| above.symlink_metadata().is_ok()).unwrap_or(path);
    let what = if exists { "written to" } else { "made" };
    let tried = if nearest.is_dir() {
        try_writing(nearest).map_err(|error| explained(path, what, &error))
    } else {
        Err(format!("`{}` is not a directory; set CALLBOARD_DATA_DIR to one", nearest.display()))
    };
    // What holds no files has no room either.
    let room = rustix::fs::statvfs(nearest).ok().filter(|room| room.f_blocks > 0);
    let free_bytes = room.map(|room| room.f_bavail.saturating_mul(room.f_frsize));
    Directory { path: path.to_owned(), exists, writable: tried.is_ok(), free_bytes, problem: tried.err() }
}

/// What a store writes at the least when it is made.
const PROBE_BYTES: usize = 1 << 16;

fn try_writing(dir: &Path) -> std::io::Result<()> {
    let probe = dir.join(format!(".callboard-doctor-{}", std::process::id()));
    let wrote = std::fs::File::create(&probe).and_then(|mut file| {
        file.write_all(&vec![b'.'; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&probe);
    wrote.and(removed)
}

/// The system's own words, and what to do.
fn explained(dir: &Path, what: &str, error: &std::io::Error) -> String {
    let dir = dir.display();
    let words = error.to_string();
    let words = words.split(" (os error ").next().unwrap_or_default();
    let to_do = match error.kind() {
        ErrorKind::StorageFull => "free some space, or set CALLBOARD_DATA_DIR to a directory on another disk",
        ErrorKind::QuotaExceeded => "free some space, or ask for a larger quota",
        ErrorKind::ReadOnlyFilesystem => "mount it for writing, or set CALLBOARD_DATA_DIR to another directory",
        ErrorKind::PermissionDenied => {
            "give this user the right to write, or set CALLBOARD_DATA_DIR to another directory"
        }
        _ => "set CALLBOARD_DATA_DIR to a directory that can be written to",
    };
    format!("`{dir}` cannot be {what}: {words}; {to_do}")
}
