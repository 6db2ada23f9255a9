//! Export files in a folder of the data directory.
//!
//! A file is written under a hidden name, made durable, and then renamed, so a name that can be read is a file that is whole. The writer holds
//! a lock on the hidden file: one without a lock belongs to a process that was killed. Whoever creates a file first removes those, and the
//! finished files that are older than [`KEPT`]: nobody else would, and documents taken out of an index should not lie around for ever.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{FlockOperation, OFlags, flock};
use sha2::{Digest, Sha256};

use crate::{
    adapters::disk,
    clock::{Clock, Instant},
    error::{Code, Error},
    ids,
    ports::exports::{ExportFile, ExportPart, ExportStore, ExportSummary, FinishedExport},
};

/// What exports can be.
const EXTENSIONS: [&str; 2] = ["ndjson", "csv"];
/// How long a finished file stays at least.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The end of the name of a file that is not whole.
const UNFINISHED: &str = ".part";

/// A folder of exports.
pub struct ExportFolder {
    folder: Arc<Path>,
    clock: Arc<dyn Clock>,
}

impl ExportFolder {
    /// Made when first used.
    pub fn new(folder: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { folder: folder.into(), clock }
    }
}

#[async_trait::async_trait]
impl ExportStore for ExportFolder {
    async fn create(&self, id: &str, extension: &'static str) -> Result<Box<dyn ExportFile>, Error> {
        let (folder, name) = (Arc::clone(&self.folder), format!("{id}.{extension}"));
        let now = self.clock.now();
        let file = blocking(Arc::clone(&folder), move || Unfinished::create(&folder, &name, now)).await?;
        Ok(Box::new(Writing { file: Some(file), folder: Arc::clone(&self.folder) }))
    }

    async fn read(&self, id: &str, offset: u64, length_max: usize) -> Result<Option<ExportPart>, Error> {
        if !is_id(id) {
            return Ok(None);
        }
        let (folder, id) = (Arc::clone(&self.folder), id.to_owned());
        blocking(Arc::clone(&folder), move || read(&folder, &id, offset, length_max)).await
    }

    async fn list(&self) -> Result<Vec<ExportSummary>, Error> {
        let folder = Arc::clone(&self.folder);
        blocking(Arc::clone(&folder), move || list(&folder)).await
    }
}

/// The prefix and a UUID without dashes. Nothing else ever becomes part of a path.
fn is_id(id: &str) -> bool {
    id.strip_prefix("ex_").is_some_and(|rest| {
        rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn read(folder: &Path, id: &str, offset: u64, length_max: usize) -> io::Result<Option<ExportPart>> {
    for extension in EXTENSIONS {
        let path = folder.join(format!("{id}.{extension}"));
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        if !about.is_file() {
            continue;
        }
        let bytes_total = about.len();
        file.seek(SeekFrom::Start(offset.min(bytes_total)))?;
        let mut bytes = Vec::new();
        file.take(length_max as u64).read_to_end(&mut bytes)?;
        return Ok(Some(ExportPart { bytes, bytes_total, extension }));
    }
    Ok(None)
}

fn list(folder: &Path) -> io::Result<Vec<ExportSummary>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some((id, end)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let Some(extension) = EXTENSIONS.into_iter().find(|extension| *extension == end) else { continue };
        // It may have been removed since.
        let Ok(about) = entry.metadata() else { continue };
        if is_id(id) && about.is_file() {
            files.push(ExportSummary { id: id.to_owned(), extension, bytes: about.len() });
        }
    }
    // Ids are made in the order of time.
    files.sort_by(|a, b| b.id.cmp(&a.id));
    Ok(files)
}

struct Writing {
    /// Away while a thread writes. When the call is dropped meanwhile, the thread drops it.
    file: Option<Unfinished>,
    folder: Arc<Path>,
}

impl Writing {
    fn take(&mut self) -> Result<Unfinished, Error> {
        self.file.take().ok_or_else(|| Error::new(Code::Internal, "the export file was given up before"))
    }
}

#[async_trait::async_trait]
impl ExportFile for Writing {
    async fn append(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let mut file = self.take()?;
        let file = blocking(Arc::clone(&self.folder), move || {
            file.append(&bytes)?;
            Ok(file)
        })
        .await?;
        self.file = Some(file);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<FinishedExport, Error> {
        let file = self.take()?;
        blocking(Arc::clone(&self.folder), move || file.finish()).await
    }
}

/// A file under its hidden name; removed when dropped.
struct Unfinished {
    file: File,
    hidden: PathBuf,
    path: PathBuf,
    bytes: u64,
    hash: Sha256,
}

impl Unfinished {
    fn create(folder: &Path, name: &str, now: Instant) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        remove_left_over(folder)?;
        remove_old(folder, now)?;
        let folder = folder.canonicalize()?;
        let hidden = folder.join(format!(".{name}{UNFINISHED}"));
        loop {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
            flock(&file, FlockOperation::LockExclusive)?;
            // Another process may have looked between the two lines above and removed it.
            if hidden.exists() {
                return Ok(Self { file, hidden, path: folder.join(name), bytes: 0, hash: Sha256::new() });
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn finish(self) -> io::Result<FinishedExport> {
        self.file.sync_all()?;
        fs::rename(&self.hidden, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let sha256 = self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(FinishedExport { path: self.path.clone(), bytes: self.bytes, sha256 })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        match fs::remove_file(&self.hidden) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!("an unfinished export could not be removed: {error}");
            }
            // Gone already when it was finished.
            _ => {}
        }
    }
}

/// Removes hidden files that nobody writes any more.
fn remove_left_over(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(".ex_") && name.ends_with(UNFINISHED)) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Removes finished files whose time is over. One that cannot be removed stands in nobody's way.
fn remove_old(folder: &Path, now: Instant) -> io::Result<()> {
    for file in list(folder)? {
        if ids::made_at(&file.id).is_none_or(|made| made.after(KEPT) > now) {
            continue;
        }
        match fs::remove_file(folder.join(format!("{}.{}", file.id, file.extension))) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!("an old export could not be removed: {error}");
            }
            _ => {}
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    folder: Arc<Path>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| disk::failed(&folder, "read or written", error)),
        Err(ended) => Err(Error::new(Code::Internal, "the export file could not be used").cause(ended)),
    }
}
