//! App features (`heroku features`, `heroku labs`).

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::features;
use model::feature::{AppFeature, Switch};
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::state::ApiState;
use crate::wire::{Kind, named_id};

/// Where features are explained.
const DOCS: &str = "https://devcenter.heroku.com/articles";

/// Routes of app features.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/features", get(list))
        .route("/apps/{app}/features/{feature}", get(info).patch(update))
}

#[derive(Serialize)]
struct FeatureBody {
    created_at: String,
    description: &'static str,
    display_name: &'static str,
    doc_url: String,
    enabled: bool,
    feedback_email: &'static str,
    id: String,
    name: &'static str,
    state: &'static str,
    updated_at: String,
}

impl From<AppFeature> for FeatureBody {
    fn from(app: AppFeature) -> Self {
        let feature = app.feature;
        Self {
            created_at: app.created_at.rfc3339(),
            description: feature.description(),
            display_name: feature.title(),
            doc_url: feature.article().map(|page| format!("{DOCS}/{page}")).unwrap_or_default(),
            enabled: app.switch.is_on(),
            feedback_email: "",
            id: named_id(Kind::Feature, feature.name()),
            name: feature.name(),
            state: feature.stage().as_str(),
            updated_at: app.updated_at.rfc3339(),
        }
    }
}

impl Listed for FeatureBody {
    const SORTABLE: &'static [&'static str] = &["name", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            _ => self.name.to_owned(),
        })
    }
}

#[derive(Deserialize)]
struct Change {
    enabled: bool,
}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<FeatureBody>> {
    let features = features::list(&state.control, &caller.account, app.id).await?;
    range.page(features.into_iter().map(FeatureBody::from).collect())
}

async fn info(
    State(state): State<ApiState>,
    Path((_, feature)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<FeatureBody>> {
    let name = name_of(&feature);
    let feature = features::info(&state.control, &caller.account, app.id, name).await?;
    Ok(Json(feature.into()))
}

async fn update(
    State(state): State<ApiState>,
    Path((_, feature)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
    Body(change): Body<Change>,
) -> Result<Json<FeatureBody>> {
    let (control, who, name) = (&state.control, &caller.account, name_of(&feature));
    let switch = Switch::from_bool(change.enabled);
    features::switch(control, who, app.id, name, switch)
        .await
        .map(FeatureBody::from)
        .map(Json)
        .map_err(ApiError::from)
}

/// A path may hold a feature's id instead of its name.
fn name_of(wanted: &str) -> &str {
    let by_id = |feature: &model::Feature| named_id(Kind::Feature, feature.name()) == wanted;
    let found = model::Feature::ALL.into_iter().find(by_id);
    found.map_or(wanted, |feature| feature.name())
}
