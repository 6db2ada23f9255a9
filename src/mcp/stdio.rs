//! Our own stdio transport: non-blocking on pipes and sockets, one writer, bounded lines, and an answer for everything that can be answered.
//!
//! rmcp's service loop stands behind it and is entered without its handshake gate, because one process may serve many interleaved
//! conversations of any revision. Inside, every request has an id of ours, so equal ids in flight never meet.

mod descriptor;
pub mod lines;
pub mod message;
mod traffic;
mod writer;

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use rmcp::{
    RoleServer,
    model::{
        CancelledNotification, CancelledNotificationParam, ClientNotification, ErrorCode, ErrorData, JsonRpcMessage,
        RequestId,
    },
    service::{RxJsonRpcMessage, TxJsonRpcMessage, serve_directly_with_ct},
    transport::Transport,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    descriptor::Input,
    lines::{LINE_BYTES_MAX, Line, Lines},
    message::{Incoming, Refusal},
    traffic::Traffic,
};
use super::{answer, server::Server};
use crate::config::Answers;

pub use self::traffic::Now;

/// How long answers are waited for after stdin has ended. A call ends sooner by its own deadline.
const END_OF_INPUT: Duration = Duration::from_secs(30);
/// How long calls may go on after the process was asked to stop; hosts kill after 5 s.
const ASKED_TO_STOP: Duration = Duration::from_millis(1_500);
/// How long the last answers may take to be read after that.
const LAST_FLUSH: Duration = Duration::from_millis(500);
/// Answers to lines that are not JSON, in one second.
const BROKEN_ANSWERED: u32 = 20;

/// Serves on stdin and stdout until stdin ends, stdout breaks, or the process is asked to stop.
///
/// # Errors
/// When the standard streams or signals cannot be used.
pub async fn serve(server: Server) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let give_up = server.stopping();
    let transport = Stdio::open(&server, stop.clone())?;
    let service = serve_directly_with_ct(server, transport, None, give_up);
    let mut ended = std::pin::pin!(service.waiting());
    loop {
        tokio::select! {
            _reason = &mut ended => return Ok(()),
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
    answers: Answers,
    broken: Ration,
    /// The process was asked to stop.
    stop: CancellationToken,
    /// Ends every call that still runs.
    give_up: CancellationToken,
    /// Nothing more is read; answers are waited for until then.
    ending: Option<Instant>,
}

impl Stdio {
    fn open(server: &Server, stop: CancellationToken) -> io::Result<Self> {
        let (input, output) = descriptor::take()?;
        let traffic = Arc::new(Traffic::default());
        server.background().spawn(writer::run(output, Arc::clone(&traffic)));
        Ok(Self {
            input,
            lines: Lines::default(),
            batch: VecDeque::new(),
            traffic,
            answers: server.answers(),
            broken: Ration::default(),
            stop,
            give_up: server.stopping(),
            ending: None,
        })
    }

    /// Waits while the client does not read or too much is in flight.
    async fn room(&self) {
        tokio::select! {
            () = self.traffic.until(|now| now.broken || !(now.full || now.crowded)) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Holds the end back until everything accepted is answered and read.
    async fn finish(&self, deadline: Instant) {
        let asked = async {
            self.stop.cancelled().await;
            tokio::time::sleep(ASKED_TO_STOP).await;
        };
        tokio::select! {
            () = self.traffic.until(|now| now.broken || now.idle) => {}
            () = asked => {}
            () = sleep_until(deadline) => {}
        }
        self.give_up.cancel();
    }

    /// One message, however it came; None when nothing is left to do for it here.
    fn accept(&mut self, text: &str) -> Option<RxJsonRpcMessage<RoleServer>> {
        match message::read(text) {
            Incoming::Request { id, mut request } => {
                message::attach(&mut request, self.traffic.pressure());
                let inner = self.traffic.begin(id, text.len());
                Some(JsonRpcMessage::request(*request, RequestId::Number(inner)))
            }
            Incoming::Cancelled { id, reason } => {
                let inner = self.traffic.cancelled(&id)?;
                let params = CancelledNotificationParam::new(Some(RequestId::Number(inner)), reason);
                let notification = CancelledNotification::new(params);
                Some(JsonRpcMessage::notification(ClientNotification::CancelledNotification(notification)))
            }
            Incoming::Nothing => None,
            Incoming::Batch(messages) => {
                self.batch.extend(messages);
                None
            }
            Incoming::Refused(refusal) => {
                self.refuse(&refusal);
                None
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        if refusal.code == ErrorCode::PARSE_ERROR && !self.broken.take() {
            return;
        }
        let error = ErrorData::new(refusal.code, refusal.message.clone(), None);
        let message = TxJsonRpcMessage::<RoleServer>::error(error, None);
        self.traffic.send(|out| answer::write(&message, refusal.id.as_ref(), self.answers, out));
    }
}

impl Transport<RoleServer> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let inner = match &message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        match inner {
            Some(RequestId::Number(inner)) => {
                let inner = *inner;
                // A cancelled call has no id any more: its answer is dropped.
                if let Some(id) = self.traffic.answered(inner) {
                    self.traffic.send(|out| answer::write(&message, Some(&id), self.answers, out));
                }
                self.traffic.end(inner);
            }
            _ => self.traffic.send(|out| answer::write(&message, None, self.answers, out)),
        }
        std::future::ready(Ok(()))
    }

    /// Cancel-safe: what was read stays in `self`.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            // Lets answers through while input never ends.
            tokio::task::coop::consume_budget().await;
            self.room().await;
            if self.traffic.is_broken() {
                self.give_up.cancel();
                return None;
            }
            if self.stop.is_cancelled() && self.ending.is_none() {
                self.ending = Some(Instant::now() + ASKED_TO_STOP);
            }
            if let Some(deadline) = self.ending {
                self.finish(deadline).await;
                return None;
            }
            if let Some(text) = self.batch.pop_front() {
                match self.accept(&text) {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            match self.lines.next() {
                Some(Line::Text(bytes)) => match message::text(&bytes) {
                    Ok(text) => match self.accept(text) {
                        Some(message) => return Some(message),
                        None => continue,
                    },
                    Err(refusal) => self.refuse(&refusal),
                },
                Some(Line::Oversize) => self.refuse(&Refusal {
                    id: None,
                    code: ErrorCode::INVALID_REQUEST,
                    message: format!("the line is longer than {LINE_BYTES_MAX} bytes, the most that one message takes"),
                }),
                None if self.lines.ended() => self.ending = Some(Instant::now() + END_OF_INPUT),
                None => {
                    tokio::select! {
                        read = self.input.read(&mut self.lines) => if !matches!(read, Ok(1..)) { self.lines.end() },
                        () = self.stop.cancelled() => {}
                        () = self.traffic.until(|now| now.broken) => {}
                    }
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        let deadline = if self.stop.is_cancelled() { None } else { self.ending };
        let flush = Instant::now() + LAST_FLUSH;
        let flushed = self.traffic.until(|now| now.broken || now.sent);
        // An error means that the client did not read in time, and will not.
        let _ = tokio::time::timeout_at(deadline.map_or(flush, |deadline| deadline.max(flush)), flushed).await;
        self.traffic.close();
        Ok(())
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
