//! Looking for lines in all that is kept of an app's log, and how its lines are kept. Ours; Heroku
//! leaves this to add-ons. `docs/logs.md` describes it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use logplex::{Choice, End, Hit, Part, Search, Searching, Terms};
use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::log_sessions::source;
use crate::app_path::AppPath;
use crate::error::{ApiError, Result};
use crate::state::ApiState;

/// Lines given when no number is asked for.
const LINES: usize = 100;

/// Routes of log searches.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/log-search", get(search))
        .route("/apps/{app}/log-status", get(status))
}

#[derive(Deserialize)]
struct Asked {
    query: Option<String>,
    request_id: Option<String>,
    dyno: Option<String>,
    source: Option<String>,
    from: Option<String>,
    until: Option<String>,
    before: Option<u64>,
    lines: Option<usize>,
}

#[derive(Serialize)]
struct LineBody<'a> {
    id: String,
    created_at: String,
    source: &'static str,
    dyno: &'a str,
    message: &'a str,
}

impl<'a> From<&'a Hit> for LineBody<'a> {
    fn from(hit: &'a Hit) -> Self {
        Self {
            id: hit.id.to_string(),
            created_at: hit.at.to_string(),
            source: hit.source.as_str(),
            dyno: &hit.process,
            message: &hit.text,
        }
    }
}

#[derive(Serialize)]
struct EndBody {
    next: Option<String>,
    kept_since: Option<String>,
    damaged: u64,
    error: Option<String>,
}

async fn search(
    State(state): State<ApiState>,
    AppPath { app, .. }: AppPath,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response> {
    let searching = state.logs.search(app.id, wanted(asked)?);
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accept.contains("text/plain") {
        let head = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        return Ok((head, Body::from_stream(plain(searching))).into_response());
    }
    let head = [(CONTENT_TYPE, "application/json")];
    Ok((head, Body::from_stream(json(searching))).into_response())
}

fn wanted(asked: Asked) -> Result<Search> {
    let bad = |error: logplex::BadTerms| ApiError::invalid(format!("Bad query: {error}."));
    let mut terms = Terms::parse(asked.query.as_deref().unwrap_or("")).map_err(bad)?;
    if let Some(id) = &asked.request_id {
        terms = terms.with_phrase(id).map_err(bad)?;
    }
    let source = match choice(asked.source) {
        Choice::Any => Choice::Any,
        Choice::Only(word) => Choice::Only(source(&word)?),
        Choice::Not(word) => Choice::Not(source(&word)?),
    };
    let now = Timestamp::now();
    Ok(Search {
        terms,
        dyno: choice(asked.dyno),
        source,
        from: time("from", asked.from, now)?,
        until: time("until", asked.until, now)?,
        before: asked.before,
        lines: asked.lines.unwrap_or(LINES).clamp(1, logplex::MAX_FOUND),
    })
}

/// `!web` is anything but `web`.
fn choice(text: Option<String>) -> Choice<String> {
    match text.filter(|text| !text.is_empty()) {
        None => Choice::Any,
        Some(text) => match text.strip_prefix('!') {
            Some(unwanted) => Choice::Not(unwanted.to_owned()),
            None => Choice::Only(text),
        },
    }
}

/// A moment, or so long ago: `90s`, `15m`, `2h`, `3d`.
fn time(name: &str, text: Option<String>, now: Timestamp) -> Result<Option<Timestamp>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let found = Timestamp::from_rfc3339(&text).or_else(|| ago(&text, now));
    found.map(Some).ok_or_else(|| {
        ApiError::invalid(format!(
            "`{name}` must be a time such as 2026-01-02T03:04:05Z, or so long ago such as 15m, not \
             `{text}`."
        ))
    })
}

fn ago(text: &str, now: Timestamp) -> Option<Timestamp> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let count: u64 = text[..text.len() - 1].parse().ok()?;
    let passed = Duration::from_secs(count.checked_mul(seconds)?);
    let micros = now.micros().checked_sub(i64::try_from(passed.as_micros()).ok()?)?;
    Some(Timestamp::from_micros(micros))
}

