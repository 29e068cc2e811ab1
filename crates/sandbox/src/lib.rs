//! The small privileged program around one dyno (`hythe dyno`), and what it says.
//!
//! A shim is started by the server and outlives it. It makes the dyno's root, network and limits,
//! has an OCI runtime run the program in them, holds its standard streams, and knows how it ended.
//! It never starts a thread, never reads the environment, and never listens on a network.

mod cgroup;
pub mod checks;
mod disk;
mod dyno;
mod error;
mod exec;
pub mod frames;
pub mod freezer;
mod ids;
mod init;
mod loop_device;
pub mod network;
mod oci;
mod program;
pub mod protocol;
mod reception;
mod record;
mod rehearsal;
mod root;
mod runtime;
mod seccomp;
mod shim;
mod stage;
pub mod steps;
mod streams;
mod sweep;
mod sys;
pub mod tcp;
mod tree;
pub mod usage;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub use self::error::{Error, chain};
pub use self::record::ending;
pub use self::rehearsal::rehearse;
pub use self::steps::Step;
pub use self::sweep::{remove_groups, sweep};

/// The program `hythe dyno <directory>`. To be called by `main` before any thread exists.
#[must_use]
pub fn run(directory: &Path) -> ExitCode {
    match shim::live(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}
