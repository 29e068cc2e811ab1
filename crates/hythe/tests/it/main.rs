//! Black box: the real binary, real git, the official CLI, real containers.
//!
//! One binary, one file per journey. Scenarios are text files in `tests/scenarios`; the test at the
//! end sees that none is forgotten.

mod acme;
mod admission;
mod bad_input;
mod bed;
mod builds;
mod builds_api;
mod certs;
mod crash;
mod drains;
mod features;
mod first_start;
mod languages;
mod life;
mod log_crash;
mod log_rules;
mod log_search;
mod log_tail;
mod login;
mod machine;
mod memory;
mod neighbour;
mod one_offs;
mod pebble;
mod pty;
mod release_phase;
mod runtimes;
mod scenarios;
mod secure;
mod shim_steps;
mod sleep;
mod small_app;
mod steps;
mod survival;
mod terminal;
mod traffic;
mod vanished;
mod web;
mod zero_downtime;

use std::path::{Path, PathBuf};

/// The binary under test.
fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_hythe"))
}

/// A server with the tests' settings.
#[track_caller]
fn server() -> testkit::Server {
    testkit::Server::start(binary())
}

/// Where the scenario files are.
fn scenarios_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}
