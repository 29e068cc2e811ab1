//! What `hythe dyno <directory>` is in the real binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let directory = std::env::args_os().nth(1).expect("the dyno's directory is the argument");
    sandbox::run(directory.as_ref())
}
