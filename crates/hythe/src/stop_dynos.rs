//! Ends the dynos that outlived their server, for an operator who wants the machine quiet.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use sandbox::frames::{self, Decoder};
use sandbox::protocol::{Event, Request, SOCKET};

/// A shim that says nothing for so long is given up.
const ANSWER: Duration = Duration::from_secs(20);

/// Ends every dyno below `run_dir`; answers how many there were.
///
/// # Errors
/// Names the first dyno that could not be ended; all others are gone.
pub fn all(run_dir: &Path) -> anyhow::Result<u32> {
    let dynos = run_dir.join("dynos");
    let (mut ended, mut failed) = (0, None);
    for entry in fs::read_dir(&dynos).into_iter().flatten() {
        let dir = entry.with_context(|| format!("read {}", dynos.display()))?.path();
        match end(&dir).with_context(|| format!("end the dyno in {}", dir.display())) {
            Ok(()) => ended += 1,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(ended), Err)
}

/// Asks the shim, if there is one, and clears away what it leaves.
fn end(dir: &Path) -> anyhow::Result<()> {
    if let Ok(shim) = UnixStream::connect(dir.join(SOCKET))
        && let Err(error) = kill(&shim)
        && !has_left(&error)
    {
        return Err(error);
    }
    sandbox::sweep(dir).context("clear away what its shim left")
}

/// Whether the shim came to its end by itself just now: then there is nothing to ask it any more.
fn has_left(error: &anyhow::Error) -> bool {
    let kind =
        error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

fn kill(shim: &UnixStream) -> anyhow::Result<()> {
    shim.set_read_timeout(Some(ANSWER)).context("limit the wait")?;
    send(shim, &Request::Kill)?;
    let mut decoder = Decoder::default();
    loop {
        while let Some(event) = decoder.next::<Event>().context("understand its shim")? {
            if matches!(event, Event::Exited { .. } | Event::Failed { .. }) {
                send(shim, &Request::Forget)?;
                return wait_for_end(shim);
            }
        }
        if decoder.receive(shim.as_fd()).context("hear its shim")? == 0 {
            return Ok(());
        }
    }
}

fn send(shim: &UnixStream, request: &Request) -> anyhow::Result<()> {
    let frame = frames::encode(request).context("write to its shim")?;
    frames::send_all(shim.as_fd(), &frame, &[]).context("write to its shim")
}

/// The connection closes when the shim has cleaned up.
fn wait_for_end(shim: &UnixStream) -> anyhow::Result<()> {
    let mut decoder = Decoder::default();
    while decoder.receive(shim.as_fd()).context("wait for its shim")? > 0 {}
    Ok(())
}
