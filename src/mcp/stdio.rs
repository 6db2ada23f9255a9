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
const END_OF_INPUT: Duration = Duration::from_secs(30);
/// How long calls that wait for something to happen go on waiting then.
const WAITS: Duration = Duration::from_secs(3);
/// How long calls may go on after the process was asked to stop; hosts kill after 5 s.
const ASKED_TO_STOP: Duration = Duration::from_millis(1_500);
/// How long the last answers may take to be read after that.
const LAST_FLUSH: Duration = Duration::from_millis(500);
/// Messages that are taken in without a break.
const TURN: usize = 16;
/// Answers to nobody in particular about lines that are not JSON, in one second.
const BROKEN_ANSWERED: u32 = 20;

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
    broken: Ration,
    /// The process was asked to stop, or nobody reads its answers any more.
    stop: CancellationToken,
    /// Ends every call that still runs.
    give_up: CancellationToken,
}

impl Stdio {
    fn open(server: Server, stop: CancellationToken) -> io::Result<Self> {
        let (input, output) = descriptor::take()?;
        let traffic = Arc::new(Traffic::new(stop.clone()));
        let (background, answers, give_up) = (server.background().clone(), server.answers(), server.stopping());
        background.spawn(writer::run(output, Arc::clone(&traffic)));
        let progress = Arc::clone(&traffic);
        let session = Session::open(server.clone(), None, move |message| {
            progress.send(|out| serde_json::to_writer(out, message));
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
            broken: Ration::default(),
            stop,
            give_up,
        })
    }

    /// Reads and answers until the end, and waits until everything accepted is answered and read.
    async fn run(&mut self) {
        for taken in 1_usize.. {
            // Calls, answers and the network get their turn while input never ends.
            if taken.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
            self.room().await;
            if self.stop.is_cancelled() || !self.next().await {
                break;
            }
        }
        let patience = if self.stop.is_cancelled() { ASKED_TO_STOP } else { END_OF_INPUT };
        let deadline = Instant::now() + patience;
        self.finish(deadline).await;
        self.close(deadline).await;
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
    async fn room(&self) {
        if self.traffic.flows() {
            return;
        }
        tokio::select! {
            () = self.traffic.until(|now| now.broken || !(now.full || now.crowded)) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits until everything accepted is answered, and then gives up what is not.
    async fn finish(&self, deadline: Instant) {
        self.server.end_waits(WAITS);
        let asked = async {
            self.stop.cancelled().await;
            self.server.end_waits(Duration::ZERO);
            tokio::time::sleep(ASKED_TO_STOP).await;
        };
        tokio::select! {
            () = self.traffic.until(|now| now.broken || now.idle) => {}
            () = asked => {}
            () = sleep_until(deadline) => {}
        }
        self.give_up.cancel();
    }

    /// Waits until everything answered is read.
    async fn close(&self, deadline: Instant) {
        let flush = Instant::now() + LAST_FLUSH;
        let deadline = if self.stop.is_cancelled() { flush } else { deadline.max(flush) };
        let flushed = self.traffic.until(|now| now.broken || (now.idle && now.sent));
        // An error means that the client did not read in time, and will not.
        let _ = tokio::time::timeout_at(deadline, flushed).await;
        self.traffic.close();
    }

    /// One message, however it came.
    fn accept(&mut self, text: &str) {
        match message::read(text) {
            Incoming::Request { id, request } => self.begin(id, *request, text.len()),
            Incoming::Cancelled { id } => self.traffic.cancel(&id),
            Incoming::Nothing => {}
            Incoming::Batch(messages) => self.batch.extend(messages),
            Incoming::Refused(refusal) => self.refuse(&refusal),
        }
    }

    fn begin(&self, id: Id, mut request: ClientRequest, bytes: usize) {
        message::attach(&mut request, self.traffic.pressure());
        let cancelled = self.give_up.child_token();
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
        } else if refusal.code != ErrorCode::PARSE_ERROR || self.broken.take() {
            send(None);
        }
    }
}

/// So many a second, and no more.
#[derive(Default)]
struct Ration {
    since: Option<Instant>,
    used: u32,
}

impl Ration {
    fn take(&mut self) -> bool {
        let now = Instant::now();
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.used = 0;
        }
        self.used += 1;
        self.used <= BROKEN_ANSWERED
    }
}
