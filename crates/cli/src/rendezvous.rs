//! Joining a one-off dyno: raw bytes over TLS, between the person's terminal and the process.
//!
//! The address is `rendezvous://host:port/secret`. The client says the secret, the server answers
//! `rendezvous`, and from then on both talk freely until the server closes. There is no message for
//! a change of the window's size, nor for the exit status: for the latter the command prints a
//! marked line that is taken out here.

use std::io::{self, IsTerminal, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::failure::{Failure, Outcome};
use crate::servers::Server;
use crate::tls;

/// Goes before the exit status on a line of its own.
const MARK: &str = "\u{FFFF} heroku-command-exit-status: ";
/// The server's first words.
const GREETING: &[u8] = b"rendezvous";
/// A connection without any byte for so long is given up.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// Bytes at a time.
const CHUNK: usize = 16 * 1024;

/// The command that also tells its exit status.
pub(crate) fn with_status(command: &str) -> String {
    format!("{command} ; echo \"{MARK}$?\"")
}

/// Where to go.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
    secret: String,
}

impl Address {
    fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("rendezvous://")?;
        let (authority, secret) = rest.split_once('/')?;
        let (host, port) = authority.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: port.parse().ok()?, secret: secret.to_owned() })
    }
}

/// Joins. Returns the exit status if the command printed one.
pub(crate) fn join(url: &str, server: &Server) -> Outcome<Option<u8>> {
    let address = Address::parse(url)
        .ok_or_else(|| Failure::internal("the server gave no good address of the dyno"))?;
    let lost = |error: io::Error| {
        tls::explained(Failure::user(format!("cannot join the dyno at {}: {error}", address.host)))
    };
    let mut wire = Wire::connect(&address, server)?;
    wire.greet(&address.secret).map_err(lost)?;
    let raw = RawTerminal::enter()?;
    let status = wire.talk(raw.is_some()).map_err(lost);
    drop(raw);
    status
}

struct Wire {
    tls: ClientConnection,
    socket: TcpStream,
    filter: StatusFilter,
}

impl Wire {
    fn connect(address: &Address, server: &Server) -> Outcome<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(tls::roots(server.ca.as_deref())?);
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::internal(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(address.host.clone())
            .map_err(|error| Failure::internal(format!("{}: {error}", address.host)))?;
        let tls = ClientConnection::new(Arc::new(config), name)
            .map_err(|error| Failure::internal(error.to_string()))?;
        let place = (address.host.as_str(), address.port);
        let socket = TcpStream::connect(place)
            .map_err(|error| Failure::user(format!("cannot reach {}: {error}", address.host)))?;
        // A person types single letters.
        let _ = socket.set_nodelay(true);
        Ok(Self { tls, socket, filter: StatusFilter::default() })
    }

    /// Says the secret and waits for the answer; blocking.
    fn greet(&mut self, secret: &str) -> io::Result<()> {
        self.socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        // In one piece: a line end that came later would be taken for input of the command.
        stream.write_all(format!("{secret}\r\n").as_bytes())?;
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') && line.len() < 256 {
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        if line.starts_with(GREETING) {
            return self.socket.set_nonblocking(true);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the server did not greet"))
    }

    /// Carries bytes both ways until the server closes.
    fn talk(&mut self, terminal: bool) -> io::Result<Option<u8>> {
        let mut input_open = true;
        loop {
            // What came with the greeting may already hold output.
            if !self.receive()? {
                io::stdout().lock().write_all(&self.filter.finish())?;
                return Ok(self.filter.status);
            }
            match self.wait(input_open)? {
                Ready::Input => input_open = self.send(terminal)?,
                Ready::Socket => {}
            }
        }
    }

    fn wait(&self, input_open: bool) -> io::Result<Ready> {
        let stdin = io::stdin();
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, self.tls.wants_write());
        let mut fds = vec![PollFd::new(self.socket.as_fd(), flags)];
        // Not more is read from the person than the connection takes.
        if input_open && !self.tls.wants_write() {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::NONE);
        match poll(&mut fds, timeout) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was said for an hour")),
            Ok(_) => {
                let input = fds.get(1).and_then(PollFd::any).unwrap_or(false);
                Ok(if input { Ready::Input } else { Ready::Socket })
            }
            Err(nix::errno::Errno::EINTR) => Ok(Ready::Socket),
            Err(error) => Err(error.into()),
        }
    }

    /// Input → server. Returns whether there can be more.
    fn send(&mut self, terminal: bool) -> io::Result<bool> {
        let mut buffer = [0; CHUNK];
        // Not `io::stdin()`: its buffer would hide bytes from `poll`.
        let count = nix::unistd::read(io::stdin().as_fd(), &mut buffer)?;
        let bytes: &[u8] = if count > 0 { &buffer[..count] } else { b"\x04" };
        self.tls.writer().write_all(bytes)?;
        self.flush()?;
        Ok(count > 0 || terminal)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Server → output. Returns whether the server is still there.
    fn receive(&mut self) -> io::Result<bool> {
        self.flush()?;
        let mut open = true;
        match self.tls.read_tls(&mut self.socket) {
            Ok(0) => open = false,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => open = false,
            Err(error) => return Err(error),
        }
        let state = self.tls.process_new_packets().map_err(io::Error::other)?;
        let mut bytes = vec![0; state.plaintext_bytes_to_read()];
        self.tls.reader().read_exact(&mut bytes)?;
        let shown = self.filter.pass(&bytes);
        let mut out = io::stdout().lock();
        out.write_all(&shown)?;
        out.flush()?;
        Ok(open && !state.peer_has_closed())
    }
}

