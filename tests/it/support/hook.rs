//! An HTTP server of the tests that answers as it is told, and keeps what it was sent.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How a request is answered.
#[derive(Debug, Clone, Copy)]
pub enum Reply {
    /// With this status.
    Status(u16),
    /// To another place.
    Redirect,
    /// Without an end.
    Endless,
    /// Not at all.
    Silence,
}

/// What it was sent.
#[derive(Debug, Clone)]
pub struct Received {
    pub head: String,
    pub body: String,
}

impl Received {
    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).unwrap_or_default()
    }
}

/// A running server.
pub struct Hook {
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Hook {
    /// Answers in this order; from then on with 200.
    pub async fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (kept, mut replies) = (Arc::clone(&received), VecDeque::from(replies.to_vec()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reply = replies.pop_front().unwrap_or(Reply::Status(200));
                tokio::spawn(serve(stream, reply, Arc::clone(&kept)));
            }
        });
        Self { port, received }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// What it was sent so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, reply: Reply, kept: Arc<Mutex<Vec<Received>>>) {
    let mut text = Vec::new();
    let head = loop {
        if let Some(end) = text.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let mut received = Received { head: String::from_utf8_lossy(&text[..head]).into_owned(), body: String::new() };
    let length: usize = received.header("content-length").parse().unwrap_or(0);
    while text.len() < head + length {
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            return;
        }
    }
    received.body = String::from_utf8(text[head..].to_vec()).unwrap();
    kept.lock().unwrap().push(received);
    let answer = match reply {
        Reply::Status(status) => format!("HTTP/1.1 {status} It\r\ncontent-length: 2\r\n\r\nok"),
        Reply::Redirect => "HTTP/1.1 302 It\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned(),
        Reply::Endless => "HTTP/1.1 200 It\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        Reply::Silence => return std::future::pending().await,
    };
    if stream.write_all(answer.as_bytes()).await.is_ok() && matches!(reply, Reply::Endless) {
        let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
    }
}
