//! Who asks: the account behind a request's credentials.

use std::time::Instant;

use axum::extract::FromRequestParts;
use control::accounts;
use http::request::Parts;
use model::{Account, Secret};

use crate::credentials::Credentials;
use crate::error::ApiError;
use crate::layers::Spent;
use crate::state::ApiState;

/// The account that a request's token belongs to. Taking it costs one call of the account's rate
/// limit.
pub struct Caller {
    /// The account.
    pub account: Account,
    /// The token it came with.
    pub token: Secret,
    /// Calls it has left.
    pub remaining: u32,
}

impl Caller {
    /// Whether `user` of a path (`~`, an id or an e-mail address) means the caller.
    pub fn is(&self, user: &str) -> bool {
        user == "~" || user == self.account.email || user == self.account.id.to_string()
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let credentials =
            Credentials::from_headers(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        let token = credentials.token().clone();
        let account =
            accounts::by_token(&state.control, &token).await?.ok_or_else(ApiError::unauthorized)?;
        let remaining = state.limits.spend(account.id, Instant::now());
        if let Some(spent) = parts.extensions.get::<Spent>() {
            spent.note(remaining.unwrap_or(0));
        }
        let remaining = remaining.ok_or_else(ApiError::rate_limit)?;
        Ok(Self { account, token, remaining })
    }
}
