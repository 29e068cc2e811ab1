//! The life of a dyno and its fences once more, with the other runtime. Needs root.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

#[path = "../it/execs.rs"]
mod execs;
#[path = "../it/fences.rs"]
mod fences;
#[path = "../it/files.rs"]
mod files;
#[path = "../it/freezing.rs"]
mod freezing;
#[path = "../it/house.rs"]
#[allow(dead_code, reason = "not all of the tests are here")]
mod house;
#[path = "../it/life.rs"]
mod life;
#[path = "../it/limits.rs"]
mod limits;
#[path = "../it/steps.rs"]
mod steps;
#[path = "../it/survival.rs"]
mod survival;
#[path = "../it/sweeping.rs"]
mod sweeping;
#[path = "../it/traces.rs"]
mod traces;

/// The OCI runtime under test.
const RUNTIME: &str = "/usr/bin/runc";
