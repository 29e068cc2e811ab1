//! The router seen from outside: real sockets, clients and dynos that speak raw bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod admission;
mod affinity;
mod attack;
mod balance;
mod bodies;
mod certificates;
mod challenges;
mod conformance;
mod deploys;
mod drain;
mod errors;
mod expect;
mod headers;
mod http2;
mod keep_alive;
mod limits;
mod platform;
mod rig;
mod routes;
mod secure;
mod slow;
mod smuggling;
mod tls;
mod upgrade;
