//! Streams that are read with nothing but their URL: logs, outputs of builds and release commands,
//! archives. The URL is the licence: it holds an unguessable id that lives for minutes (log
//! sessions) or a signature.

mod licence;
mod log_lines;
mod outputs;

use axum::Router;

use crate::state::ApiState;

pub use licence::{Licence, Stream};
pub use outputs::archive;

/// Routes of all streams.
pub fn routes() -> Router<ApiState> {
    Router::new().merge(log_lines::routes()).merge(outputs::routes())
}
