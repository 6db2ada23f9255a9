//! A temporary table into which rows are copied while later ones are still being read: the server works beside us.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;

use super::{
    binary,
    unit::{Body, Unit},
};
use crate::{
    adapters::postgres::{
        catalog::{Table, quoted},
        failure::meaning,
        pool::Work,
    },
    error::Error,
};

/// Bytes that are gathered before they leave.
const CHUNK: usize = 64 * 1024;

/// The table of one unit. Dropped before [`Staging::finish`], its COPY fails.
pub(super) struct Staging<'work> {
    work: &'work Work,
    name: String,
    copy: Copy,
}

enum Copy {
    NotBegun,
    Running(Pin<Box<CopyInSink<Bytes>>>),
    Failed(Error),
}

impl<'work> Staging<'work> {
    /// Makes nothing yet.
    pub(super) fn new(work: &'work Work, number: usize) -> Self {
        Self { work, name: format!("pg_temp.callboard_load_{number}"), copy: Copy::NotBegun }
    }

    /// Sends what the unit has gathered, if it is enough. What fails is told at the end.
    pub(super) async fn take(&mut self, table: &Table, unit: &mut Unit) {
        if let Body::Binary(body) = &mut unit.body
            && body.len() >= CHUNK
        {
            let chunk = std::mem::take(body);
            self.send(table, &unit.columns, chunk.into()).await;
        }
    }

    /// Sends the rest, and gives the table's name.
    ///
    /// # Errors
    /// What the server said at any time.
    pub(super) async fn finish(mut self, table: &Table, unit: &mut Unit) -> Result<String, Error> {
        if let Body::Binary(body) = &mut unit.body {
            let mut rest = std::mem::take(body);
            rest.extend_from_slice(&binary::TRAILER);
            self.send(table, &unit.columns, rest.into()).await;
        }
        match self.copy {
            Copy::Running(mut sink) => sink.as_mut().finish().await.map(|_| self.name).map_err(meaning),
            Copy::Failed(error) => Err(error),
            Copy::NotBegun => Ok(self.name),
        }
    }

    async fn send(&mut self, table: &Table, columns: &[usize], chunk: Bytes) {
        if let Copy::NotBegun = self.copy {
            self.copy = match self.begin(table, columns).await {
                Ok(sink) => Copy::Running(Box::pin(sink)),
                Err(error) => Copy::Failed(meaning(error)),
            };
        }
        if let Copy::Running(sink) = &mut self.copy
            && let Err(closed) = sink.as_mut().feed(chunk).await
        {
            // The server ended it; its reason comes as the answer to the whole.
            let reason = sink.as_mut().finish().await.err().unwrap_or(closed);
            self.copy = Copy::Failed(meaning(reason));
        }
    }

    async fn begin(&self, table: &Table, columns: &[usize]) -> Result<CopyInSink<Bytes>, tokio_postgres::Error> {
        let columns = columns.iter().filter_map(|place| table.columns.get(*place));
        let typed: Vec<String> =
            columns.map(|column| format!("{} {}", quoted(&column.name), column.type_name)).collect();
        let (name, typed) = (&self.name, typed.join(", "));
        let create = format!("-- load_stage\nCREATE TEMPORARY TABLE {name} ({typed}) ON COMMIT DROP");
        self.work.batch_execute(&create).await?;
        self.work.copy_in(&format!("-- load_copy\nCOPY {name} FROM STDIN (FORMAT binary)")).await
    }
}
