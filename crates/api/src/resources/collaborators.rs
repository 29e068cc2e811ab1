//! Collaborators: an app has its owner and nobody else in this version.

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use model::App;
use serde::Serialize;

use crate::app_path::AppPath;
use crate::error::{ApiError, Result};
use crate::state::ApiState;
use crate::wire::{NameRef, membership_id};

/// Routes of collaborators.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/collaborators", get(list))
        .route("/apps/{app}/collaborators/{one}", get(info))
}

#[derive(Serialize)]
struct CollaboratorBody {
    app: NameRef,
    created_at: String,
    id: String,
    permissions: [Permission; 4],
    role: &'static str,
    updated_at: String,
    user: Person,
}

#[derive(Serialize)]
struct Permission {
    name: &'static str,
    description: &'static str,
}

#[derive(Serialize)]
struct Person {
    email: String,
    federated: bool,
    id: String,
}

const ALL: [Permission; 4] = [
    Permission { name: "view", description: "Can view the app" },
    Permission { name: "deploy", description: "Can deploy the app" },
    Permission { name: "operate", description: "Can scale, configure and run the app" },
    Permission { name: "manage", description: "Can rename and destroy the app" },
];

fn owner(app: &App) -> CollaboratorBody {
    CollaboratorBody {
        app: NameRef::app(app),
        created_at: app.created_at.rfc3339(),
        id: membership_id(app.id, app.owner),
        permissions: ALL,
        role: "owner",
        updated_at: app.created_at.rfc3339(),
        user: Person {
            email: app.owner_email.clone(),
            federated: false,
            id: app.owner.to_string(),
        },
    }
}

async fn list(AppPath { app, .. }: AppPath) -> Json<[CollaboratorBody; 1]> {
    Json([owner(&app)])
}

async fn info(
    Path((_, one)): Path<(String, String)>,
    AppPath { app, .. }: AppPath,
) -> Result<Json<CollaboratorBody>> {
    let owner = owner(&app);
    let found = one == owner.id || one == owner.user.id || one == owner.user.email;
    if found { Ok(Json(owner)) } else { Err(ApiError::not_found("collaborator")) }
}
