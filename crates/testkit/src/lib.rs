//! Starts all of it for tests: the real server in its own directory on a port of its own, the
//! official CLI, real git, and scenario files that double as documentation.

pub mod client;
pub mod http;
pub mod leftovers;
pub mod scenario;
pub mod server;
pub mod wait;

pub use client::Person;
pub use scenario::Scenario;
pub use server::Server;
