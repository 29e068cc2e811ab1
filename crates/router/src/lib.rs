//! From request to dyno.
//!
//! One thread per core, each with its own listener (`SO_REUSEPORT`), its own pool of connections to
//! dynos, and its own connections, which never leave it. The HTTP/1.1 engine is ours: `httparse`
//! judges single lines, [`head`] what they mean together, [`body`] and [`chunks`] where bodies end;
//! what goes to a dyno is written anew and canonical, whatever the client sent. A request that is not
//! certain to mean the same to everybody is refused.
//!
//! The path of a request: `listener` → `connection` (head, host) → `answer` (one request of an app)
//! → `admission` (which dyno) → `exchange` (request and response) → `log_line`.
//!
//! The router knows only `model`. It is given its routes ([`Routes`]), a way to say that an app must
//! wake, a way to hand over connections that are the platform's ([`Handover`]), and a log.

mod admission;
mod answer;
mod asked;
mod balance;
mod body;
mod buffer;
mod certificates;
mod challenges;
mod chunks;
mod config;
mod connection;
mod dice;
mod exchange;
mod fields;
mod head;
mod http2;
mod ids;
mod listener;
mod load;
mod log_line;
mod outgoing;
mod pace;
mod pages;
mod pipe;
mod pool;
#[cfg(any(test, feature = "properties"))]
pub mod properties;
mod quarantine;
mod relay;
mod routes;
mod session;
mod socket;
mod start;
mod thread;
mod timer;
mod traffic;
mod transfer;

pub use certificates::{CertificateTable, Certificates, certified_key};
pub use config::{Config, Handover, Limits, Listen, Timeouts, Tls};
pub use routes::Routes;
pub use start::{Drained, Running, StartError, start, start_on};
