//! A client's settings file: read whole, replaced in one step, with a copy of what was there.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use crate::error::{Code, Error};

/// The text; none where there is no file.
///
/// # Errors
/// `invalid` when it is there and cannot be read.
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(Code::Invalid, format!("`{}` cannot be read: {error}", path.display()))
            .hint("the file was left as it is")),
    }
}

/// The byte order mark, the text without it and with `\n` alone where all its lines end in `\r\n`, and how lines end.
pub fn normal(text: &str) -> (&'static str, String, &'static str) {
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let windows = text.contains("\r\n") && text.matches('\n').count() == text.matches("\r\n").count();
    if windows { (mark, text.replace("\r\n", "\n"), "\r\n") } else { (mark, text.to_owned(), "\n") }
}

/// Replaces the file in one step; gives the path of the copy that was kept.
///
/// # Errors
/// `invalid` when it cannot be written; it is then as it was.
pub fn write(path: &Path, old: Option<&str>, new: &str) -> Result<Option<PathBuf>, Error> {
    let failed = |error: std::io::Error| {
        Error::new(Code::Invalid, format!("`{}` cannot be written: {error}", path.display()))
            .hint("the file was left as it is")
    };
    let path = &target(path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let beside = |ending: &str| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        path.with_file_name(name)
    };
    let mut backup = None;
    if old.is_some() {
        let copy = (1..).map(|count| beside(&format!(".backup-{count}"))).find(|copy| !copy.exists());
        if let Some(copy) = copy {
            std::fs::copy(path, &copy).map_err(failed)?;
            backup = Some(copy);
        }
    }
    let fresh = beside(&format!(".callboard-{}", std::process::id()));
    let replaced = write_fresh(&fresh, new, path).and_then(|()| std::fs::rename(&fresh, path));
    if replaced.is_err() {
        // It may never have been made.
        let _ = std::fs::remove_file(&fresh);
    }
    replaced.map_err(failed)?;
    Ok(backup)
}

/// Entries hold passwords, so that nobody else may read the new file before it has the permissions of the old one.
fn write_fresh(fresh: &Path, new: &str, old: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(fresh)?;
    file.write_all(new.as_bytes())?;
    if let Ok(metadata) = std::fs::metadata(old) {
        file.set_permissions(metadata.permissions())?;
    }
    file.sync_all()
}

/// The file itself: a link to a file kept elsewhere stays a link, also where that file is not there yet.
fn target(path: &Path) -> PathBuf {
    if let Ok(real) = std::fs::canonicalize(path) {
        return real;
    }
    match (std::fs::read_link(path), path.parent()) {
        (Ok(link), Some(parent)) => parent.join(link),
        _ => path.to_owned(),
    }
}
