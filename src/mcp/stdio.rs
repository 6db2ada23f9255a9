//! Our own stdio transport: non-blocking on pipes and sockets, one writer, bounded lines, and an answer for everything that can be answered.
//!
//! One process may serve many interleaved conversations of any revision. Inside, every request has an id of ours, so equal ids in flight
//! never meet.

mod descriptor;
pub mod lines;
mod writer;

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use rmcp::model::{ClientRequest, ErrorCode, ErrorData};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    descriptor::Input,
    lines::{Line, Lines},
};
use super::{
    answer,
    message::{self, Id, Incoming, Refusal},
    server::Server,
    session::Session,
    traffic::Traffic,
};
use crate::{background::Background, config::Answers};

/// How long answers are waited for after stdin has ended. A call ends sooner by its own deadline.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long long polls go on waiting then.
const LONG_POLL_GRACE: Duration = Duration::from_secs(3);
/// How long calls may go on after the process was asked to stop; hosts kill after 5 s.
const STOP_GRACE: Duration = Duration::from_millis(1_500);
/// How long the last answers may take to be read after that.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
/// Messages accepted before other tasks get their turn.
const MESSAGES_PER_YIELD: usize = 16;
/// Answers with id null to lines that are not JSON.
const PARSE_ERRORS_PER_SECOND: u32 = 20;

/// Serves on stdin and stdout until stdin ends, stdout breaks, or the process is asked to stop.
///
/// # Errors
/// When the standard streams or signals cannot be used.
pub async fn serve(server: Server) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let mut stdio = Stdio::open(server, stop.clone())?;
    let mut ended = std::pin::pin!(stdio.run());
    loop {
        tokio::select! {
            () = &mut ended => return Ok(()),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            // Asked twice: now.
            return Ok(());
        }
        stop.cancel();
    }
}

struct Stdio {
    input: Input,
    lines: Lines,
    /// What is left of a batch.
    batch: VecDeque<Box<str>>,
    traffic: Arc<Traffic>,
    server: Server,
    session: Arc<Session>,
    background: Background,
    answers: Answers,
    parse_errors: RateLimit,
    /// The process was asked to stop, or nobody reads its answers any more.
    stop: CancellationToken,
    /// Ends every call that still runs.
    cancel_all: CancellationToken,
}

impl Stdio {
    fn open(server: Server, stop: CancellationToken) -> io::Result<Self> {
        let (input, output) = descriptor::take()?;
        let traffic = Arc::new(Traffic::new(stop.clone()));
        let (background, answers, cancel_all) = (server.background().clone(), server.answers(), server.stopping());
        background.spawn(writer::run(output, Arc::clone(&traffic)));
        let notifications = Arc::clone(&traffic);
        let session = Session::open(server.clone(), None, move |message| {
            notifications.send(|out| serde_json::to_writer(out, message));
        });
        Ok(Self {
            input,
            lines: Lines::default(),
            batch: VecDeque::new(),
            traffic,
            server,
            session: Arc::new(session),
            background,
            answers,
            parse_errors: RateLimit::default(),
            stop,
            cancel_all,
        })
    }

    /// Reads and answers until the end, and waits until everything accepted is answered and read.
    async fn run(&mut self) {
        for accepted in 1_usize.. {
            // Calls, answers and the network get their turn while input never ends.
            if accepted.is_multiple_of(MESSAGES_PER_YIELD) {
                tokio::task::yield_now().await;
            }
            self.wait_for_capacity().await;
            if self.stop.is_cancelled() || !self.next().await {
                break;
            }
        }
        let patience = if self.stop.is_cancelled() { STOP_GRACE } else { DRAIN_TIMEOUT };
        let deadline = Instant::now() + patience;
        self.drain(deadline).await;
        self.flush(deadline).await;
    }

