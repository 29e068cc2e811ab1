//! Frames and descriptors on a Unix socket, for both ends of the protocol.
//!
//! Everything here works on blocking and on non-blocking sockets alike: "would block" passes through
//! as an error of that kind, and no byte or descriptor is lost by it.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{self, ControlMessage, ControlMessageOwned, MsgFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::MAX_FRAME;
use crate::sys;

/// Most descriptors that travel beside one frame.
pub const MAX_FDS: usize = 4;

/// One read takes at most this many bytes.
const CHUNK: usize = 16 * 1024;

/// Puts received bytes together to frames, and keeps the descriptors that came with them.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Decoder {
    /// Takes in bytes that were read elsewhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Reads once from a socket. Answers how many bytes came; 0 is the end.
    ///
    /// # Errors
    /// The socket's own, "would block" among them; or more descriptors than any frame has.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let (bytes, fds) = recv(socket)?;
        self.push(&bytes);
        self.fds.extend(fds);
        if self.fds.len() > MAX_FDS {
            self.fds.clear();
            return Err(invalid("more descriptors than a frame may carry"));
        }
        Ok(bytes.len())
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// A frame that is too large or is not what was expected. Nothing after it can be trusted.
    #[allow(clippy::should_implement_trait, reason = "each call may ask for another type")]
    pub fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(head) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(invalid("a frame larger than the protocol allows"));
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        let message = serde_json::from_slice(&self.bytes[4..4 + length])?;
        self.bytes.drain(..4 + length);
        Ok(Some(message))
    }

    /// The descriptors received since the last call, in order. Call it on the frame that says they
    /// travel beside it: they never arrive after it.
    pub fn take_fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }
}

/// A message as a frame.
///
/// # Errors
/// When it is larger than a frame may be.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_FRAME);
    let length = length.ok_or_else(|| invalid("a message larger than a frame may be"))?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Sends bytes, and descriptors beside the first of them. Answers how many bytes were taken, as a
/// write does: when fewer than all, send the rest without the descriptors.
///
/// # Errors
/// The socket's own.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let sent = socket::sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(sent)
}

/// Sends all of it, waiting as long as the socket's own time-out allows.
///
/// # Errors
/// The socket's own.
pub fn send_all(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut sent = send(socket, bytes, fds)?;
    while sent < bytes.len() {
        sent += send(socket, &bytes[sent..], &[])?;
    }
    Ok(())
}

/// Receives some bytes and the descriptors that came with them. No bytes means the end.
///
/// # Errors
/// The socket's own, "would block" among them.
pub fn recv(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut buffer = vec![0; CHUNK];
    let mut control = nix::cmsg_space!([RawFd; MAX_FDS]);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let message = socket::recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let length = message.bytes;
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = part {
            fds.extend(received.into_iter().map(sys::own));
        }
    }
    buffer.truncate(length);
    Ok((buffer, fds))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::protocol::{Event, Request};

    #[test]
    fn frames_survive_any_cut() {
        let wanted = [Request::Status, Request::Signal(15), Request::Forget];
        let stream: Vec<u8> = wanted.iter().flat_map(|each| encode(each).unwrap()).collect();
        for size in 1..stream.len() {
            let mut decoder = Decoder::default();
            let mut got: Vec<Request> = Vec::new();
            for piece in stream.chunks(size) {
                decoder.push(piece);
                while let Some(request) = decoder.next().unwrap() {
                    got.push(request);
                }
            }
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn a_frame_of_absurd_length_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_be_bytes());
        assert_eq!(decoder.next::<Request>().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_not_the_expected_message_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&encode(&"no request").unwrap());
        assert!(decoder.next::<Request>().is_err());
    }

    #[test]
    fn descriptors_travel_beside_their_frame() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let before = encode(&Event::Running { pid: 7 }).unwrap();
        send_all(ours.as_fd(), &before, &[]).unwrap();
        let frame = encode(&Event::Streams).unwrap();
        send_all(ours.as_fd(), &frame, &[reader.as_fd()]).unwrap();
        let mut decoder = Decoder::default();
        let mut events: Vec<Event> = Vec::new();
        while events.len() < 2 {
            decoder.receive(theirs.as_fd()).unwrap();
            while let Some(event) = decoder.next().unwrap() {
                events.push(event);
            }
        }
        assert_eq!(events, [Event::Running { pid: 7 }, Event::Streams]);
        let mut received = decoder.take_fds();
        drop(reader);
        writer.write_all(b"through").unwrap();
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(received.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert!(received.is_empty());
    }

    #[test]
    fn a_socket_without_data_would_block() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let error = Decoder::default().receive(ours.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
