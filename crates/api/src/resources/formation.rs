//! Formation: how many dynos of which type and size are wanted.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::formations::{self, Scale};
use model::formation::{Formation, QuantityChange};
use model::{Account, App};
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::resources::{dyno_sizes, dynos};
use crate::state::ApiState;
use crate::wire::NameRef;

/// Routes of the formation.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/formation", get(list).patch(update_all))
        .route("/apps/{app}/formation/{type}", get(info).patch(update_one))
}

#[derive(Serialize)]
struct FormationBody {
    app: NameRef,
    command: String,
    created_at: String,
    dyno_size: NameRef,
    id: String,
    quantity: u32,
    size: &'static str,
    #[serde(rename = "type")]
    process_type: String,
    updated_at: String,
}

impl FormationBody {
    fn new(row: Formation, app: &App) -> Self {
        Self {
            app: NameRef::app(app),
            command: row.command,
            created_at: row.created_at.rfc3339(),
            dyno_size: dyno_sizes::reference(row.size),
            id: row.id.to_string(),
            quantity: row.quantity,
            size: row.size.name(),
            process_type: row.process_type.to_string(),
            updated_at: row.updated_at.rfc3339(),
        }
    }

    fn is(&self, wanted: &str) -> bool {
        self.process_type == wanted || self.id == wanted
    }
}

impl Listed for FormationBody {
    const SORTABLE: &'static [&'static str] = &["type", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            _ => self.process_type.clone(),
        })
    }
}

#[derive(Deserialize)]
struct Updates {
    updates: Vec<NamedUpdate>,
}

#[derive(Deserialize)]
struct NamedUpdate {
    #[serde(rename = "type", alias = "process", alias = "id")]
    process_type: String,
    #[serde(flatten)]
    update: Update,
}

#[derive(Deserialize)]
struct Update {
    quantity: Option<Quantity>,
    #[serde(alias = "dyno_size")]
    size: Option<Size>,
    docker_image: Option<String>,
}

/// A number, or what a person typed: `2`, `+1`, `-1`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Quantity {
    Exact(i64),
    Typed(String),
}

/// A name in any letter case, or a reference.
#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Name(String),
    Reference { name: Option<String>, id: Option<String> },
}

impl Quantity {
    fn change(&self) -> Result<QuantityChange> {
        let change = match self {
            Self::Typed(text) => text.parse(),
            // `-1` as a number is not "one fewer" but nonsense.
            Self::Exact(number) => match u32::try_from(*number) {
                Ok(number) => Ok(QuantityChange::To(number)),
                Err(_) => Err(model::formation::ScaleError::Quantity(number.to_string())),
            },
        };
        change.map_err(|error| ApiError::invalid(error.to_string()))
    }
}

impl Size {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Reference { name, id } => {
                name.as_deref().or(id.as_deref()).unwrap_or("(none given)")
            }
        }
    }
}

impl NamedUpdate {
    fn scale(self) -> Result<Scale> {
        if self.update.docker_image.is_some() {
            let status = http::StatusCode::UNPROCESSABLE_ENTITY;
            return Err(ApiError::not_built(status, "Releasing container images"));
        }
        Ok(Scale {
            process_type: dynos::process_type(&self.process_type)?,
            quantity: self.update.quantity.as_ref().map(Quantity::change).transpose()?,
            size: self.update.size.map(|size| dyno_sizes::find(size.name())).transpose()?,
        })
    }
}

async fn rows(state: &ApiState, who: &Account, app: &App) -> Result<Vec<FormationBody>> {
    let rows = formations::list(&state.control, who, app.id).await?;
    Ok(rows.into_iter().map(|row| FormationBody::new(row, app)).collect())
}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<FormationBody>> {
    range.page(rows(&state, &caller.account, &app).await?)
}

async fn info(
    State(state): State<ApiState>,
    Path((_, wanted)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<FormationBody>> {
    find(rows(&state, &caller.account, &app).await?, &wanted)
}

async fn update_all(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(Updates { updates }): Body<Updates>,
) -> Result<Json<Vec<FormationBody>>> {
    let scales = updates.into_iter().map(NamedUpdate::scale).collect::<Result<_>>()?;
    let rows = formations::scale(&state.control, &caller.account, app.id, scales).await?;
    Ok(Json(rows.into_iter().map(|row| FormationBody::new(row, &app)).collect()))
}

async fn update_one(
    State(state): State<ApiState>,
    Path((_, process_type)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
    Body(update): Body<Update>,
) -> Result<Json<FormationBody>> {
    let scale = NamedUpdate { process_type: process_type.clone(), update }.scale()?;
    let rows = formations::scale(&state.control, &caller.account, app.id, vec![scale]).await?;
    find(rows.into_iter().map(|row| FormationBody::new(row, &app)).collect(), &process_type)
}

fn find(rows: Vec<FormationBody>, wanted: &str) -> Result<Json<FormationBody>> {
    let row = rows.into_iter().find(|row| row.is(wanted));
    row.map(Json).ok_or_else(|| ApiError::not_found("formation"))
}