    /// Takes one message, or reads more; false at the end.
    async fn next(&mut self) -> bool {
        if let Some(text) = self.batch.pop_front() {
            self.accept(&text);
            return true;
        }
        match self.lines.next() {
            Some(Line::Text(bytes)) => match message::text(&bytes) {
                Ok(text) => self.accept(text),
                Err(refusal) => self.refuse(&refusal),
            },
            Some(Line::Oversize(ids)) => self.refuse(&message::oversize(&ids)),
            None if self.lines.ended() => return false,
            None => tokio::select! {
                read = self.input.read(&mut self.lines) => if !matches!(read, Ok(1..)) { self.lines.end() },
                () = self.stop.cancelled() => {}
            },
        }
        true
    }

    /// Waits while the client does not read or too much is in flight.
    async fn wait_for_capacity(&self) {
        if self.traffic.may_read() {
            return;
        }
        tokio::select! {
            () = self.traffic.wait_until(|state| state.broken || !(state.full || state.crowded)) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits until everything accepted is answered, and then cancels what is not.
    async fn drain(&self, deadline: Instant) {
        self.server.end_waits(LONG_POLL_GRACE);
        let stopped = async {
            self.stop.cancelled().await;
            self.server.end_waits(Duration::ZERO);
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            () = self.traffic.wait_until(|state| state.broken || state.idle) => {}
            () = stopped => {}
            () = sleep_until(deadline) => {}
        }
        self.cancel_all.cancel();
    }

    /// Waits until everything answered is read.
    async fn flush(&self, deadline: Instant) {
        let flush = Instant::now() + FLUSH_TIMEOUT;
        let deadline = if self.stop.is_cancelled() { flush } else { deadline.max(flush) };
        let flushed = self.traffic.wait_until(|state| state.broken || (state.idle && state.sent));
        // An error means that the client did not read in time, and will not.
        let _ = tokio::time::timeout_at(deadline, flushed).await;
        self.traffic.close();
    }

    /// One message, however it came.
    fn accept(&mut self, text: &str) {
        match message::read(text) {
            Incoming::Request { id, request } => self.dispatch(id, *request, text.len()),
            Incoming::Cancelled { id } => self.traffic.cancel(&id),
            Incoming::Nothing => {}
            Incoming::Batch(messages) => self.batch.extend(messages),
            Incoming::Refused(refusal) => self.refuse(&refusal),
        }
    }

    fn dispatch(&self, id: Id, mut request: ClientRequest, bytes: usize) {
        message::attach(&mut request, self.traffic.pressure());
        let cancelled = self.cancel_all.child_token();
        let inner = self.traffic.begin(id, bytes, cancelled.clone());
        let (session, traffic, answers) = (Arc::clone(&self.session), Arc::clone(&self.traffic), self.answers);
        // Large, and moved several times before it runs.
        self.background.spawn(Box::pin(async move {
            let outcome = std::pin::pin!(session.answer(inner, request, cancelled)).await;
            traffic.answer(inner, |id, out| answer::write(&outcome, Some(id), answers, out));
        }));
    }

    fn refuse(&mut self, refusal: &Refusal) {
        let outcome = Err(ErrorData::new(refusal.code, refusal.message.clone(), None));
        let send = |id| self.traffic.send(|out| answer::write(&outcome, id, self.answers, out));
        if !refusal.ids.is_empty() {
            refusal.ids.iter().for_each(|id| send(Some(id)));
        } else if refusal.code != ErrorCode::PARSE_ERROR || self.parse_errors.try_acquire() {
            send(None);
        }
    }
}

/// At most [`PARSE_ERRORS_PER_SECOND`].
#[derive(Default)]
struct RateLimit {
    since: Option<Instant>,
    used: u32,
}

impl RateLimit {
    fn try_acquire(&mut self) -> bool {
        let now = Instant::now();
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.used = 0;
        }
        self.used += 1;
        self.used <= PARSE_ERRORS_PER_SECOND
    }
}
