//! Telemetry drains (`heroku telemetry`), and how each of them fares.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use control::telemetry_drains::{self, Change};
use http::StatusCode;
use model::drain::{ExporterKind, Signal, TelemetryDrain};
use model::{DrainId, Secret};
use serde::{Deserialize, Serialize};

use super::log_drains::StatusBody;
use crate::app_path::AppPath;
use crate::body::Body;
use crate::caller::Caller;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::state::ApiState;

/// Routes of telemetry drains.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/telemetry-drains", get(of_app))
        .route("/spaces/{space}/telemetry-drains", get(of_space))
        .route("/telemetry-drains", post(create))
        .route("/telemetry-drains/{drain}", get(info).patch(update).delete(delete))
        .route("/telemetry-drains/{drain}/status", get(status))
}

#[derive(Serialize)]
struct TelemetryDrainBody {
    created_at: String,
    exporter: ExporterBody,
    id: String,
    owner: OwnerBody,
    signals: Vec<&'static str>,
    updated_at: String,
}

#[derive(Serialize)]
struct ExporterBody {
    endpoint: String,
    headers: BTreeMap<String, String>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct OwnerBody {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl From<TelemetryDrain> for TelemetryDrainBody {
    fn from(drain: TelemetryDrain) -> Self {
        let exporter = drain.exporter;
        // Their owner is shown them, as on Heroku.
        let shown = |(name, value): (String, Secret)| (name, value.reveal().to_owned());
        Self {
            created_at: drain.created_at.rfc3339(),
            exporter: ExporterBody {
                endpoint: exporter.endpoint.reveal().to_owned(),
                headers: exporter.headers.into_iter().map(shown).collect(),
                kind: exporter.kind.as_str(),
            },
            id: drain.id.to_string(),
            owner: OwnerBody { id: drain.app.to_string(), kind: "app" },
            signals: drain.signals.iter().map(|signal| signal.as_str()).collect(),
            updated_at: drain.updated_at.rfc3339(),
        }
    }
}

impl Listed for TelemetryDrainBody {
    const SORTABLE: &'static [&'static str] = &["created_at", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            _ => format!("{} {}", self.created_at, self.id),
        })
    }
}

#[derive(Deserialize)]
struct New {
    owner: Owner,
    #[serde(flatten)]
    rest: Changed,
}

#[derive(Deserialize)]
struct Owner {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Changed {
    signals: Option<Vec<String>>,
    exporter: Option<ExporterChange>,
}

#[derive(Default, Deserialize)]
struct ExporterChange {
    #[serde(rename = "type")]
    kind: Option<String>,
    endpoint: Option<String>,
    headers: Option<BTreeMap<String, String>>,
}

impl Changed {
    fn read(self) -> Result<Change> {
        let exporter = self.exporter.unwrap_or_default();
        let secret = |(name, value): (String, String)| (name, Secret::new(value));
        Ok(Change {
            signals: self.signals.map(signals).transpose()?,
            kind: exporter.kind.as_deref().map(kind).transpose()?,
            endpoint: exporter.endpoint,
            headers: exporter.headers.map(|all| all.into_iter().map(secret).collect()),
        })
    }
}

fn signals(words: Vec<String>) -> Result<Vec<Signal>> {
    let named = |word: &String| {
        let found = Signal::ALL.into_iter().find(|signal| signal.as_str() == word);
        found.ok_or_else(|| {
            ApiError::invalid(format!("Invalid signal `{word}`. Use traces, metrics or logs."))
        })
    };
    let mut signals = words.iter().map(named).collect::<Result<Vec<_>>>()?;
    signals.sort_unstable();
    signals.dedup();
    Ok(signals)
}

fn kind(word: &str) -> Result<ExporterKind> {
    let found = ExporterKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    found.ok_or_else(|| ApiError::invalid(format!("Invalid exporter type `{word}`. Use otlphttp.")))
}

async fn of_app(
    State(state): State<ApiState>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<TelemetryDrainBody>> {
    let drains = telemetry_drains::list(&state.control, &caller.account, app.id).await?;
    range.page(drains.into_iter().map(TelemetryDrainBody::from).collect())
}

/// There are no spaces.
async fn of_space(_: Caller) -> ApiError {
    ApiError::not_found("space")
}

async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<TelemetryDrainBody>)> {
    if new.owner.kind != "app" {
        return Err(ApiError::not_found("space"));
    }
    let app = control::apps::info(&state.control, &caller.account, &new.owner.id).await?;
    let change = new.rest.read()?;
    let drain = telemetry_drains::create(&state.control, &caller.account, app.id, change).await?;
    Ok((StatusCode::CREATED, Json(drain.into())))
}

async fn info(
    State(state): State<ApiState>,
    Path(drain): Path<String>,
    caller: Caller,
) -> Result<Json<TelemetryDrainBody>> {
    let drain = telemetry_drains::info(&state.control, &caller.account, id(&drain)?).await?;
    Ok(Json(drain.into()))
}

async fn update(
    State(state): State<ApiState>,
    Path(drain): Path<String>,
    caller: Caller,
    Body(change): Body<Changed>,
) -> Result<Json<TelemetryDrainBody>> {
    let (drain, change) = (id(&drain)?, change.read()?);
    let drain = telemetry_drains::update(&state.control, &caller.account, drain, change).await?;
    Ok(Json(drain.into()))
}

async fn delete(
    State(state): State<ApiState>,
    Path(drain): Path<String>,
    caller: Caller,
) -> Result<Json<TelemetryDrainBody>> {
    let drain = telemetry_drains::delete(&state.control, &caller.account, id(&drain)?).await?;
    Ok(Json(drain.into()))
}

async fn status(
    State(state): State<ApiState>,
    Path(drain): Path<String>,
    caller: Caller,
) -> Result<Json<StatusBody>> {
    let drain = telemetry_drains::info(&state.control, &caller.account, id(&drain)?).await?;
    Ok(Json(state.drains.status(drain.id).into()))
}

fn id(text: &str) -> Result<DrainId> {
    text.parse().map_err(|_| ApiError::not_found("telemetry drain"))
}
