//! What is left to do when a shim was killed.
//!
//! Little: a dyno's processes end with its shim, and its mounts, disks and network interface with
//! them. What stays is its control group, and the files in its directory.

use std::fs;
use std::path::Path;

use crate::cgroup::Group;
use crate::error::Result;
use crate::protocol::SOCKET;
use crate::record::{self, RECORD};
use crate::stage;

/// Clears away what a killed shim has left. What [`crate::ending`] reads stays, for whoever asks how
/// the dyno ended; when there is nothing to read, it crashed with its shim.
///
/// # Errors
/// [`crate::Error::Alive`] when the shim is there; or when a process of the dyno does not die.
pub fn sweep(dyno: &Path) -> Result<()> {
    let mut lock = record::lock(dyno)?;
    if let Some(group) = record::load(&mut lock).group {
        Group::new(&group)?.remove()?;
    }
    stage::strike(dyno);
    for name in [SOCKET, RECORD] {
        let _ = fs::remove_file(dyno.join(name));
    }
    Ok(())
}