enum Ready {
    Input,
    Socket,
}

/// Takes the line with the exit status out of the output, also when it comes in pieces.
#[derive(Default)]
struct StatusFilter {
    held: Vec<u8>,
    status: Option<u8>,
}

impl StatusFilter {
    /// What of `bytes` can be shown now.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mark = MARK.as_bytes();
        let mut shown = Vec::new();
        loop {
            let Some(at) = find_start(&self.held, mark) else {
                shown.append(&mut self.held);
                return shown;
            };
            shown.extend(self.held.drain(..at));
            if !self.held.starts_with(mark) {
                return shown; // perhaps the beginning of the mark
            }
            let Some(end) = self.held.iter().position(|&byte| byte == b'\n') else { return shown };
            let line = String::from_utf8_lossy(&self.held[mark.len()..end]).trim().to_owned();
            self.status = line.parse().ok().or(self.status);
            self.held.drain(..=end);
        }
    }

    /// What is left at the end.
    fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.held);
        let Some(text) = rest.strip_prefix(MARK.as_bytes()) else { return rest };
        self.status = String::from_utf8_lossy(text).trim().parse().ok().or(self.status);
        Vec::new()
    }
}

/// Where `mark` begins, or may begin at the very end.
fn find_start(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|&at| {
        let rest = &bytes[at..];
        if rest.len() < mark.len() { mark.starts_with(rest) } else { rest.starts_with(mark) }
    })
}

/// The person's terminal passing on every key; dropping it brings it back.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Nothing if standard input is no terminal.
    fn enter() -> Outcome<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let failed = |error| Failure::user(format!("cannot set up the terminal: {error}"));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw).map_err(failed)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // If this fails, the terminal is gone.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_host_port_and_secret() {
        let address = Address::parse("rendezvous://[::1]:8300/rv.0123?x").expect("good");
        assert_eq!((address.host.as_str(), address.port), ("::1", 8300));
        assert_eq!(address.secret, "rv.0123?x");
        assert_eq!(Address::parse("rendezvous://host/secret"), None);
        assert_eq!(Address::parse("https://host:1/secret"), None);
    }

    fn filtered(pieces: &[&[u8]]) -> (Vec<u8>, Option<u8>) {
        let mut filter = StatusFilter::default();
        let mut shown = Vec::new();
        for piece in pieces {
            shown.extend(filter.pass(piece));
        }
        shown.extend(filter.finish());
        (shown, filter.status)
    }

    #[test]
    fn the_status_line_is_taken_out_wherever_it_is_cut() {
        let whole = format!("total 0\r\n{MARK}7\r\n").into_bytes();
        for at in 0..whole.len() {
            let (first, second) = whole.split_at(at);
            assert_eq!(filtered(&[first, second]), (b"total 0\r\n".to_vec(), Some(7)), "{at}");
        }
    }

    #[test]
    fn output_that_only_looks_like_it_is_shown() {
        let odd = b"\xef\xbf\xbf hero\n\xef\xbf".as_slice();
        assert_eq!(filtered(&[odd]), (odd.to_vec(), None));
    }
}
