//! A database read as it stands, where this process cannot write: on a disk that is read-only or full, or in somebody else's directory.
//! SQLite shares a file through others beside it, which cannot be made there.

use std::{
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use crate::{
    adapters::disk,
    error::{Code, Error},
};

/// What stays as it is in the path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// How a file is read that cannot be written.
#[derive(Debug)]
pub(in crate::adapters) struct Still {
    path: PathBuf,
    /// By which it was opened, and can be attached.
    name: String,
    /// Set where SQLite does not notice other processes' writes.
    seen: Option<Seen>,
}

/// What shows that somebody has written.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    file: Option<State>,
    log: Option<State>,
    journal: Option<State>,
}

#[derive(Debug, PartialEq, Eq)]
struct State {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Still {
    /// Opens the file, unless what it holds cannot be known without writing: a log that was left behind without its index, or a journal.
    pub(in crate::adapters) fn open(path: &Path) -> Option<(Connection, Self)> {
        let before = Seen::of(path);
        let option = match &before {
            Seen { journal: Some(journal), .. } if journal.bytes > 0 => return None,
            // The log is read into memory of our own.
            Seen { log: Some(log), .. } if log.bytes > 0 => "readonly_shm",
            // Nobody has it open to write: the file alone is the whole truth until somebody does.
            _ => "immutable",
        };
        let name = format!("file:{}?{option}=1", percent_encode(path.as_os_str().as_bytes(), PATH));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(&name, flags).ok()?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).ok()?;
        let seen = (option == "immutable").then_some(before);
        Some((connection, Self { path: path.to_owned(), name, seen }))
    }

    /// The name by which the connection knows the file.
    pub(in crate::adapters) fn name(&self) -> &Path {
        Path::new(&self.name)
    }

    /// What was read, when nobody has written meanwhile.
    pub(in crate::adapters) fn checked<T>(&self, read: Result<T, Error>) -> Result<T, Error> {
        match &self.seen {
            Some(seen) if *seen != Seen::of(&self.path) => Err(Error::new(
                Code::Busy,
                format!("`{}` was changed by another process while it was read", self.path.display()),
            )
            .retry_after(Duration::from_millis(100))),
            _ => read,
        }
    }
}

impl Seen {
    fn of(path: &Path) -> Self {
        let state = |end| State::of(&disk::beside(path, end));
        Self { file: state(""), log: state("-wal"), journal: state("-journal") }
    }
}

impl State {
    fn of(path: &Path) -> Option<Self> {
        let about = path.metadata().ok()?;
        Some(Self {
            inode: about.ino(),
            bytes: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::Still;
    use crate::error::Code;

    #[test]
    fn what_another_process_writes_meanwhile_is_no_answer() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a ?#%'.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1);").unwrap();
        // The log is not empty, and its index is there.
        let (reader, still) = Still::open(&path).unwrap();
        assert_eq!(reader.query_row("SELECT a FROM t", [], |row| row.get(0)), Ok(1));
        writer.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        assert_eq!(reader.query_row("SELECT max(a) FROM t", [], |row| row.get(0)), Ok(2));
        assert_eq!(still.checked(Ok(())).unwrap(), ());
        drop((reader, writer));
        // Now there is the file alone.
        let (reader, still) = Still::open(&path).unwrap();
        assert_eq!(reader.query_row("SELECT max(a) FROM t", [], |row| row.get(0)), Ok(2));
        assert_eq!(still.checked(Ok(())).unwrap(), ());
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("INSERT INTO t VALUES (3)").unwrap();
        assert_eq!(still.checked(Ok(())).unwrap_err().code, Code::Busy);
        drop(writer);
        assert_eq!(still.checked(Ok(())).unwrap_err().code, Code::Busy);
    }

    #[test]
    fn a_log_without_its_index_and_a_journal_are_not_passed_over() {
        let home = tempfile::tempdir().unwrap();
        for end in ["-wal", "-journal"] {
            let path = home.path().join(format!("x{end}.db"));
            Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
            std::fs::write(crate::adapters::disk::beside(&path, end), b"not empty").unwrap();
            assert!(Still::open(&path).is_none(), "{end}");
        }
    }
}
