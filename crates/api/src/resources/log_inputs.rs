//! Log inputs: licences to post lines into an app's log, and the posting itself (`POST /logs`), as
//! log agents and add-ons do it.

use std::io::Read;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use control::log_inputs;
use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use model::drain::LogInput;
use model::{LogInputId, Secret};
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::credentials::Credentials;
use crate::error::{ApiError, Result};
use crate::input_tally::Counts;
use crate::state::ApiState;

/// What is posted has at most so many bytes when it is unpacked.
const MAX_UNPACKED: u64 = 4 << 20;

/// Routes of log inputs.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/log-inputs", get(list).post(create))
        .route("/apps/{app}/log-inputs/{input}", delete(remove))
        .route("/logs", post(take))
}

#[derive(Serialize)]
struct InputBody {
    /// Lines taken since the server started.
    accepted: u64,
    created_at: String,
    id: String,
    name: String,
    /// Posts refused since the server started.
    refused: u64,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Where to post, token included; shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl InputBody {
    fn new(input: &LogInput, counts: Counts) -> Self {
        Self {
            accepted: counts.accepted,
            created_at: input.created_at.rfc3339(),
            id: input.id.to_string(),
            name: input.name.clone(),
            refused: counts.refused,
            token: None,
            url: None,
        }
    }

    fn with_token(self, api_url: &str, token: &Secret) -> Self {
        let token = token.reveal();
        let url = api_url
            .split_once("://")
            .map(|(scheme, place)| format!("{scheme}://token:{token}@{place}/logs"));
        Self { token: Some(token.to_owned()), url, ..self }
    }
}

#[derive(Deserialize)]
struct New {
    name: String,
}

async fn list(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<Vec<InputBody>>> {
    let inputs = log_inputs::list(&state.control, &caller.account, app.id).await?;
    let body = |input: &LogInput| InputBody::new(input, state.input_tally.of(input.id));
    Ok(Json(inputs.iter().map(body).collect()))
}

async fn create(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<InputBody>)> {
    let made = log_inputs::create(&state.control, &caller.account, app.id, &new.name).await?;
    let (input, token) = made;
    let body = InputBody::new(&input, Counts::default()).with_token(&state.config.api_url, &token);
    Ok((StatusCode::CREATED, Json(body)))
}

async fn remove(
    State(state): State<ApiState>,
    Path((_, input)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<InputBody>> {
    let id: LogInputId = input.parse().map_err(|_| ApiError::not_found("log input"))?;
    let input = log_inputs::delete(&state.control, &caller.account, app.id, id).await?;
    let counts = state.input_tally.forget(input.id);
    Ok(Json(InputBody::new(&input, counts)))
}

/// Takes posted frames: all of them, or none.
async fn take(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<StatusCode> {
    let credentials = Credentials::from_headers(&headers).ok_or_else(ApiError::unauthorized)?;
    let input = log_inputs::by_token(&state.control, credentials.token()).await?;
    let entries =
        read(&headers, body, &input).inspect_err(|_| state.input_tally.refuse(input.id))?;
    state.input_tally.accept(input.id, entries.len() as u64);
    state.control.logs.send(entries);
    Ok(StatusCode::NO_CONTENT)
}

fn read(
    headers: &HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
    input: &LogInput,
) -> Result<Vec<model::LogEntry>> {
    check_type(headers)?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large("A post is at most 1 MiB."),
        _ => ApiError::bad_request("Bad request"),
    })?;
    let body = unpack(headers, body)?;
    let entries = logplex::input::parse(&body, input.app, &input.name)
        .map_err(|error| ApiError::bad_request(format!("Malformed log messages: {error}")))?;
    let count = headers.get("logplex-msg-count").and_then(|value| value.to_str().ok());
    if count.is_some_and(|count| count.trim().parse() != Ok(entries.len())) {
        let message = format!("Message count mismatch: the body has {}", entries.len());
        return Err(ApiError::bad_request(message));
    }
    Ok(entries)
}

fn check_type(headers: &HeaderMap) -> Result<()> {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let named = named.split(';').next().unwrap_or("").trim();
    match named {
        "application/logplex-1" | "application/x-logplex-1" => Ok(()),
        _ => Err(ApiError::unsupported("Lines are posted as application/logplex-1.")),
    }
}

fn unpack(headers: &HeaderMap, body: Bytes) -> Result<Bytes> {
    match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(body),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            GzDecoder::new(&*body)
                .take(MAX_UNPACKED + 1)
                .read_to_end(&mut plain)
                .map_err(|_| ApiError::bad_request("The body is not gzip."))?;
            if plain.len() as u64 > MAX_UNPACKED {
                return Err(ApiError::too_large("A post is at most 4 MiB when it is unpacked."));
            }
            Ok(plain.into())
        }
        Some(_) => Err(ApiError::unsupported("A post may be packed with gzip, and nothing else.")),
    }
}
