//! The dyno manager: from formation to running processes.
//!
//! [`start`] takes over the dynos that still run, then begins the reconciler: it wakes on
//! `Poke::Dynos`, on what its dynos tell and on the plan's timer, reads what is wanted, asks
//! [`model::plan::plan`], and starts, stops, forgets. Each life of a process has one task, which
//! walks through its phases and never restarts it. Processes belong to `sandbox` shims, so they
//! outlive the server.
//!
//! This room decides nothing about what should run (the planner does) and knows no route.

mod adopt;
mod attach;
mod checksums;
mod collector;
mod config;
mod dyno;
mod launch;
mod leaving;
mod lines;
mod lobby;
mod manager;
mod meters;
mod output;
mod reconciler;
mod runtime;
mod sentinel;
mod streams;
mod views;
mod voice;

pub use config::{Addresses, Config, Timing};
pub use manager::{Dynos, Error, Rooms, Views, start};

#[cfg(test)]
mod tests;