type Chunk = std::result::Result<Bytes, Infallible>;

/// `{"lines":[…],"next":…}`, written as lines are found.
fn json(searching: Searching) -> impl stream::Stream<Item = Chunk> {
    let begin = ("{\"lines\":[".to_owned(), searching);
    stream::unfold(Some(begin), |state| async move {
        let (mut text, mut searching) = state?;
        let separator = if text.is_empty() { "," } else { "" };
        match searching.next().await {
            Some(Part::Hits(hits)) => {
                text.push_str(separator);
                let lines: Vec<_> = hits.iter().map(|hit| to_json(&LineBody::from(hit))).collect();
                text.push_str(&lines.join(","));
                Some((Ok(text.into()), Some((String::new(), searching))))
            }
            Some(Part::End(end)) => {
                let end = to_json(&end_body(end));
                // The end's members stand beside the lines.
                text.push_str("],");
                text.push_str(end.strip_prefix('{').unwrap_or(&end));
                Some((Ok(text.into()), None))
            }
            // The search was dropped: the text is left broken, which is what it is.
            None => None,
        }
    })
}

/// Lines as `heroku logs` shows them, the newest first.
fn plain(searching: Searching) -> impl stream::Stream<Item = Chunk> {
    stream::unfold(searching, |mut searching| async move {
        let Some(Part::Hits(hits)) = searching.next().await else { return None };
        let line = |hit: &Hit| {
            let Hit { at, source, process, text, .. } = hit;
            format!("{at} {}[{process}]: {text}\n", source.as_str())
        };
        let text: String = hits.iter().map(line).collect();
        Some((Ok(text.into()), searching))
    })
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are JSON")
}

fn end_body(end: End) -> EndBody {
    EndBody {
        next: end.next.map(|id| id.to_string()),
        kept_since: end.kept_since.map(|at| at.rfc3339()),
        damaged: end.damaged,
        error: end.error,
    }
}

#[derive(Serialize)]
struct StatusBody {
    memory: MemoryBody,
    disk: DiskBody,
    /// Lines in which something that was not UTF-8, or NUL, was replaced.
    replaced: u64,
    /// Lines that were too long, and cut.
    cut: u64,
}

#[derive(Serialize)]
struct MemoryBody {
    lines: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct DiskBody {
    bytes: u64,
    kept_since: Option<String>,
    /// Lines that were not written: the disk was full, or too slow.
    unkept: u64,
    /// Lines up to then were deleted before their time.
    cut_until: Option<String>,
}

async fn status(
    State(state): State<ApiState>,
    AppPath { app, .. }: AppPath,
) -> Result<Json<StatusBody>> {
    let logs = state.logs.clone();
    let looked = tokio::task::spawn_blocking(move || logs.status(app.id)).await;
    let status =
        looked.map_err(|_| ApiError::unavailable("The log cannot be looked at just now."))?;
    let time = |at: Option<Timestamp>| at.map(|at| at.rfc3339());
    Ok(Json(StatusBody {
        memory: MemoryBody { lines: status.lines_in_memory, bytes: status.bytes_in_memory },
        disk: DiskBody {
            bytes: status.kept.bytes,
            kept_since: time(status.kept_since),
            unkept: status.kept.unkept,
            cut_until: time(status.kept.cut_until),
        },
        replaced: status.altered.replaced,
        cut: status.altered.cut,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_or_so_long_ago() {
        let now = Timestamp::from_rfc3339("2026-01-02T03:04:05Z").expect("a time");
        for (text, means) in [
            ("15m", Some("2026-01-02T02:49:05Z")),
            ("2d", Some("2025-12-31T03:04:05Z")),
            ("2025-01-02T03:04:05Z", Some("2025-01-02T03:04:05Z")),
            ("m", None),
            ("-1h", None),
            ("99999999999999999999d", None),
            ("yesterday", None),
            ("1é", None),
        ] {
            let found = time("from", Some(text.to_owned()), now).ok().flatten();
            assert_eq!(found.map(Timestamp::rfc3339).as_deref(), means, "{text}");
        }
    }
}
