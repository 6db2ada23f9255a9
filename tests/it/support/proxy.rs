//! A TCP proxy before a backend that can refuse, hang, and cut an answer or a transaction short.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc as blocking,
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{chance::Chance, port::Port};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Refuse,
    Hang,
    CutAfter(usize),
    HangAfter(usize),
    CutBeforeCommit,
    CutAfterCommit,
    Delay(u64),
}

/// Of a thousand messages so many are late.
const LATE: u64 = 4;

/// How a driver asks for it.
const COMMIT: &[u8] = b"COMMIT\0";

/// A proxy on a port of its own, with a thread of its own. It ends when dropped.
pub struct Proxy {
    port: u16,
    orders: mpsc::Sender<(Mode, blocking::Sender<()>)>,
    taken: Arc<AtomicUsize>,
}

impl Proxy {
    /// Before a server on this machine; passes everything at first.
    pub fn to(port: u16) -> Self {
        let (orders, incoming) = mpsc::channel(1);
        let (ready, is_ready) = blocking::channel();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(port, incoming, ready, &count));
        });
        Self { port: is_ready.recv().unwrap(), orders, taken }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// Where to connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything goes through.
    pub fn pass(&self) {
        self.order(Mode::Pass);
    }

    /// Nobody listens, and all connections are closed: a server that is down.
    pub fn refuse(&self) {
        self.order(Mode::Refuse);
    }

    /// Connections are taken and nothing ever comes back: a server that hangs. [`Proxy::pass`] lets the held bytes go on.
    pub fn hang(&self) {
        self.order(Mode::Hang);
    }

    /// From now on each connection is closed when it has brought so many bytes from the server.
    pub fn cut_after(&self, bytes: usize) {
        self.order(Mode::CutAfter(bytes));
    }

    /// From now on each connection falls silent when it has brought so many bytes from the server.
    pub fn hang_after(&self, bytes: usize) {
        self.order(Mode::HangAfter(bytes));
    }

    /// A connection that asks PostgreSQL to commit is closed before the server hears of it.
    pub fn cut_before_commit(&self) {
        self.order(Mode::CutBeforeCommit);
    }

    /// A connection that asks PostgreSQL to commit is closed when the server has done it, and its answer is lost.
    pub fn cut_after_commit(&self) {
        self.order(Mode::CutAfterCommit);
    }

    /// Now and then a message is late, by up to 3 s.
    pub fn delay(&self, seed: u64) {
        self.order(Mode::Delay(seed));
    }

    /// Returns when it is in force.
    fn order(&self, mode: Mode) {
        let (done, is_done) = blocking::channel();
        self.orders.try_send((mode, done)).expect("the proxy has ended");
        is_done.recv().expect("the proxy has ended");
    }
}

async fn serve(
    to: u16,
    mut orders: mpsc::Receiver<(Mode, blocking::Sender<()>)>,
    ready: blocking::Sender<u16>,
    taken: &AtomicUsize,
) {
    let port = Port::take();
    let mut listener = Some(listen(&port).await);
    ready.send(port.number()).unwrap();
    let (mode, _) = watch::channel(Mode::Pass);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((next, done)) = order else { return };
                if next == Mode::Refuse {
                    listener = None;
                    connections.shutdown().await;
                } else if listener.is_none() {
                    listener = Some(listen(&port).await);
                }
                mode.send_replace(next);
                done.send(()).ok();
            }
            client = accept(listener.as_ref()) => {
                taken.fetch_add(1, Ordering::SeqCst);
                connections.spawn(connection(client, to, mode.subscribe()));
            }
        }
    }
}

async fn listen(port: &Port) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port.number())).await.unwrap()
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.unwrap().0,
        None => std::future::pending().await,
    }
}

async fn connection(client: TcpStream, to: u16, mode: watch::Receiver<Mode>) {
    // A server that hangs takes connections all the same; ours to it is made when bytes may flow.
    let mut waiting = mode.clone();
    if waiting.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let committing = Arc::new(AtomicBool::new(false));
    tokio::select! {
        () = questions(client_read, server_write, mode.clone(), &committing) => {}
        () = answers(server_read, client_write, mode, &committing) => {}
    }
}

/// Waits, when this message is one of those that are late.
async fn delay(mode: Mode, chance: &mut Option<Chance>) {
    static STREAMS: AtomicU64 = AtomicU64::new(0);
    let Mode::Delay(seed) = mode else { return };
    let chance = chance.get_or_insert_with(|| Chance::new(seed ^ STREAMS.fetch_add(1, Ordering::SeqCst)));
    if chance.below(1_000) < LATE {
        let most = if chance.below(2) == 0 { 200 } else { 3_000 };
        tokio::time::sleep(Duration::from_millis(20 + chance.below(most))).await;
    }
}

async fn questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    committing: &AtomicBool,
) {
    let (mut buffer, mut chance) = (vec![0; 16 * 1024], None);
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if read == 0 || mode.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
            return;
        }
        let current = *mode.borrow();
        delay(current, &mut chance).await;
        let commits = buffer[..read].windows(COMMIT.len()).any(|part| part == COMMIT);
        match current {
            Mode::CutBeforeCommit if commits => return,
            Mode::CutAfterCommit if commits => committing.store(true, Ordering::SeqCst),
            _ => {}
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    committing: &AtomicBool,
) {
    let (mut buffer, mut chance) = (vec![0; 16 * 1024], None);
    let mut passed = 0;
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if read == 0 || mode.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
            return;
        }
        // It has done what it was asked to, and nobody hears of it.
        if committing.load(Ordering::SeqCst) {
            return;
        }
        let current = *mode.borrow();
        delay(current, &mut chance).await;
        if let Mode::CutAfter(most) | Mode::HangAfter(most) = current {
            let left = most.saturating_sub(passed);
            passed += read;
            if read >= left {
                to.write_all(&buffer[..left]).await.ok();
                if current == Mode::CutAfter(most) {
                    return;
                }
                std::future::pending::<()>().await;
            }
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
