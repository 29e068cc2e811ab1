//! What a service manager such as systemd is told, and what it gives: sd_notify(3), and listening
//! sockets of its own (sd_listen_fds(3)). Without one, nothing happens.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::Context;

use crate::environment;

/// Says that this process serves, and that it is the service's main one.
pub fn notify_ready() {
    let Some(socket) = environment::named("NOTIFY_SOCKET") else { return };
    let message = format!("READY=1\nMAINPID={}\n", std::process::id());
    if let Err(error) = notify(&socket, &message) {
        tracing::warn!(%error, "could not tell the service manager that the server is ready");
    }
}

fn notify(socket: &str, message: &str) -> std::io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

/// The sockets that the service manager listens on for us (`LISTEN_FDS`); none usually.
///
/// # Errors
/// When one of them is no TCP socket.
pub fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut given = listenfd::ListenFd::from_env();
    let taken = (0..given.len()).filter_map(|index| given.take_tcp_listener(index).transpose());
    taken.collect::<std::io::Result<_>>().context("take the service manager's sockets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        notify(path.to_str().expect("text"), "READY=1\n").expect("sent");
        let mut message = [0; 32];
        let length = socket.recv(&mut message).expect("heard");
        assert_eq!(&message[..length], b"READY=1\n");
    }
}
