//! The log: lines on stderr, without secrets. A host that never reads stderr must not stall the calls, so lines go through a bounded queue
//! to a thread of their own; what does not fit is dropped and counted.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::redaction::redact;

/// Lines that wait for a slow reader of stderr.
const LINES_WAITING_MAX: usize = 1_024;
/// How long the end of the process waits for them.
const FLUSH: Duration = Duration::from_millis(200);

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();
static DROPPED: AtomicUsize = AtomicUsize::new(0);

enum Entry {
    Line(Vec<u8>),
    /// Everything before this is written once the sender is dropped.
    Mark(SyncSender<()>),
}

/// Starts the log with a filter that was held to be one. A second start changes nothing.
pub fn start(filter: &str) {
    QUEUE.get_or_init(|| {
        let (queue, entries) = sync_channel(LINES_WAITING_MAX);
        if let Err(error) = thread::Builder::new().name("log".to_owned()).spawn(move || write_out(&entries)) {
            // Without the thread there is no log; the calls do not depend on it.
            let _ = writeln!(io::stderr(), "callboard: no log: {error}");
        }
        queue
    });
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_writer(Queued)
        .with_ansi(false)
        .with_target(true);
    // A second start is one of tests.
    let _ = if io::stderr().is_terminal() { subscriber.compact().try_init() } else { subscriber.try_init() };
}

/// Waits a moment until what was logged is written: the last thing a process does.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (mark, written) = sync_channel(1);
    if queue.try_send(Entry::Mark(mark)).is_ok() {
        // Nobody reads stderr: the lines are lost.
        let _ = written.recv_timeout(FLUSH);
    }
}

fn write_out(entries: &Receiver<Entry>) {
    let mut stderr = io::stderr();
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                let dropped = DROPPED.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    // A closed stderr is no reason to end.
                    let _ = writeln!(stderr, "callboard: {dropped} lines of the log were dropped, stderr is not read");
                }
                let _ = stderr.write_all(&line);
            }
            Entry::Mark(mark) => drop(mark),
        }
    }
}

/// The queue, behind the redaction. Each event arrives as one write.
struct Queued;

impl<'a> MakeWriter<'a> for Queued {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Queued {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = redact(&String::from_utf8_lossy(bytes)).into_owned().into_bytes();
        let fits = QUEUE.get().is_some_and(|queue| queue.try_send(Entry::Line(line)).is_ok());
        if !fits {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
