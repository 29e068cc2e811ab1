//! From line to reader: one stream per app.
//!
//! Lines come in through [`model::LogSink`] and are taken by one thread, [`start`]ed here. Each
//! app's newest lines are kept in a bounded ring, in memory and in two small files, and read
//! through [`Logplex::session`], once or as a tail.
//!
//! Promises: a producer is never blocked, neither by a reader nor by the disk; the order within a
//! process is kept; what had to be dropped is counted and said, in the stream (L12) or in the tail
//! (L11) concerned. This room never opens the database.

mod config;
mod disk;
mod drains;
mod intake;
mod logplex;
mod query;
mod record;
mod ring;
mod session;
mod stream;
mod streams;
mod tail;

pub use config::Config;
pub use logplex::{Logplex, StartError, start};
pub use query::{Filter, Mode, Query};
pub use session::{Line, Session};
