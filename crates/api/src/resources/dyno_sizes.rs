//! Dyno sizes.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use model::DynoSize;
use model::size::SizeLimits;
use serde::Serialize;

use crate::app_path::AppPath;
use crate::caller::Caller;
use crate::error::{ApiError, Result};
use crate::state::ApiState;
use crate::wire::{Kind, NameRef};

/// Routes of dyno sizes.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/dyno-sizes", get(|_: Caller, state| list(state)))
        .route("/dyno-sizes/{size}", get(info))
        .route("/apps/{app}/available-dyno-sizes", get(|_: AppPath, state| list(state)))
}

#[derive(Serialize)]
struct SizeBody {
    architecture: &'static str,
    compute: u32,
    cost: Option<()>,
    dedicated: bool,
    generation: NameRef,
    #[serde(flatten)]
    size: NameRef,
    memory: f64,
    precise_dyno_units: f64,
    private_space_only: bool,
}

/// A reference to a size.
pub fn reference(size: DynoSize) -> NameRef {
    NameRef::of(Kind::DynoSize, size.name())
}

/// The size that a person or program means by a name in any case, or an id.
///
/// # Errors
/// Names the sizes there are.
pub fn find(wanted: &str) -> Result<DynoSize> {
    let by_id = DynoSize::ALL.into_iter().find(|size| reference(*size).id == wanted);
    by_id.map_or_else(|| wanted.parse(), Ok).map_err(|error| ApiError::invalid(error.to_string()))
}

impl SizeBody {
    fn new(size: DynoSize, limits: SizeLimits) -> Self {
        // Exact: no size has more than 2^53 bytes.
        #[allow(clippy::cast_precision_loss, reason = "memory sizes are far below 2^53")]
        let memory = limits.memory_bytes as f64 / f64::from(1 << 30);
        Self {
            architecture: match std::env::consts::ARCH {
                "aarch64" => "arm64",
                _ => "amd64",
            },
            compute: limits.cpu_share,
            cost: None,
            dedicated: limits.cpu_share > 2,
            generation: NameRef::of(Kind::Generation, "cedar"),
            size: reference(size),
            memory,
            precise_dyno_units: f64::from(limits.cpu_share),
            private_space_only: false,
        }
    }
}

async fn list(State(state): State<ApiState>) -> Json<[SizeBody; 9]> {
    Json(DynoSize::ALL.map(|size| SizeBody::new(size, state.sizes.limits(size))))
}

async fn info(
    State(state): State<ApiState>,
    Path(wanted): Path<String>,
    _: Caller,
) -> Result<Json<SizeBody>> {
    let size = find(&wanted).map_err(|_| ApiError::not_found("dyno_size"))?;
    Ok(Json(SizeBody::new(size, state.sizes.limits(size))))
}
