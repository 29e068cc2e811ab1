//! From line to reader: one stream per app.
//!
//! Lines come in through [`model::LogSink`] and are taken by one thread, [`start`]ed here. Each
//! app's newest lines are in a bounded ring in memory, and all of them, within bounds of bytes and
//! age, in compressed files. They are read through [`Logplex::session`], once or as a tail, and
//! looked for with [`Logplex::search`].
//!
//! Promises: a producer is never blocked, neither by a reader nor by the disk; the order within a
//! process is kept; what had to be dropped is counted and said, in the stream (L12) or in the tail
//! (L11) concerned. This room never opens the database.

mod config;
mod disk;
pub mod drains;
mod history;
pub mod input;
mod intake;
mod logplex;
mod query;
mod record;
mod retention;
mod ring;
pub mod rules;
mod search;
mod segments;
mod session;
mod stream;
mod streams;
mod tail;
mod terms;

pub use config::{Config, DiskConfig};
pub use disk::Kept;
pub use drains::Drains;
pub use logplex::{Logplex, StartError, start};
pub use query::{Filter, Mode, Query};
pub use search::{Choice, End, Hit, MAX_FOUND, Part, Search, Searching};
pub use session::{Line, Session};
pub use streams::Status;
pub use terms::{BadTerms, Terms};
