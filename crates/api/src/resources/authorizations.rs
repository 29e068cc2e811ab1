//! OAuth authorizations: API tokens. Making one with e-mail and password is `heroku login -i`.
//!
//! Tokens are stored hashed, so a token is shown when it is made, and later only to who presents
//! that very token: the CLI finds the row of its own token by it.

use std::time::Duration;

use axum::extract::{FromRequestParts, Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use control::accounts;
use control::authorizations::{self, NewAuthorization};
use http::StatusCode;
use http::request::Parts;
use model::account::Authorization;
use model::{Account, AuthorizationId, Secret, Timestamp};
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::caller::Caller;
use crate::credentials::Credentials;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::state::ApiState;
use crate::wire::IdRef;

/// Routes of authorizations.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/oauth/authorizations", get(list).post(create))
        .route("/oauth/authorizations/{authorization}", get(info).patch(update).delete(revoke))
        .route("/oauth/authorizations/{authorization}/actions/regenerate-tokens", post(rotate))
}

#[derive(Serialize)]
struct AuthorizationBody {
    access_token: Option<AccessToken>,
    client: Option<IdRef>,
    created_at: String,
    description: String,
    grant: Option<IdRef>,
    id: String,
    refresh_token: Option<IdRef>,
    scope: Vec<String>,
    session: Option<IdRef>,
    updated_at: String,
    user: User,
}

#[derive(Serialize)]
struct AccessToken {
    expires_in: Option<u64>,
    id: String,
    token: String,
}

#[derive(Serialize)]
struct User {
    id: String,
    email: String,
    full_name: Option<String>,
}

impl AuthorizationBody {
    /// `token` is shown if given.
    fn new(authorization: Authorization, account: &Account, token: Option<&Secret>) -> Self {
        let now = Timestamp::now();
        let id = authorization.id.to_string();
        let access_token = token.map(|token| AccessToken {
            expires_in: authorization.expires_at.map(|at| at.since(now).as_secs()),
            id: id.clone(),
            token: token.reveal().to_owned(),
        });
        Self {
            access_token,
            client: None,
            created_at: authorization.created_at.rfc3339(),
            description: authorization.description,
            grant: None,
            id,
            refresh_token: None,
            scope: authorization.scopes,
            session: None,
            updated_at: authorization.updated_at.rfc3339(),
            user: User {
                id: account.id.to_string(),
                email: account.email.clone(),
                full_name: account.name.clone(),
            },
        }
    }
}

impl Listed for AuthorizationBody {
    const SORTABLE: &'static [&'static str] = &["created_at", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            _ => self.created_at.clone(),
        })
    }
}

#[derive(Deserialize)]
struct New {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    expires_in: Option<Seconds>,
    #[serde(default)]
    scope: Vec<String>,
}

/// The CLI sends a number when it logs in and a text when a person gave it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn duration(&self) -> Result<Duration> {
        let seconds = match self {
            Self::Number(seconds) => Some(*seconds),
            Self::Text(text) => text.parse().ok(),
        };
        let good = seconds.filter(|seconds| *seconds > 0);
        let refused = || ApiError::invalid("Invalid `expires_in`: use a number of seconds.");
        good.map(Duration::from_secs).ok_or_else(refused)
    }
}

async fn create(
    State(state): State<ApiState>,
    Grantor(account): Grantor,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<AuthorizationBody>)> {
    check_scopes(&new.scope)?;
    let expires_in = new.expires_in.as_ref().map(Seconds::duration).transpose()?;
    let description = new.description.unwrap_or_else(|| "Long-lived user authorization".to_owned());
    let new = NewAuthorization { description, scopes: new.scope, expires_in };
    let made = authorizations::create(&state.control, &account, new).await?;
    let token = made.token.clone();
    let body = AuthorizationBody::new(made, &account, token.as_ref());
    Ok((StatusCode::CREATED, Json(body)))
}

/// A token that promises to do less than it can would deceive, so narrower scopes are refused.
fn check_scopes(scopes: &[String]) -> Result<()> {
    let Some(narrower) = scopes.iter().find(|scope| *scope != "global") else { return Ok(()) };
    let what = format!("Limiting a token to a scope (`{narrower}`; the one scope is `global`)");
    Err(ApiError::not_built(StatusCode::UNPROCESSABLE_ENTITY, &what))
}

/// Who may make a token: somebody with e-mail and password, or with another token.
struct Grantor(Account);

impl FromRequestParts<ApiState> for Grantor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self> {
        let credentials = Credentials::from_headers(&parts.headers);
        if let Some(Credentials::Basic { user, secret }) = &credentials
            && user.contains('@')
            && let Some(account) = accounts::by_password(&state.control, user, secret).await?
        {
            return Ok(Self(account));
        }
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self(caller.account))
    }
}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    caller: Caller,
) -> Result<Page<AuthorizationBody>> {
    let own = authorizations::by_token(&state.control, &caller.token).await?.map(|own| own.id);
    let rows = authorizations::list(&state.control, &caller.account).await?;
    let shown = |row: Authorization| {
        let token = (own == Some(row.id)).then_some(&caller.token);
        AuthorizationBody::new(row, &caller.account, token)
    };
    range.page(rows.into_iter().map(shown).collect())
}

async fn info(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<AuthorizationBody>> {
    let found = authorizations::info(&state.control, &caller.account, parse(&id)?).await?;
    let own = authorizations::by_token(&state.control, &caller.token).await?;
    let token = own.is_some_and(|own| own.id == found.id).then_some(&caller.token);
    Ok(Json(AuthorizationBody::new(found, &caller.account, token)))
}

#[derive(Deserialize)]
struct Changes {
    description: Option<String>,
}

async fn update(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    caller: Caller,
    Body(changes): Body<Changes>,
) -> Result<Json<AuthorizationBody>> {
    let (control, account, id) = (&state.control, &caller.account, parse(&id)?);
    let row = match changes.description {
        Some(text) => authorizations::describe(control, account, id, text).await?,
        None => authorizations::info(control, account, id).await?,
    };
    Ok(Json(AuthorizationBody::new(row, account, None)))
}

async fn rotate(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<AuthorizationBody>> {
    let row = authorizations::rotate(&state.control, &caller.account, parse(&id)?).await?;
    let token = row.token.clone();
    Ok(Json(AuthorizationBody::new(row, &caller.account, token.as_ref())))
}

async fn revoke(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<AuthorizationBody>> {
    let gone = authorizations::delete(&state.control, &caller.account, parse(&id)?).await?;
    Ok(Json(AuthorizationBody::new(gone, &caller.account, None)))
}

/// `~` is Heroku's API key of the dashboard, which `heroku logout` must not revoke. There is none
/// here, so it is not found like any other text that is no id.
fn parse(id: &str) -> Result<AuthorizationId> {
    id.parse().map_err(|_| ApiError::not_found("authorization"))
}
