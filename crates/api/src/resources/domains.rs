//! Domains: the host names of an app.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::domains;
use http::StatusCode;
use model::App;
use model::domain::{Domain, DomainKind};
use serde::{Deserialize, Deserializer, Serialize};

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
        .route("/apps/{app}/domains/{domain}", get(info).patch(update).delete(remove))
}

#[derive(Serialize)]
struct DomainBody {
    acm_status: Option<&'static str>,
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
            acm_status: domain.acm.as_ref().map(|acm| acm.status.word()),
            acm_status_reason: domain.acm.and_then(|acm| acm.reason),
            app: NameRef::app(app),
            cname: domain.cname,
            created_at: domain.created_at.rfc3339(),
            hostname: domain.hostname,
            id: domain.id.to_string(),
            kind: match domain.kind {
                DomainKind::Heroku => "heroku",
                DomainKind::Custom => "custom",
            },
            sni_endpoint: domain
                .endpoint
                .map(|endpoint| NameRef { id: endpoint.id.to_string(), name: endpoint.name }),
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

#[derive(Deserialize)]
struct New {
    hostname: String,
    /// Id or name.
    sni_endpoint: Option<String>,
}

/// `null` takes the domain's certificate away; saying nothing is not that.
#[derive(Deserialize)]
struct Change {
    #[serde(default, deserialize_with = "said")]
    sni_endpoint: Option<Option<String>>,
}

fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
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
    let (control, who) = (&state.control, &caller.account);
    let domain = domains::add(control, who, app.id, &new.hostname, new.sni_endpoint).await?;
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

async fn update(
    State(state): State<ApiState>,
    Path((_, domain)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
    Body(change): Body<Change>,
) -> Result<Json<DomainBody>> {
    let (control, who) = (&state.control, &caller.account);
    let Some(endpoint) = change.sni_endpoint else {
        return Err(ApiError::invalid("Invalid request: missing field `sni_endpoint`."));
    };
    let domain = domains::update(control, who, app.id, &domain, endpoint).await?;
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
