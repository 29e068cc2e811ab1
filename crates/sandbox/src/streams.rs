//! The shim's ends of a dyno's standard streams.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use nix::sys::stat::{Mode, fchmod};

use crate::error::{Attempt, Result};
use crate::protocol::Terminal;
use crate::sys;

/// Room in each pipe: as much may wait while no server reads.
const PIPE_BYTES: i32 = 1024 * 1024;

/// What [`crate::protocol::Event::Streams`] hands out.
pub enum Streams {
    /// Standard output and error together, and nothing more.
    Output([OwnedFd; 2]),
    /// Standard input, output and error.
    Pipes([OwnedFd; 3]),
    /// A terminal's master.
    Pty(OwnedFd),
}

impl Streams {
    /// Makes pipes and gives the command the dyno's ends; nothing for a terminal, which the runtime
    /// makes.
    pub fn connect(command: &mut Command, terminal: Terminal) -> Result<Option<Self>> {
        let streams = match terminal {
            Terminal::Pty { .. } => return Ok(None),
            Terminal::Output => Self::Output(merged(command)?),
            Terminal::Pipes => {
                let (theirs, input) = pipe()?;
                command.stdin(theirs);
                let [out, err] = outputs(command)?;
                Self::Pipes([input.into(), out, err])
            }
        };
        Ok(Some(streams))
    }

    /// In the order in which the protocol lists them.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let all = match self {
            Self::Output(two) => two.as_slice(),
            Self::Pipes(three) => three,
            Self::Pty(master) => std::slice::from_ref(master),
        };
        all.iter().map(AsFd::as_fd).collect()
    }

    /// Standard input ends when its writer goes, so the shim must not hold it once someone else
    /// does: a pipe that nobody reads takes its place.
    pub fn let_input_go(&mut self) {
        if let Self::Pipes([input, ..]) = self
            && let Ok((_, nowhere)) = io::pipe()
        {
            *input = nowhere.into();
        }
    }
}

/// Output and error in one pipe, because only so their order is kept; the second is at its end.
fn merged(command: &mut Command) -> Result<[OwnedFd; 2]> {
    let (both, theirs) = pipe()?;
    command.stdout(theirs.try_clone().attempt(|| "share a pipe")?);
    command.stderr(theirs);
    let (nothing, _) = io::pipe().attempt(|| "make a pipe")?;
    Ok([both.into(), nothing.into()])
}

fn outputs(command: &mut Command) -> Result<[OwnedFd; 2]> {
    let (out, theirs) = pipe()?;
    command.stdout(theirs);
    let (err, theirs) = pipe()?;
    command.stderr(theirs);
    Ok([out.into(), err.into()])
}

fn pipe() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe().attempt(|| "make a pipe")?;
    sys::widen_pipe(&writer, PIPE_BYTES);
    // So that the dyno's user can open its streams by name: not every runtime gives them away. They
    // have no name but in `/proc` of those who hold them.
    let everyone = Mode::from_bits_truncate(0o666);
    fchmod(&writer, everyone).attempt(|| "open a pipe to the dyno's user")?;
    Ok((reader, writer))
}
