//! What the kernel knows of bytes on their way through a TCP connection. Here because it takes
//! system calls that have no safe face elsewhere; it has nothing to do with dynos.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys;

/// Where `tcpi_snd_wnd` is in `struct tcp_info` (linux/tcp.h, since 5.4).
const WINDOW: std::ops::Range<usize> = 228..232;

/// What is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transit {
    /// Bytes written that the other side has not acknowledged.
    pub unacknowledged: u64,
    /// Bytes that the other side has room for.
    pub window: u32,
}

/// What is on its way through a connection; after it broke, what never arrived.
///
/// # Errors
/// When it is no TCP socket.
pub fn transit(socket: BorrowedFd<'_>) -> io::Result<Transit> {
    let mut info = [0; 256];
    let length = sys::tcp_info(socket, &mut info)?;
    let window = info[..length].get(WINDOW).and_then(|bytes| bytes.try_into().ok());
    Ok(Transit {
        unacknowledged: sys::unacknowledged(socket)?,
        window: window.map_or(0, u32::from_ne_bytes),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_the_other_side_does_not_take_is_on_its_way() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind");
        let mut near =
            TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (mut far, _) = listener.accept().expect("accept");
        near.write_all(b"hello").expect("write");
        far.read_exact(&mut [0; 5]).expect("read");
        let open = transit(near.as_fd()).expect("transit");
        assert_eq!(open.unacknowledged, 0);
        assert!(open.window > 10_000, "{open:?}");
        // Fill both sides: the window closes.
        near.set_nonblocking(true).expect("nonblocking");
        while near.write(&[0; 65536]).is_ok() {}
        let full = transit(near.as_fd()).expect("transit");
        assert!(full.unacknowledged > 0 && full.window < open.window, "{full:?}");
        // A reset does not make it forget.
        drop(far);
        let is_full = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        while near.write(b"x").map_or_else(is_full, |_| true) {
            std::thread::yield_now();
        }
        assert!(transit(near.as_fd()).expect("transit").unacknowledged > 0);
    }
}
