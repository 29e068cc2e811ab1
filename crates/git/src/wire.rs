//! What a hook and the server say to each other over the hooks' socket.
//!
//! A frame is one byte for its kind, a big-endian `u32` length, and that many bytes. The hook says
//! [`Frame::Hello`], waits for [`Frame::Turn`], sends the source archive in [`Frame::Archive`] parts
//! and [`Frame::ArchiveEnd`]; the server answers with any number of [`Frame::Say`] and one
//! [`Frame::Verdict`]. Whoever goes away early has changed nothing, except that a build which was
//! created goes on.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No frame carries more; a peer that announces more is cut off.
pub(crate) const MAX_FRAME: usize = 64 * 1024;

const HEAD: usize = 5;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Hook: who I am.
    Hello(Hello),
    /// Server: nobody is before you.
    Turn(Turn),
    /// Hook: the next part of the source archive.
    Archive(Bytes),
    /// Hook: the archive is whole.
    ArchiveEnd,
    /// Server: show this to the person, byte for byte.
    Say(Bytes),
    /// Server: whether the push is accepted. The last frame.
    Verdict(Verdict),
}

/// The hook's first words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The secret that names the push; the server gave it to git's environment.
    pub push: String,
    /// The branch to be built, `main` or `master`.
    pub branch: String,
    /// Full name of the commit to be built.
    pub commit: String,
}

/// Leave to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// The source, unpacked, may not be larger.
    pub max_source_bytes: u64,
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The refs are updated.
    Accepted,
    /// They are not.
    Declined,
}

impl Frame {
    const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => b'H',
            Self::Turn(_) => b'T',
            Self::Archive(_) => b'A',
            Self::ArchiveEnd => b'E',
            Self::Say(_) => b'S',
            Self::Verdict(_) => b'V',
        }
    }

    /// The frame as bytes. Text and archive parts are cut by their senders to [`MAX_FRAME`].
    fn encode(&self) -> io::Result<Vec<u8>> {
        let body = match self {
            Self::Hello(hello) => serde_json::to_vec(hello)?,
            Self::Turn(turn) => serde_json::to_vec(turn)?,
            Self::Verdict(verdict) => serde_json::to_vec(verdict)?,
            Self::Archive(part) | Self::Say(part) => part.to_vec(),
            Self::ArchiveEnd => Vec::new(),
        };
        if body.len() > MAX_FRAME {
            return Err(invalid("a frame to be sent is too large"));
        }
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(HEAD + body.len());
        bytes.push(self.kind());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    fn decode(kind: u8, body: Vec<u8>) -> io::Result<Self> {
        match kind {
            b'H' => Ok(Self::Hello(serde_json::from_slice(&body)?)),
            b'T' => Ok(Self::Turn(serde_json::from_slice(&body)?)),
            b'A' => Ok(Self::Archive(body.into())),
            b'E' => Ok(Self::ArchiveEnd),
            b'S' => Ok(Self::Say(body.into())),
            b'V' => Ok(Self::Verdict(serde_json::from_slice(&body)?)),
            _ => Err(invalid("a frame of an unknown kind")),
        }
    }
}

fn length_of(head: [u8; HEAD]) -> io::Result<usize> {
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > MAX_FRAME { Err(invalid("a frame is too large")) } else { Ok(length) }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Sends one frame; the hook's side.
pub(crate) fn send(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    to.write_all(&frame.encode()?)
}

/// Receives one frame; the hook's side.
pub(crate) fn receive(from: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let mut body = vec![0; length_of(head)?];
    from.read_exact(&mut body)?;
    Frame::decode(head[0], body)
}

/// Sends one frame; the server's side.
pub(crate) async fn send_async(
    to: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> io::Result<()> {
    to.write_all(&frame.encode()?).await
}

/// Receives one frame; the server's side. Not to be dropped half way: a part of a frame is lost.
pub(crate) async fn receive_async(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head).await?;
    let mut body = vec![0; length_of(head)?];
    from.read_exact(&mut body).await?;
    Frame::decode(head[0], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_round_trips() {
        let hello =
            Hello { push: "p".into(), branch: "main".into(), commit: "0123456789abcdef".into() };
        let frames = [
            Frame::Hello(hello),
            Frame::Turn(Turn { max_source_bytes: 7 }),
            Frame::Archive(Bytes::from_static(b"\0\xff")),
            Frame::ArchiveEnd,
            Frame::Say(Bytes::from_static(b"-----> Building\n")),
            Frame::Verdict(Verdict::Declined),
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            send(&mut bytes, frame).expect("in memory");
        }
        let mut reader = bytes.as_slice();
        for frame in frames {
            assert_eq!(receive(&mut reader).expect("whole"), frame);
        }
        assert!(reader.is_empty());
    }

    #[test]
    fn oversize_and_unknown_frames_are_refused() {
        assert!(receive(&mut [b'A', 0xff, 0, 0, 0].as_slice()).is_err());
        assert!(receive(&mut [b'?', 0, 0, 0, 0].as_slice()).is_err());
        let huge = Frame::Say(vec![0; MAX_FRAME + 1].into());
        assert!(send(&mut Vec::new(), &huge).is_err());
    }
}
