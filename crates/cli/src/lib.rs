//! The native client: `hythe <topic>:<command>`, in the grammar of Heroku's own.
//!
//! It talks nothing but the public API, to any server, and knows several of them by name. It reads
//! neither environment nor command line by itself: [`run`] is given both.

mod client;
mod commands;
mod env;
mod failure;
mod git;
mod prompt;
mod rendezvous;
mod screen;
mod servers;
mod session;
mod sse;
mod tables;
mod tls;
mod topics;
mod wire;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

pub use env::Env;

/// Runs one command of the client. `arguments` begin with the program's name.
#[must_use]
pub fn run(arguments: Vec<OsString>, env: Env) -> ExitCode {
    commands::run(arguments, env)
}
