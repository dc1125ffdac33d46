//! Listening sockets, and which accept errors matter.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Listens on every address, and returns those in use, with the ports that the kernel chose. The error names the
/// address.
pub fn all(
    addresses: &[SocketAddr],
) -> Result<Vec<(TcpListener, SocketAddr)>, (SocketAddr, io::Error)> {
    addresses
        .iter()
        .map(|address| {
            let also_v4 = addresses
                .iter()
                .any(|other| other.is_ipv4() && other.port() == address.port());
            one(*address, address.is_ipv6() && also_v4).map_err(|error| (*address, error))
        })
        .collect()
}

/// Listens on one address, inside a tokio runtime. An IPv6 wildcard takes IPv4 too unless told otherwise.
pub fn one(address: SocketAddr, only_v6: bool) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    // Linux hands it on to accepted sockets, which saves a system call for each
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Whether only this machine reaches it.
pub(crate) fn is_loopback(listener: &TcpListener) -> bool {
    let address = listener.local_addr();
    address.is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

/// An accept can report the fate of the one connection it was about to return.
pub(crate) fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// The kernel clamps it to net.core.somaxconn, 4096 today.
const BACKLOG: i32 = 4_096;
