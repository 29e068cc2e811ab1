//! Dynos: what runs, `heroku run`, restart and stop.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use control::dynos;
use control::one_offs::{self, NewRun, Run};
use control::visits::{self, NewVisit};
use http::StatusCode;
use model::dyno::Terminal;
use model::names::NameError;
use model::plan::RestartTarget as Target;
use model::{App, Dyno, DynoId, DynoState, ProcessType, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app_path::AppPath;
use crate::body::Body;
use crate::caller::Caller;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::resources::dyno_sizes;
use crate::state::ApiState;
use crate::wire::NameRef;

/// The size of a terminal whose client did not say.
const COLUMNS: u16 = 80;
const ROWS: u16 = 24;

/// Routes of dynos.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/dynos", get(list).post(run).delete(restart_all))
        .route("/apps/{app}/dynos/{dyno}", get(info).post(run_inside).delete(restart_one))
        .route("/apps/{app}/dynos/{dyno}/actions/stop", post(stop_one))
        .route("/apps/{app}/formations/{type}", delete(restart_type))
        .route("/apps/{app}/formations/{type}/actions/stop", post(stop_type))
}

#[derive(Serialize)]
struct DynoBody {
    app: NameRef,
    attach_url: Option<String>,
    command: String,
    created_at: String,
    id: String,
    name: String,
    release: ReleaseRef,
    size: &'static str,
    state: &'static str,
    #[serde(rename = "type")]
    process_type: String,
    updated_at: String,
}

#[derive(Serialize)]
struct ReleaseRef {
    id: String,
    version: u32,
}

impl DynoBody {
    fn new(dyno: Dyno, app: &App) -> Self {
        Self {
            app: NameRef::app(app),
            attach_url: None,
            command: dyno.command,
            created_at: dyno.created_at.rfc3339(),
            id: dyno.id.to_string(),
            process_type: dyno.name.process_type.to_string(),
            name: dyno.name.to_string(),
            release: ReleaseRef {
                id: dyno.release.map(|id| id.to_string()).unwrap_or_default(),
                version: dyno.release_version,
            },
            size: dyno.size.name(),
            state: dyno.state.as_str(),
            updated_at: dyno.updated_at.rfc3339(),
        }
    }
}

impl Listed for DynoBody {
    const SORTABLE: &'static [&'static str] = &["name", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            _ => self.name.clone(),
        })
    }
}

impl DynoBody {
    /// A one-off that was just asked for.
    fn of_run(Run { one_off, release }: Run, app: &App, state: &ApiState) -> Self {
        let secret = one_off.attach_secret.as_ref();
        Self {
            app: NameRef::app(app),
            attach_url: secret.map(|secret| attach_url(state, secret)),
            command: one_off.command,
            created_at: one_off.created_at.rfc3339(),
            id: one_off.id.to_string(),
            process_type: one_off.name.process_type.to_string(),
            name: one_off.name.to_string(),
            release: ReleaseRef { id: release.id.to_string(), version: release.version },
            size: one_off.size.name(),
            state: DynoState::Starting.as_str(),
            updated_at: one_off.created_at.rfc3339(),
        }
    }
}

/// `heroku run`.
#[derive(Deserialize)]
struct New {
    command: String,
    #[serde(default)]
    attach: bool,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    force_no_tty: Option<bool>,
    size: Option<String>,
    #[serde(rename = "type")]
    process_type: Option<String>,
    time_to_live: Option<u32>,
}

/// Whether a client joins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attached {
    Yes,
    No,
}

fn terminal(
    attached: Attached,
    force_no_tty: Option<bool>,
    env: &BTreeMap<String, Value>,
) -> Terminal {
    let number = |name: &str| env.get(name).and_then(text).and_then(|t| t.parse().ok());
    match (attached, force_no_tty.unwrap_or(false)) {
        (Attached::No, _) => Terminal::Detached,
        (Attached::Yes, true) => Terminal::Pipes,
        (Attached::Yes, false) => Terminal::Pty {
            columns: number("COLUMNS").unwrap_or(COLUMNS),
            rows: number("LINES").unwrap_or(ROWS),
        },
    }
}

fn env(given: &BTreeMap<String, Value>) -> Result<BTreeMap<String, String>> {
    let pair = |(name, value): (&String, &Value)| {
        let refused = || ApiError::invalid(format!("Invalid value of `{name}` in `env`."));
        text(value).map(|value| (name.clone(), value)).ok_or_else(refused)
    };
    given.iter().map(pair).collect()
}

