//! Traffic: what the router saw of an app's requests. Ours; Heroku has no public endpoint for it.
//! `docs/traffic.md` describes it.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use control::traffic::{self, Question};
use model::Timestamp;
use model::traffic::{Interval, Latencies, Step, Tally};
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::error::{ApiError, Result};
use crate::state::ApiState;
use crate::wire::NameRef;

/// Routes of traffic.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/apps/{app}/traffic", get(show))
}

#[derive(Serialize)]
struct TrafficBody {
    app: NameRef,
    step: &'static str,
    from: String,
    to: String,
    total: TallyBody,
    intervals: Vec<IntervalBody>,
}

#[derive(Serialize)]
struct IntervalBody {
    at: String,
    #[serde(flatten)]
    tally: TallyBody,
}

#[derive(Serialize)]
struct TallyBody {
    requests: u64,
    statuses: StatusesBody,
    codes: BTreeMap<String, u64>,
    bytes: u64,
    latency_ms: Option<LatencyBody>,
}

#[derive(Serialize)]
struct StatusesBody {
    #[serde(rename = "1xx")]
    one: u64,
    #[serde(rename = "2xx")]
    two: u64,
    #[serde(rename = "3xx")]
    three: u64,
    #[serde(rename = "4xx")]
    four: u64,
    #[serde(rename = "5xx")]
    five: u64,
}

#[derive(Serialize)]
struct LatencyBody {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl From<&Tally> for TallyBody {
    fn from(tally: &Tally) -> Self {
        let [one, two, three, four, five] = tally.classes;
        Self {
            requests: tally.requests(),
            statuses: StatusesBody { one, two, three, four, five },
            codes: tally.codes.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
            bytes: tally.bytes,
            latency_ms: latency(&tally.latencies),
        }
    }
}

fn latency(latencies: &Latencies) -> Option<LatencyBody> {
    let at = |percent| latencies.percentile(percent).map(millis);
    Some(LatencyBody { p50: at(50)?, p95: at(95)?, p99: at(99)?, max: millis(latencies.longest()) })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[derive(Deserialize)]
struct Asked {
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
}

async fn show(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Query(asked): Query<Asked>,
) -> Result<Json<TrafficBody>> {
    let (step, word) = match asked.step.as_deref() {
        None | Some("minute") => (Step::Minute, "minute"),
        Some("hour") => (Step::Hour, "hour"),
        Some(_) => return Err(ApiError::invalid("`step` must be minute or hour.")),
    };
    let ends = (time("from", asked.from)?, time("to", asked.to)?);
    let question = Question::new(step, ends, Timestamp::now())?;
    let intervals = traffic::list(&state.control, &caller.account, app.id, question).await?;
    let mut total = Tally::default();
    intervals.iter().for_each(|interval| total.merge(&interval.tally));
    let body = |interval: &Interval| IntervalBody {
        at: interval.at.rfc3339(),
        tally: (&interval.tally).into(),
    };
    Ok(Json(TrafficBody {
        app: NameRef::app(&app),
        step: word,
        from: question.from.rfc3339(),
        to: question.to.rfc3339(),
        total: (&total).into(),
        intervals: intervals.iter().map(body).collect(),
    }))
}

fn time(name: &str, text: Option<String>) -> Result<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let example = "such as 2026-01-02T03:04:05Z";
    let bad = || ApiError::invalid(format!("`{name}` must be a time {example}, not `{text}`."));
    Timestamp::from_rfc3339(&text).map(Some).ok_or_else(bad)
}
