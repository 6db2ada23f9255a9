//! The standard streams, taken so that nothing blocks and nothing else writes to stdout.
//!
//! A pipe is opened anew through /proc, so that its non-blocking flag is ours alone; a socket (Node hosts give sockets) is asked not to wait
//! on every call. Terminals, files, and pipes that may not be opened anew go through threads.

use std::{fs::File, io, os::fd::OwnedFd, sync::Arc};

use rustix::{
    buffer::spare_capacity,
    fs::{FileType, Mode, OFlags},
    io::Errno,
    net::{RecvFlags, SendFlags, SocketType, sockopt::socket_type},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};

use super::lines::Lines;

/// Where requests come from.
pub enum Input {
    /// A pipe.
    Pipe(AsyncFd<OwnedFd>),
    /// A socket.
    Socket(AsyncFd<OwnedFd>),
    /// Anything else, read by a thread.
    Thread(mpsc::Receiver<Vec<u8>>),
}

/// Where answers go.
pub enum Output {
    /// A pipe.
    Pipe(AsyncFd<OwnedFd>),
    /// A socket.
    Socket(AsyncFd<OwnedFd>),
    /// Anything else, written by a thread.
    Thread(Arc<File>),
}

/// Takes stdin and stdout. From then on, what is printed to stdout goes to stderr.
///
/// # Errors
/// When the streams cannot be duplicated.
pub fn take() -> io::Result<(Input, Output)> {
    let input = input()?;
    let output = output()?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((input, output))
}

fn input() -> io::Result<Input> {
    let stdin = rustix::stdio::stdin();
    match FileType::from_raw_mode(rustix::fs::fstat(stdin)?.st_mode) {
        // Of another kind, a read can be short with more behind it.
        FileType::Socket if socket_type(stdin)? == SocketType::STREAM => {
            if let Some(ready) = registered(duplicate(stdin)?, Interest::READABLE) {
                return Ok(Input::Socket(ready));
            }
        }
        FileType::Fifo => {
            if let Some(ready) = reopened("/proc/self/fd/0", OFlags::RDONLY, Interest::READABLE) {
                return Ok(Input::Pipe(ready));
            }
        }
        _ => {}
    }
    let file = File::from(duplicate(stdin)?);
    let (chunks, read) = mpsc::channel(1);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || read_all(file, &chunks))?;
    Ok(Input::Thread(read))
}

fn output() -> io::Result<Output> {
    let stdout = rustix::stdio::stdout();
    match FileType::from_raw_mode(rustix::fs::fstat(stdout)?.st_mode) {
        FileType::Socket => {
            if let Some(ready) = registered(duplicate(stdout)?, Interest::WRITABLE) {
                return Ok(Output::Socket(ready));
            }
        }
        FileType::Fifo => {
            if let Some(ready) = reopened("/proc/self/fd/1", OFlags::WRONLY, Interest::WRITABLE) {
                return Ok(Output::Pipe(ready));
            }
        }
        _ => {}
    }
    Ok(Output::Thread(Arc::new(File::from(duplicate(stdout)?))))
}

fn duplicate(stream: rustix::fd::BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(stream, 3)?)
}

/// None where there is no /proc, or where the pipe belongs to another user: a thread does it then.
fn reopened(path: &str, access: OFlags, interest: Interest) -> Option<AsyncFd<OwnedFd>> {
    let opened = rustix::fs::open(path, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()?;
    registered(opened, interest)
}

#[expect(
    deprecated,
    reason = "its successor is an unsafe function; an OwnedFd keeps the descriptor open, which is all that one asks"
)]
fn registered(stream: OwnedFd, interest: Interest) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(stream, interest).ok()
}

fn read_all(mut file: File, chunks: &mpsc::Sender<Vec<u8>>) {
    loop {
        let mut chunk = vec![0; 64 << 10];
        match io::Read::read(&mut file, &mut chunk) {
            Ok(0) => return,
            Ok(read) => {
                chunk.truncate(read);
                if chunks.blocking_send(chunk).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!("stdin cannot be read: {error}");
                return;
            }
        }
    }
}

impl Input {
    /// Reads more; 0 at the end. Cancel-safe.
    ///
    /// # Errors
    /// When the stream is broken.
    pub async fn read(&mut self, lines: &mut Lines) -> io::Result<usize> {
        match self {
            Self::Pipe(pipe) => {
                read_ready(pipe, lines.room(), |pipe, room| rustix::io::read(pipe, spare_capacity(room))).await
            }
            Self::Socket(socket) => {
                read_ready(socket, lines.room(), |socket, room| {
                    rustix::net::recv(socket, spare_capacity(room), RecvFlags::DONTWAIT).map(|(read, _)| read)
                })
                .await
            }
            Self::Thread(chunks) => match chunks.recv().await {
                Some(chunk) => {
                    lines.room().extend_from_slice(&chunk);
                    Ok(chunk.len())
                }
                None => Ok(0),
            },
        }
    }
}

impl Output {
    /// Writes all of it, and gives the buffer back.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub async fn write_all(&self, buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        if let Self::Thread(file) = self {
            let file = Arc::clone(file);
            let write = move || io::Write::write_all(&mut file.as_ref(), &buffer).map(|()| buffer);
            return tokio::task::spawn_blocking(write).await?;
        }
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let written = match self {
                Self::Pipe(pipe) => write_ready(pipe, |pipe| rustix::io::write(pipe, rest)).await?,
                Self::Socket(socket) => {
                    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                    write_ready(socket, |socket| rustix::net::send(socket, rest, flags)).await?
                }
                Self::Thread(_) => 0,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(buffer)
    }
}

/// Waits first: a read that did not fill the room has emptied the stream, and the next one would be in vain.
async fn read_ready(
    stream: &AsyncFd<OwnedFd>,
    room: &mut Vec<u8>,
    mut attempt: impl FnMut(&OwnedFd, &mut Vec<u8>) -> Result<usize, Errno>,
) -> io::Result<usize> {
    let free = room.capacity() - room.len();
    loop {
        let mut guard = stream.readable().await?;
        match attempt(stream.get_ref(), room) {
            Err(Errno::WOULDBLOCK) => guard.clear_ready(),
            Err(Errno::INTR) => {}
            Ok(read) => {
                if read < free {
                    guard.clear_ready();
                }
                return Ok(read);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tries first, then waits: most writes need no wait.
async fn write_ready(
    stream: &AsyncFd<OwnedFd>,
    mut attempt: impl FnMut(&OwnedFd) -> Result<usize, Errno>,
) -> io::Result<usize> {
    loop {
        match attempt(stream.get_ref()) {
            Err(Errno::WOULDBLOCK) => {}
            Err(Errno::INTR) => continue,
            done => return Ok(done?),
        }
        let mut guard = stream.writable().await?;
        match attempt(stream.get_ref()) {
            Err(Errno::WOULDBLOCK) => guard.clear_ready(),
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}
