//! Files written by exports, kept in the data directory.

use std::path::PathBuf;

use crate::error::Error;

/// Where exports are written and read again.
#[async_trait::async_trait]
pub trait ExportStore: Send + Sync {
    /// Begins a file. It becomes visible under its id only when finished; one that is dropped before leaves nothing. What a process that was
    /// killed left unfinished is removed here, and finished files that are older than the store keeps them.
    async fn create(&self, id: &str, extension: &'static str) -> Result<Box<dyn ExportFile>, Error>;

    /// Bytes `offset..offset + length_max` of a finished file, cut at its end, and its whole size. `None` when there is no such export.
    async fn read(&self, id: &str, offset: u64, length_max: usize) -> Result<Option<ExportPart>, Error>;

    /// Finished files, the newest first.
    async fn list(&self) -> Result<Vec<ExportSummary>, Error>;
}

/// A file being written.
#[async_trait::async_trait]
pub trait ExportFile: Send {
    /// Adds bytes at the end.
    async fn append(&mut self, bytes: Vec<u8>) -> Result<(), Error>;

    /// Makes the file durable and visible.
    async fn finish(self: Box<Self>) -> Result<FinishedExport, Error>;
}

/// A file that is complete and on disk.
#[derive(Debug)]
pub struct FinishedExport {
    /// Absolute.
    pub path: PathBuf,
    /// Size.
    pub bytes: u64,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

/// A finished file in a list.
#[derive(Debug)]
pub struct ExportSummary {
    /// Its id.
    pub id: String,
    /// ndjson or csv.
    pub extension: &'static str,
    /// Size.
    pub bytes: u64,
}

/// A part of an export.
#[derive(Debug)]
pub struct ExportPart {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Size of the whole file.
    pub bytes_total: u64,
    /// ndjson or csv.
    pub extension: &'static str,
}
