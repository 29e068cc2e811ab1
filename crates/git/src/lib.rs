//! Git over HTTP: from push to source.
//!
//! `https://<platform host>/<app>.git` speaks git's smart HTTP. The protocol itself is git's own
//! program, run on one bare repository per app with a fixed environment. What makes a push a deploy
//! is the `pre-receive` hook, which is the platform's own binary: it sends the pushed commit's files
//! to the server over a Unix socket, shows the build's output, and accepts or declines the push.
//!
//! This room never runs a build and never keeps state of its own besides the repositories.

mod access;
mod bridge;
mod error;
mod exchange;
pub mod hook;
mod http;
mod inflate;
mod program;
mod push;
mod repository;
mod service;
mod state;
mod transcript;
mod wire;

pub use bridge::serve_hooks;
pub use error::GitError;
pub use http::router;
pub use program::{Git, MINIMUM_VERSION, Version};
pub use state::{GitConfig, GitState};
