//! Which sockets listen on this machine. A socket is identified by its inode: whether its port is free proves nothing,
//! because another process may get the port as soon as it is released.

use std::collections::HashMap;
use std::net::SocketAddr;

use procfs::net::TcpState;

/// The inode of each IPv4 socket that listens on this machine, by address.
pub(crate) fn listeners() -> HashMap<SocketAddr, u64> {
    let sockets = procfs::net::tcp().unwrap().into_iter();
    sockets
        .filter(|socket| socket.state == TcpState::Listen)
        .map(|socket| (socket.local_address, socket.inode))
        .collect()
}
