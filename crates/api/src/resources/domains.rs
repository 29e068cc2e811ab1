//! Domains: the host names of an app.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::domains;
use http::StatusCode;
use model::App;
use model::domain::{Domain, DomainKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::state::ApiState;
use crate::wire::NameRef;

/// Routes of domains.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/domains", get(list).post(add))
        .route("/apps/{app}/domains/{domain}", get(info).delete(remove))
}

#[derive(Serialize)]
struct DomainBody {
    acm_status: Option<String>,
    acm_status_reason: Option<String>,
    app: NameRef,
    cname: Option<String>,
    created_at: String,
    hostname: String,
    id: String,
    kind: &'static str,
    sni_endpoint: Option<NameRef>,
    status: &'static str,
    updated_at: String,
}

impl DomainBody {
    fn new(domain: Domain, app: &App) -> Self {
        Self {
            acm_status: None,
            acm_status_reason: None,
            app: NameRef::app(app),
            cname: domain.cname,
            created_at: domain.created_at.rfc3339(),
            hostname: domain.hostname,
            id: domain.id.to_string(),
            kind: match domain.kind {
                DomainKind::Heroku => "heroku",
                DomainKind::Custom => "custom",
            },
            sni_endpoint: None,
            // The router knows a name as soon as its row is written.
            status: "none",
            updated_at: domain.updated_at.rfc3339(),
        }
    }
}

impl Listed for DomainBody {
    const SORTABLE: &'static [&'static str] = &["hostname", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            _ => self.hostname.clone(),
        })
    }
}

/// The CLI sends a null `sni_endpoint`; any other names one of which there are none.
#[derive(Deserialize)]
struct New {
    hostname: String,
    sni_endpoint: Option<Value>,
}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<DomainBody>> {
    let domains = domains::list(&state.control, &caller.account, app.id).await?;
    range.page(domains.into_iter().map(|domain| DomainBody::new(domain, &app)).collect())
}

async fn add(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<DomainBody>)> {
    if new.sni_endpoint.is_some() {
        return Err(ApiError::not_found("sni_endpoint"));
    }
    let domain = domains::add(&state.control, &caller.account, app.id, &new.hostname, None).await?;
    Ok((StatusCode::CREATED, Json(DomainBody::new(domain, &app))))
}

async fn info(
    State(state): State<ApiState>,
    Path((_, domain)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<DomainBody>> {
    let domain = domains::info(&state.control, &caller.account, app.id, &domain).await?;
    Ok(Json(DomainBody::new(domain, &app)))
}

async fn remove(
    State(state): State<ApiState>,
    Path((_, domain)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<DomainBody>> {
    let domain = domains::remove(&state.control, &caller.account, app.id, &domain).await?;
    Ok(Json(DomainBody::new(domain, &app)))
}
