//! The life of a dyno and its fences once more, with the other runtime. Needs root.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

#[path = "../it/fences.rs"]
mod fences;
#[path = "../it/house.rs"]
mod house;
#[path = "../it/life.rs"]
mod life;
#[path = "../it/limits.rs"]
mod limits;

/// The OCI runtime under test.
const RUNTIME: &str = "/usr/bin/runc";
