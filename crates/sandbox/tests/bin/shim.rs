//! What `hythe dyno <directory>` is in the real binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().expect("the dyno's directory is the argument");
    if let Some(step) = arguments.next() {
        let step = step.to_str().and_then(|step| step.parse().ok());
        sandbox::steps::arm(step.expect("a step of a shim's life may follow"));
    }
    sandbox::run(directory.as_ref())
}
