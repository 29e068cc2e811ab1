//! The stream behind a log session's URL: server-sent events for the CLI, plain lines for everybody
//! else.

use std::fmt::Write as _;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use control::log_sessions;
use futures_util::stream::{self, Stream};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use logplex::{Filter, Line, Mode, Query, Session};
use model::LogSession;

use crate::error::{ApiError, Result};
use crate::state::ApiState;

/// The CLI and proxies take a silent connection for a dead one after a minute.
const QUIET: Duration = Duration::from_secs(25);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub fn routes() -> Router<ApiState> {
    Router::new().route("/streams/logs/{session}", get(read))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `id: 7\ndata: line\n\n`.
    Events,
    /// One line per line.
    Text,
}

impl Format {
    fn from_headers(headers: &HeaderMap) -> Self {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        if accept.contains("text/event-stream") { Self::Events } else { Self::Text }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream; charset=utf-8",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    fn write(self, lines: &[Line]) -> Bytes {
        let mut text = String::new();
        for Line { id, text: line } in lines {
            // Writing to a string cannot fail.
            let _ = match self {
                Self::Events => write!(text, "id: {id}\ndata: {}\n\n", line.replace('\r', "")),
                Self::Text => writeln!(text, "{line}"),
            };
        }
        text.into()
    }

    /// What shows a waiting client that the connection lives. Text has no words for it.
    const fn sign_of_life(self) -> Option<Bytes> {
        match self {
            Self::Events => Some(Bytes::from_static(b": ping\n\n")),
            Self::Text => None,
        }
    }
}

async fn read(
    State(state): State<ApiState>,
    Path(session): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let id = session.parse().map_err(|_| ApiError::not_found("log_session"))?;
    let asked = log_sessions::open(&state.control, id).await?;
    let format = Format::from_headers(&headers);
    let session = state.logs.session(asked.app, query(asked, &headers));
    let head = [(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-cache")];
    Ok((head, Body::from_stream(body(session, format))).into_response())
}

fn query(asked: LogSession, headers: &HeaderMap) -> Query {
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    Query {
        filter: Filter { dyno: asked.dyno, source: asked.source },
        lines: usize::try_from(asked.lines).unwrap_or(usize::MAX),
        mode: if asked.tail { Mode::Tail } else { Mode::Recent },
        after: last.and_then(|id| id.parse().ok()),
    }
}

fn body(
    session: Session,
    format: Format,
) -> impl Stream<Item = std::result::Result<Bytes, std::convert::Infallible>> {
    stream::unfold(session, move |mut session| async move {
        let bytes = loop {
            // `next_batch` loses nothing when its future is dropped by the time-out.
            match tokio::time::timeout(QUIET, session.next_batch()).await {
                Ok(Some(lines)) => break format.write(&lines),
                Ok(None) => return None,
                Err(_) => {
                    if let Some(sign) = format.sign_of_life() {
                        break sign;
                    }
                }
            }
        };
        Some((Ok(bytes), session))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_the_accept_header() {
        let lines = [Line { id: 7, text: "a".into() }, Line { id: 8, text: "b\rc".into() }];
        assert_eq!(Format::Events.write(&lines), "id: 7\ndata: a\n\nid: 8\ndata: bc\n\n");
        assert_eq!(Format::Text.write(&lines), "a\nb\rc\n");
        let accept = |value: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT, value.parse().expect("a header value"))]);
            Format::from_headers(&headers)
        };
        assert_eq!(accept("text/event-stream"), Format::Events);
        assert_eq!(accept("*/*"), Format::Text);
    }
}
