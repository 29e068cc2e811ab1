//! Real dynos, by the real runtime. Needs root.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod checks;
mod execs;
mod fences;
mod figures;
mod files;
mod freezing;
mod house;
mod life;
mod limits;
mod network;
mod runtimes;
mod steps;
mod survival;
mod sweeping;
mod traces;

/// The OCI runtime under test.
const RUNTIME: &str = "/usr/bin/crun";