/// Where a client joins.
fn attach_url(state: &ApiState, secret: &Secret) -> String {
    format!("rendezvous://{}/{}", state.config.attach_host, secret.reveal())
}

/// A variable's value: the CLI sends the size of the terminal as numbers.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<DynoBody>> {
    let dynos = dynos::list(&state.control, &caller.account, app.id).await?;
    range.page(dynos.into_iter().map(|dyno| DynoBody::new(dyno, &app)).collect())
}

async fn info(
    State(state): State<ApiState>,
    Path((_, dyno)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<DynoBody>> {
    let dyno = dynos::info(&state.control, &caller.account, app.id, &dyno).await?;
    Ok(Json(DynoBody::new(dyno, &app)))
}

async fn run(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<DynoBody>)> {
    let new = NewRun {
        terminal: terminal(
            if new.attach { Attached::Yes } else { Attached::No },
            new.force_no_tty,
            &new.env,
        ),
        env: env(&new.env)?,
        size: new.size.as_deref().map(dyno_sizes::find).transpose()?,
        process_type: new.process_type.as_deref().map(process_type).transpose()?,
        time_to_live_seconds: new.time_to_live,
        command: new.command,
    };
    let run = one_offs::run(&state.control, &caller.account, app.id, new).await?;
    Ok((StatusCode::CREATED, Json(DynoBody::of_run(run, &app, &state))))
}

/// `heroku run:inside`.
#[derive(Deserialize)]
struct NewInside {
    command: String,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    force_no_tty: Option<bool>,
}

async fn run_inside(
    State(state): State<ApiState>,
    Path((_, dyno)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<NewInside>,
) -> Result<(StatusCode, Json<DynoBody>)> {
    let new = NewVisit {
        terminal: terminal(Attached::Yes, new.force_no_tty, &new.env),
        env: env(&new.env)?,
        command: new.command,
    };
    let invited = visits::create(&state.control, &caller.account, app.id, &dyno, new).await?;
    let url = attach_url(&state, &invited.secret);
    let body = DynoBody { attach_url: Some(url), ..DynoBody::new(invited.dyno, &app) };
    Ok((StatusCode::CREATED, Json(body)))
}

/// A process type.
///
/// # Errors
/// Says how one looks.
pub fn process_type(name: &str) -> Result<ProcessType> {
    name.parse().map_err(|error: NameError| ApiError::invalid(error.to_string()))
}

/// What a path's `{dyno}` means: a name, also of a dyno that is about to be; an id of one that is;
/// or, as in `heroku ps:restart web`, a process type.
async fn target(state: &ApiState, caller: &Caller, app: &App, dyno: &str) -> Result<Target> {
    if dyno.parse::<DynoId>().is_ok() {
        let dyno = dynos::info(&state.control, &caller.account, app.id, dyno).await?;
        return Ok(Target::Dyno(dyno.name));
    }
    let of_type = || dyno.parse().map(Target::Type);
    dyno.parse().map(Target::Dyno).or_else(|_| of_type()).map_err(|_| ApiError::not_found("dyno"))
}

/// Stopping and restarting is asked for, and happens after the answer.
type Accepted = (StatusCode, Json<Empty>);

#[derive(Serialize)]
struct Empty {}

const ACCEPTED: Accepted = (StatusCode::ACCEPTED, Json(Empty {}));

async fn restart_all(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Accepted> {
    dynos::restart(&state.control, &caller.account, app.id, Target::All).await?;
    Ok(ACCEPTED)
}

async fn restart_one(
    State(state): State<ApiState>,
    Path((_, dyno)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Accepted> {
    let target = target(&state, &caller, &app, &dyno).await?;
    dynos::restart(&state.control, &caller.account, app.id, target).await?;
    Ok(ACCEPTED)
}

async fn restart_type(
    State(state): State<ApiState>,
    Path((_, name)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Accepted> {
    dynos::restart(&state.control, &caller.account, app.id, Target::Type(process_type(&name)?))
        .await?;
    Ok(ACCEPTED)
}

async fn stop_one(
    State(state): State<ApiState>,
    Path((_, dyno)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Accepted> {
    let target = target(&state, &caller, &app, &dyno).await?;
    dynos::stop(&state.control, &caller.account, app.id, target).await?;
    Ok(ACCEPTED)
}

async fn stop_type(
    State(state): State<ApiState>,
    Path((_, name)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Accepted> {
    dynos::stop(&state.control, &caller.account, app.id, Target::Type(process_type(&name)?))
        .await?;
    Ok(ACCEPTED)
}
