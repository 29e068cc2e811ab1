//! Noticing that a client has left although nobody reads what it has sent.
//!
//! The end of a connection stands behind the bytes before it, and those may wait for a program that
//! does not read. So the kernel is asked through a second registration of the same socket, whose
//! readiness is nobody else's.

use std::io;
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::net::UnixStream;

/// A second look at a client's connection.
pub(crate) struct Leaving(UnixStream);

impl Leaving {
    /// Of this client.
    ///
    /// # Errors
    /// When there is no descriptor left for it.
    pub(crate) fn of(client: &UnixStream) -> io::Result<Self> {
        let again = client.as_fd().try_clone_to_owned()?;
        UnixStream::from_std(again.into()).map(Self)
    }

    /// Waits until the client has left. May be dropped and called again.
    pub(crate) async fn seen(&self) {
        while let Ok(news) = self.0.ready(Interest::READABLE).await {
            if news.is_read_closed() {
                return;
            }
            // Nothing is read here: this only waits for the next news.
            let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _forgotten = self.0.try_io(Interest::READABLE, nothing);
        }
    }
}
