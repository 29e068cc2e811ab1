//! SNI endpoints: an app's certificates. A key comes in and never goes out.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::certificates::{self, Upload};
use http::StatusCode;
use model::certificate::{Certificate, Origin, SniEndpoint, Trust};
use model::{App, Secret};
use serde::{Deserialize, Deserializer, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::Result;
use crate::ranges::{Key, Listed, Page, Range};
use crate::state::ApiState;
use crate::wire::NameRef;

/// Routes of SNI endpoints.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/sni-endpoints", get(list).post(add))
        .route("/apps/{app}/sni-endpoints/{endpoint}", get(info).patch(update).delete(remove))
}

#[derive(Serialize)]
struct EndpointBody {
    app: NameRef,
    certificate_chain: String,
    created_at: String,
    display_name: Option<String>,
    domains: Vec<String>,
    id: String,
    name: String,
    ssl_cert: CertificateBody,
    updated_at: String,
}

#[derive(Serialize)]
struct CertificateBody {
    /// Beyond the schema; the official CLI shows it as the type `ACM`.
    acm: bool,
    #[serde(rename = "ca_signed?")]
    ca_signed: bool,
    cert_domains: Vec<String>,
    expires_at: String,
    id: String,
    issuer: String,
    #[serde(rename = "self_signed?")]
    self_signed: bool,
    starts_at: String,
    subject: String,
}

impl EndpointBody {
    fn new(endpoint: SniEndpoint, app: &App) -> Self {
        let chain = endpoint.certificate.chain.clone();
        Self {
            app: NameRef::app(app),
            certificate_chain: chain,
            created_at: endpoint.created_at.rfc3339(),
            display_name: None,
            domains: endpoint.domains.iter().map(ToString::to_string).collect(),
            id: endpoint.id.to_string(),
            name: endpoint.name,
            ssl_cert: CertificateBody::new(endpoint.certificate, endpoint.origin),
            updated_at: endpoint.updated_at.rfc3339(),
        }
    }
}

impl CertificateBody {
    fn new(certificate: Certificate, origin: Origin) -> Self {
        let facts = certificate.facts;
        Self {
            acm: origin == Origin::Automatic,
            ca_signed: facts.trust == Trust::Authority,
            cert_domains: facts.names,
            expires_at: facts.expires_at.rfc3339(),
            id: certificate.id.to_string(),
            issuer: facts.issuer,
            self_signed: facts.trust == Trust::SelfSigned,
            starts_at: facts.starts_at.rfc3339(),
            subject: facts.subject,
        }
    }
}

impl Listed for EndpointBody {
    const SORTABLE: &'static [&'static str] = &["name", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            _ => self.name.clone(),
        })
    }
}

#[derive(Deserialize)]
struct New {
    certificate_chain: String,
    #[serde(deserialize_with = "secret")]
    private_key: Secret,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

impl From<New> for Upload {
    fn from(new: New) -> Self {
        Self { chain: new.certificate_chain, key: new.private_key }
    }
}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<EndpointBody>> {
    let all = certificates::list(&state.control, &caller.account, app.id).await?;
    range.page(all.into_iter().map(|endpoint| EndpointBody::new(endpoint, &app)).collect())
}

async fn add(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<EndpointBody>)> {
    let added = certificates::add(&state.control, &caller.account, app.id, new.into()).await?;
    Ok((StatusCode::CREATED, Json(EndpointBody::new(added, &app))))
}

async fn info(
    State(state): State<ApiState>,
    Path((_, endpoint)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<EndpointBody>> {
    let found = certificates::info(&state.control, &caller.account, app.id, &endpoint).await?;
    Ok(Json(EndpointBody::new(found, &app)))
}

async fn update(
    State(state): State<ApiState>,
    Path((_, endpoint)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<Json<EndpointBody>> {
    let (control, who) = (&state.control, &caller.account);
    let updated = certificates::update(control, who, app.id, &endpoint, new.into()).await?;
    Ok(Json(EndpointBody::new(updated, &app)))
}

async fn remove(
    State(state): State<ApiState>,
    Path((_, endpoint)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<EndpointBody>> {
    let removed = certificates::remove(&state.control, &caller.account, app.id, &endpoint).await?;
    Ok(Json(EndpointBody::new(removed, &app)))
}
