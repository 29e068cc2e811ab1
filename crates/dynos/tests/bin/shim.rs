//! What `hythe dyno <directory>` is in the real binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let entry = arguments.next().expect("the entry point is the first argument");
    assert_eq!(entry, "dyno", "no other entry point is needed here");
    let directory = arguments.next().expect("the dyno's directory is the second");
    sandbox::run(directory.as_ref())
}
