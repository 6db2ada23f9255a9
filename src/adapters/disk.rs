//! What a fault of a file or its disk means: which file, the cause in the system's words, and what to do.

use std::{
    borrow::Cow,
    fs::{OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::Access;

use crate::error::{Code, Error};

/// What a store writes at the least.
const PROBE_BYTES: usize = 1 << 16;

/// A database's file, and what SQLite puts beside it: how their names end.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];
/// What its owner may do with a file; nobody else anything.
const PRIVATE: u32 = 0o600;

/// A file that cannot be worked on. `what`: "opened", "written".
pub fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    Error::new(Code::Unavailable, format!("`{}` cannot be {what}: {}", path.display(), words(&error)))
        .hint(to_do(&error))
        .cause(error)
}

/// A file that is not what it should be: no repeat helps, so it is not retryable.
pub fn damaged(path: &Path, why: &str) -> Error {
    Error::new(Code::Internal, format!("`{}` cannot be used: {why}", path.display())).hint(
        "end every callboard that uses it; then restore it from a copy, or move it away, with the files beside it whose names begin like its own, to begin with an empty one",
    )
}

/// A file that a newer server has written.
pub fn newer(path: &Path, found: usize, known: usize) -> Error {
    Error::new(
        Code::Internal,
        format!("`{}` has schema version {found}, and this server knows {known}", path.display()),
    )
    .hint("a newer callboard has written it: update this one, or set CALLBOARD_DATA_DIR to another directory")
}

/// Whether the failure is a file's own, and says what to do.
pub fn is_damage(error: &Error) -> bool {
    error.code == Code::Internal && error.hint.is_some()
}

/// The system's words, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

fn to_do(error: &io::Error) -> Cow<'static, str> {
    Cow::Borrowed(match error.kind() {
        ErrorKind::StorageFull => "free some space, or set CALLBOARD_DATA_DIR to a directory on another disk",
        ErrorKind::QuotaExceeded => "free some space, or ask for a larger quota",
        ErrorKind::ReadOnlyFilesystem => "mount the disk for writing, or set CALLBOARD_DATA_DIR to another directory",
        ErrorKind::PermissionDenied => {
            "give this user the right to read and write it and its directory, or set CALLBOARD_DATA_DIR to another directory"
        }
        ErrorKind::IsADirectory => "move that directory away, or set CALLBOARD_DATA_DIR to another directory",
        ErrorKind::NotADirectory | ErrorKind::NotFound => "set CALLBOARD_DATA_DIR to a directory on a local disk",
        _ => "look at the disk and the system's log, or set CALLBOARD_DATA_DIR to a directory on another disk",
    })
}

/// There is no room.
pub fn full() -> io::Error {
    rustix::io::Errno::NOSPC.into()
}

/// The disk answers with a fault.
pub fn faulty() -> io::Error {
    rustix::io::Errno::IO.into()
}

/// Why a database's file, or one beside it, cannot be written; `None` when all seems well. The file is not opened: closing it would free the
/// locks that SQLite holds on it.
pub fn why_unwritable(path: &Path) -> Option<io::Error> {
    match path.metadata() {
        Ok(about) if about.is_dir() => return Some(rustix::io::Errno::ISDIR.into()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Some(error),
        _ => {}
    }
    for end in PARTS {
        match rustix::fs::access(beside(path, end), Access::READ_OK | Access::WRITE_OK) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Some(errno.into()),
        }
    }
    try_writing(nearest(path.parent().unwrap_or(path))).err()
}

/// Whether the file may be readable although it cannot be written.
pub fn only_reads(path: &Path) -> bool {
    why_unwritable(path).is_some_and(|cause| {
        matches!(
            cause.kind(),
            ErrorKind::ReadOnlyFilesystem
                | ErrorKind::PermissionDenied
                | ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
        )
    })
}

/// What keeps a file that is not there yet from being made.
pub fn cannot_be_made(path: &Path) -> Option<Error> {
    why_unwritable(path).map(|cause| failed(path, "made", cause))
}

/// Takes a database's file, and those beside it, from everybody but this user.
pub fn make_database_private(path: &Path) {
    PARTS.iter().for_each(|end| make_private(&beside(path, end)));
}

/// Takes a file from everybody but this user, when it is this user's. What cannot be changed stays as it is.
pub fn make_private(path: &Path) {
    let Ok(about) = path.metadata() else { return };
    let is_ours = about.is_file() && about.uid() == rustix::process::geteuid().as_raw();
    if is_ours
        && about.mode() & 0o777 & !PRIVATE != 0
        && let Err(error) = std::fs::set_permissions(path, Permissions::from_mode(about.mode() & PRIVATE))
    {
        tracing::debug!("others may read `{}`, and that cannot be changed: {error}", path.display());
    }
}

/// The file whose name goes on with `end`.
pub fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The directory, or the first above it that is there.
fn nearest(directory: &Path) -> &Path {
    // A link that leads nowhere is there: no directory can be made in its place.
    directory.ancestors().find(|above| above.symlink_metadata().is_ok()).unwrap_or(directory)
}

/// Writes a file there, syncs it and takes it away.
fn try_writing(directory: &Path) -> io::Result<()> {
    let id = std::thread::current().id();
    let probe = directory.join(format!(".callboard-probe-{}-{id:?}", std::process::id()));
    let wrote =
        OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(&probe).and_then(|mut file| {
            file.write_all(&vec![b'.'; PROBE_BYTES])?;
            file.sync_all()
        });
    let removed = std::fs::remove_file(&probe);
    wrote.and(removed)
}

#[cfg(test)]
mod tests {
    use super::{damaged, failed, full, why_unwritable};
    use crate::error::Code;

    #[test]
    fn a_failure_names_the_file_the_cause_and_what_to_do() {
        let error = failed("/data/data.db".as_ref(), "written", full());
        assert_eq!(error.message, "`/data/data.db` cannot be written: No space left on device");
        assert_eq!(
            (error.code, error.hint.as_deref()),
            (Code::Unavailable, Some("free some space, or set CALLBOARD_DATA_DIR to a directory on another disk"))
        );
        assert!(!damaged("/data/data.db".as_ref(), "file is not a database").code.retryable());
    }

    #[test]
    fn a_directory_in_the_place_of_a_file_is_the_cause() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data.db");
        assert!(why_unwritable(&path).is_none());
        std::fs::create_dir(&path).unwrap();
        assert_eq!(why_unwritable(&path).unwrap().kind(), std::io::ErrorKind::IsADirectory);
    }
}
