//! The app that a path names.

use axum::extract::{FromRequestParts, RawPathParams};
use control::apps;
use http::request::Parts;
use model::App;

use crate::caller::Caller;
use crate::error::ApiError;
use crate::state::ApiState;

/// The caller, and the app of the path's `{app}` (an id or a name), which the caller may use.
pub struct AppPath {
    /// Who asks.
    pub caller: Caller,
    /// The app.
    pub app: App,
}

impl FromRequestParts<ApiState> for AppPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found("app"))?;
        let named = params.iter().find(|(name, _)| *name == "app");
        let (_, wanted) = named.ok_or_else(|| ApiError::not_found("app"))?;
        let app = apps::info(&state.control, &caller.account, wanted).await?;
        Ok(Self { caller, app })
    }
}
