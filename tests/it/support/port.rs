//! Ports that nobody else gets.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of this machine, kept from others as long as this lives. A server that takes over addresses (`SO_REUSEADDR`, as all servers here
/// do) can listen on it; until one does, connections to it are refused.
pub struct Port {
    socket: TcpSocket,
}

impl Port {
    /// Takes a free one.
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { socket }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }
}
