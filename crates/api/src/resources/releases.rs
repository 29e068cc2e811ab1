//! Releases: the ledger.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::releases;
use http::StatusCode;
use model::{App, Release};
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::state::ApiState;
use crate::streams::{Licence, Stream};
use crate::wire::{IdRef, NameRef, UserRef};

/// Routes of releases.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/releases", get(list).post(create))
        .route("/apps/{app}/releases/{release}", get(info))
}

#[derive(Serialize)]
struct ReleaseBody {
    addon_plan_names: [&'static str; 0],
    app: NameRef,
    artifacts: Vec<Artifact>,
    created_at: String,
    current: bool,
    description: String,
    eligible_for_rollback: bool,
    id: String,
    oci_image: Option<IdRef>,
    output_stream_url: Option<String>,
    slug: Option<IdRef>,
    status: &'static str,
    updated_at: String,
    user: UserRef,
    version: u32,
}

#[derive(Serialize)]
struct Artifact {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
}

impl ReleaseBody {
    fn new(release: &Release, app: &App, state: &ApiState) -> Self {
        let licence = Licence::new(Stream::ReleaseOutput, release.id);
        let artifact = |slug: model::SlugId| Artifact { kind: "slug", id: slug.to_string() };
        Self {
            addon_plan_names: [],
            app: NameRef::app(app),
            artifacts: release.slug.map(artifact).into_iter().collect(),
            created_at: release.created_at.rfc3339(),
            current: release.current,
            description: release.description.clone(),
            eligible_for_rollback: release.eligible_for_rollback(),
            id: release.id.to_string(),
            oci_image: None,
            output_stream_url: release.has_output.then(|| state.config.stream_url(&licence)),
            slug: release.slug.map(IdRef::new),
            status: release.status.as_str(),
            updated_at: release.updated_at.rfc3339(),
            user: UserRef::new(release.actor, &release.actor_email),
            version: release.version,
        }
    }
}

impl Listed for ReleaseBody {
    const SORTABLE: &'static [&'static str] = &["version", "id"];

    fn key(&self, attribute: &str) -> Key {
        match attribute {
            "id" => Key::Text(self.id.clone()),
            _ => Key::Number(self.version.into()),
        }
    }
}

/// A release to go back to, or a slug to release.
#[derive(Deserialize)]
struct New {
    release: Option<String>,
    slug: Option<String>,
    description: Option<String>,
}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<ReleaseBody>> {
    let releases = releases::list(&state.control, &caller.account, app.id).await?;
    range.page(releases.iter().map(|release| ReleaseBody::new(release, &app, &state)).collect())
}

async fn info(
    State(state): State<ApiState>,
    Path((_, release)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<ReleaseBody>> {
    let which = release.parse()?;
    let release = releases::info(&state.control, &caller.account, app.id, which).await?;
    Ok(Json(ReleaseBody::new(&release, &app, &state)))
}

async fn create(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<ReleaseBody>)> {
    let (control, account) = (&state.control, &caller.account);
    let release = match (new.release, new.slug) {
        (Some(release), None) => {
            releases::rollback(control, account, app.id, release.parse()?).await?
        }
        (None, Some(slug)) => {
            let slug = slug.parse().map_err(|_| ApiError::not_found("slug"))?;
            // One that was just uploaded may still be on its way to be a slug.
            control::slug_uploads::packed(control, app.id, slug).await?;
            releases::create(control, account, app.id, slug, new.description).await?
        }
        _ => return Err(ApiError::invalid("Say either `release` (to go back to) or `slug`.")),
    };
    Ok((StatusCode::CREATED, Json(ReleaseBody::new(&release, &app, &state))))
}
