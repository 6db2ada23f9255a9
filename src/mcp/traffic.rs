//! What is under way: requests that have no answer yet, and answers that the client has not read yet.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{
    message::Id,
    pressure::{Pressure, State},
};

/// Above this, nothing is read and no call starts until the client reads.
const UNSENT_BYTES_MAX: usize = 4 << 20;
/// Requests without an answer; above this, nothing is read.
const LIVE_MAX: usize = 4_096;
/// Their text, all together.
const LIVE_BYTES_MAX: usize = 64 << 20;

/// Shared by the reader, the calls, and the writer. No lock is held over I/O.
pub struct Traffic {
    books: Mutex<Books>,
    state: watch::Sender<State>,
    /// Wakes the writer: there is something to write, or the stream is closed.
    pub wake: Notify,
    broken: CancellationToken,
}

#[derive(Default)]
struct Books {
    next: i64,
    live: BTreeMap<i64, Live>,
    live_bytes: usize,
    buffer: Vec<u8>,
    writing: usize,
    closed: bool,
    broken: bool,
}

/// A request that is to be answered.
struct Live {
    id: Id,
    bytes: usize,
    cancelled: CancellationToken,
}

impl Traffic {
    /// Nothing yet. `broken` is cancelled when nobody reads any more.
    pub fn new(broken: CancellationToken) -> Self {
        let state = State { full: false, crowded: false, idle: true, sent: true, broken: false };
        Self { books: Mutex::default(), state: watch::Sender::new(state), wake: Notify::new(), broken }
    }

    /// A request was accepted; the id that stands for it inside. `cancelled` ends it when the client no longer wants it.
    pub fn begin(&self, id: Id, bytes: usize, cancelled: CancellationToken) -> i64 {
        let mut books = self.books();
        books.next += 1;
        let inner = books.next;
        books.live_bytes += bytes;
        books.live.insert(inner, Live { id, bytes, cancelled });
        self.publish(&books);
        inner
    }

    /// The client no longer wants the newest request that has this id: it ends, and its answer is dropped.
    pub fn cancel(&self, id: &Id) {
        let mut books = self.books();
        let newest = books.live.iter().rev().find(|(_, live)| live.id == *id).map(|(inner, _)| *inner);
        if let Some(live) = newest.and_then(|inner| books.end(inner)) {
            live.cancelled.cancel();
            self.publish(&books);
        }
    }

    /// Adds the answer to a request to what the writer writes, unless the request was cancelled.
    pub fn answer(&self, inner: i64, write: impl FnOnce(&Id, &mut Vec<u8>) -> serde_json::Result<()>) {
        let mut books = self.books();
        if let Some(live) = books.end(inner) {
            self.add(&mut books, |out| write(&live.id, out));
        }
    }

    /// Adds one line to what the writer writes.
    pub fn send(&self, write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) {
        self.add(&mut self.books(), write);
    }

    fn add(&self, books: &mut Books, write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) {
        let before = books.buffer.len();
        if !books.broken {
            match write(&mut books.buffer) {
                Ok(()) => books.buffer.push(b'\n'),
                Err(error) => {
                    tracing::error!("an answer could not be written: {error}");
                    books.buffer.truncate(before);
                }
            }
        }
        self.publish(books);
        if before == 0 {
            self.wake.notify_one();
        }
    }

    /// Hands everything unsent to the writer, in exchange for an empty buffer; None when the stream is closed.
    pub fn take_unsent(&self, mut empty: Vec<u8>) -> Option<Vec<u8>> {
        let mut books = self.books();
        empty.clear();
        std::mem::swap(&mut books.buffer, &mut empty);
        books.writing = empty.len();
        self.publish(&books);
        if empty.is_empty() && books.closed { None } else { Some(empty) }
    }

    /// The reader at the other end has gone: drops what is unsent.
    pub fn break_off(&self) {
        let mut books = self.books();
        books.broken = true;
        books.buffer = Vec::new();
        books.writing = 0;
        self.publish(&books);
        self.broken.cancel();
    }

    /// Ends the writer once it has nothing to write.
    pub fn close(&self) {
        self.books().closed = true;
        self.wake.notify_one();
    }

    /// Whether more may be read now.
    pub fn may_read(&self) -> bool {
        let state = self.state.borrow();
        !(state.full || state.crowded || state.broken)
    }

    /// Waits until the state satisfies `reached`.
    pub async fn wait_until(&self, reached: impl FnMut(&State) -> bool) {
        // The sender is ours, so there is no error.
        let _ = self.state.subscribe().wait_for(reached).await;
    }

    /// The back pressure that a call obeys before it starts.
    pub fn pressure(&self) -> Pressure {
        Pressure::new(self.state.subscribe())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, books: &Books) {
        let unsent = books.buffer.len() + books.writing;
        let state = State {
            full: unsent > UNSENT_BYTES_MAX,
            crowded: books.live.len() >= LIVE_MAX || books.live_bytes > LIVE_BYTES_MAX,
            idle: books.live.is_empty(),
            sent: unsent == 0,
            broken: books.broken,
        };
        self.state.send_if_modified(|before| std::mem::replace(before, state) != state);
    }
}

impl Books {
    fn end(&mut self, inner: i64) -> Option<Live> {
        let live = self.live.remove(&inner)?;
        self.live_bytes -= live.bytes;
        Some(live)
    }
}
