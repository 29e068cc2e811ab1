//! The caller's own account.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::caller::Caller;
use crate::error::{ApiError, Result};
use crate::state::ApiState;
use crate::wire::NameRef;

/// Routes of the account.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/account", get(own))
        .route("/users/{user}", get(by_name))
        .route("/account/rate-limits", get(rate_limits))
}

#[derive(Serialize)]
struct AccountBody {
    allow_tracking: bool,
    beta: bool,
    country_of_residence: Option<String>,
    created_at: String,
    default_organization: Option<NameRef>,
    default_team: Option<NameRef>,
    delinquent_at: Option<String>,
    email: String,
    federated: bool,
    id: String,
    identity_provider: Option<NameRef>,
    last_login: Option<String>,
    name: Option<String>,
    sms_number: Option<String>,
    suspended_at: Option<String>,
    two_factor_authentication: bool,
    updated_at: String,
    verified: bool,
}

impl From<model::Account> for AccountBody {
    fn from(account: model::Account) -> Self {
        Self {
            allow_tracking: false,
            beta: false,
            country_of_residence: None,
            created_at: account.created_at.rfc3339(),
            default_organization: None,
            default_team: None,
            delinquent_at: None,
            email: account.email,
            federated: false,
            id: account.id.to_string(),
            identity_provider: None,
            last_login: None,
            name: account.name,
            sms_number: None,
            suspended_at: None,
            two_factor_authentication: false,
            updated_at: account.updated_at.rfc3339(),
            verified: true,
        }
    }
}

#[derive(Serialize)]
struct RateLimitBody {
    remaining: u32,
}

async fn own(caller: Caller) -> Json<AccountBody> {
    Json(caller.account.into())
}

async fn by_name(
    State(_): State<ApiState>,
    Path(user): Path<String>,
    caller: Caller,
) -> Result<Json<AccountBody>> {
    if caller.is(&user) {
        Ok(Json(caller.account.into()))
    } else {
        Err(ApiError::not_found("user"))
    }
}

async fn rate_limits(caller: Caller) -> Json<RateLimitBody> {
    Json(RateLimitBody { remaining: caller.remaining })
}
