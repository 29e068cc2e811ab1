//! Port 0: the kernel chooses, before anybody must know the number.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use socket2::{Domain, Socket, Type};

/// Sockets that listen already decide where the server listens, whatever it was told.
///
/// # Errors
/// When the kernel does not say where one listens.
pub fn adopt(addresses: &mut Vec<SocketAddr>, sockets: &[TcpListener]) -> anyhow::Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    addresses.clear();
    for socket in sockets {
        let address = socket.local_addr().context("ask where a socket listens")?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(())
}

/// Replaces port 0 by a free port, which stays ours until what is returned is dropped. The sockets
/// do not listen, so no connection reaches them; the router's do.
///
/// # Errors
/// When an address cannot be bound.
pub fn reserve(addresses: &mut [SocketAddr]) -> anyhow::Result<Vec<Socket>> {
    let mut reserved = Vec::new();
    for address in addresses.iter_mut().filter(|address| address.port() == 0) {
        let bind = || -> std::io::Result<(Socket, SocketAddr)> {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            socket.set_reuse_port(true)?;
            socket.set_reuse_address(true)?;
            socket.bind(&(*address).into())?;
            let bound = socket.local_addr()?.as_socket().unwrap_or(*address);
            Ok((socket, bound))
        };
        let (socket, bound) = bind().with_context(|| format!("find a free port at {address}"))?;
        reserved.push(socket);
        *address = bound;
    }
    Ok(reserved)
}
