//! Regions: there is one, and the CLI prints any other name than `us` behind each app's name.

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::caller::Caller;
use crate::error::{ApiError, Result};
use crate::state::ApiState;
use crate::wire::{Kind, NameRef};

/// The region's name.
pub const NAME: &str = "us";

/// A moment the platform's own, unchanging things were made: the first release of this project.
pub const BEGINNING: &str = "2026-01-01T00:00:00Z";

/// Routes of regions.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/regions", get(list)).route("/regions/{region}", get(info))
}

#[derive(Serialize)]
struct RegionBody {
    country: &'static str,
    created_at: &'static str,
    description: &'static str,
    #[serde(flatten)]
    region: NameRef,
    locale: &'static str,
    private_capable: bool,
    provider: Provider,
    updated_at: &'static str,
}

#[derive(Serialize)]
struct Provider {
    name: &'static str,
    region: &'static str,
}

/// A reference to the region.
pub fn reference() -> NameRef {
    NameRef::of(Kind::Region, NAME)
}

/// Refuses to put something into a region that is not there. `None` is the default.
///
/// # Errors
/// Says which region there is.
pub fn check(wanted: Option<&str>) -> Result<()> {
    let region = reference();
    match wanted {
        Some(wanted) if wanted != region.name && wanted != region.id => {
            Err(ApiError::invalid(format!("Invalid region `{wanted}`. There is one: {NAME}.")))
        }
        _ => Ok(()),
    }
}

fn body() -> RegionBody {
    RegionBody {
        country: "Your own",
        created_at: BEGINNING,
        description: "This server",
        region: reference(),
        locale: "Your own",
        private_capable: false,
        provider: Provider { name: "hythe", region: "us-east-1" },
        updated_at: BEGINNING,
    }
}

async fn list(_: Caller) -> Json<[RegionBody; 1]> {
    Json([body()])
}

async fn info(Path(wanted): Path<String>, _: Caller) -> Result<Json<RegionBody>> {
    check(Some(&wanted)).map_err(|_| ApiError::not_found("region"))?;
    Ok(Json(body()))
}
