//! The source archive: the commit's files as `tar.gz`, sent as they are read.

use std::io::{self, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{ChildStdout, Stdio};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::HookEnv;
use crate::wire::{self, Frame, MAX_FRAME, Turn};

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("Git could not read the commit's files: {0}")]
    Git(#[source] io::Error),
    #[error("The source is too large (max is {} MB).", .0 / 1024 / 1024)]
    TooLarge(u64),
    #[error("The server does not take the source: {0}")]
    Server(#[source] io::Error),
}

/// Reads the files of `commit` from git and sends them. The same commit gives the same bytes.
pub(super) fn send(
    env: &HookEnv,
    commit: &str,
    turn: Turn,
    server: &mut UnixStream,
) -> Result<(), ArchiveError> {
    let mut command = env.command();
    command.args(["archive", "--format=tar", commit]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(ArchiveError::Git)?;
    let sent = match child.stdout.take() {
        Some(stdout) => compress(stdout, turn.max_source_bytes, server),
        None => Ok(()),
    };
    if sent.is_err() {
        // Nobody reads on; it must not wait for that.
        let _ = child.kill();
    }
    let status = child.wait().map_err(ArchiveError::Git)?;
    sent?;
    if !status.success() {
        return Err(ArchiveError::Git(io::Error::other("`git archive` failed")));
    }
    // Only now: an archive that git could not finish must not look whole.
    wire::send(server, &Frame::ArchiveEnd).map_err(ArchiveError::Server)
}

fn compress(
    mut files: ChildStdout,
    max_bytes: u64,
    server: &mut UnixStream,
) -> Result<(), ArchiveError> {
    let frames = BufWriter::with_capacity(MAX_FRAME, Frames { server });
    // Speed over size: it travels over a socket on this machine.
    let mut encoder = GzEncoder::new(frames, Compression::fast());
    let mut buffer = vec![0; MAX_FRAME];
    let mut left = max_bytes;
    loop {
        let count = files.read(&mut buffer).map_err(ArchiveError::Git)?;
        if count == 0 {
            break;
        }
        left = left.checked_sub(count as u64).ok_or(ArchiveError::TooLarge(max_bytes))?;
        encoder.write_all(&buffer[..count]).map_err(ArchiveError::Server)?;
    }
    let mut frames = encoder.finish().map_err(ArchiveError::Server)?;
    frames.flush().map_err(ArchiveError::Server)
}

/// Makes an archive frame of every write.
struct Frames<'a> {
    server: &'a mut UnixStream,
}

impl Write for Frames<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(MAX_FRAME)];
        wire::send(self.server, &Frame::Archive(Bytes::copy_from_slice(part)))?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.server.flush()
    }
}
