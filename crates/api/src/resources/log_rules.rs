//! Log alerts: who is told of which lines. Ours; Heroku leaves this to add-ons. `docs/logs.md`
//! describes them.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use control::log_rules::{self, NewLogRule, NewTarget};
use http::StatusCode;
use logplex::rules::{self, RuleStatus};
use model::log::Source;
use model::log_rule::{Pattern, Target};
use model::{App, LogRule};
use serde::{Deserialize, Serialize};

use super::log_sessions::source;
use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
use crate::state::ApiState;
use crate::wire::NameRef;

/// Routes of log alerts.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/log-alerts", get(list).post(create))
        .route("/apps/{app}/log-alerts/{alert}", get(info).delete(remove))
        .route("/apps/{app}/log-alerts/{alert}/actions/test", post(test))
}

#[derive(Serialize)]
struct AlertBody {
    id: String,
    name: String,
    app: NameRef,
    words: Option<String>,
    regex: Option<String>,
    dyno: Option<String>,
    source: Option<&'static str>,
    email: Option<String>,
    url: Option<String>,
    /// Only in the answer to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    every_seconds: u64,
    created_at: String,
    status: Option<StatusBody>,
}

#[derive(Serialize)]
struct StatusBody {
    matched: u64,
    sent: u64,
    failed: u64,
    untold: u64,
    overlooked: u64,
    last_sent_at: Option<String>,
    last_error: Option<String>,
}

impl AlertBody {
    fn new(rule: LogRule, app: &App, status: Option<RuleStatus>) -> Self {
        let (words, regex) = match rule.pattern {
            Pattern::Words(words) => (Some(words), None),
            Pattern::Regex(regex) => (None, Some(regex)),
        };
        let (email, url) = match &rule.target {
            Target::Email { address } => (Some(address.clone()), None),
            Target::Webhook { url, .. } => (None, Some(url.to_string())),
        };
        Self {
            id: rule.id.to_string(),
            name: rule.name,
            app: NameRef::app(app),
            words,
            regex,
            dyno: rule.dyno,
            source: rule.source.map(Source::as_str),
            email,
            url,
            secret: None,
            every_seconds: rule.every.as_secs(),
            created_at: rule.created_at.rfc3339(),
            status: status.map(Into::into),
        }
    }
}

impl From<RuleStatus> for StatusBody {
    fn from(status: RuleStatus) -> Self {
        Self {
            matched: status.matched,
            sent: status.sent,
            failed: status.failed,
            untold: status.untold,
            overlooked: status.overlooked,
            last_sent_at: status.last_sent_at.map(|at| at.rfc3339()),
            last_error: status.last_error,
        }
    }
}

#[derive(Deserialize)]
struct New {
    name: Option<String>,
    words: Option<String>,
    regex: Option<String>,
    dyno: Option<String>,
    source: Option<String>,
    email: Option<String>,
    url: Option<String>,
    every_seconds: Option<u64>,
}

impl New {
    fn pattern(&self) -> Result<Pattern> {
        let pattern = match (&self.words, &self.regex) {
            (Some(words), None) => Pattern::Words(words.clone()),
            (None, Some(regex)) => Pattern::Regex(regex.clone()),
            _ => return Err(ApiError::invalid("Say what to look for: either words or regex.")),
        };
        let bad = |why| ApiError::invalid(format!("The pattern cannot be used: {why}."));
        rules::check(&pattern).map_err(bad)?;
        Ok(pattern)
    }

    fn target(&self) -> Result<NewTarget> {
        match (&self.email, &self.url) {
            (Some(address), None) => {
                let bad = |why| ApiError::invalid(format!("The address cannot be used: {why}."));
                rules::check_address(address).map_err(bad)?;
                Ok(NewTarget::Email(address.clone()))
            }
            (None, Some(url)) => Ok(NewTarget::Webhook(url.clone())),
            _ => Err(ApiError::invalid("Say who is to be told: either url or email.")),
        }
    }
}

async fn list(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<Vec<AlertBody>>> {
    let rules = log_rules::list(&state.control, &caller.account, app.id).await?;
    let body = |rule: LogRule| {
        let status = state.logs.rule_status(rule.id);
        AlertBody::new(rule, &app, status)
    };
    Ok(Json(rules.into_iter().map(body).collect()))
}

async fn create(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<AlertBody>)> {
    let wanted = NewLogRule {
        name: new.name.clone(),
        pattern: new.pattern()?,
        dyno: new.dyno.clone(),
        source: new.source.as_deref().map(source).transpose()?,
        target: new.target()?,
        every: new.every_seconds.map(Duration::from_secs),
    };
    let rule = log_rules::create(&state.control, &caller.account, app.id, wanted).await?;
    let secret = match &rule.target {
        Target::Webhook { secret, .. } => Some(secret.reveal().to_owned()),
        Target::Email { .. } => None,
    };
    let body = AlertBody { secret, ..AlertBody::new(rule, &app, None) };
    Ok((StatusCode::CREATED, Json(body)))
}

async fn info(
    State(state): State<ApiState>,
    Path((_, alert)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<AlertBody>> {
    let rule = log_rules::info(&state.control, &caller.account, app.id, &alert).await?;
    let status = state.logs.rule_status(rule.id);
    Ok(Json(AlertBody::new(rule, &app, status)))
}

async fn remove(
    State(state): State<ApiState>,
    Path((_, alert)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<AlertBody>> {
    let rule = log_rules::remove(&state.control, &caller.account, app.id, &alert).await?;
    let status = state.logs.rule_status(rule.id);
    Ok(Json(AlertBody::new(rule, &app, status)))
}

/// Sends a message at once, and says whether it arrived.
async fn test(
    State(state): State<ApiState>,
    Path((_, alert)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<AlertBody>> {
    let rule = log_rules::info(&state.control, &caller.account, app.id, &alert).await?;
    let failed = |why| ApiError::invalid(format!("The test message did not arrive: {why}."));
    state.logs.test_rule(rule.id).await.map_err(failed)?;
    let status = state.logs.rule_status(rule.id);
    Ok(Json(AlertBody::new(rule, &app, status)))
}
